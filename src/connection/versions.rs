//! Owns what a broker said it can do: the version range of each API and the features of its cluster, as its `ApiVersions`
//! answer lists them.
//!
//! Must not know any API's or feature's meaning.

use alloc::vec::Vec;

use crate::collections::VecMap;
use crate::messages::{self, ApiVersion, ApiVersionsResponse};
use crate::wire::{ApiKey, Request, Str, VersionRange};

/// What one connection's peer has; another connection of the same broker may have something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    ranges: VecMap<ApiKey, VersionRange>,
    /// The levels that the cluster has agreed on (KIP-584).
    features: Vec<(Str, i16)>,
}

impl Versions {
    pub(super) fn from_response(response: &ApiVersionsResponse) -> Self {
        let range = |api: &ApiVersion| {
            let range = VersionRange::new(api.min_version, api.max_version);
            (ApiKey(api.api_key), range)
        };
        let features = response.finalized_features.iter();
        Self {
            ranges: response.api_keys.iter().map(range).collect(),
            features: features
                .map(|feature| (feature.name.detached(), feature.max_version_level))
                .collect(),
        }
    }

    /// The broker's range for `api`; `None` when it does not have it.
    pub(crate) fn range(&self, api: ApiKey) -> Option<VersionRange> {
        self.ranges.get(&api).copied()
    }

    /// The level of a feature that the cluster has agreed on; 0 if it has not.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        let named = self.features.iter().find(|(own, _)| **own == *name);
        named.map_or(0, |(_, level)| *level)
    }

    /// The highest version of `R` that both sides speak.
    pub(crate) fn max_version<R: Request>(&self) -> Option<i16> {
        let own = messages::stable_versions::<R>();
        Some(self.range(R::KEY)?.intersection(own)?.max)
    }
}
