//! Owns questions about offsets: where a position begins or goes on, whether it is still part of the leader's history
//! (KIP-320), and what the user wants to know.
//!
//! Must not know fetching.

use alloc::vec::Vec;

use super::actions::{self, Action};
use super::fetch::{Versions, group};
use super::fetched::retrying;
use super::operations::{Entry, EntryState};
use super::partition::{Asking, Partition, Place, Position, State, Target};
use super::role::{ConsumerRole, Cx, Pending};
use super::supply::Point;
use super::types::{OffsetAndTimestamp, OffsetSpec, ResetReason};
use super::{BrokerIndex, PartitionKey};
use crate::cluster::Route;
use crate::cluster::{FailureCause, RequestError, Response, SendOptions, Token};
use crate::collections::VecMap;
use crate::engine::{ConnectionGroup, NodeId, OpId};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::time::UnixMillis;

/// Kafka's stand-ins for timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// The first version of ListOffsets that knows `MAX_TIMESTAMP` (KIP-734).
const MAX_TIMESTAMP_SINCE: i16 = 7;

/// Who wants to know the offset that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// An assigned partition.
    Partition(u32),
    /// An operation of the user, for its partition at this index.
    Operation(OpId, usize),
}

/// One partition of a ListOffsets request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) key: PartitionKey,
    pub(super) who: Who,
}

/// A partition whose position a request asks the leader about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validated {
    pub(super) slot: u32,
    pub(super) key: PartitionKey,
    /// What is asked about.
    pub(super) point: Point,
    /// The leader's epoch when the request was sent.
    pub(super) leader_epoch: i32,
}

/// What a leader says of one partition.
#[derive(Clone, Copy, Debug)]
struct Found {
    code: ErrorCode,
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

impl ConsumerRole {
    /// Whether a question to this broker is due.
    pub(super) fn has_due_lookups(&self, index: BrokerIndex, cx: &Cx<'_>) -> bool {
        let Some(broker) = self.brokers.get(index) else {
            return false;
        };
        let due = |slot: &u32| {
            matches!(
                self.assigned.get(*slot).map(Partition::state),
                Some(State::LookingUp(Asking::Due) | State::Validating(Asking::Due))
            )
        };
        broker.order.iter().any(due) || self.operations.has_due(broker.node, cx.cluster)
    }

    /// Puts all questions to a broker that are due.
    pub(super) fn send_lookups(
        &mut self,
        index: BrokerIndex,
        node: NodeId,
        versions: Versions,
        cx: &mut Cx<'_>,
    ) {
        let (mut lookups, mut validations) = (Vec::new(), Vec::new());
        for slot in self
            .brokers
            .get(index)
            .map_or(&[][..], |broker| &broker.order)
        {
            let Some(partition) = self.assigned.get(*slot) else {
                continue;
            };
            match partition.state() {
                State::LookingUp(Asking::Due) => lookups.push(*slot),
                State::Validating(Asking::Due) => validations.push(*slot),
                State::LookingUp(Asking::InFlight(_) | Asking::Backoff(_))
                | State::Validating(Asking::InFlight(_) | Asking::Backoff(_))
                | State::Loading(_)
                | State::AwaitingLeader(_)
                | State::Ready
                | State::InFlight { .. }
                | State::CatchingUp(_)
                | State::Backoff(_)
                | State::Blocked(_) => {}
            }
        }
        if !lookups.is_empty() {
            self.send_partition_lookups(node, &lookups, cx);
        }
        match versions.epochs {
            true if !validations.is_empty() => self.send_validations(node, &validations, cx),
            true => {}
            // An old broker: nothing can be found out, so nothing is held against the position.
            false => validations
                .into_iter()
                .for_each(|slot| self.accept_epoch(slot, cx)),
        }
        self.send_operations(node, versions, cx);
    }

    fn send_partition_lookups(&mut self, node: NodeId, slots: &[u32], cx: &mut Cx<'_>) {
        let wall = cx.cluster.wall();
        let mut asked = Vec::new();
        let mut questions = Vec::new();
        for slot in slots {
            if let Some(partition) = self.assigned.get(*slot)
                && let Position::Unknown(target) = partition.position
            {
                let key = partition.key;
                asked.push(Asked {
                    key,
                    who: Who::Partition(*slot),
                });
                questions.push((
                    key,
                    partition.leader.map_or(-1, |leader| leader.epoch),
                    timestamp_of(target.place(), wall),
                ));
            }
        }
        let token = self.send_list_offsets(node, &questions, asked, cx);
        for slot in slots {
            self.enter_quietly(*slot, State::LookingUp(Asking::InFlight(token)), cx);
        }
    }

    /// Asks a broker for offsets: partition, leader epoch (-1 unknown), timestamp.
    pub(super) fn send_list_offsets(
        &mut self,
        node: NodeId,
        questions: &[(PartitionKey, i32, i64)],
        asked: Vec<Asked>,
        cx: &mut Cx<'_>,
    ) -> Token {
        let timeout = self.settings.request_timeout;
        let topics = group(questions, |(key, ..)| key.topic)
            .filter_map(|questions| {
                let (first, ..) = questions.first()?;
                Some(ListOffsetsTopic {
                    name: cx.cluster.topic(first.topic)?.name.clone(),
                    partitions: questions
                        .iter()
                        .map(|(key, epoch, timestamp)| ListOffsetsPartition {
                            partition_index: key.partition,
                            current_leader_epoch: *epoch,
                            timestamp: *timestamp,
                        })
                        .collect(),
                })
            })
            .collect();
        let request = ListOffsetsRequest {
            // With the schema's 0 the broker would take this client for a replica.
            replica_id: -1,
            isolation_level: self.settings.isolation.as_i8(),
            topics,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        };
        let route = Route::Node(node, ConnectionGroup::Default);
        let token = cx.cluster.send(request, route, SendOptions::new(timeout));
        self.pending.insert(token, Pending::Lookup(asked));
        token
    }

    fn send_validations(&mut self, node: NodeId, slots: &[u32], cx: &mut Cx<'_>) {
        let asked: Vec<Validated> = slots
            .iter()
            .filter_map(|slot| {
                let partition = self.assigned.get(*slot)?;
                Some(Validated {
                    slot: *slot,
                    key: partition.key,
                    point: partition.fetch_point()?,
                    leader_epoch: partition.leader?.epoch,
                })
            })
            .collect();
        let topics = group(&asked, |asked| asked.key.topic)
            .filter_map(|asked| {
                Some(OffsetForLeaderTopic {
                    topic: cx.cluster.topic(asked.first()?.key.topic)?.name.clone(),
                    partitions: asked
                        .iter()
                        .map(|asked| OffsetForLeaderPartition {
                            partition: asked.key.partition,
                            current_leader_epoch: asked.leader_epoch,
                            leader_epoch: asked.point.epoch,
                        })
                        .collect(),
                })
            })
            .collect();
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics,
        };
        let route = Route::Node(node, ConnectionGroup::Default);
        let token = cx.cluster.send(
            request,
            route,
            SendOptions::new(self.settings.request_timeout),
        );
        self.pending.insert(token, Pending::Validation(asked));
        for slot in slots {
            self.enter_quietly(*slot, State::Validating(Asking::InFlight(token)), cx);
        }
    }

    /// Enters a state that makes nothing due.
    fn enter_quietly(&mut self, slot: u32, state: State, cx: &mut Cx<'_>) {
        if let Some(partition) = self.assigned.get_mut(slot)
            && let Some(timer) = partition.enter(state, cx.now())
        {
            cx.cluster.disarm(timer);
        }
    }

    /// The slot, if it still waits for the answer to this request.
    fn awaits(&self, slot: u32, token: Token) -> bool {
        match self.assigned.get(slot).map(Partition::state) {
            Some(
                State::LookingUp(Asking::InFlight(own)) | State::Validating(Asking::InFlight(own)),
            ) => *own == token,
            Some(
                State::LookingUp(Asking::Due | Asking::Backoff(_))
                | State::Validating(Asking::Due | Asking::Backoff(_))
                | State::Loading(_)
                | State::AwaitingLeader(_)
                | State::Ready
                | State::InFlight { .. }
                | State::CatchingUp(_)
                | State::Backoff(_)
                | State::Blocked(_),
            )
            | None => false,
        }
    }

    pub(super) fn on_offsets(
        &mut self,
        token: Token,
        asked: &[Asked],
        response: Response,
        cx: &mut Cx<'_>,
    ) {
        let (answer, held) = match cx.cluster.decode::<ListOffsetsRequest>(response) {
            Ok(decoded) => decoded,
            Err(error) => return self.lookups_failed(token, asked, &error, cx),
        };
        cx.cluster.throttle(&held, answer.throttle_time_ms);
        let mut waiting: VecMap<PartitionKey, Option<Who>> = asked
            .iter()
            .map(|asked| (asked.key, Some(asked.who)))
            .collect();
        for topic in &answer.topics {
            let Some(handle) = cx.cluster.topic_by_name(&topic.name) else {
                continue;
            };
            for partition in &topic.partitions {
                let key = PartitionKey {
                    topic: handle,
                    partition: partition.partition_index,
                };
                let found = Found {
                    code: ErrorCode(partition.error_code),
                    offset: partition.offset,
                    timestamp: partition.timestamp,
                    leader_epoch: partition.leader_epoch,
                };
                if let Some(who) = waiting.get_mut(&key).and_then(Option::take) {
                    self.on_found(token, who, found, cx);
                }
            }
        }
        cx.cluster.release(held);
        // A broker that leaves a partition out has not answered for it.
        for who in waiting.into_values().flatten() {
            let found = Found {
                code: ErrorCode::UNKNOWN_SERVER_ERROR,
                offset: -1,
                timestamp: -1,
                leader_epoch: -1,
            };
            self.on_found(token, who, found, cx);
        }
    }

    fn on_found(&mut self, token: Token, who: Who, found: Found, cx: &mut Cx<'_>) {
        match who {
            Who::Partition(slot) if self.awaits(slot, token) => {
                self.on_partition_found(slot, found, cx)
            }
            Who::Partition(_) => {}
            Who::Operation(op, index) => self.on_operation_found(op, index, token, found, cx),
        }
    }

    fn on_partition_found(&mut self, slot: u32, found: Found, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        let Position::Unknown(target) = partition.position else {
            return;
        };
        if !found.code.is_none() {
            return self.on_question_refused(slot, found.code, Step::ListOffsets, cx);
        }
        if found.offset < 0 {
            // No record is that young: what comes next will be.
            if let Place::Since(_) = target.place() {
                partition.position = Position::Unknown(target.at(Place::End));
                return self.go_on(slot, cx);
            }
            let error = Error::new(ErrorKind::Protocol).with_detail(alloc::format!(
                "the leader gave the offset {}",
                found.offset
            ));
            let error = partition.place(error, Step::ListOffsets);
            self.report(slot, ErrorCode::UNKNOWN_SERVER_ERROR, error.clone(), cx);
            return self.back_off(
                slot,
                error,
                |pause| State::LookingUp(Asking::Backoff(pause)),
                cx,
            );
        }
        let point = Point {
            offset: found.offset,
            epoch: found.leader_epoch,
        };
        self.establish(slot, point, cx);
        if let Target::Reset { from, why, .. } = target {
            self.report_reset(slot, from, found.offset, why, cx);
        }
    }

    /// A position is known, as the leader of this moment has it.
    fn establish(&mut self, slot: u32, point: Point, cx: &mut Cx<'_>) {
        let version = self.next_version();
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        partition.version = version;
        partition.position = Position::At(point);
        partition.validated = partition.leader.map_or(-1, |leader| leader.epoch);
        partition.attempts = 0;
        partition.told = None;
        self.go_on(slot, cx);
    }

    /// The leader answered a question with an error.
    fn on_question_refused(&mut self, slot: u32, code: ErrorCode, step: Step, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let error = partition.place(Error::new(ErrorKind::Broker(code)), step);
        match actions::of_lookup(code) {
            Action::Refresh => cx.cluster.refresh_metadata(),
            Action::Retry => {}
            Action::Report | Action::NoOffset | Action::Reset | Action::Block => {
                self.report(slot, code, error.clone(), cx)
            }
        }
        self.wait_to_ask(slot, error, cx);
    }

    /// Asks again after a backoff.
    fn wait_to_ask(&mut self, slot: u32, error: Error, cx: &mut Cx<'_>) {
        retrying(&error, cx);
        let around = match self.assigned.get(slot).map(Partition::state) {
            Some(State::Validating(_)) => |pause| State::Validating(Asking::Backoff(pause)),
            Some(
                State::LookingUp(_)
                | State::Loading(_)
                | State::AwaitingLeader(_)
                | State::Ready
                | State::InFlight { .. }
                | State::CatchingUp(_)
                | State::Backoff(_)
                | State::Blocked(_),
            )
            | None => |pause| State::LookingUp(Asking::Backoff(pause)),
        };
        self.back_off(slot, error, around, cx);
    }

    pub(super) fn on_lookup_failed(
        &mut self,
        token: Token,
        asked: &[Asked],
        failed: &RequestError,
        cx: &mut Cx<'_>,
    ) {
        self.lookups_failed(token, asked, &failed.error, cx);
        if failed.cause == FailureCause::Unsupported {
            for asked in asked {
                if let Who::Partition(slot) = asked.who {
                    self.report(
                        slot,
                        ErrorCode::UNSUPPORTED_VERSION,
                        failed.error.clone(),
                        cx,
                    );
                }
            }
        }
    }

    fn lookups_failed(&mut self, token: Token, asked: &[Asked], error: &Error, cx: &mut Cx<'_>) {
        let mut operations = VecMap::new();
        for asked in asked {
            match asked.who {
                Who::Partition(slot) if self.awaits(slot, token) => {
                    self.wait_to_ask(slot, error.clone(), cx)
                }
                Who::Partition(_) => {}
                Who::Operation(op, _) => {
                    operations.insert(op, ());
                }
            }
        }
        for (op, ()) in operations {
            self.operation_failed(op, token, error, cx);
        }
        cx.cluster.refresh_metadata();
    }

    pub(super) fn on_epochs(
        &mut self,
        token: Token,
        asked: &[Validated],
        response: Response,
        cx: &mut Cx<'_>,
    ) {
        let (answer, held) = match cx.cluster.decode::<OffsetForLeaderEpochRequest>(response) {
            Ok(decoded) => decoded,
            Err(error) => return self.validations_failed(token, asked, &error, cx),
        };
        cx.cluster.throttle(&held, answer.throttle_time_ms);
        let mut waiting: VecMap<PartitionKey, Option<Validated>> = asked
            .iter()
            .map(|asked| (asked.key, Some(*asked)))
            .collect();
        for topic in &answer.topics {
            let Some(handle) = cx.cluster.topic_by_name(&topic.topic) else {
                continue;
            };
            for partition in &topic.partitions {
                let key = PartitionKey {
                    topic: handle,
                    partition: partition.partition,
                };
                let end = Point {
                    offset: partition.end_offset,
                    epoch: partition.leader_epoch,
                };
                if let Some(asked) = waiting.get_mut(&key).and_then(Option::take)
                    && self.awaits(asked.slot, token)
                {
                    match ErrorCode(partition.error_code).check() {
                        Ok(()) => self.on_epoch_end(&asked, end, cx),
                        Err(code) => self.on_question_refused(
                            asked.slot,
                            code,
                            Step::OffsetForLeaderEpoch,
                            cx,
                        ),
                    }
                }
            }
        }
        cx.cluster.release(held);
        for asked in waiting
            .into_values()
            .flatten()
            .filter(|asked| self.awaits(asked.slot, token))
            .collect::<Vec<_>>()
        {
            self.on_question_refused(
                asked.slot,
                ErrorCode::UNKNOWN_SERVER_ERROR,
                Step::OffsetForLeaderEpoch,
                cx,
            );
        }
    }

    pub(super) fn on_validation_failed(
        &mut self,
        token: Token,
        asked: &[Validated],
        failed: &RequestError,
        cx: &mut Cx<'_>,
    ) {
        if failed.cause == FailureCause::Unsupported {
            return asked
                .iter()
                .for_each(|asked| self.accept_epoch(asked.slot, cx));
        }
        self.validations_failed(token, asked, &failed.error, cx);
    }

    /// Nothing is concluded from an answer that did not come (a lost connection is no truncation).
    fn validations_failed(
        &mut self,
        token: Token,
        asked: &[Validated],
        error: &Error,
        cx: &mut Cx<'_>,
    ) {
        for asked in asked {
            if self.awaits(asked.slot, token) {
                self.wait_to_ask(asked.slot, error.clone(), cx);
            }
        }
        cx.cluster.refresh_metadata();
    }

    /// The leader's history contains the fetch offset, as far as anybody can tell.
    fn accept_epoch(&mut self, slot: u32, cx: &mut Cx<'_>) {
        if let Some(partition) = self.assigned.get_mut(slot) {
            partition.validated = partition.leader.map_or(-1, |leader| leader.epoch);
            self.go_on(slot, cx);
        }
    }

    /// The leader says where the epoch of the fetch offset ends in its log.
    fn on_epoch_end(&mut self, asked: &Validated, end: Point, cx: &mut Cx<'_>) {
        let Validated {
            slot,
            point,
            leader_epoch,
            ..
        } = *asked;
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        partition.attempts = 0;
        let unknown = end.offset < 0 || end.epoch < 0;
        if !unknown && end.offset >= point.offset {
            partition.validated = leader_epoch;
            return self.go_on(slot, cx);
        }
        // The log was cut back. What is fetched and not handed out yet may not exist any more: it is asked for again.
        if !partition.is_caught_up() {
            partition.supply.clear_unlent(&mut self.dropped);
            let lent = !partition.is_caught_up();
            self.ready.retain(|ready| *ready != slot);
            self.stop_starving(slot, cx);
            self.release_dropped(cx);
            match lent {
                true => {
                    let error = Error::new(ErrorKind::OffsetOutOfRange {
                        offset: point.offset,
                    })
                    .with_detail(ResetReason::Truncated);
                    self.enter(slot, State::CatchingUp(error), cx);
                }
                false => self.go_on(slot, cx),
            }
            return;
        }
        self.on_truncated(slot, point.offset, end, unknown, cx);
    }

    fn on_truncated(&mut self, slot: u32, from: i64, end: Point, unknown: bool, cx: &mut Cx<'_>) {
        if unknown || self.settings.reset_place().is_none() {
            self.reset(slot, from, ResetReason::Truncated, cx);
            return self.release_dropped(cx);
        }
        self.establish(slot, end, cx);
        self.report_reset(slot, from, end.offset, ResetReason::Truncated, cx);
    }
}

/// What the user asks for, in numbers.
pub(super) fn timestamp_of_spec(spec: OffsetSpec) -> i64 {
    match spec {
        OffsetSpec::Earliest => EARLIEST,
        OffsetSpec::Latest => LATEST,
        // Negative timestamps are stand-ins for something else.
        OffsetSpec::Timestamp(timestamp) => timestamp.max(0),
        OffsetSpec::MaxTimestamp => MAX_TIMESTAMP,
    }
}

/// Whether a broker that speaks this version of ListOffsets can answer.
pub(super) fn can_look_up(spec: OffsetSpec, version: Option<i16>) -> bool {
    match spec {
        OffsetSpec::MaxTimestamp => version.is_some_and(|version| version >= MAX_TIMESTAMP_SINCE),
        OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Timestamp(_) => version.is_some(),
    }
}

fn timestamp_of(place: Place, wall: UnixMillis) -> i64 {
    match place {
        Place::Beginning => EARLIEST,
        Place::End => LATEST,
        Place::Since(duration) => {
            let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            wall.0.saturating_sub(millis).max(0)
        }
    }
}

impl ConsumerRole {
    fn on_operation_found(
        &mut self,
        op: OpId,
        index: usize,
        token: Token,
        found: Found,
        cx: &mut Cx<'_>,
    ) {
        let Some(entry) = self.operations.entry(op, index) else {
            return;
        };
        if !entry.awaits(token) {
            return;
        }
        let action = match found.code.check() {
            Ok(()) => Action::NoOffset,
            Err(code) => actions::of_lookup(code),
        };
        let error = entry.place(Error::new(ErrorKind::Broker(found.code)));
        entry.state = match action {
            Action::NoOffset => EntryState::Done(Ok(found.answer())),
            Action::Report | Action::Block | Action::Reset => EntryState::Done(Err(error)),
            Action::Refresh | Action::Retry => EntryState::Backoff(error),
        };
        if action == Action::Refresh {
            cx.cluster.refresh_metadata();
        }
        self.settle_operation(op, cx);
    }

    fn operation_failed(&mut self, op: OpId, token: Token, error: &Error, cx: &mut Cx<'_>) {
        for entry in self.operations.entries(op) {
            if entry.awaits(token) {
                entry.state = EntryState::Backoff(Entry::place(entry, error.clone()));
            }
        }
        self.settle_operation(op, cx);
    }
}

impl Found {
    fn answer(&self) -> Option<OffsetAndTimestamp> {
        let known = self.code.is_none() && self.offset >= 0;
        known.then_some(OffsetAndTimestamp {
            offset: self.offset,
            timestamp: (self.timestamp >= 0).then_some(self.timestamp),
            leader_epoch: (self.leader_epoch >= 0).then_some(self.leader_epoch),
        })
    }
}
