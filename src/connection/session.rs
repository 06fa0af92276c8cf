//! Owns the session that an authentication began, and its renewal before it ends (KIP-368): over the same connection, behind
//! the requests that are in flight, with no other frame in between.
//!
//! Must not know how client and broker prove anything.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::authentication::{Authentication, Progress};
use super::in_flight::Pending;
use super::outgoing::SendOptions;
use super::receive::Frame;
use super::state::{Awaited, Ready, Session, State};
use super::{Connection, Effects, Report};
use crate::engine::JobResult;
use crate::error::{Error, ErrorKind, Step};
use crate::random::Random;
use crate::time::{Duration, Instant};

impl Session {
    /// A session of this length, to be renewed after 85 to 95 percent of it, as Java does.
    pub(super) fn of(lifetime: Option<Duration>, now: Instant, random: &mut Random) -> Self {
        match lifetime {
            None => Self::Endless,
            Some(lifetime) => {
                let percent = 85 + random.below(11);
                let wait = lifetime
                    .checked_mul(percent)
                    .map_or(lifetime, |hundredfold| hundredfold / 100);
                Self::RenewAt(now + wait)
            }
        }
    }

    pub(super) const fn is_being_renewed(&self) -> bool {
        matches!(self, Self::Renewing { .. })
    }

    /// Whether the answer with this correlation id is one of the renewal.
    pub(super) fn awaits(&self, answered: i32) -> bool {
        match self {
            Self::Renewing { awaited, .. } => {
                *awaited
                    == Awaited::Answer {
                        correlation: answered,
                    }
            }
            Self::Endless | Self::RenewAt(_) => false,
        }
    }

    pub(super) const fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Endless => None,
            Self::RenewAt(at) => Some((*at, "the session at the broker is renewed")),
            Self::Renewing { deadline, .. } => Some((*deadline, "reauthentication timeout")),
        }
    }
}

impl Connection {
    /// It is time to renew the session, or the renewal has taken too long.
    pub(super) fn on_session_deadline(&mut self, fx: &mut Effects<'_>) {
        let State::Ready(ready) = &mut self.state else {
            return;
        };
        match (&ready.session, &self.settings.credentials) {
            (Session::RenewAt(_), Some(credentials)) => {
                match Authentication::renewal(Arc::clone(credentials), &ready.versions) {
                    Ok(authentication) => {
                        ready.session = Session::Renewing {
                            authentication: Box::new(authentication),
                            awaited: Awaited::Room,
                            deadline: fx.now + self.setup_timeout,
                        };
                        self.on_session_room(fx);
                    }
                    Err(error) => self.fail(error.in_step(Step::Authenticate), fx),
                }
            }
            (Session::Renewing { .. }, _) => {
                let error = Error::new(ErrorKind::TimedOut {
                    after: self.setup_timeout,
                })
                .with_detail("the session could not be renewed in time");
                self.fail(error.in_step(Step::Authenticate), fx);
            }
            (Session::RenewAt(_), None) | (Session::Endless, _) => {}
        }
    }

    /// There may be room for the renewal's next question.
    pub(super) fn on_session_room(&mut self, fx: &mut Effects<'_>) {
        if !self.outbound.has_room() {
            return;
        }
        let correlation = self.next_correlation;
        let State::Ready(Ready {
            session:
                Session::Renewing {
                    authentication,
                    awaited: awaited @ Awaited::Room,
                    ..
                },
            in_flight,
            ..
        }) = &mut self.state
        else {
            return;
        };
        let (api, version) = authentication.question();
        match authentication.ask(correlation, &self.settings.client_id, fx.pool.take(0)) {
            Ok(frame) => {
                *awaited = Awaited::Answer { correlation };
                let end = self.outbound.push(self.id, frame, fx.actions);
                let options = SendOptions::new(self.setup_timeout);
                let pending = Pending::new(None, api, version, correlation, end, fx.now, &options);
                in_flight.push(pending, true, fx.now);
                self.correlation();
            }
            Err(error) => {
                let error = Error::new(ErrorKind::Misuse).with_detail(error);
                self.fail(error.in_step(Step::Authenticate), fx);
            }
        }
    }

    pub(super) fn on_session_answer(&mut self, frame: Frame, fx: &mut Effects<'_>) {
        let State::Ready(Ready {
            session: Session::Renewing { authentication, .. },
            ..
        }) = &mut self.state
        else {
            return;
        };
        let progress = authentication.on_answer(&frame.bytes, fx.nonces);
        fx.budget.give_back(frame.category, frame.taken);
        fx.pool.recycle(frame.bytes);
        self.on_session_progress(progress, fx);
    }

    pub(super) fn on_session_job(&mut self, result: JobResult, fx: &mut Effects<'_>) {
        let State::Ready(Ready {
            session: Session::Renewing { authentication, .. },
            ..
        }) = &mut self.state
        else {
            return;
        };
        let progress = authentication.on_job(result);
        self.on_session_progress(progress, fx);
    }

    fn on_session_progress(&mut self, progress: Result<Progress, Error>, fx: &mut Effects<'_>) {
        let State::Ready(ready) = &mut self.state else {
            return;
        };
        let Session::Renewing { awaited, .. } = &mut ready.session else {
            return;
        };
        match progress {
            Ok(Progress::Ask) => {
                *awaited = Awaited::Room;
                self.on_session_room(fx);
            }
            Ok(Progress::Work(job)) => {
                *awaited = Awaited::Job;
                fx.reports.push(Report::Work { conn: self.id, job });
            }
            Ok(Progress::Authenticated { lifetime }) => {
                ready.session = Session::of(lifetime, fx.now, fx.random);
            }
            Err(error) => self.fail(error.in_step(Step::Authenticate), fx),
        }
    }
}
