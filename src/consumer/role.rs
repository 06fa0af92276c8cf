//! Owns the consumer as a role of a client: all its parts together, and which of them an answer, a timer or newer
//! metadata concerns.
//!
//! Must not know sockets or routing; the rules themselves lie in the parts.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::BrokerIndex;
use super::brokers::{BrokerState, Brokers, FRAME_BYTES};
use super::committed::GroupOperations;
use super::frames::{FrameId, Frames};
use super::lent::LentTable;
use super::lookup::{Asked, Validated};
use super::operations::Operations;
use super::partition::{Asking, Loading, Pause, State};
use super::rebalance::{Course, Rebalance};
use super::replica::is_fetching;
use super::subscription::{Assigned, Subscription};
use super::types::{ConsumerCloseReport, ConsumerEvent, RebalanceListener};
use crate::assignor::Assignor;
use crate::budget::Category;
use crate::client::{Context, Role};
use crate::cluster::{Answer, Held, Response, Token};
use crate::collections::VecMap;
use crate::config::{ConsumerConfig, IsolationLevel, OffsetReset};
use crate::engine::{ConnectionGroup, Diagnostic, JobId, JobResult, NodeId, OpId, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::group::{self, Group, MemberSettings};
use crate::metrics::ConsumerMetrics;
use crate::random::{Backoff, Random, Stream};
use crate::time::{Duration, Instant};
use crate::timer::{RoleTimer, TimerId};
use crate::wire::Str;

/// What is done with the engine: everything that an effect goes through.
pub(super) type Cx<'a> = Context<'a, ConsumerEvent>;

/// The settings that the role looks at.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) isolation: IsolationLevel,
    pub(super) reset: OffsetReset,
    pub(super) min_bytes: i32,
    pub(super) max_wait: Duration,
    pub(super) max_bytes: usize,
    pub(super) partition_max_bytes: usize,
    pub(super) check_crcs: bool,
    /// `client.rack`.
    pub(super) rack: Str,
    /// How long a replica that is not the leader is fetched from before the leader is asked again.
    pub(super) replica_lease: Duration,
    pub(super) request_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) assignors: Vec<Assignor>,
    pub(super) max_poll_interval: Duration,
    /// How often what was dealt with is committed, if the consumer does that by itself.
    pub(super) auto_commit: Option<Duration>,
}

impl Settings {
    fn new(config: &ConsumerConfig) -> Self {
        let number = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        Self {
            isolation: config.isolation_level,
            reset: config.auto_offset_reset,
            min_bytes: number(config.fetch_min_bytes),
            max_wait: config.fetch_max_wait,
            max_bytes: config.fetch_max_bytes,
            partition_max_bytes: config.max_partition_fetch_bytes,
            check_crcs: config.check_crcs,
            rack: Str::from(config.client_rack.as_str()),
            replica_lease: config.common.metadata_max_age,
            request_timeout: config.common.request_timeout,
            backoff: Backoff {
                initial: config.common.retry_backoff,
                max: config.common.retry_backoff_max,
            },
            assignors: config.partition_assignment_strategy.clone(),
            max_poll_interval: config.max_poll_interval,
            auto_commit: config
                .enable_auto_commit
                .then_some(config.auto_commit_interval),
        }
    }
}

/// Whether somebody was told that there is nothing, and so must be told when there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Waiting,
    Served,
}

/// How far the consumer is on its way to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Closing; commits that are under way are awaited. Each call has its own end.
    Committing {
        closes: Vec<OpId>,
    },
    Closing {
        closes: Vec<OpId>,
    },
    Closed {
        report: ConsumerCloseReport,
    },
}

/// What a request was for.
#[derive(Debug)]
pub(super) enum Pending {
    Fetch(BrokerIndex),
    /// The end of a fetch session: nobody waits for the answer.
    EndSession,
    Lookup(Vec<Asked>),
    Validation(Vec<Validated>),
    Request {
        op: OpId,
        flexible: bool,
    },
}

/// The timers of the role.
pub(super) mod timers {
    /// A partition's pause is over.
    pub(crate) const PARTITION: u8 = 0;
    /// A broker's pause is over.
    pub(crate) const BROKER: u8 = 1;
    /// Partitions that are still missing are to be reported.
    pub(crate) const MISSING: u8 = 2;
    /// An operation's partitions may be asked about again.
    pub(crate) const OPERATION: u8 = 3;
    /// An operation has taken too long.
    pub(crate) const OPERATION_DEADLINE: u8 = 4;
    /// Closing has taken too long.
    pub(crate) const CLOSE: u8 = 5;
    /// This side takes too long with a rebalance.
    pub(crate) const REBALANCE: u8 = 6;
    /// Somebody should have read by now.
    pub(crate) const READER: u8 = 7;
    /// What was dealt with is to be committed.
    pub(crate) const AUTO_COMMIT: u8 = 8;
}

/// The consumer.
#[derive(Debug)]
pub(crate) struct ConsumerRole {
    pub(super) settings: Settings,
    pub(super) subscription: Subscription,
    pub(super) assigned: Assigned,
    pub(super) brokers: Brokers,
    pub(super) frames: Frames<Held>,
    pub(super) lent: LentTable,
    pub(super) metrics: ConsumerMetrics,
    /// The slots of the partitions of which a batch can be lent, the next one first.
    pub(super) ready: VecDeque<u32>,
    pub(super) reader: Reader,
    /// The slots of the partitions whose next batch needs more memory than is free.
    pub(super) starving: Vec<u32>,
    /// The brokers whose fetch was not sent because too little memory was free. Who came first is served first, and
    /// nobody takes what is free past him: the budget may be too small for all of them at once.
    pub(super) fetch_line: VecDeque<BrokerIndex>,
    pub(super) pending: VecMap<Token, Pending>,
    pub(super) operations: Operations,
    /// Only with a `group.id`.
    pub(super) group: Option<Group>,
    pub(super) group_operations: GroupOperations,
    pub(super) rebalance: Rebalance,
    pub(super) course: Option<Course>,
    pub(super) last_rebalance: u64,
    pub(super) listener: RebalanceListener,
    /// The edition of the list of topics that was last held against the pattern of the subscription.
    pub(super) matched_edition: Option<u64>,
    /// How often the application has come for records.
    pub(super) polls: u64,
    pub(super) last_version: u64,
    pub(super) responses: u64,
    pub(super) next_op: u64,
    pub(super) life: Life,
    pub(super) missing_timer: Option<TimerId>,
    /// The kinds of trouble that the user was told of in the last minute.
    pub(super) problems: Vec<(ErrorKind, Instant)>,
    /// What a consumer that closes could not commit.
    pub(super) uncommitted: Vec<(TopicPartition, Error)>,
    /// Frames let go in the step that is being taken.
    pub(super) dropped: Vec<FrameId>,
    random: Random,
}

/// The group that `group.id` names.
fn group(config: &ConsumerConfig, entropy: &[u8; 32]) -> Option<Group> {
    let named = |text: &str| (!text.is_empty()).then(|| Str::from(text));
    let settings = MemberSettings {
        protocol: config.protocol(),
        instance_id: named(&config.group_instance_id),
        rack: named(&config.client_rack),
        assignors: config.partition_assignment_strategy.clone(),
        remote_assignor: named(&config.group_remote_assignor),
        session_timeout: config.session_timeout,
        heartbeat_interval: config.heartbeat_interval,
        rebalance_timeout: config.max_poll_interval,
        request_timeout: config.common.request_timeout,
        backoff: Backoff {
            initial: config.common.retry_backoff,
            max: config.common.retry_backoff_max,
        },
    };
    let random = Random::derive(entropy, Stream::Group);
    (!config.group_id.is_empty()).then(|| Group::new(&config.group_id, settings, random))
}

impl ConsumerRole {
    pub(crate) fn new(config: &ConsumerConfig, entropy: &[u8; 32]) -> Self {
        Self {
            settings: Settings::new(config),
            subscription: Subscription::None,
            assigned: Assigned::new(),
            brokers: Brokers::new(FRAME_BYTES.min(config.fetch_max_bytes)),
            frames: Frames::new(),
            lent: LentTable::new(),
            metrics: ConsumerMetrics::default(),
            ready: VecDeque::new(),
            reader: Reader::Waiting,
            starving: Vec::new(),
            fetch_line: VecDeque::new(),
            pending: VecMap::new(),
            operations: Operations::new(),
            group: group(config, entropy),
            group_operations: GroupOperations::default(),
            rebalance: Rebalance::Idle,
            course: None,
            last_rebalance: 0,
            listener: RebalanceListener::Told,
            matched_edition: None,
            polls: 0,
            last_version: 0,
            responses: 0,
            next_op: 0,
            life: Life::Open,
            missing_timer: None,
            problems: Vec::new(),
            uncommitted: Vec::new(),
            dropped: Vec::new(),
            random: Random::derive(entropy, Stream::Consumer),
        }
    }

    /// A number that no position had before.
    pub(super) fn next_version(&mut self) -> u64 {
        self.last_version = self.last_version.wrapping_add(1);
        self.last_version
    }

    pub(super) fn next_op(&mut self) -> OpId {
        self.next_op = self.next_op.wrapping_add(1);
        OpId(self.next_op)
    }

    /// Puts a partition into a state, and has its leader looked at.
    pub(super) fn enter(&mut self, slot: u32, state: State, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        if let State::Loading(Loading::Due) = state {
            self.group_operations.push_due(slot);
        }
        let fetching = is_fetching(&state);
        if let Some(timer) = partition.enter(state, cx.cluster.now()) {
            cx.cluster.disarm(timer);
        }
        if let Some(source) = partition.source() {
            self.brokers.touch(source);
        }
        if !fetching {
            self.leave_replica(slot);
        }
    }

    /// Goes on with what is due next for a partition.
    pub(super) fn go_on(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let state = partition.next_state(self.missing(partition.key, cx));
        self.enter(slot, state, cx);
    }

    /// Lets a partition wait after an error, longer with each in a row; `around` says which state has the pause.
    pub(super) fn back_off(
        &mut self,
        slot: u32,
        error: Error,
        around: fn(Pause) -> State,
        cx: &mut Cx<'_>,
    ) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        let wait = self
            .settings
            .backoff
            .after(partition.attempts, &mut self.random);
        partition.attempts = partition.attempts.saturating_add(1);
        let pause = pause(wait, timers::PARTITION, slot, error, cx);
        self.enter(slot, around(pause), cx);
    }

    /// Lets a broker wait after a fetch failed as a whole.
    pub(super) fn back_off_broker(&mut self, index: BrokerIndex, error: Error, cx: &mut Cx<'_>) {
        let Some(broker) = self.brokers.get_mut(index) else {
            return;
        };
        let wait = self
            .settings
            .backoff
            .after(broker.attempts, &mut self.random);
        broker.attempts = broker.attempts.saturating_add(1);
        let slot = u32::try_from(index.0).unwrap_or(u32::MAX);
        broker.state = BrokerState::Backoff(pause(wait, timers::BROKER, slot, error, cx));
    }

    /// How long to wait before the `attempts`-th retry of something else.
    pub(super) fn retry_wait(&mut self, attempts: u32) -> Duration {
        self.settings.backoff.after(attempts, &mut self.random)
    }

    /// Tells the user of a partition's trouble, once for each code in a row.
    pub(super) fn report(&mut self, slot: u32, code: ErrorCode, error: Error, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        if partition.told == Some(code) {
            return;
        }
        partition.told = Some(code);
        let event = ConsumerEvent::PartitionError {
            partition: partition.name(),
            error,
        };
        cx.emit(event);
    }

    /// Stops a partition until the user helps, and says so.
    pub(super) fn block(&mut self, slot: u32, error: Error, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        let event = ConsumerEvent::PartitionError {
            partition: partition.name(),
            error: error.clone(),
        };
        self.discard(slot, cx);
        cx.emit(event);
        self.enter(slot, State::Blocked(error), cx);
        self.release_dropped(cx);
    }

    /// Drops what is fetched for a partition; a batch that is lent becomes stale only with the position's version.
    pub(super) fn discard(&mut self, slot: u32, cx: &mut Cx<'_>) {
        if let Some(partition) = self.assigned.get_mut(slot) {
            partition.supply.clear(&mut self.dropped);
        }
        self.ready.retain(|ready| *ready != slot);
        self.stop_starving(slot, cx);
    }

    /// A partition waits for memory no more, so others need not wait behind it.
    #[inline]
    pub(super) fn stop_starving(&mut self, slot: u32, cx: &mut Cx<'_>) {
        if self.starving.contains(&slot) {
            self.starving.retain(|starving| *starving != slot);
            self.memory_freed(cx);
        }
    }

    /// Gives the memory of frames back that nobody holds any more.
    #[inline]
    pub(super) fn release_dropped(&mut self, cx: &mut Cx<'_>) {
        let mut freed = false;
        while let Some(frame) = self.dropped.pop() {
            freed |= self.free(frame, cx);
        }
        if freed {
            self.memory_freed(cx);
        }
    }

    /// Lets go of a frame; whether that freed it.
    #[inline]
    pub(super) fn free(&mut self, frame: FrameId, cx: &mut Cx<'_>) -> bool {
        match self.frames.let_go(frame) {
            Some(held) => {
                cx.cluster.release(held);
                true
            }
            None => false,
        }
    }

    /// Something may be possible now for which memory was missing.
    pub(super) fn memory_freed(&mut self, cx: &mut Cx<'_>) {
        if !self.starving.is_empty() {
            self.feed_starving(cx);
        }
        if self.starving.is_empty() {
            self.touch_fetch_line();
        }
    }

    /// Sends what has become due.
    #[inline]
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>) {
        if self.group.is_some() {
            self.pump_group(cx);
        }
        while let Some(broker) = self.brokers.next_touched() {
            if self.life == Life::Open {
                self.serve(broker, cx);
            }
        }
    }

    fn on_response(&mut self, pending: Pending, token: Token, response: Response, cx: &mut Cx<'_>) {
        match pending {
            Pending::Fetch(broker) => self.on_fetched(broker, token, response, cx),
            Pending::EndSession => discard_response(response, cx),
            Pending::Lookup(asked) => self.on_offsets(token, &asked, response, cx),
            Pending::Validation(asked) => self.on_epochs(token, &asked, response, cx),
            Pending::Request { op, flexible } => {
                let result = cx.cluster.decode_raw(response, flexible);
                cx.emit(ConsumerEvent::Response { op, result });
            }
        }
    }
}

/// A pause from now on, with the timer that ends it.
pub(super) fn pause(wait: Duration, kind: u8, index: u32, error: Error, cx: &mut Cx<'_>) -> Pause {
    let until = cx.cluster.now() + wait;
    let timer = cx.cluster.arm(
        until,
        RoleTimer {
            kind,
            index,
            why: "a consumer's retry",
        },
    );
    Pause {
        until,
        timer,
        error,
    }
}

/// Frees the memory of a response that nobody reads.
pub(super) fn discard_response(response: Response, cx: &mut Cx<'_>) {
    let (_, held) = response.into_parts();
    cx.cluster.release(held);
}

impl super::partition::Partition {
    pub(super) fn name(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.key.partition,
        }
    }

    /// Adds to an error which partition it is about.
    pub(super) fn place(&self, error: Error, step: Step) -> Error {
        error
            .in_step(step)
            .on_topic(&self.topic)
            .on_partition(self.key.partition)
    }
}

impl Role for ConsumerRole {
    type Event = ConsumerEvent;

    fn on_answer(&mut self, token: Token, answer: Answer, cx: &mut Cx<'_>) {
        if let Some(group) = &mut self.group
            && group.awaits(token)
        {
            group.on_answer(token, answer, cx.cluster);
            return self.pump(cx);
        }
        let Some(pending) = self.pending.remove(&token) else {
            if let Answer::Response(response) = answer {
                discard_response(response, cx);
            }
            return;
        };
        match (answer, pending) {
            (Answer::Response(response), pending) => self.on_response(pending, token, response, cx),
            (Answer::Failed(failed), Pending::Fetch(broker)) => {
                self.on_fetch_failed(broker, token, failed.error, cx)
            }
            (Answer::Failed(failed), Pending::Lookup(asked)) => {
                self.on_lookup_failed(token, &asked, &failed, cx)
            }
            (Answer::Failed(failed), Pending::Validation(asked)) => {
                self.on_validation_failed(token, &asked, &failed, cx)
            }
            (Answer::Failed(failed), Pending::Request { op, .. }) => {
                cx.emit(ConsumerEvent::Response {
                    op,
                    result: Err(failed.error),
                })
            }
            (Answer::Failed(_), Pending::EndSession) | (Answer::Sent, _) => {}
        }
        self.pump(cx);
    }

    fn on_timer(&mut self, timer: RoleTimer, cx: &mut Cx<'_>) {
        let heard = match self.life {
            Life::Open => true,
            Life::Committing { .. } => {
                matches!(timer.kind, timers::CLOSE | timers::REBALANCE)
                    || group::timers::owns(timer.kind)
            }
            // Sockets may outlive the deadline of a close; what was armed before it has nobody left to tell.
            Life::Closing { .. } | Life::Closed { .. } => timer.kind == timers::CLOSE,
        };
        if !heard {
            return;
        }
        match timer.kind {
            timers::PARTITION => self.on_partition_timer(timer.index, cx),
            timers::BROKER => {
                let index = BrokerIndex(timer.index as usize);
                if let Some(broker) = self.brokers.get_mut(index)
                    && matches!(broker.state, BrokerState::Backoff(_))
                {
                    broker.state = BrokerState::Idle;
                    self.brokers.touch(index);
                }
            }
            timers::MISSING => self.on_missing_timer(cx),
            timers::OPERATION => self.on_operation_timer(timer.index, cx),
            timers::OPERATION_DEADLINE => self.on_operation_deadline(timer.index, cx),
            timers::CLOSE => self.finish_closing(cx),
            timers::REBALANCE => self.go_away("the rebalance listener took too long", cx),
            timers::READER => self.on_reader_timer(cx),
            timers::AUTO_COMMIT => self.on_auto_commit_timer(cx),
            kind if group::timers::owns(kind) => {
                if let Some(group) = &mut self.group {
                    group.on_timer(timer, cx.cluster);
                }
            }
            other => cx.cluster.diagnostic(Diagnostic::StaleInput {
                what: if other > timers::AUTO_COMMIT {
                    "unknown timer"
                } else {
                    "timer"
                },
            }),
        }
        self.pump(cx);
    }

    fn on_metadata(&mut self, cx: &mut Cx<'_>) {
        if self.life == Life::Open {
            self.refresh_leaders(cx);
            self.operations_on_metadata(cx);
            if let Some(group) = &mut self.group {
                group.on_metadata(cx.cluster);
            }
            self.match_again(cx);
            self.pump(cx);
        }
    }

    fn on_reachable(&mut self, node: NodeId, group: ConnectionGroup, cx: &mut Cx<'_>) {
        if let Some(own) = &mut self.group {
            own.on_reachable(node, group, cx.cluster);
        }
        if group == ConnectionGroup::Default
            && let Some(index) = self.brokers.find(node)
        {
            if let Some(broker) = self.brokers.get_mut(index)
                && matches!(broker.state, BrokerState::Reaching(_))
            {
                broker.state = BrokerState::Idle;
            }
            self.brokers.touch(index);
        }
        self.pump(cx);
    }

    fn on_unreachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        error: &Error,
        cx: &mut Cx<'_>,
    ) {
        if let Some(own) = &mut self.group {
            own.on_unreachable(node, group, error, cx.cluster);
        }
        if group == ConnectionGroup::Default
            && let Some(index) = self.brokers.find(node)
            && let Some(broker) = self.brokers.get_mut(index)
        {
            if matches!(broker.state, BrokerState::Reaching(_) | BrokerState::Idle) {
                broker.state = BrokerState::Reaching(Some(error.clone()));
            }
            self.leave_replicas_at(index);
            // Its partitions may have another leader by now.
            cx.cluster.refresh_metadata();
        }
        self.pump(cx);
    }

    fn on_no_broker(&mut self, error: &Error, cx: &mut Cx<'_>) {
        self.problem(error.clone(), cx);
    }

    fn on_job(&mut self, _id: JobId, _result: JobResult, _cx: &mut Cx<'_>) {
        // A consumer gives no work away.
    }

    fn on_budget_freed(&mut self, cx: &mut Cx<'_>) {
        self.memory_freed(cx);
        self.pump(cx);
    }

    fn on_closed(&mut self, cx: &mut Cx<'_>) {
        self.finish_closing(cx);
    }
}

impl ConsumerRole {
    fn on_partition_timer(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        match partition.state() {
            State::Backoff(pause)
            | State::Loading(Loading::Backoff(pause))
            | State::LookingUp(Asking::Backoff(pause))
            | State::Validating(Asking::Backoff(pause)) => {
                if pause.until <= cx.cluster.now() {
                    self.go_on(slot, cx);
                }
            }
            State::Loading(Loading::Due | Loading::UnderWay(_))
            | State::AwaitingLeader(_)
            | State::LookingUp(Asking::Due | Asking::InFlight(_))
            | State::Validating(Asking::Due | Asking::InFlight(_))
            | State::Ready
            | State::InFlight { .. }
            | State::CatchingUp(_)
            | State::Blocked(_) => {}
        }
    }

    /// The bytes that fetches in flight and fetched data may take in all: the rest is kept for decompression, so that
    /// data can always be read and its memory come back.
    pub(super) fn fetch_share(cx: &mut Cx<'_>) -> usize {
        let most = cx.cluster.budget().most(Category::Fetch);
        most - most / 4
    }

    /// The most memory that the decompression of one batch may take.
    pub(super) fn decompression_limit(cx: &mut Cx<'_>) -> usize {
        let most = cx.cluster.budget().most(Category::Decompressed);
        most - most / 4
    }

    pub(super) fn missing_deadline(&mut self, at: Instant, cx: &mut Cx<'_>) {
        if let Some(timer) = self.missing_timer.take() {
            cx.cluster.disarm(timer);
        }
        self.missing_timer = Some(cx.cluster.arm(
            at,
            RoleTimer {
                kind: timers::MISSING,
                index: 0,
                why: "partitions without a leader are due for a word",
            },
        ));
    }
}
