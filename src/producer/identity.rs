//! Owns the producer id: asking for it, asking again, and what happens to records when it is refused.
//!
//! Must not know what the partitions do with it.

use super::operation::Life;
use super::role::{Cx, Producer, TIMER_PRODUCER_ID};
use super::sequence::Identity;
use super::verdict::hint;
use crate::cluster::{Answer, FailureCause, Route, SendOptions, Token};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::InitProducerIdRequest;
use crate::timer::{RoleTimer, TimerId};

/// How far the producer id is.
///
/// ```text
/// Unknown ──wanted──▶ Asked ──▶ Known ──used up──▶ Asked
///    ▲                 │  ▲
///    └──refused────────┤  └──timer── BackingOff
///                      └──failed───────▶─┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProducerId {
    /// Not idempotent: none is needed.
    Off,
    /// Nobody has asked.
    Unknown,
    /// A broker is being asked.
    Asked { token: Token, attempts: u32 },
    /// The last attempt failed; a timer is armed for the next one.
    BackingOff { attempts: u32, timer: TimerId },
    /// This is it.
    Known(Identity),
}

impl Producer {
    pub(super) const fn identity(&self) -> Option<Identity> {
        match self.producer_id {
            ProducerId::Known(identity) => Some(identity),
            ProducerId::Off
            | ProducerId::Unknown
            | ProducerId::Asked { .. }
            | ProducerId::BackingOff { .. } => None,
        }
    }

    /// Somebody needs a producer id.
    pub(super) fn want_producer_id(&mut self, cx: &mut Cx<'_>) {
        if self.producer_id == ProducerId::Unknown {
            self.ask_producer_id(cx);
        }
    }

    /// A partition has used up the epochs of the producer id that there is.
    pub(super) fn want_another_producer_id(&mut self, cx: &mut Cx<'_>) {
        match self.producer_id {
            ProducerId::Unknown | ProducerId::Known(_) => self.ask_producer_id(cx),
            ProducerId::Off | ProducerId::Asked { .. } | ProducerId::BackingOff { .. } => {}
        }
    }

    pub(super) fn ask_producer_id(&mut self, cx: &mut Cx<'_>) {
        match self.life {
            Life::Open | Life::Flushing { .. } => {}
            // Nothing will be sent any more.
            Life::Closing { .. } | Life::Closed { .. } => return,
        }
        let attempts = match self.producer_id {
            ProducerId::BackingOff { attempts, .. } => attempts,
            ProducerId::Unknown | ProducerId::Known(_) => 0,
            ProducerId::Off | ProducerId::Asked { .. } => return,
        };
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let token = cx
            .cluster
            .send(request, Route::Any, SendOptions::new(self.request_timeout));
        self.producer_id = ProducerId::Asked { token, attempts };
    }

    /// Nobody will need a producer id any more.
    pub(super) fn forget_producer_id(&mut self, cx: &mut Cx<'_>) {
        match self.producer_id {
            ProducerId::BackingOff { timer, .. } => {
                cx.cluster.disarm(timer);
                self.producer_id = ProducerId::Unknown;
            }
            ProducerId::Asked { .. } => self.producer_id = ProducerId::Unknown,
            ProducerId::Off | ProducerId::Unknown | ProducerId::Known(_) => {}
        }
    }

    pub(super) fn on_producer_id(&mut self, answer: Answer, cx: &mut Cx<'_>) {
        let ProducerId::Asked { attempts, .. } = self.producer_id else {
            return;
        };
        match self.read_producer_id(answer, cx) {
            Ok(identity) => {
                self.producer_id = ProducerId::Known(identity);
                for id in self.busy() {
                    self.ready(id, cx);
                }
            }
            Err(Refusal::ForNow(error)) => {
                let wait = self.rules.backoff.after(attempts, &mut self.random);
                let timer = RoleTimer {
                    kind: TIMER_PRODUCER_ID,
                    index: 0,
                    why: "retry of the producer id",
                };
                self.producer_id = ProducerId::BackingOff {
                    attempts: attempts.saturating_add(1),
                    timer: cx.cluster.arm(cx.now() + wait, timer),
                };
                self.tell_problem(error, cx);
            }
            Err(Refusal::ForGood(error)) => {
                // The next append asks again: permissions can be granted meanwhile.
                self.producer_id = ProducerId::Unknown;
                for id in self.busy() {
                    self.act(id, cx, |partition, effects| {
                        partition.reject_unstamped(&error, effects);
                    });
                }
            }
        }
    }

    fn read_producer_id(&mut self, answer: Answer, cx: &mut Cx<'_>) -> Result<Identity, Refusal> {
        let response = match answer {
            Answer::Response(response) => response,
            Answer::Failed(failure) => {
                return Err(match failure.cause {
                    FailureCause::Unsupported => Refusal::ForGood(
                        failure
                            .error
                            .with_hint("set enable.idempotence=false for brokers this old"),
                    ),
                    FailureCause::Disconnected | FailureCause::TimedOut | FailureCause::Closed => {
                        Refusal::ForNow(failure.error)
                    }
                });
            }
            Answer::Sent => {
                return Err(Refusal::ForNow(Error::new(ErrorKind::Protocol)));
            }
        };
        let node = response.node;
        let (response, held) = cx
            .cluster
            .decode::<InitProducerIdRequest>(response)
            .map_err(Refusal::ForNow)?;
        cx.cluster.throttle(&held, response.throttle_time_ms);
        cx.cluster.release(held);
        let code = ErrorCode(response.error_code);
        if code.is_none() {
            return Ok(Identity {
                producer_id: response.producer_id,
                epoch: response.producer_epoch,
            });
        }
        let mut error = Error::new(ErrorKind::Broker(code)).in_step(Step::InitProducerId);
        if let Some(node) = node {
            error = error.at_broker(format_args!("broker {node}"));
        }
        if let Some(hint) = hint(code) {
            error = error.with_hint(hint);
        }
        Err(if code.is_retriable() {
            Refusal::ForNow(error)
        } else {
            Refusal::ForGood(error)
        })
    }
}

/// Why there is no producer id.
enum Refusal {
    /// Another attempt may get one.
    ForNow(Error),
    /// Another attempt gets the same answer.
    ForGood(Error),
}
