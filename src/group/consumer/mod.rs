//! Owns a consumer's membership of a group whose coordinator shares the partitions out (KIP-848): joining, moving towards
//! what the coordinator assigns, and leaving, all of it by one request, the heartbeat.
//!
//! Must not know what is done with partitions: it says what is assigned or lost, and is told what is held.

mod actions;
mod assignment;
mod heartbeat;
mod leaving;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::assignment::Assignment;
use super::asking::{Asking, back_off};
use super::lane::Next;
use super::membership::{
    Bid, Farewell, MemberEvent, MemberSettings, Protocol, RebalanceCause, Standing,
};
use super::timers;
use crate::cluster::{Answer, Cluster, Token};
use crate::engine::{NodeId, TopicHandle, TopicPartition};
use crate::error::Error;
use crate::random::Random;
use crate::time::{Duration, Instant};
use crate::timer::{RoleTimer, TimerId};
use crate::wire::Str;

/// The version of ConsumerGroupHeartbeat from which on members choose their ids (KIP-1082). The one before belongs to a
/// preview.
pub(super) const SINCE: i16 = 1;

/// `group.consumer.session.timeout.ms` of brokers that nobody has configured: members are not told.
const SESSION: Duration = Duration::from_secs(45);

/// The epoch of a member that joins.
const JOINING: i32 = 0;

/// How far the next heartbeat is.
#[derive(Debug)]
enum Beat {
    /// Not before this.
    Waiting(TimerId),
    /// To be sent, as soon as the coordinator can be reached.
    Asking(Asking),
}

/// ```text
/// Outside ──wanted──▶ Unjoined ──prepared──▶ Joining ──answered──▶ Joined
///    ▲                  ▲   ▲                   └──────lost─────────┤
///    │                  │   └───────────────────────────────────────┤
///    └──────Leaving─────┘ wanted again        Failed ◀── nothing but the user can help
/// ```
#[derive(Debug)]
enum State {
    /// No member, and not to be one.
    Outside,
    /// No member (any more), and to be one as soon as nothing is held that is not owned.
    Unjoined,
    /// Joins, with epoch 0. Its name may be somebody else's still, since this time.
    Joining {
        step: Asking,
        unreleased: Option<Instant>,
    },
    /// Is a member in this epoch.
    Joined { epoch: i32, beat: Beat },
    /// Tells the coordinator that it goes.
    Leaving {
        step: Asking,
        epoch: i32,
        /// When it need not be told any more, since the session is over.
        session: TimerId,
    },
    /// The coordinator does not have this protocol, or not for this group.
    Refused(Error),
    /// Out, for good.
    Failed(Error),
}

/// What the coordinator knows of the member for certain.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing: the next heartbeat says everything.
    Nothing,
    /// All but what is held: the assignment is to be acknowledged.
    Subscription,
    /// All, and that this is held.
    Holding(assignment::Partitions),
}

/// A member of a group whose coordinator shares the partitions out, or what is to be one.
#[derive(Debug)]
pub(crate) struct Member {
    settings: MemberSettings,
    /// Chosen with the first join, and kept over all that happens (KIP-1082).
    member_id: Str,
    state: State,
    /// Why it is to join, or to say what it wants once more.
    wanted: Option<RebalanceCause>,
    topics: Vec<Str>,
    /// A regular expression; empty: none.
    pattern: Str,
    assignment: Assignment,
    known: Known,
    /// Failures in a row.
    attempts: u32,
    farewell: Farewell,
    events: VecDeque<MemberEvent>,
}

impl Member {
    pub(super) const fn new(settings: MemberSettings) -> Self {
        Self {
            settings,
            member_id: Str::EMPTY,
            state: State::Outside,
            wanted: None,
            topics: Vec::new(),
            pattern: Str::EMPTY,
            assignment: Assignment::new(),
            known: Known::Nothing,
            attempts: 0,
            farewell: Farewell::Heard,
            events: VecDeque::new(),
        }
    }

    pub(super) fn next_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// It is to be a member, or to say what it wants once more.
    pub(super) fn want(&mut self, cause: RebalanceCause) {
        if let State::Outside | State::Failed(_) | State::Refused(_) = self.state {
            self.state = State::Unjoined;
        }
        self.wanted.get_or_insert(cause);
    }

    /// Why it would join now, if it were told to.
    pub(super) const fn wants_to_join(&self) -> Option<RebalanceCause> {
        match self.state {
            State::Unjoined | State::Joined { .. } => self.wanted,
            State::Outside
            | State::Joining { .. }
            | State::Leaving { .. }
            | State::Refused(_)
            | State::Failed(_) => None,
        }
    }

    /// Joins, asking for this; a member only says what it wants now. What is not in the bid is not held any more.
    pub(super) fn join(&mut self, bid: &Bid, cluster: &mut Cluster) {
        let Some(cause) = self.wants_to_join() else {
            return;
        };
        if self.member_id.is_empty() {
            self.member_id = Str::from(alloc::format!("{}", cluster.draw_uuid()));
        }
        self.wanted = None;
        self.topics = bid.topics.iter().map(|topic| Str::from(&**topic)).collect();
        self.pattern = bid.pattern.clone().unwrap_or_default();
        self.known = Known::Nothing;
        self.assignment.ask(cause);
        match self.state {
            State::Joined { .. } => {
                self.hold(&bid.owned);
                self.hurry(cluster);
            }
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Leaving { .. }
            | State::Refused(_)
            | State::Failed(_) => {
                self.state = State::Joining {
                    step: Asking::Due,
                    unreleased: None,
                };
            }
        }
    }

    pub(super) fn has_share(&self) -> bool {
        self.assignment.is_due()
    }

    /// What is assigned and was not taken on yet, if all of it is known by name, and why it comes.
    pub(super) fn take_share(
        &mut self,
        cluster: &mut Cluster,
    ) -> Option<(RebalanceCause, Vec<TopicPartition>)> {
        let share = self.assignment.take_share(cluster);
        if share.is_none() {
            self.acknowledge(cluster);
        }
        share
    }

    /// The role has let go of some of what it held; this is left.
    pub(super) fn on_released(&mut self, held: &[TopicPartition], cluster: &mut Cluster) {
        self.hold(held);
        self.acknowledge(cluster);
    }

    /// The share has been taken on; this is held.
    pub(super) fn on_taken(&mut self, held: &[TopicPartition], cluster: &mut Cluster) {
        self.hold(held);
        self.assignment.taken();
        if self.assignment.is_settled() {
            self.acknowledge(cluster);
        }
    }

    fn hold(&mut self, held: &[TopicPartition]) {
        let unwatched = self.assignment.hold(held);
        if !unwatched.is_empty() {
            self.events.push_back(MemberEvent::Unwatched(unwatched));
        }
    }

    /// Whether the coordinator does not know (any more) what is held.
    fn is_unknown(&self) -> bool {
        match &self.known {
            Known::Nothing | Known::Subscription => true,
            Known::Holding(held) => held != self.assignment.held(),
        }
    }

    /// The coordinator waits for what it does not know.
    fn acknowledge(&mut self, cluster: &mut Cluster) {
        if self.is_unknown() {
            self.hurry(cluster);
        }
    }

    /// The next heartbeat does not wait.
    fn hurry(&mut self, cluster: &mut Cluster) {
        if let State::Joined { beat, .. } = &mut self.state
            && let Beat::Waiting(timer) = beat
        {
            cluster.disarm(*timer);
            *beat = Beat::Asking(Asking::Due);
        }
    }

    /// As whom partitions are owned; `None`: none are.
    pub(super) fn standing(&self) -> Option<Standing> {
        match self.state {
            State::Joined { epoch, .. } => Some(Standing {
                protocol: Protocol::Consumer,
                generation: epoch,
                member_id: self.member_id.clone(),
                instance_id: self.settings.instance_id.clone(),
            }),
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Leaving { .. }
            | State::Refused(_)
            | State::Failed(_) => None,
        }
    }

    pub(super) const fn is_outside(&self) -> bool {
        matches!(
            self.state,
            State::Outside | State::Refused(_) | State::Failed(_)
        )
    }

    pub(super) const fn is_known_to_be_gone(&self) -> bool {
        self.is_outside() && matches!(self.farewell, Farewell::Heard)
    }

    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    pub(super) fn watches(&self, topic: TopicHandle) -> bool {
        self.assignment.watches(topic)
    }

    /// What it is doing, for people.
    pub(super) fn activity(&self) -> &'static str {
        match self.state {
            State::Outside => "the consumer is no member of its group",
            State::Unjoined => "the consumer is about to join its group",
            State::Joining {
                unreleased: Some(_),
                ..
            } => "another consumer has the same group.instance.id: its session is awaited",
            State::Joining { .. } => "the consumer joins its group",
            State::Joined { .. } if self.assignment.awaits_topics() => {
                "the coordinator has assigned topics that no broker has named yet"
            }
            State::Joined { .. } => {
                "another member of the group has it, or is about to let go of it, or nobody"
            }
            State::Leaving { .. } => "the consumer leaves its group",
            State::Refused(_) | State::Failed(_) => "the consumer cannot be a member of its group",
        }
    }

    /// Why it cannot be a member.
    pub(super) const fn failure(&self) -> Option<&Error> {
        match &self.state {
            State::Failed(error) | State::Refused(error) => Some(error),
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Joined { .. }
            | State::Leaving { .. } => None,
        }
    }

    /// Why the coordinator cannot have it as a member by this protocol.
    pub(super) const fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Refused(error) => Some(error),
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Joined { .. }
            | State::Leaving { .. }
            | State::Failed(_) => None,
        }
    }

    fn step(&self) -> Option<&Asking> {
        match &self.state {
            State::Joining { step, .. }
            | State::Joined {
                beat: Beat::Asking(step),
                ..
            }
            | State::Leaving { step, .. } => Some(step),
            State::Joined {
                beat: Beat::Waiting(_),
                ..
            }
            | State::Outside
            | State::Unjoined
            | State::Refused(_)
            | State::Failed(_) => None,
        }
    }

    fn step_mut(&mut self) -> Option<&mut Asking> {
        match &mut self.state {
            State::Joining { step, .. }
            | State::Joined {
                beat: Beat::Asking(step),
                ..
            }
            | State::Leaving { step, .. } => Some(step),
            State::Joined {
                beat: Beat::Waiting(_),
                ..
            }
            | State::Outside
            | State::Unjoined
            | State::Refused(_)
            | State::Failed(_) => None,
        }
    }

    /// Whether the coordinator is to be told something.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.step(), Some(Asking::Due))
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        self.step().is_some_and(|step| step.awaits(token))
    }

    /// Tells the coordinator what is due, if it can be reached.
    pub(super) fn send(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        match self.state {
            State::Joining { .. } | State::Joined { .. } => {
                self.send_heartbeat(node, group, cluster)
            }
            State::Leaving { .. } => self.send_leave(node, group, cluster),
            State::Outside | State::Unjoined | State::Refused(_) | State::Failed(_) => {}
        }
    }

    /// The end of a request of the member's.
    pub(super) fn on_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        match self.state {
            State::Joining { .. } | State::Joined { .. } => {
                self.on_heartbeat_answer(answer, random, cluster)
            }
            State::Leaving { .. } => self.on_leave_answer(answer, random, cluster),
            State::Outside | State::Unjoined | State::Refused(_) | State::Failed(_) => Next::Done,
        }
    }

    pub(super) fn on_timer(&mut self, kind: u8, cluster: &mut Cluster) {
        match (kind, &mut self.state) {
            (timers::HEARTBEAT, State::Joined { beat, .. }) => {
                if let Beat::Waiting(_) = beat {
                    *beat = Beat::Asking(Asking::Due);
                }
            }
            (timers::SESSION, State::Leaving { .. }) => self.left(Farewell::Unheard, cluster),
            (timers::MEMBER_RETRY, _) => {
                if let Some(step @ Asking::Backoff(_)) = self.step_mut() {
                    *step = Asking::Due;
                }
            }
            _ => {}
        }
    }

    /// Metadata may name what is assigned.
    pub(super) fn on_metadata(&mut self) {
        self.assignment.on_metadata();
    }

    /// Whatever was owned may be somebody else's; joins again once it is let go of.
    fn lose(&mut self, error: Error, cluster: &mut Cluster) {
        self.go_out(State::Unjoined, cluster);
        self.wanted = Some(RebalanceCause::MembershipLost);
        self.events.push_back(MemberEvent::Lost(error));
    }

    /// There is no way into the group.
    pub(super) fn fail(&mut self, error: Error, cluster: &mut Cluster) {
        if self.is_outside() {
            return;
        }
        self.go_out(State::Failed(error.clone()), cluster);
        self.wanted = None;
        self.events.push_back(MemberEvent::Failed(error));
    }

    /// There is none by this protocol.
    fn refuse(&mut self, error: Error, cluster: &mut Cluster) {
        self.go_out(State::Refused(error.clone()), cluster);
        self.wanted = None;
        self.events.push_back(MemberEvent::Failed(error));
    }

    /// Enters a state in which nothing is owned.
    fn go_out(&mut self, state: State, cluster: &mut Cluster) {
        self.known = Known::Nothing;
        let unwatched = self.assignment.clear(cluster);
        if !unwatched.is_empty() {
            self.events.push_back(MemberEvent::Unwatched(unwatched));
        }
        match core::mem::replace(&mut self.state, state) {
            State::Joining { step, .. }
            | State::Joined {
                beat: Beat::Asking(step),
                ..
            } => step.stop(cluster),
            State::Joined {
                beat: Beat::Waiting(timer),
                ..
            } => cluster.disarm(timer),
            State::Leaving { step, session, .. } => {
                step.stop(cluster);
                cluster.disarm(session);
            }
            State::Outside | State::Unjoined | State::Refused(_) | State::Failed(_) => {}
        }
    }

    /// After failures; the first in a row costs no time.
    fn ask_again(&mut self, random: &mut Random, cluster: &mut Cluster) {
        if self.attempts == 0 {
            self.attempts = 1;
            if let Some(step) = self.step_mut() {
                *step = Asking::Due;
            }
        } else {
            self.pause(random, cluster);
        }
    }

    /// A pause, longer with each in a row.
    fn pause(&mut self, random: &mut Random, cluster: &mut Cluster) {
        let pause = back_off(&mut self.attempts, self.settings.backoff, random, cluster);
        if let Some(step) = self.step_mut() {
            *step = pause;
        }
    }

    /// After the interval, which the coordinator names.
    fn rest(&mut self, interval: Duration, cluster: &mut Cluster) {
        let timer = RoleTimer {
            kind: timers::HEARTBEAT,
            index: 0,
            why: "a heartbeat is due",
        };
        if let State::Joined { beat, .. } = &mut self.state {
            *beat = Beat::Waiting(cluster.arm(cluster.now() + interval, timer));
        }
    }
}
