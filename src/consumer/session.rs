//! Owns a fetch session (KIP-227): what the broker remembers of the last fetches, so that a request names only what
//! changed.
//!
//! Must not know positions, buffers or sockets: it is told what is wanted and what came back. One request at a time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PartitionKey;
use crate::error_code::ErrorCode;
use crate::wire::Uuid;

/// What a request says of one partition. A broker that has a session remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) topic_id: Uuid,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) max_bytes: i32,
}

/// The part of a Fetch request that the session decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    /// All that is wanted in a full request; only what is new or changed in an incremental one.
    pub(crate) send: Vec<(PartitionKey, Ask)>,
    /// What the broker must drop, with the topic id under which it knows it.
    pub(crate) forget: Vec<(PartitionKey, Uuid)>,
}

/// Why an answer cannot be used. The session begins anew with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionFault {
    /// The broker answered with an error for the whole request.
    Broker(ErrorCode),
    /// The answer names a partition that the request and its session do not.
    Unexpected,
    /// The answer names a partition twice.
    Twice,
    /// The answer to a full request leaves partitions out.
    Missing,
    /// The answer belongs to another session.
    OtherSession,
}

/// ```text
///            build                    on_answer: id
/// Fresh ───────────────▶ AwaitingFull ─────────────▶ Established ◀──┐ on_answer
///   ▲ ▲                     │ id 0, faults              │ build     │
///   │ └─────────────────────┘                           ▼           │
///   └──────────────── faults, id 0 ──────────── AwaitingIncremental ┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next request is a full one and replaces the session `replaces` (0: none).
    Fresh { replaces: i32 },
    /// A full request is under way.
    AwaitingFull { replaces: i32 },
    /// The next request is incremental.
    Established { id: i32, epoch: i32 },
    /// An incremental request is under way.
    AwaitingIncremental { id: i32, epoch: i32 },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ask: Ask,
    /// The last round in which the partition was wanted or listed.
    round: u64,
}

/// The session with one broker.
#[derive(Debug)]
pub(crate) struct FetchSession {
    state: State,
    /// Whether the broker knows the topics of the session by id (Fetch v13 and later); all of a session are alike.
    by_id: bool,
    /// The mirror of what the broker remembers.
    partitions: BTreeMap<PartitionKey, Entry>,
    round: u64,
}

impl FetchSession {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Fresh { replaces: 0 },
            by_id: false,
            partitions: BTreeMap::new(),
            round: 0,
        }
    }

    /// The next request, for exactly the partitions of `wanted`, each named once.
    pub(crate) fn build(&mut self, wanted: &[(PartitionKey, Ask)], by_id: bool) -> SessionRequest {
        self.round = self.round.wrapping_add(1);
        if self.by_id != by_id {
            // A broker answers FETCH_SESSION_TOPIC_ID_ERROR to a session that changes from names to ids or back.
            self.by_id = by_id;
            self.restart(self.id());
        }
        match self.state {
            State::Fresh { replaces } | State::AwaitingFull { replaces } => {
                self.state = State::AwaitingFull { replaces };
                self.build_full(replaces, wanted)
            }
            State::Established { id, epoch } | State::AwaitingIncremental { id, epoch } => {
                self.state = State::AwaitingIncremental { id, epoch };
                self.build_incremental(id, epoch, wanted)
            }
        }
    }

    fn build_full(&mut self, replaces: i32, wanted: &[(PartitionKey, Ask)]) -> SessionRequest {
        self.partitions.clear();
        for (partition, ask) in wanted {
            self.partitions.insert(*partition, self.entry(*ask));
        }
        SessionRequest {
            id: replaces,
            epoch: 0,
            send: wanted.to_vec(),
            forget: Vec::new(),
        }
    }

    fn build_incremental(
        &mut self,
        id: i32,
        epoch: i32,
        wanted: &[(PartitionKey, Ask)],
    ) -> SessionRequest {
        let mut request = SessionRequest {
            id,
            epoch,
            ..SessionRequest::default()
        };
        for (partition, ask) in wanted {
            let known = self.partitions.insert(*partition, self.entry(*ask));
            match known {
                Some(known) if known.ask == *ask => continue,
                // A topic that was deleted and made again is another topic to the broker.
                Some(known) if known.ask.topic_id != ask.topic_id => {
                    request.forget.push((*partition, known.ask.topic_id));
                }
                Some(_) | None => {}
            }
            request.send.push((*partition, *ask));
        }
        if self.partitions.len() != wanted.len() {
            let round = self.round;
            self.partitions.retain(|partition, entry| {
                let wanted = entry.round == round;
                if !wanted {
                    request.forget.push((*partition, entry.ask.topic_id));
                }
                wanted
            });
        }
        request
    }

    const fn entry(&self, ask: Ask) -> Entry {
        Entry {
            ask,
            round: self.round,
        }
    }

    /// Judges an answer before anything of it is used. `listed` are its partitions, `None` for one of a topic that is
    /// not known; `throttled` says that the broker answered with nothing because of a quota (KIP-219).
    ///
    /// # Errors
    /// The answer is to be dropped; the session has been set up to begin anew.
    pub(crate) fn on_answer(
        &mut self,
        error: ErrorCode,
        session_id: i32,
        listed: impl Iterator<Item = Option<PartitionKey>>,
        throttled: bool,
    ) -> Result<(), SessionFault> {
        if !error.is_none() {
            self.restart(if error == ErrorCode::FETCH_SESSION_ID_NOT_FOUND {
                0
            } else {
                self.id()
            });
            return Err(SessionFault::Broker(error));
        }
        let listed = match self.check_listed(listed) {
            Ok(listed) => listed,
            Err(fault) => {
                self.restart(match self.state {
                    State::Fresh { .. } | State::AwaitingFull { .. } => 0,
                    State::Established { id, .. } | State::AwaitingIncremental { id, .. } => id,
                });
                return Err(fault);
            }
        };
        match self.state {
            State::Fresh { .. } | State::AwaitingFull { .. } => {
                let nothing_because_throttled = listed == 0 && throttled;
                if listed != self.partitions.len() && !nothing_because_throttled {
                    self.restart(0);
                    return Err(SessionFault::Missing);
                }
                if session_id == 0 || nothing_because_throttled {
                    self.restart(session_id);
                } else {
                    self.state = State::Established {
                        id: session_id,
                        epoch: 1,
                    };
                }
            }
            State::Established { id, epoch } | State::AwaitingIncremental { id, epoch } => {
                if session_id == 0 {
                    // The broker has closed the session, but answered all the same.
                    self.restart(0);
                } else if session_id == id {
                    self.state = State::Established {
                        id,
                        epoch: next_epoch(epoch),
                    };
                } else {
                    self.restart(id);
                    return Err(SessionFault::OtherSession);
                }
            }
        }
        Ok(())
    }

    /// Counts the partitions of an answer: each must be part of the session, and stand there once.
    fn check_listed(
        &mut self,
        listed: impl Iterator<Item = Option<PartitionKey>>,
    ) -> Result<usize, SessionFault> {
        self.round = self.round.wrapping_add(1);
        let mut count = 0_usize;
        for partition in listed {
            let entry = partition
                .and_then(|partition| self.partitions.get_mut(&partition))
                .ok_or(SessionFault::Unexpected)?;
            if core::mem::replace(&mut entry.round, self.round) == self.round {
                return Err(SessionFault::Twice);
            }
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// The request was not answered: whether the broker saw it is not known.
    pub(crate) fn on_failure(&mut self) {
        self.restart(self.id());
    }

    /// The id for a last request that ends the session (epoch -1); `None` if there is no session.
    pub(crate) fn close(&mut self) -> Option<i32> {
        let id = self.id();
        self.restart(0);
        (id != 0).then_some(id)
    }

    /// The session that the broker may hold, 0 for none.
    const fn id(&self) -> i32 {
        match self.state {
            State::Fresh { replaces } | State::AwaitingFull { replaces } => replaces,
            State::Established { id, .. } | State::AwaitingIncremental { id, .. } => id,
        }
    }

    fn restart(&mut self, replaces: i32) {
        self.state = State::Fresh { replaces };
        self.partitions.clear();
    }
}

/// 0 means a full request and a negative epoch the end, so epochs wrap to 1.
const fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
