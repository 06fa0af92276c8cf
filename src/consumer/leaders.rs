//! Owns what newer metadata means for the assigned partitions: who leads them, which do not exist, which topic was
//! made again under its old name.
//!
//! Must not know how metadata is got.

use super::brokers::BrokerState;
use super::operations::missing_of;
use super::partition::{Asking, Leader, Missing, Partition, State, Target};
use super::role::{ConsumerRole, Cx};
use super::types::{ConsumerEvent, ResetReason};
use super::{BrokerIndex, PartitionKey};
use crate::cluster::TopicState;
use crate::engine::ConnectionGroup;
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::time::Duration;

/// How long a topic may be unknown before the user hears of it: after its creation not all brokers know it at once.
const UNKNOWN_AFTER: Duration = Duration::from_secs(3);

/// How long a partition may be without anybody to ask before the user hears of it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(60);

impl ConsumerRole {
    /// Holds every partition against the metadata.
    pub(super) fn refresh_leaders(&mut self, cx: &mut Cx<'_>) {
        let mut moved = false;
        for slot in self.assigned.slots() {
            moved |= self.refresh_leader(slot, cx);
        }
        if moved {
            self.reorder();
            self.let_go_of_brokers(cx);
        }
        self.release_dropped(cx);
    }

    /// Holds one partition against the metadata; whether it has another leader now.
    fn refresh_leader(&mut self, slot: u32, cx: &mut Cx<'_>) -> bool {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return false;
        };
        let key = partition.key;
        let Some(topic) = cx.cluster.topic(key.topic) else {
            return false;
        };
        partition.topic_id = topic.id;
        let recreated = partition
            .incarnation
            .is_some_and(|known| known != topic.incarnation);
        if matches!(topic.state, TopicState::Known) {
            partition.incarnation = Some(topic.incarnation);
        }
        let known = usize::try_from(key.partition)
            .ok()
            .and_then(|index| topic.partitions.get(index));
        let leader = known.and_then(|known| known.leader.map(|node| (node, known.leader_epoch)));
        if recreated {
            self.on_recreated(slot, cx);
        }
        let leader = leader.map(|(node, epoch)| Leader {
            broker: self.brokers.of(node),
            epoch,
        });
        self.set_leader(slot, leader, cx)
    }

    /// Takes a leader over; whether it is another one than before.
    pub(super) fn set_leader(
        &mut self,
        slot: u32,
        leader: Option<Leader>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return false;
        };
        let before = partition.leader;
        partition.leader = leader;
        let changed = before != leader;
        let left = changed && partition.nearer.take().is_some();
        let go_on = match partition.state() {
            // What was missing may be something else now.
            State::AwaitingLeader(_) => true,
            // Another leader, or a newer epoch of it, is worth a try at once (KIP-951).
            State::Ready
            | State::Backoff(_)
            | State::LookingUp(Asking::Due | Asking::Backoff(_))
            | State::Validating(Asking::Due | Asking::Backoff(_)) => changed,
            // These come to their end by themselves.
            State::Loading(_)
            | State::LookingUp(Asking::InFlight(_))
            | State::Validating(Asking::InFlight(_))
            | State::InFlight { .. }
            | State::CatchingUp(_)
            | State::Blocked(_) => false,
        };
        if go_on {
            self.go_on_or_stay(slot, cx);
        }
        left || before.map(|leader| leader.broker) != leader.map(|leader| leader.broker)
    }

    /// Goes on, unless that means to go on waiting for the same.
    fn go_on_or_stay(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let missing = self.missing(partition.key, cx);
        match (partition.state(), partition.next_state(missing)) {
            (State::AwaitingLeader(before), State::AwaitingLeader(now)) if *before == now => {}
            (_, next) => self.enter(slot, next, cx),
        }
        self.report_missing(slot, cx);
    }

    /// What metadata does not have of a partition without a leader.
    pub(super) fn missing(&self, key: PartitionKey, cx: &Cx<'_>) -> Missing {
        missing_of(cx.cluster, key)
    }

    /// Tells the user what is missing, as soon as that is certain enough.
    fn report_missing(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let State::AwaitingLeader(missing) = *partition.state() else {
            return;
        };
        let age = cx.cluster.now().since(partition.since());
        let (due, code) = match missing {
            Missing::Partition { .. } => (true, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Missing::Topic(code) => (!code.is_retriable() || age >= UNKNOWN_AFTER, code),
            Missing::Metadata | Missing::Leader => {
                (age >= METADATA_TIMEOUT, ErrorCode::LEADER_NOT_AVAILABLE)
            }
        };
        if due {
            let error = missing_error(partition, missing);
            self.report(slot, code, error, cx);
        }
    }

    /// Looks after the partitions without a leader, for as long as there are any.
    pub(super) fn on_missing_timer(&mut self, cx: &mut Cx<'_>) {
        self.missing_timer = None;
        self.watch_missing(cx);
    }

    /// Has the partitions without a leader looked after, if there are any.
    pub(super) fn watch_missing(&mut self, cx: &mut Cx<'_>) {
        let (mut any, mut partitions) = (false, false);
        for slot in self.assigned.slots() {
            if let Some(State::AwaitingLeader(missing)) =
                self.assigned.get(slot).map(Partition::state)
            {
                any = true;
                partitions |= matches!(missing, Missing::Partition { .. });
                self.report_missing(slot, cx);
            }
        }
        if partitions {
            // It may yet be added; nothing else asks for it.
            cx.cluster.refresh_metadata();
        }
        if any && self.missing_timer.is_none() {
            let at = cx.cluster.now() + UNKNOWN_AFTER;
            self.missing_deadline(at, cx);
        }
    }

    /// The topic was deleted and made again: its offsets mean nothing any more.
    fn on_recreated(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        partition.leader = None;
        partition.validated = -1;
        match partition.offset() {
            Some(from) => self.reset(slot, from, ResetReason::TopicRecreated, cx),
            None => self.go_on(slot, cx),
        }
    }

    /// Moves a position by policy, after the offset `from` was found not to exist.
    pub(super) fn reset(&mut self, slot: u32, from: i64, why: ResetReason, cx: &mut Cx<'_>) {
        let place = self.settings.reset_place();
        let version = self.next_version();
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        // Whatever is lent of it is stale from here on.
        partition.version = version;
        let Some(place) = place else {
            let error = Error::new(ErrorKind::OffsetOutOfRange { offset: from })
                .with_detail(why)
                .with_hint(
                    "seek to an offset that exists, or set auto.offset.reset to earliest or latest",
                );
            let error = partition.place(error, Step::Fetch);
            return self.block(slot, error, cx);
        };
        partition.position =
            super::partition::Position::Unknown(Target::Reset { place, from, why });
        self.discard(slot, cx);
        self.go_on(slot, cx);
    }

    /// Ends a lookup or a detected truncation that moved a position.
    pub(super) fn report_reset(
        &mut self,
        slot: u32,
        from: i64,
        to: i64,
        why: ResetReason,
        cx: &mut Cx<'_>,
    ) {
        if let Some(partition) = self.assigned.get(slot) {
            let event = ConsumerEvent::Reset {
                partition: partition.name(),
                from,
                to,
                why,
            };
            cx.emit(event);
        }
    }

    /// Gives each broker the list of the partitions that are fetched from it.
    pub(super) fn reorder(&mut self) {
        let source = |slot: u32| -> Option<BrokerIndex> {
            self.assigned.get(slot).and_then(Partition::source)
        };
        for (_, broker) in self.brokers.iter_mut() {
            broker.order.clear();
        }
        for slot in self.assigned.slots() {
            if let Some(broker) = source(slot).and_then(|index| self.brokers.get_mut(index)) {
                broker.order.push(slot);
            }
        }
        for (_, broker) in self.brokers.iter_mut() {
            broker.order_by_turn(&self.assigned);
        }
    }

    /// Stops reaching for brokers that lead nothing any more.
    pub(super) fn let_go_of_brokers(&mut self, cx: &mut Cx<'_>) {
        for index in self.brokers.indices() {
            if let Some(broker) = self.brokers.get_mut(index)
                && broker.order.is_empty()
                && matches!(broker.state, BrokerState::Reaching(_))
            {
                broker.state = BrokerState::Idle;
                cx.cluster.unreach(broker.node, ConnectionGroup::Default);
                // A question of the user may still be for it.
                self.brokers.touch(index);
            }
        }
    }

    /// The trouble with a broker, if a partition waits because of that.
    pub(super) fn broker_trouble(&self, index: BrokerIndex) -> Option<&Error> {
        match &self.brokers.get(index)?.state {
            BrokerState::Reaching(error) => error.as_ref(),
            BrokerState::Backoff(pause) => Some(&pause.error),
            BrokerState::Idle | BrokerState::InFlight(_) => None,
        }
    }
}

/// What to tell the user of a partition that is missing.
pub(super) fn missing_error(partition: &Partition, missing: Missing) -> Error {
    let (kind, hint) = match missing {
        Missing::Metadata => (
            ErrorKind::TimedOut {
                after: METADATA_TIMEOUT,
            },
            "check that the brokers can be reached; it is picked up as soon as they can",
        ),
        Missing::Topic(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => (
            ErrorKind::UnknownTopic,
            "create the topic or correct its name; it is picked up as soon as it exists",
        ),
        Missing::Topic(code) => (
            ErrorKind::Broker(code),
            "it is picked up as soon as the brokers answer otherwise",
        ),
        Missing::Partition { partitions } => (
            ErrorKind::UnknownPartition { partitions },
            "assign a partition that exists; this one is picked up as soon as it does",
        ),
        Missing::Leader => (
            ErrorKind::Broker(ErrorCode::LEADER_NOT_AVAILABLE),
            "check the brokers that have its replicas; it is picked up as soon as one leads it",
        ),
    };
    partition.place(Error::new(kind).with_hint(hint), Step::Metadata)
}
