//! Owns what a broker said it can do: the version range of each API, as its `ApiVersions` answer lists them.
//!
//! Must not know any API's meaning.

use crate::collections::VecMap;
use crate::messages::{self, ApiVersion, ApiVersionsResponse};
use crate::wire::{ApiKey, Request, VersionRange};

/// The version ranges of one connection's peer; another connection of the same broker may have others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions(VecMap<ApiKey, VersionRange>);

impl Versions {
    pub(super) fn from_response(response: &ApiVersionsResponse) -> Self {
        let range = |api: &ApiVersion| {
            let range = VersionRange::new(api.min_version, api.max_version);
            (ApiKey(api.api_key), range)
        };
        Self(response.api_keys.iter().map(range).collect())
    }

    /// The broker's range for `api`; `None` when it does not have it.
    pub(crate) fn range(&self, api: ApiKey) -> Option<VersionRange> {
        self.0.get(&api).copied()
    }

    /// The highest version of `R` that both sides speak.
    pub(crate) fn max_version<R: Request>(&self) -> Option<i16> {
        let own = messages::stable_versions::<R>();
        Some(self.range(R::KEY)?.intersection(own)?.max)
    }
}
