//! Owns one connection to a broker: bytes until they are a frame, and what its one request is waiting for.
//!
//! Must not know how a request is served. A broker reads the next request only when the one before is answered, so a
//! connection is in exactly one state, and only in one of them it reads.

use bytes::{Buf, Bytes, BytesMut};
use klamm::wire::Reader;
use klamm::{ApiKey, Segments, Str};

use crate::NodeId;
use crate::faults::Met;
use crate::fetch_session::FetchContext;
use crate::history::Cause;
use crate::journal::EntryKey;
use crate::produce::ProducedTopic;
use crate::sasl::Authentication;
use crate::timers::TimerKey;
use crate::topology::PartitionId;

/// Names a connection; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub(crate) u64);

/// A request that was read and is not answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) connection: ConnectionKey,
    pub(crate) broker: NodeId,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// Who the client says it is.
    pub(crate) client_id: Str,
    pub(crate) entry: EntryKey,
    pub(crate) met: Met,
}

impl Call {
    pub(crate) fn cause(&self) -> Cause {
        Cause {
            connection: self.connection,
            correlation_id: self.correlation_id,
        }
    }
}

/// A Fetch that waits for data.
#[derive(Debug)]
pub(crate) struct ParkedFetch {
    pub(crate) call: Call,
    pub(crate) order: FetchOrder,
    pub(crate) watched: Vec<PartitionId>,
    pub(crate) timer: TimerKey,
}

/// What a Fetch asks for.
#[derive(Debug)]
pub(crate) struct FetchOrder {
    pub(crate) context: FetchContext,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) committed_only: bool,
}

/// A Produce that waits for its records to be replicated.
#[derive(Debug)]
pub(crate) struct ParkedProduce {
    pub(crate) call: Call,
    pub(crate) topics: Vec<ProducedTopic>,
    pub(crate) watched: Vec<PartitionId>,
    pub(crate) timer: TimerKey,
}

/// What a connection does.
///
/// ```text
///              +--> Held ------+                 +--> Answering --+
///   Reading ---+---------------+--> (served) ----+----------------+--> Sending --> Muted --> Reading
///              +               +--> Fetching ----+
///              +               +--> Producing ---+
///              +               +--> AwaitingGroup+
///              +--> Silent                       +--> Silent
/// ```
#[derive(Debug)]
pub(crate) enum State {
    /// The next request may be read.
    Reading,
    /// A fault holds a request back before it is served.
    Held(Box<(Call, Reader)>),
    /// A Fetch waits for data.
    Fetching(Box<ParkedFetch>),
    /// A Produce waits for replicas.
    Producing(Box<ParkedProduce>),
    /// A JoinGroup or SyncGroup waits for the other members.
    AwaitingGroup(Box<Call>),
    /// A fault holds an answer back.
    Answering(Box<(Call, Segments)>),
    /// The request is never answered.
    Silent,
    /// The answer was handed out, and the driver has not said that it left.
    Sending,
    /// The answer was sent; the next request is not read before the throttle time is over.
    Muted,
}

/// Why no frame can be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IllegalSize(pub(crate) i32);

/// One connection, as its broker sees it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) broker: NodeId,
    pub(crate) state: State,
    pub(crate) authentication: Authentication,
    inbound: BytesMut,
}

impl Connection {
    pub(crate) fn new(broker: NodeId) -> Self {
        Self {
            broker,
            state: State::Reading,
            authentication: Authentication::Nobody,
            inbound: BytesMut::new(),
        }
    }

    pub(crate) fn receive(&mut self, data: &[u8]) {
        self.inbound.extend_from_slice(data);
    }

    /// The bytes that wait to be read.
    pub(crate) fn unread(&self) -> usize {
        self.inbound.len()
    }

    /// The next frame without its length, if it is there and the connection reads.
    pub(crate) fn next_frame(&mut self, limit: u32) -> Result<Option<Bytes>, IllegalSize> {
        if !matches!(self.state, State::Reading) {
            return Ok(None);
        }
        let Some(length) = self.inbound.first_chunk() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        let size = u32::try_from(length).map_err(|_| IllegalSize(length))?;
        if size > limit {
            return Err(IllegalSize(length));
        }
        let size = size as usize;
        if self.inbound.len() < size + 4 {
            return Ok(None);
        }
        self.inbound.advance(4);
        Ok(Some(self.inbound.split_to(size).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(data: &[&[u8]]) -> Connection {
        let mut connection = Connection::new(1);
        for data in data {
            connection.receive(data);
        }
        connection
    }

    #[test]
    fn frames_come_out_however_the_bytes_came_in() {
        let mut connection = after(&[&[0, 0], &[0, 2, 7], &[8, 0, 0, 0, 1, 9]]);
        let mut next = || connection.next_frame(100).unwrap();
        assert_eq!(next().as_deref(), Some(&[7, 8][..]));
        assert_eq!(next().as_deref(), Some(&[9][..]));
        assert_eq!(next(), None);
    }

    #[test]
    fn nothing_is_read_while_a_request_is_not_answered() {
        let mut connection = after(&[&[0, 0, 0, 1, 9]]);
        connection.state = State::Silent;
        assert_eq!(connection.next_frame(100), Ok(None));
        connection.state = State::Reading;
        assert!(connection.next_frame(100).unwrap().is_some());
    }

    #[test]
    fn a_size_over_the_limit_or_below_zero_is_illegal() {
        assert_eq!(
            after(&[&[0, 0, 0, 101]]).next_frame(100),
            Err(IllegalSize(101))
        );
        assert_eq!(
            after(&[&[255, 255, 255, 255]]).next_frame(100),
            Err(IllegalSize(-1))
        );
    }
}
