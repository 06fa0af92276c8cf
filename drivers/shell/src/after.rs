//! Owns what a step under the lock leaves for the time after it: wakers to call, jobs to run, diagnostics to tell.
//!
//! Must not hold anything that needs the lock: it exists so that code of others (a waker, a `tracing` layer that logs
//! to Kafka through this very client) runs without it.

use std::task::Waker;

use klamm::{Diagnostic, Error, Job, JobId};

/// The leftovers of one or more steps. Nothing is allocated for a step that leaves nothing, or wakes one task.
#[derive(Default)]
pub(crate) struct After {
    first: Option<Waker>,
    wakers: Vec<Waker>,
    forgotten: Vec<Waker>,
    jobs: Vec<(JobId, Job)>,
    diagnostics: Vec<Diagnostic>,
    troubles: Vec<Error>,
}

impl After {
    /// Wakes the task, if there is one, once the lock is open.
    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.wakers.push(waker);
        }
    }

    /// Drops the waker once the lock is open: a drop may be the end of a task, with all that it owns.
    pub(crate) fn forget(&mut self, waker: Option<Waker>) {
        self.forgotten.extend(waker);
    }

    /// Puts a fresh waker of `current` where a stale one may lie.
    pub(crate) fn replace(&mut self, place: &mut Option<Waker>, current: &Waker) {
        if !place.as_ref().is_some_and(|old| old.will_wake(current)) {
            self.forget(place.replace(current.clone()));
        }
    }

    /// Runs the job on this thread once the lock is open.
    pub(crate) fn run(&mut self, id: JobId, job: Job) {
        self.jobs.push((id, job));
    }

    /// Tells the diagnostic once the lock is open.
    pub(crate) fn tell(&mut self, diagnostic: Diagnostic) {
        if crate::diagnostics::TOLD {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Tells of trouble that the user may not hear of otherwise, once the lock is open.
    pub(crate) fn trouble(&mut self, error: &Error) {
        if crate::diagnostics::TOLD {
            self.troubles.push(error.clone());
        }
    }

    /// Calls the wakers, tells the diagnostics, and gives back the jobs. The lock is open.
    pub(crate) fn finish(&mut self) -> Vec<(JobId, Job)> {
        if let Some(waker) = self.first.take() {
            waker.wake();
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        self.forgotten.clear();
        for diagnostic in self.diagnostics.drain(..) {
            crate::diagnostics::tell(&diagnostic);
        }
        for error in self.troubles.drain(..) {
            crate::diagnostics::trouble(&error);
        }
        std::mem::take(&mut self.jobs)
    }
}
