//! Owns the definitions of the administration of access, configuration, quotas and credentials. Definitions and
//! nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Secret, Str, message};
use alloc::vec::Vec;
use bytes::Bytes;

message! {
    /// Asks for the access rules that match a filter.
    struct DescribeAclsRequest: Request { key: 29, versions: 1..=3, flexible: 2.. } {
        resource_type_filter: i8,
        resource_name_filter: Option<Str> = Some(Str::EMPTY),
        pattern_type_filter: i8 = 3,
        principal_filter: Option<Str> = Some(Str::EMPTY),
        host_filter: Option<Str> = Some(Str::EMPTY),
        operation: i8,
        permission_type: i8,
    }

    /// The answer to [`DescribeAclsRequest`].
    struct DescribeAclsResponse: Response { key: 29, versions: 1..=3, flexible: 2.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        resources: Vec<DescribeAclsResource>,
    }

    /// One of the `resources` of [`DescribeAclsResponse`].
    struct DescribeAclsResource {
        resource_type: i8,
        resource_name: Str,
        pattern_type: i8 = 3,
        acls: Vec<AclDescription>,
    }

    /// One of the `acls` of [`DescribeAclsResource`].
    struct AclDescription {
        principal: Str,
        host: Str,
        operation: i8,
        permission_type: i8,
    }

    /// Creates access rules.
    struct CreateAclsRequest: Request { key: 30, versions: 1..=3, flexible: 2.. } {
        creations: Vec<AclCreation>,
    }

    /// One of the `creations` of [`CreateAclsRequest`].
    struct AclCreation {
        resource_type: i8,
        resource_name: Str,
        resource_pattern_type: i8 = 3,
        principal: Str,
        host: Str,
        operation: i8,
        permission_type: i8,
    }

    /// The answer to [`CreateAclsRequest`].
    struct CreateAclsResponse: Response { key: 30, versions: 1..=3, flexible: 2.. } {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    /// One of the `results` of [`CreateAclsResponse`].
    struct AclCreationResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Deletes the access rules that match filters.
    struct DeleteAclsRequest: Request { key: 31, versions: 1..=3, flexible: 2.. } {
        filters: Vec<DeleteAclsFilter>,
    }

    /// One of the `filters` of [`DeleteAclsRequest`].
    struct DeleteAclsFilter {
        resource_type_filter: i8,
        resource_name_filter: Option<Str> = Some(Str::EMPTY),
        pattern_type_filter: i8 = 3,
        principal_filter: Option<Str> = Some(Str::EMPTY),
        host_filter: Option<Str> = Some(Str::EMPTY),
        operation: i8,
        permission_type: i8,
    }

    /// The answer to [`DeleteAclsRequest`].
    struct DeleteAclsResponse: Response { key: 31, versions: 1..=3, flexible: 2.. } {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// One of the `filter_results` of [`DeleteAclsResponse`].
    struct DeleteAclsFilterResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// One of the `matching_acls` of [`DeleteAclsFilterResult`].
    struct DeleteAclsMatchingAcl {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        resource_type: i8,
        resource_name: Str,
        pattern_type: i8 = 3,
        principal: Str,
        host: Str,
        operation: i8,
        permission_type: i8,
    }

    /// Asks for the configuration of topics, brokers and other resources.
    struct DescribeConfigsRequest: Request { key: 32, versions: 1..=4, flexible: 4.. } {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    /// One of the `resources` of [`DescribeConfigsRequest`].
    struct DescribeConfigsResource {
        resource_type: i8,
        resource_name: Str,
        configuration_keys: Option<Vec<Str>> = Some(Vec::new()),
    }

    /// The answer to [`DescribeConfigsRequest`].
    struct DescribeConfigsResponse: Response { key: 32, versions: 1..=4, flexible: 4.. } {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    /// One of the `results` of [`DescribeConfigsResponse`].
    struct DescribeConfigsResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        resource_type: i8,
        resource_name: Str,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    /// One of the `configs` of [`DescribeConfigsResult`].
    struct DescribeConfigsResourceResult {
        name: Str,
        value: Option<Str> = Some(Str::EMPTY),
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        config_type: i8 [3..; ignorable],
        documentation: Option<Str> [3..; ignorable] = Some(Str::EMPTY),
    }

    /// One of the `synonyms` of [`DescribeConfigsResourceResult`].
    struct DescribeConfigsSynonym {
        name: Str,
        value: Option<Str> = Some(Str::EMPTY),
        source: i8,
    }

    /// Replaces the whole configuration of resources. What is not named falls back to its default.
    struct AlterConfigsRequest: Request { key: 33, versions: 0..=2, flexible: 2.. } {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// One of the `resources` of [`AlterConfigsRequest`].
    struct AlterConfigsResource {
        resource_type: i8,
        resource_name: Str,
        configs: Vec<AlterConfigsAlterableConfig>,
    }

    /// One of the `configs` of [`AlterConfigsResource`].
    struct AlterConfigsAlterableConfig {
        name: Str,
        /// What it is set to; passwords are set so, too.
        value: Option<Secret<Str>> = Some(Secret(Str::EMPTY)),
    }

    /// The answer to [`AlterConfigsRequest`].
    struct AlterConfigsResponse: Response { key: 33, versions: 0..=2, flexible: 2.. } {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// One of the `responses` of [`AlterConfigsResponse`].
    struct AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        resource_type: i8,
        resource_name: Str,
    }

    /// Changes single entries of the configuration of resources (KIP-339).
    struct IncrementalAlterConfigsRequest: Request { key: 44, versions: 0..=1, flexible: 1.. } {
        resources: Vec<IncrementalAlterConfigsResource>,
        validate_only: bool,
    }

    /// One of the `resources` of [`IncrementalAlterConfigsRequest`].
    struct IncrementalAlterConfigsResource {
        resource_type: i8,
        resource_name: Str,
        configs: Vec<IncrementalAlterConfigsAlterableConfig>,
    }

    /// One of the `configs` of [`IncrementalAlterConfigsResource`].
    struct IncrementalAlterConfigsAlterableConfig {
        name: Str,
        config_operation: i8,
        /// What it is set to; passwords are set so, too.
        value: Option<Secret<Str>> = Some(Secret(Str::EMPTY)),
    }

    /// The answer to [`IncrementalAlterConfigsRequest`].
    struct IncrementalAlterConfigsResponse: Response { key: 44, versions: 0..=1, flexible: 1.. } {
        throttle_time_ms: i32,
        responses: Vec<IncrementalAlterConfigsResourceResponse>,
    }

    /// One of the `responses` of [`IncrementalAlterConfigsResponse`].
    struct IncrementalAlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        resource_type: i8,
        resource_name: Str,
    }

    /// Asks for the quotas that match a filter.
    struct DescribeClientQuotasRequest: Request { key: 48, versions: 0..=1, flexible: 1.. } {
        components: Vec<ComponentData>,
        strict: bool,
    }

    /// One of the `components` of [`DescribeClientQuotasRequest`].
    struct ComponentData {
        entity_type: Str,
        match_type: i8,
        match_: Option<Str> = Some(Str::EMPTY),
    }

    /// The answer to [`DescribeClientQuotasRequest`].
    struct DescribeClientQuotasResponse: Response { key: 48, versions: 0..=1, flexible: 1.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        entries: Option<Vec<DescribeClientQuotasEntryData>> = Some(Vec::new()),
    }

    /// One of the `entries` of [`DescribeClientQuotasResponse`].
    struct DescribeClientQuotasEntryData {
        entity: Vec<DescribeClientQuotasEntityData>,
        values: Vec<ValueData>,
    }

    /// One of the `entity` of [`DescribeClientQuotasEntryData`].
    struct DescribeClientQuotasEntityData {
        entity_type: Str,
        entity_name: Option<Str> = Some(Str::EMPTY),
    }

    /// One of the `values` of [`DescribeClientQuotasEntryData`].
    struct ValueData {
        key: Str,
        value: f64,
    }

    /// Sets or removes quotas.
    struct AlterClientQuotasRequest: Request { key: 49, versions: 0..=1, flexible: 1.. } {
        entries: Vec<AlterClientQuotasEntryData>,
        validate_only: bool,
    }

    /// One of the `entries` of [`AlterClientQuotasRequest`].
    struct AlterClientQuotasEntryData {
        entity: Vec<AlterClientQuotasEntityData>,
        ops: Vec<OpData>,
    }

    /// One of the `entity` of [`AlterClientQuotasEntryData`].
    struct AlterClientQuotasEntityData {
        entity_type: Str,
        entity_name: Option<Str> = Some(Str::EMPTY),
    }

    /// One of the `ops` of [`AlterClientQuotasEntryData`].
    struct OpData {
        key: Str,
        value: f64,
        remove: bool,
    }

    /// The answer to [`AlterClientQuotasRequest`].
    struct AlterClientQuotasResponse: Response { key: 49, versions: 0..=1, flexible: 1.. } {
        throttle_time_ms: i32,
        entries: Vec<AlterClientQuotasResponseEntryData>,
    }

    /// One of the `entries` of [`AlterClientQuotasResponse`].
    struct AlterClientQuotasResponseEntryData {
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        entity: Vec<AlterClientQuotasResponseEntityData>,
    }

    /// One of the `entity` of [`AlterClientQuotasResponseEntryData`].
    struct AlterClientQuotasResponseEntityData {
        entity_type: Str,
        entity_name: Option<Str> = Some(Str::EMPTY),
    }

    /// Asks which SCRAM credentials users have (never for the credentials).
    struct DescribeUserScramCredentialsRequest: Request { key: 50, versions: 0..=0, flexible: 0.. } {
        users: Option<Vec<UserName>> = Some(Vec::new()),
    }

    /// One of the `users` of [`DescribeUserScramCredentialsRequest`].
    struct UserName {
        name: Str,
    }

    /// The answer to [`DescribeUserScramCredentialsRequest`].
    struct DescribeUserScramCredentialsResponse: Response { key: 50, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// One of the `results` of [`DescribeUserScramCredentialsResponse`].
    struct DescribeUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        credential_infos: Vec<CredentialInfo>,
    }

    /// One of the `credential_infos` of [`DescribeUserScramCredentialsResult`].
    struct CredentialInfo {
        mechanism: i8,
        iterations: i32,
    }

    /// Sets or removes SCRAM credentials of users. Holds salted passwords.
    struct AlterUserScramCredentialsRequest: Request { key: 51, versions: 0..=0, flexible: 0.. } {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    /// One of the `deletions` of [`AlterUserScramCredentialsRequest`].
    struct ScramCredentialDeletion {
        name: Str,
        mechanism: i8,
    }

    /// One of the `upsertions` of [`AlterUserScramCredentialsRequest`].
    struct ScramCredentialUpsertion {
        name: Str,
        mechanism: i8,
        iterations: i32,
        salt: Secret<Bytes>,
        salted_password: Secret<Bytes>,
    }

    /// The answer to [`AlterUserScramCredentialsRequest`].
    struct AlterUserScramCredentialsResponse: Response { key: 51, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    /// One of the `results` of [`AlterUserScramCredentialsResponse`].
    struct AlterUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Asks for the names of resources that have a configuration (KIP-1142).
    struct ListConfigResourcesRequest: Request { key: 74, versions: 0..=1, flexible: 0.. } {
        resource_types: Vec<i8> [1..],
    }

    /// The answer to [`ListConfigResourcesRequest`].
    struct ListConfigResourcesResponse: Response { key: 74, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        config_resources: Vec<ConfigResource>,
    }

    /// One of the `config_resources` of [`ListConfigResourcesResponse`].
    struct ConfigResource {
        resource_name: Str,
        resource_type: i8 [1..; ignorable] = 16,
    }
}
