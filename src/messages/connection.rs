//! Owns the definitions of the first words of a connection (versions, SASL, delegation tokens) and what a
//! client tells of itself. Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Secret, Str, Uuid, message};
use alloc::vec::Vec;
use bytes::Bytes;

message! {
    /// Chooses the SASL mechanism.
    struct SaslHandshakeRequest: Request { key: 17, versions: 0..=1, flexible: none } {
        mechanism: Str,
    }

    /// The answer to [`SaslHandshakeRequest`].
    struct SaslHandshakeResponse: Response { key: 17, versions: 0..=1, flexible: none } {
        error_code: i16,
        mechanisms: Vec<Str>,
    }

    /// Asks which versions of which APIs the broker speaks: the first request of every connection (KIP-511).
    struct ApiVersionsRequest: Request { key: 18, versions: 0..=4, flexible: 3.. } {
        client_software_name: Str [3..; ignorable],
        client_software_version: Str [3..; ignorable],
    }

    /// The answer to [`ApiVersionsRequest`]. Its header is always the plain one; a broker that does not
    /// know the version
    /// answers in version 0 with `UNSUPPORTED_VERSION`.
    struct ApiVersionsResponse: Response { key: 18, versions: 0..=4, flexible: 3.. } {
        error_code: i16,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1..; ignorable],
        supported_features: Vec<SupportedFeatureKey> [3..; ignorable] | 0,
        finalized_features_epoch: i64 [3..; ignorable] | 1 = -1,
        finalized_features: Vec<FinalizedFeatureKey> [3..; ignorable] | 2,
        zk_migration_ready: bool [3..; ignorable] | 3,
    }

    /// One of the `api_keys` of [`ApiVersionsResponse`].
    struct ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// One of the `supported_features` of [`ApiVersionsResponse`].
    struct SupportedFeatureKey {
        name: Str,
        min_version: i16,
        max_version: i16,
    }

    /// One of the `finalized_features` of [`ApiVersionsResponse`].
    struct FinalizedFeatureKey {
        name: Str,
        max_version_level: i16,
        min_version_level: i16,
    }

    /// Carries one step of the SASL conversation. Its bytes are secrets.
    struct SaslAuthenticateRequest: Request { key: 36, versions: 0..=2, flexible: 2.. } {
        /// The mechanism's own bytes. Secret.
        auth_bytes: Secret<Bytes>,
    }

    /// The answer to [`SaslAuthenticateRequest`].
    struct SaslAuthenticateResponse: Response { key: 36, versions: 0..=2, flexible: 2.. } {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        auth_bytes: Secret<Bytes>,
        session_lifetime_ms: i64 [1..; ignorable],
    }

    /// Asks for a delegation token (KIP-48).
    struct CreateDelegationTokenRequest: Request { key: 38, versions: 1..=3, flexible: 2.. } {
        owner_principal_type: Option<Str> [3..] = Some(Str::EMPTY),
        owner_principal_name: Option<Str> [3..] = Some(Str::EMPTY),
        renewers: Vec<CreatableRenewers>,
        max_lifetime_ms: i64,
    }

    /// One of the `renewers` of [`CreateDelegationTokenRequest`].
    struct CreatableRenewers {
        principal_type: Str,
        principal_name: Str,
    }

    /// The answer to [`CreateDelegationTokenRequest`].
    struct CreateDelegationTokenResponse: Response { key: 38, versions: 1..=3, flexible: 2.. } {
        error_code: i16,
        principal_type: Str,
        principal_name: Str,
        token_requester_principal_type: Str [3..],
        token_requester_principal_name: Str [3..],
        issue_timestamp_ms: i64,
        expiry_timestamp_ms: i64,
        max_timestamp_ms: i64,
        token_id: Str,
        hmac: Secret<Bytes>,
        throttle_time_ms: i32,
    }

    /// Extends the life of a delegation token.
    struct RenewDelegationTokenRequest: Request { key: 39, versions: 1..=2, flexible: 2.. } {
        hmac: Secret<Bytes>,
        renew_period_ms: i64,
    }

    /// The answer to [`RenewDelegationTokenRequest`].
    struct RenewDelegationTokenResponse: Response { key: 39, versions: 1..=2, flexible: 2.. } {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }

    /// Ends a delegation token, now or at a time.
    struct ExpireDelegationTokenRequest: Request { key: 40, versions: 1..=2, flexible: 2.. } {
        hmac: Secret<Bytes>,
        expiry_time_period_ms: i64,
    }

    /// The answer to [`ExpireDelegationTokenRequest`].
    struct ExpireDelegationTokenResponse: Response { key: 40, versions: 1..=2, flexible: 2.. } {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }

    /// Asks for the delegation tokens of owners.
    struct DescribeDelegationTokenRequest: Request { key: 41, versions: 1..=3, flexible: 2.. } {
        owners: Option<Vec<DescribeDelegationTokenOwner>> = Some(Vec::new()),
    }

    /// One of the `owners` of [`DescribeDelegationTokenRequest`].
    struct DescribeDelegationTokenOwner {
        principal_type: Str,
        principal_name: Str,
    }

    /// The answer to [`DescribeDelegationTokenRequest`].
    struct DescribeDelegationTokenResponse: Response { key: 41, versions: 1..=3, flexible: 2.. } {
        error_code: i16,
        tokens: Vec<DescribedDelegationToken>,
        throttle_time_ms: i32,
    }

    /// One of the `tokens` of [`DescribeDelegationTokenResponse`].
    struct DescribedDelegationToken {
        principal_type: Str,
        principal_name: Str,
        token_requester_principal_type: Str [3..],
        token_requester_principal_name: Str [3..],
        issue_timestamp: i64,
        expiry_timestamp: i64,
        max_timestamp: i64,
        token_id: Str,
        hmac: Secret<Bytes>,
        renewers: Vec<DescribedDelegationTokenRenewer>,
    }

    /// One of the `renewers` of [`DescribedDelegationToken`].
    struct DescribedDelegationTokenRenewer {
        principal_type: Str,
        principal_name: Str,
    }

    /// Asks which metrics the cluster wants of this client (KIP-714).
    struct GetTelemetrySubscriptionsRequest: Request { key: 71, versions: 0..=0, flexible: 0.. } {
        client_instance_id: Uuid,
    }

    /// The answer to [`GetTelemetrySubscriptionsRequest`].
    struct GetTelemetrySubscriptionsResponse: Response { key: 71, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        client_instance_id: Uuid,
        subscription_id: i32,
        accepted_compression_types: Vec<i8>,
        push_interval_ms: i32,
        telemetry_max_bytes: i32,
        delta_temporality: bool,
        requested_metrics: Vec<Str>,
    }

    /// Sends the metrics that were asked for (KIP-714).
    struct PushTelemetryRequest: Request { key: 72, versions: 0..=0, flexible: 0.. } {
        client_instance_id: Uuid,
        subscription_id: i32,
        terminating: bool,
        compression_type: i8,
        metrics: Bytes,
    }

    /// The answer to [`PushTelemetryRequest`].
    struct PushTelemetryResponse: Response { key: 72, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
