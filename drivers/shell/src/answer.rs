//! Owns the promise that every lookup and every job is answered exactly once, also where a runtime drops the task that
//! worked on it.
//!
//! Must not know how either is done.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use klamm::{Input, JobId, JobResult, ResolveError, ResolveId};

use crate::role::Role;
use crate::shared::Shared;

enum Owed {
    Lookup(ResolveId),
    Job(JobId),
    Nothing,
}

/// An answer that the engine waits for. Dropped, it says that there will be none.
pub(crate) struct Answer<R: Role> {
    shared: Arc<Shared<R>>,
    owed: Owed,
}

impl<R: Role> Answer<R> {
    pub(crate) fn to_lookup(shared: Arc<Shared<R>>, id: ResolveId) -> Self {
        let owed = Owed::Lookup(id);
        Self { shared, owed }
    }

    pub(crate) fn to_job(shared: Arc<Shared<R>>, id: JobId) -> Self {
        let owed = Owed::Job(id);
        Self { shared, owed }
    }

    pub(crate) fn addresses(mut self, addresses: io::Result<Vec<SocketAddr>>) {
        let result = match addresses {
            Ok(addresses) if addresses.is_empty() => Err(ResolveError::NotFound),
            Ok(addresses) => Ok(addresses),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ResolveError::NotFound),
            // `getaddrinfo` gives an unknown name and a silent resolver the same kind.
            Err(_) => Err(ResolveError::Failed),
        };
        if let Owed::Lookup(id) = std::mem::replace(&mut self.owed, Owed::Nothing) {
            self.shared.input(Input::Resolved { id, result });
        }
    }

    pub(crate) fn result(mut self, result: JobResult) {
        if let Owed::Job(id) = std::mem::replace(&mut self.owed, Owed::Nothing) {
            self.shared.input(Input::JobDone { id, result });
        }
    }
}

impl<R: Role> Drop for Answer<R> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Lookup(id) => {
                let result = Err(ResolveError::Failed);
                self.shared.input(Input::Resolved { id, result });
            }
            Owed::Job(id) => {
                let result = JobResult::Refused;
                self.shared.input(Input::JobDone { id, result });
            }
            Owed::Nothing => {}
        }
    }
}
