//! Owns ApiVersions: what a broker says it can do, also to clients that ask in a version it does not know.
//!
//! Must not know how anything that it names is served.

use bytes::BytesMut;
use klamm::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use klamm::wire::Writer;
use klamm::wire::header::encode_response;
use klamm::{ApiKey, ErrorCode, Str};

use crate::cluster::Cluster;
use crate::connection::Call;
use crate::dispatch::{Handled, Outcome};
use crate::release::Release;

/// The first version in which a client names its software (KIP-511).
const SOFTWARE_FROM: i16 = 3;

impl Cluster {
    pub(crate) fn serve_api_versions(
        &mut self,
        mut call: Call,
        request: ApiVersionsRequest,
    ) -> Option<Handled> {
        let release = self.release(&call);
        let illegal = call.version >= SOFTWARE_FROM
            && !(is_legal(&request.client_software_name)
                && is_legal(&request.client_software_version));
        let error = Self::top_fault(&mut call);
        let error = error.or(illegal.then_some(ErrorCode::INVALID_REQUEST));
        let response = ApiVersionsResponse {
            throttle_time_ms: self.throttle_ms(),
            ..match error {
                Some(ErrorCode::UNSUPPORTED_VERSION) => {
                    let outcome = self.refuse_api_versions(&call);
                    return Some((call, outcome));
                }
                Some(error) => ApiVersionsResponse {
                    error_code: error.0,
                    ..ApiVersionsResponse::default()
                },
                None => self.offer(release),
            }
        };
        let outcome = self.answer::<ApiVersionsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn release(&self, call: &Call) -> Release {
        let node = self.topology.node(call.broker);
        node.map_or(Release::NEWEST, |node| node.release)
    }

    fn offer(&self, release: Release) -> ApiVersionsResponse {
        let features = &self.config.features;
        ApiVersionsResponse {
            api_keys: Release::apis()
                .filter_map(|api| entry(api, release))
                .collect(),
            supported_features: features
                .iter()
                .map(|feature| SupportedFeatureKey {
                    name: Str::from(feature.name.as_str()),
                    min_version: feature.supported.min,
                    max_version: feature.supported.max,
                })
                .collect(),
            finalized_features_epoch: if features.is_empty() { -1 } else { 1 },
            finalized_features: features
                .iter()
                .filter(|feature| feature.level > 0)
                .map(|feature| FinalizedFeatureKey {
                    name: Str::from(feature.name.as_str()),
                    max_version_level: feature.level,
                    min_version_level: feature.level,
                })
                .collect(),
            ..ApiVersionsResponse::default()
        }
    }

    /// KIP-511: the answer to a version that the broker does not know is in version 0, and names only this API.
    pub(crate) fn refuse_api_versions(&self, call: &Call) -> Outcome {
        let release = self.release(call);
        let known = release >= Release::V2_8;
        let versions = entry(ApiKey::API_VERSIONS, release).filter(|_| known);
        let response = ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION.0,
            api_keys: versions.into_iter().collect(),
            ..ApiVersionsResponse::default()
        };
        let writer = Writer::new(BytesMut::new());
        let id = call.correlation_id;
        match encode_response::<ApiVersionsRequest>(&response, 0, id, writer) {
            Ok(bytes) => Outcome::Answer(bytes),
            Err(error) => Outcome::Close(error.to_string()),
        }
    }
}

fn entry(api: ApiKey, release: Release) -> Option<ApiVersion> {
    let versions = release.advertised(api)?;
    Some(ApiVersion {
        api_key: api.0,
        min_version: versions.min,
        max_version: versions.max,
    })
}

/// KIP-511: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_legal(software: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    software.starts_with(edge)
        && software.ends_with(edge)
        && software.chars().all(|c| edge(c) || matches!(c, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_legal_as_in_kip_511() {
        for name in ["klamm", "a", "apache-kafka-java", "1.2.3"] {
            assert!(is_legal(name), "{name}");
        }
        for name in ["", "-a", "a-", "a b", "a/b"] {
            assert!(!is_legal(name), "{name}");
        }
    }
}
