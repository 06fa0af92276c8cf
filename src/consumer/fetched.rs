//! Owns what an answer to a fetch does: data, errors by their actions, and the failure of the request as a whole.
//!
//! Must not know when the next fetch is sent.

use alloc::vec::Vec;

use super::actions::{self, Action};
use super::brokers::{BrokerState, Flight};
use super::frames::FrameId;
use super::partition::{Partition, Position, State};
use super::role::{ConsumerRole, Cx, discard_response};
use super::session::SessionFault;
use super::supply::{Chunk, Fetched, Point, Unreadable, measure};
use super::types::ResetReason;
use super::{BrokerIndex, PartitionKey};
use crate::cluster::{Response, Token};
use crate::engine::{Diagnostic, Host, NodeId, Peer};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{
    FetchNodeEndpoint, FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse,
};
use crate::record::{AbortedTransaction, AbortedTransactions};

/// An answer that fits its session.
struct Landed<'a> {
    flight: &'a Flight,
    answer: &'a FetchResponse,
    /// Its partitions, in the order in which they stand there.
    keys: Vec<PartitionKey>,
    /// Its size.
    bytes: usize,
    frame: FrameId,
}

/// One partition of an answer, and where it belongs.
struct Arrived<'a> {
    slot: u32,
    /// The offset that was asked for.
    from: Point,
    /// The epoch of the leader at that time.
    leader_epoch: i32,
    /// Who answers.
    at: BrokerIndex,
    data: &'a FetchPartitionData,
    endpoints: &'a [FetchNodeEndpoint],
    frame: FrameId,
}

impl ConsumerRole {
    pub(super) fn on_fetched(
        &mut self,
        index: BrokerIndex,
        fetch: Token,
        response: Response,
        cx: &mut Cx<'_>,
    ) {
        let Some(flight) = self.land(index, fetch) else {
            return discard_response(response, cx);
        };
        match cx.cluster.decode::<FetchRequest>(response) {
            Ok((answer, held)) => {
                cx.cluster.throttle(&held, answer.throttle_time_ms);
                let bytes = held.bytes.len();
                let frame = self.frames.insert(held);
                match self.judge(index, &answer, cx) {
                    Ok(keys) => {
                        let (flight, answer) = (&flight, &answer);
                        let landed = Landed {
                            flight,
                            answer,
                            keys,
                            bytes,
                            frame,
                        };
                        self.apply(index, &landed, cx);
                    }
                    Err(fault) => self.on_session_fault(index, fault, cx),
                }
                drop(answer);
                self.dropped.push(frame);
                self.release_dropped(cx);
            }
            Err(error) => self.fetch_failed(index, &flight, error, cx),
        }
        self.landed(index, &flight, cx);
    }

    pub(super) fn on_fetch_failed(
        &mut self,
        index: BrokerIndex,
        fetch: Token,
        error: Error,
        cx: &mut Cx<'_>,
    ) {
        if let Some(flight) = self.land(index, fetch) {
            self.fetch_failed(index, &flight, error, cx);
            self.landed(index, &flight, cx);
        }
    }

    /// The broker can be asked again.
    fn landed(&mut self, index: BrokerIndex, flight: &Flight, cx: &mut Cx<'_>) {
        self.return_to_ready(flight, cx);
        self.brokers.touch(index);
        // What waited for this answer to bring or free something waits for nothing more now.
        self.memory_freed(cx);
    }

    /// Takes the flight of this fetch off its broker.
    fn land(&mut self, index: BrokerIndex, fetch: Token) -> Option<Flight> {
        let broker = self.brokers.get_mut(index)?;
        match &broker.state {
            BrokerState::InFlight(flight) if flight.fetch == fetch => {
                match core::mem::replace(&mut broker.state, BrokerState::Idle) {
                    BrokerState::InFlight(flight) => Some(flight),
                    BrokerState::Idle | BrokerState::Reaching(_) | BrokerState::Backoff(_) => None,
                }
            }
            BrokerState::InFlight(_)
            | BrokerState::Idle
            | BrokerState::Reaching(_)
            | BrokerState::Backoff(_) => None,
        }
    }

    /// The partitions of a flight of which its answer said nothing.
    fn return_to_ready(&mut self, flight: &Flight, cx: &mut Cx<'_>) {
        for slot in &flight.slots {
            if let Some(State::InFlight { fetch, .. }) =
                self.assigned.get(*slot).map(Partition::state)
                && *fetch == flight.fetch
            {
                self.go_on(*slot, cx);
            }
        }
    }

    /// Holds an answer against the session; its partitions in the order in which they stand there.
    fn judge(
        &mut self,
        index: BrokerIndex,
        answer: &FetchResponse,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<PartitionKey>, SessionFault> {
        let mut keys = Vec::new();
        let mut unknown = false;
        for topic in &answer.responses {
            let handle = match topic.topic_id.is_zero() {
                true => cx.cluster.topic_by_name(&topic.topic),
                false => cx.cluster.topic_by_id(&topic.topic_id),
            };
            unknown |= handle.is_none();
            keys.extend(handle.into_iter().flat_map(|topic_handle| {
                topic.partitions.iter().map(move |data| PartitionKey {
                    topic: topic_handle,
                    partition: data.partition_index,
                })
            }));
        }
        let listed = keys
            .iter()
            .copied()
            .map(Some)
            .chain(unknown.then_some(None));
        let Some(broker) = self.brokers.get_mut(index) else {
            return Ok(Vec::new());
        };
        let code = ErrorCode(answer.error_code);
        broker
            .session
            .on_answer(code, answer.session_id, listed, answer.throttle_time_ms > 0)?;
        Ok(keys)
    }

    fn apply(&mut self, index: BrokerIndex, landed: &Landed<'_>, cx: &mut Cx<'_>) {
        let Landed {
            flight,
            answer,
            ref keys,
            bytes,
            frame,
        } = *landed;
        self.responses = self.responses.saturating_add(1);
        let mut brought = false;
        let all = answer
            .responses
            .iter()
            .flat_map(|topic: &FetchableTopicResponse| &topic.partitions);
        for (key, data) in keys.iter().zip(all) {
            let Some(slot) = self.assigned.slot(*key) else {
                continue;
            };
            // Data of an assignment or a position that is over is dropped: its partition is in no such flight.
            let Some(State::InFlight {
                fetch,
                from,
                leader_epoch,
            }) = self.assigned.get(slot).map(Partition::state)
            else {
                continue;
            };
            if *fetch != flight.fetch {
                continue;
            }
            let (from, leader_epoch) = (*from, *leader_epoch);
            brought |= data
                .records
                .as_ref()
                .is_some_and(|records| !records.is_empty());
            let endpoints = answer.node_endpoints.as_slice();
            self.on_partition(
                Arrived {
                    slot,
                    from,
                    leader_epoch,
                    at: index,
                    data,
                    endpoints,
                    frame,
                },
                cx,
            );
        }
        let (max_wait, max_bytes) = (self.settings.max_wait, self.settings.max_bytes);
        if let Some(broker) = self.brokers.get_mut(index) {
            let alone = broker.one_by_one;
            broker.one_by_one = alone && !brought;
            broker.attempts = 0;
            broker.least_bytes = 0;
            broker.measure(flight, bytes, cx.now(), max_bytes);
            match flight.left_out && !brought {
                true => broker.lengthen_lull(max_wait),
                false => broker.lull = crate::time::Duration::ZERO,
            }
            if brought {
                broker.order_by_turn(&self.assigned);
            } else if alone {
                self.rotate(index, flight);
            }
        }
    }

    fn on_partition(&mut self, arrived: Arrived<'_>, cx: &mut Cx<'_>) {
        let Arrived { slot, data, .. } = arrived;
        let code = ErrorCode(data.error_code);
        if !code.is_none() {
            return self.on_partition_error(&arrived, code, cx);
        }
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        partition.attempts = 0;
        partition.told = None;
        // The leader of this epoch has given what follows the offset, so the offset is part of its history.
        partition.validated = partition.validated.max(arrived.leader_epoch);
        if data.preferred_read_replica >= 0 {
            // The leader sends no data to a client that another replica is nearer to (KIP-392).
            self.prefer_replica(slot, NodeId(data.preferred_read_replica), cx);
            return self.go_on(slot, cx);
        }
        partition.high_watermark = data.high_watermark;
        partition.last_stable_offset = data.last_stable_offset;
        partition.log_start_offset = data.log_start_offset;
        let records = data.records.as_ref().map_or(&[][..], |records| records);
        match measure(records, arrived.from.offset) {
            Fetched::Nothing => self.go_on(slot, cx),
            Fetched::Batches { size, end } => self.on_batches(&arrived, size, end, cx),
            Fetched::Partial { needed } => self.on_partial(slot, arrived.from, needed, cx),
            Fetched::Behind => {
                let error = Error::new(ErrorKind::Protocol).with_detail(
                    "the broker sent only records from before the offset that was asked for",
                );
                let error = partition.place(error, Step::Fetch);
                self.report(slot, ErrorCode::UNKNOWN_SERVER_ERROR, error.clone(), cx);
                self.back_off(slot, error, State::Backoff, cx);
            }
            Fetched::Unreadable(error) => {
                let unreadable = Unreadable {
                    origin: arrived.at,
                    offset: arrived.from.offset,
                    error,
                };
                self.on_unreadable(slot, &unreadable, cx);
            }
        }
    }

    fn on_batches(&mut self, arrived: &Arrived<'_>, size: usize, end: Point, cx: &mut Cx<'_>) {
        let (slot, check_crcs, served) = (arrived.slot, self.settings.check_crcs, self.responses);
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        let (Position::At(position), Some(records)) =
            (&mut partition.position, &arrived.data.records)
        else {
            return;
        };
        partition.served = served;
        partition.least_bytes = 0;
        let lendable_before = !matches!(partition.supply.hand(), super::supply::Hand::Empty);
        let aborted = arrived
            .data
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| AbortedTransaction {
                first_offset: aborted.first_offset,
                producer_id: aborted.producer_id,
            });
        let chunk = Chunk {
            frame: arrived.frame,
            origin: arrived.at,
            rest: records.slice(..size.min(records.len())),
            aborted: AbortedTransactions::new(aborted.collect()),
            end,
        };
        self.frames.share(arrived.frame);
        let pushed = partition
            .supply
            .push(chunk, position, check_crcs, &mut self.dropped);
        match pushed {
            Ok(()) => {
                if !lendable_before {
                    self.offer(slot, cx);
                }
                self.go_on(slot, cx);
            }
            Err(unreadable) => self.on_unreadable(slot, &unreadable, cx),
        }
    }

    /// The first batch is larger than was asked for, and the broker cut it (before KIP-74 they did).
    fn on_partial(&mut self, slot: u32, from: Point, needed: usize, cx: &mut Cx<'_>) {
        let limit = Self::fetch_share(cx) / 2;
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        if needed > limit || partition.least_bytes >= needed {
            let error = partition.place(too_large(from.offset, needed), Step::Fetch);
            return self.block(slot, error, cx);
        }
        partition.least_bytes = needed;
        self.go_on(slot, cx);
    }

    /// A batch cannot be read. Only where the application itself has arrived is that certain: the offset may come from
    /// an earlier damaged batch.
    pub(super) fn on_unreadable(&mut self, slot: u32, unreadable: &Unreadable, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let error = self
            .corrupt(unreadable.origin, unreadable.offset)
            .with_detail(&unreadable.error);
        let error = partition.place(error, Step::Fetch);
        match partition.is_caught_up() {
            true => self.block(slot, error, cx),
            false => self.enter(slot, State::CatchingUp(error), cx),
        }
    }

    /// The error of a batch that cannot be read, of this broker.
    pub(super) fn corrupt(&self, origin: BrokerIndex, offset: i64) -> Error {
        let error = Error::new(ErrorKind::Corrupt { offset })
            .with_hint("seek to a later offset to skip what cannot be read");
        match self.brokers.get(origin) {
            Some(broker) => error.at_broker(Peer::Broker(broker.node)),
            None => error,
        }
    }

    fn on_partition_error(&mut self, arrived: &Arrived<'_>, code: ErrorCode, cx: &mut Cx<'_>) {
        let Arrived {
            slot,
            from,
            at,
            data,
            endpoints,
            ..
        } = *arrived;
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let key = partition.key;
        let from_replica = partition.is_nearer_at(at);
        let mut error = Error::new(ErrorKind::Broker(code));
        if let Some(broker) = self.brokers.get(at) {
            error = error.at_broker(Peer::Broker(broker.node));
        }
        let error = partition.place(error, Step::Fetch);
        // Whatever is wrong with a replica, the leader knows better.
        self.leave_replica(slot);
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        match actions::of_fetch(code) {
            // A replica may lag, or have begun later: only the leader's word counts.
            Action::Reset if from_replica => {
                retrying(&error, cx);
                self.back_off(slot, error, State::Backoff, cx);
            }
            Action::Reset => self.on_out_of_range(slot, from, error, cx),
            Action::Block => {
                let error =
                    partition.place(self.corrupt(at, from.offset).with_detail(code), Step::Fetch);
                match (partition.is_caught_up(), code) {
                    (false, _) => self.enter(slot, State::CatchingUp(error), cx),
                    (true, _) => self.block(slot, error, cx),
                }
            }
            Action::Report => {
                self.report(slot, code, error.clone(), cx);
                self.back_off(slot, error, State::Backoff, cx);
            }
            Action::Refresh | Action::Retry | Action::NoOffset => {
                retrying(&error, cx);
                self.back_off(slot, error, State::Backoff, cx);
                if actions::of_fetch(code) == Action::Refresh {
                    cx.cluster.refresh_metadata();
                    let leader = &data.current_leader;
                    let (node, epoch) = (NodeId(leader.leader_id), leader.leader_epoch);
                    let endpoint = endpoint_of(endpoints, node);
                    cx.cluster
                        .apply_leader_hint(key.topic, key.partition, node, epoch, endpoint);
                }
            }
        }
    }

    /// The leader says that the offset does not exist. That holds for the position only if the fetch began there.
    fn on_out_of_range(&mut self, slot: u32, from: Point, error: Error, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        if !partition.is_caught_up() || partition.offset() != Some(from.offset) {
            return self.enter(slot, State::CatchingUp(error), cx);
        }
        self.reset(slot, from.offset, ResetReason::OutOfRange, cx);
        self.release_dropped(cx);
    }

    fn on_session_fault(&mut self, index: BrokerIndex, fault: SessionFault, cx: &mut Cx<'_>) {
        let Some(broker) = self.brokers.get_mut(index) else {
            return;
        };
        let node = broker.node;
        let error = |kind| {
            Error::new(kind)
                .at_broker(Peer::Broker(node))
                .in_step(Step::Fetch)
        };
        let error = match fault {
            SessionFault::Broker(code) => error(ErrorKind::Broker(code)),
            SessionFault::Unexpected
            | SessionFault::Twice
            | SessionFault::Missing
            | SessionFault::OtherSession => error(ErrorKind::Protocol).with_detail(alloc::format!(
                "a fetch answered unlike it was asked: {fault:?}"
            )),
        };
        retrying(&error, cx);
        let expected = match fault {
            SessionFault::Broker(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR) => {
                cx.cluster.refresh_metadata();
                true
            }
            SessionFault::Broker(
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND | ErrorCode::INVALID_FETCH_SESSION_EPOCH,
            )
            | SessionFault::Unexpected
            | SessionFault::OtherSession => true,
            SessionFault::Broker(_) | SessionFault::Twice | SessionFault::Missing => false,
        };
        let first = broker.attempts == 0;
        if expected && first {
            // A new session at once; the one after that waits.
            broker.attempts = 1;
            return;
        }
        if !expected && first {
            self.problem(error.clone(), cx);
        }
        self.back_off_broker(index, error, cx);
    }

    /// A fetch was not answered, or not with anything that can be read.
    fn fetch_failed(&mut self, index: BrokerIndex, flight: &Flight, error: Error, cx: &mut Cx<'_>) {
        let share = Self::fetch_share(cx);
        let Some(broker) = self.brokers.get_mut(index) else {
            return;
        };
        broker.session.on_failure();
        retrying(&error, cx);
        self.leave_replicas_at(index);
        let Some(broker) = self.brokers.get_mut(index) else {
            return;
        };
        let needed = if let ErrorKind::BufferFull { needed, .. } = error.kind() {
            Some(*needed)
        } else if let ErrorKind::FrameTooLarge { size, .. } = error.kind() {
            Some(usize::try_from(*size).unwrap_or(usize::MAX))
        } else {
            None
        };
        match needed {
            // One batch that is larger than what was reserved: the next fetch reserves as much as it takes.
            Some(needed) if needed <= share && broker.least_bytes < needed => {
                broker.least_bytes = needed
            }
            Some(needed) => {
                // Never: find out whose it is.
                let alone = flight.slots.len() == 1;
                broker.one_by_one = true;
                broker.least_bytes = 0;
                if alone && let Some(slot) = flight.slots.first() {
                    return self.on_too_large(*slot, flight.fetch, needed, cx);
                }
            }
            None => cx.cluster.refresh_metadata(),
        }
        self.back_off_broker(index, error, cx);
    }

    /// The partition whose response is too large, alone, is known.
    fn on_too_large(&mut self, slot: u32, fetch: Token, needed: usize, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let State::InFlight {
            fetch: own, from, ..
        } = partition.state()
        else {
            return;
        };
        if *own != fetch {
            return;
        }
        let error = partition.place(too_large(from.offset, needed), Step::Fetch);
        match partition.is_caught_up() {
            true => self.block(slot, error, cx),
            false => self.enter(slot, State::CatchingUp(error), cx),
        }
    }

    /// What was asked for alone comes last next time.
    fn rotate(&mut self, index: BrokerIndex, flight: &Flight) {
        if let Some(broker) = self.brokers.get_mut(index)
            && let Some(place) = broker
                .order
                .iter()
                .position(|slot| Some(slot) == flight.slots.first())
        {
            let slot = broker.order.remove(place);
            broker.order.push(slot);
        }
    }

    /// The broker cannot be fetched from at all.
    pub(super) fn fetch_unsupported(&mut self, index: BrokerIndex, error: Error, cx: &mut Cx<'_>) {
        if self
            .brokers
            .get(index)
            .is_some_and(|broker| broker.attempts == 0)
        {
            self.problem(error.clone(), cx);
        }
        self.back_off_broker(index, error, cx);
    }
}

/// What logs are told when something is tried again.
pub(super) fn retrying(error: &Error, cx: &mut Cx<'_>) {
    cx.cluster.diagnostic(Diagnostic::Retrying {
        what: alloc::format!("{error}"),
    });
}

fn endpoint_of(endpoints: &[FetchNodeEndpoint], node: NodeId) -> Option<(Host, u16)> {
    let endpoint = endpoints
        .iter()
        .find(|endpoint| endpoint.node_id == node.0)?;
    Some((
        Host::from(endpoint.host.as_str()),
        u16::try_from(endpoint.port).ok()?,
    ))
}

/// The error of a batch for which there will never be room.
pub(super) fn too_large(offset: i64, needed: usize) -> Error {
    Error::new(ErrorKind::TooLargeToRead { offset, needed })
        .with_hint("raise memory.budget, or seek past the batch to skip it")
}
