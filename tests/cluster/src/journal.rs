//! Owns what the clients sent: one entry a request, in the order in which the brokers read them.
//!
//! Must not know what a request did; that is the history's business.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm::{ApiKey, Instant};

use crate::NodeId;
use crate::config::RecordConfig;
use crate::connection::ConnectionKey;

/// One request that a broker read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEntry {
    /// When it was read: a broker reads a request only after it answered the one before.
    pub at: Instant,
    /// The broker.
    pub broker: NodeId,
    /// The connection.
    pub connection: ConnectionKey,
    /// The API.
    pub api: ApiKey,
    /// The version of the request.
    pub version: i16,
    /// What the client called it.
    pub correlation_id: i32,
    /// Who the client said it was.
    pub client_id: Option<String>,
    /// The bytes of the frame, without its length.
    pub size: usize,
    /// The frame, without its length, if the [configuration](RecordConfig::frames) keeps it.
    pub frame: Option<Bytes>,
    /// When it was answered, and with how many bytes; `None` if it was not, or not yet.
    pub answered: Option<(Instant, usize)>,
}

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryKey(u64);

/// The newest requests.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: VecDeque<RequestEntry>,
    dropped: u64,
    limit: usize,
    frames: bool,
}

impl Journal {
    pub(crate) fn new(config: &RecordConfig) -> Self {
        Self {
            entries: VecDeque::new(),
            dropped: 0,
            limit: config.requests,
            frames: config.frames,
        }
    }

    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &RequestEntry> {
        self.entries.iter()
    }

    pub(crate) fn read(&mut self, mut entry: RequestEntry) -> EntryKey {
        if !self.frames {
            entry.frame = None;
        }
        self.entries.push_back(entry);
        while self.entries.len() > self.limit {
            self.entries.pop_front();
            self.dropped += 1;
        }
        EntryKey(self.dropped + self.entries.len() as u64)
    }

    pub(crate) fn answered(&mut self, key: EntryKey, now: Instant, size: usize) {
        let place = key.0.checked_sub(self.dropped + 1);
        let entry = place.and_then(|place| self.entries.get_mut(usize::try_from(place).ok()?));
        if let Some(entry) = entry {
            entry.answered = Some((now, size));
        }
    }
}
