//! Owns a consumer's membership of a classic group: joining, taking part in a generation, and leaving (KIP-62, KIP-394,
//! KIP-345).
//!
//! Must not know what is done with partitions: it says what was assigned or lost, and joins when it is told to.

mod actions;
mod heart;
mod joining;
mod leader;
mod leaving;
mod roster;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::actions::Beating;
use self::heart::Heart;
use self::joining::Joined;
use self::leader::{Leadership, Watched};
use self::roster::Roster;
use super::asking::{Asking, ask, back_off};
use super::lane::{Next, open};
use super::membership::{
    Farewell, MemberChanges, MemberEvent, MemberSettings, Protocol, RebalanceCause, Standing,
};
use super::timers;
use crate::assignor::LastAssignment;
use crate::cluster::{Answer, Cluster, FailureCause, SendOptions, Token};
use crate::engine::{NodeId, TopicHandle};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{HeartbeatRequest, JoinGroupRequestProtocol, SyncGroupRequestAssignment};
use crate::random::Random;
use crate::timer::TimerId;
use crate::wire::Str;

/// The protocol type of all consumers.
const CONSUMER: &str = "consumer";

/// ```text
/// Outside ──wanted──▶ Unjoined ──prepared──▶ Joining ──follower──▶ Syncing ──▶ Stable
///    ▲                  ▲   ▲                 ▲    └──leader──▶ Sharing ─▲        │
///    │                  │   └──lost───────────┼────────────────────┴──────────────┤
///    │                  │                     └──prepared, to join again──────────┤
///    └──────Leaving─────┘ wanted again        Failed ◀── nothing but the user can help
/// ```
#[derive(Debug)]
enum State {
    /// No member, and not to be one.
    Outside,
    /// No member (any more), and to be one as soon as nothing is held that is not owned.
    Unjoined,
    /// Joins. While that is only due, the generation before lasts.
    Joining { step: Asking, before: Option<Heart> },
    /// The leader waits for the metadata of the group's topics.
    Sharing {
        joined: Joined,
        leadership: Leadership,
        heart: Heart,
    },
    /// Asks for its share; the leader brings everybody's.
    Syncing {
        joined: Joined,
        shares: Vec<SyncGroupRequestAssignment>,
        step: Asking,
        heart: Heart,
    },
    /// Takes part in a generation.
    Stable { heart: Heart },
    /// Tells the coordinator that it goes.
    Leaving {
        step: Asking,
        reason: Str,
        /// When it need not be told any more, since the session is over.
        session: TimerId,
    },
    /// Out, for good.
    Failed(Error),
}

/// A member of a classic group, or what is to be one.
#[derive(Debug)]
pub(crate) struct Member {
    settings: MemberSettings,
    /// Empty until the coordinator gives one.
    member_id: Str,
    /// The generation of which partitions are owned; negative: none.
    generation: i32,
    /// What the last generation that it came through gave it: sticky assignors ask.
    last: Option<LastAssignment>,
    state: State,
    /// Why it is to join, or join again.
    wanted: Option<RebalanceCause>,
    /// What the last join asked for.
    protocols: Vec<JoinGroupRequestProtocol>,
    reason: Str,
    /// Failures to join or to leave in a row.
    attempts: u32,
    /// Only of a leader.
    watched: Watched,
    roster: Roster,
    farewell: Farewell,
    events: VecDeque<MemberEvent>,
}

impl Member {
    pub(crate) const fn new(settings: MemberSettings) -> Self {
        Self {
            settings,
            member_id: Str::EMPTY,
            generation: -1,
            last: None,
            state: State::Outside,
            wanted: None,
            protocols: Vec::new(),
            reason: Str::EMPTY,
            attempts: 0,
            watched: Watched::new(),
            roster: Roster::new(),
            farewell: Farewell::Heard,
            events: VecDeque::new(),
        }
    }

    /// The next thing that the role must hear.
    pub(crate) fn next_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// It is to be a member, or to join again.
    pub(crate) fn want(&mut self, cause: RebalanceCause) {
        if let State::Outside | State::Failed(_) = self.state {
            self.state = State::Unjoined;
        }
        self.wanted.get_or_insert(cause);
    }

    /// Why it would join now, if it were told to: nothing is under way that has to come to its end first.
    pub(crate) const fn wants_to_join(&self) -> Option<RebalanceCause> {
        match self.state {
            State::Stable { .. } | State::Unjoined => self.wanted,
            State::Outside
            | State::Joining { .. }
            | State::Sharing { .. }
            | State::Syncing { .. }
            | State::Leaving { .. }
            | State::Failed(_) => None,
        }
    }

    /// As whom partitions are owned; `None`: none are.
    pub(crate) fn standing(&self) -> Option<Standing> {
        (self.generation >= 0).then(|| Standing {
            protocol: Protocol::Classic,
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.settings.instance_id.clone(),
        })
    }

    /// Who came and went since the generation before, if the member led both.
    pub(crate) const fn changes(&self) -> Option<&MemberChanges> {
        self.roster.changes()
    }

    /// Whether it is neither a member nor about to leave.
    pub(crate) const fn is_outside(&self) -> bool {
        matches!(self.state, State::Outside | State::Failed(_))
    }

    /// Whether the group knows that it is no member.
    pub(crate) const fn is_known_to_be_gone(&self) -> bool {
        self.is_outside() && matches!(self.farewell, Farewell::Heard)
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether a generation is being made: a commit of the one before has to wait for it.
    pub(crate) fn is_between_generations(&self) -> bool {
        match &self.state {
            State::Sharing { .. } | State::Syncing { .. } => true,
            State::Joining { before, .. } => before.is_none(),
            // The role has yet to hear what the member has kept.
            State::Stable { .. } => !self.events.is_empty(),
            State::Outside | State::Unjoined | State::Leaving { .. } | State::Failed(_) => false,
        }
    }

    /// Whether the coordinator may be holding a request of the member back: nothing may stand behind it.
    pub(crate) const fn is_parked(&self) -> bool {
        matches!(
            self.state,
            State::Joining {
                step: Asking::InFlight(_),
                ..
            } | State::Syncing {
                step: Asking::InFlight(_),
                ..
            }
        )
    }

    /// Whether the member is the one who needs to know of a topic.
    pub(crate) fn watches(&self, topic: TopicHandle) -> bool {
        let shares =
            matches!(&self.state, State::Sharing { leadership, .. } if leadership.concerns(topic));
        shares || self.watched.contains(topic)
    }

    /// What it is doing, for people.
    pub(crate) const fn activity(&self) -> &'static str {
        match self.state {
            State::Outside => "the consumer is no member of its group",
            State::Unjoined => "the consumer is about to join its group",
            State::Joining { .. } => "the consumer joins its group",
            State::Sharing { .. } => {
                "the consumer leads its group and waits for the metadata of its topics"
            }
            State::Syncing { .. } => "the group's leader is about to share the partitions out",
            State::Stable { .. } => "another member of the group has it, or nobody",
            State::Leaving { .. } => "the consumer leaves its group",
            State::Failed(_) => "the consumer cannot be a member of its group",
        }
    }

    /// Why it cannot be a member.
    pub(crate) const fn failure(&self) -> Option<&Error> {
        match &self.state {
            State::Failed(error) => Some(error),
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Sharing { .. }
            | State::Syncing { .. }
            | State::Stable { .. }
            | State::Leaving { .. } => None,
        }
    }

    fn heart_mut(&mut self) -> Option<&mut Heart> {
        match &mut self.state {
            State::Joining {
                before: Some(heart),
                ..
            }
            | State::Sharing { heart, .. }
            | State::Syncing { heart, .. }
            | State::Stable { heart } => Some(heart),
            State::Joining { before: None, .. }
            | State::Outside
            | State::Unjoined
            | State::Leaving { .. }
            | State::Failed(_) => None,
        }
    }

    fn heart(&self) -> Option<&Heart> {
        match &self.state {
            State::Joining {
                before: Some(heart),
                ..
            }
            | State::Sharing { heart, .. }
            | State::Syncing { heart, .. }
            | State::Stable { heart } => Some(heart),
            State::Joining { before: None, .. }
            | State::Outside
            | State::Unjoined
            | State::Leaving { .. }
            | State::Failed(_) => None,
        }
    }

    fn step(&self) -> Option<&Asking> {
        match &self.state {
            State::Joining { step, .. }
            | State::Syncing { step, .. }
            | State::Leaving { step, .. } => Some(step),
            State::Outside
            | State::Unjoined
            | State::Sharing { .. }
            | State::Stable { .. }
            | State::Failed(_) => None,
        }
    }

    /// Whether the coordinator is to be told or asked something.
    pub(crate) fn is_due(&self) -> bool {
        !self.is_parked()
            && (matches!(self.step(), Some(Asking::Due)) || self.heart().is_some_and(Heart::is_due))
    }

    pub(crate) fn awaits(&self, token: Token) -> bool {
        matches!(self.step(), Some(Asking::InFlight(own)) if *own == token)
            || self.heart().is_some_and(|heart| heart.awaits(token))
    }

    /// Tells or asks the coordinator what is due, if it can be reached.
    pub(super) fn send(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        if self.heart().is_some_and(Heart::is_due) && !self.is_parked() {
            self.send_heartbeat(node, group, cluster);
        }
        match self.state {
            State::Joining {
                step: Asking::Due, ..
            } => self.send_join(node, group, cluster),
            State::Syncing {
                step: Asking::Due, ..
            } => self.send_sync(node, group, cluster),
            State::Leaving {
                step: Asking::Due, ..
            } => self.send_leave(node, group, cluster),
            State::Joining { .. }
            | State::Syncing { .. }
            | State::Leaving { .. }
            | State::Outside
            | State::Unjoined
            | State::Sharing { .. }
            | State::Stable { .. }
            | State::Failed(_) => {}
        }
    }

    fn send_heartbeat(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let generation_id = match &self.state {
            State::Sharing { joined, .. } | State::Syncing { joined, .. } => joined.generation,
            State::Joining { .. }
            | State::Stable { .. }
            | State::Outside
            | State::Unjoined
            | State::Leaving { .. }
            | State::Failed(_) => self.generation,
        };
        let request = HeartbeatRequest {
            group_id: group.clone(),
            generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
        };
        let options = SendOptions::new(self.settings.request_timeout);
        let Some(token) = ask(request, node, options, cluster) else {
            return;
        };
        if let Some(heart) = self.heart_mut() {
            heart.sent(token, cluster);
        }
    }

    /// The end of a request of the member's.
    pub(super) fn on_answer(
        &mut self,
        token: Token,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        if self.heart().is_some_and(|heart| heart.awaits(token)) {
            return self.on_heartbeat_answer(answer, cluster);
        }
        match self.state {
            State::Joining { .. } => self.on_join_answer(answer, random, cluster),
            State::Syncing { .. } => self.on_sync_answer(answer, random, cluster),
            State::Leaving { .. } => self.on_leave_answer(answer, random, cluster),
            State::Outside
            | State::Unjoined
            | State::Sharing { .. }
            | State::Stable { .. }
            | State::Failed(_) => Next::Done,
        }
    }

    fn on_heartbeat_answer(&mut self, answer: Answer, cluster: &mut Cluster) -> Next {
        let answer = open::<HeartbeatRequest>(answer, |answer| answer.throttle_time_ms, cluster);
        let code = match answer {
            Ok(answer) => ErrorCode(answer.error_code),
            Err(failed) => match failed.cause {
                FailureCause::Unsupported | FailureCause::Closed => {
                    self.fail(failed.error, cluster);
                    return Next::Done;
                }
                FailureCause::Disconnected | FailureCause::TimedOut => {
                    if let Some(heart) = self.heart_mut() {
                        heart.again();
                    }
                    return Next::Elsewhere;
                }
            },
        };
        if let Err(code) = code.check() {
            return self.on_heartbeat_refused(code, cluster);
        }
        if let Some(heart) = self.heart_mut() {
            heart.heard(cluster);
        }
        Next::Done
    }

    fn on_heartbeat_refused(&mut self, code: ErrorCode, cluster: &mut Cluster) -> Next {
        let error = refused(code, Step::Heartbeat);
        match actions::of_heartbeat(code) {
            Beating::Rejoin => {
                if let Some(heart) = self.heart_mut() {
                    heart.heard(cluster);
                }
                // Whoever is joining already has heard of it.
                if let State::Stable { .. } = self.state {
                    self.want(RebalanceCause::GroupChanged);
                }
            }
            Beating::Ignore => {
                if let Some(heart) = self.heart_mut() {
                    heart.rest(cluster);
                }
            }
            Beating::Rediscover => {
                if let Some(heart) = self.heart_mut() {
                    heart.again();
                }
                return Next::Elsewhere;
            }
            Beating::LoseGeneration => self.lose(error, cluster),
            Beating::LoseMember => {
                self.member_id = Str::EMPTY;
                self.lose(error, cluster);
            }
            Beating::Fail => self.fail(error, cluster),
        }
        Next::Done
    }

    pub(crate) fn on_timer(&mut self, kind: u8, cluster: &mut Cluster) {
        match kind {
            timers::HEARTBEAT => {
                if let Some(heart) = self.heart_mut() {
                    heart.on_timer();
                }
            }
            timers::SESSION => self.on_session_over(cluster),
            timers::MEMBER_RETRY => {
                if let State::Joining { step, .. }
                | State::Syncing { step, .. }
                | State::Leaving { step, .. } = &mut self.state
                    && let Asking::Backoff(_) = step
                {
                    *step = Asking::Due;
                }
            }
            _ => {}
        }
    }

    /// No answer for a whole session: the group may have gone on without this member.
    fn on_session_over(&mut self, cluster: &mut Cluster) {
        // While the coordinator holds a request back, no heartbeat is due.
        if self.is_parked() {
            return;
        }
        if let State::Leaving { .. } = self.state {
            return self.left(Farewell::Unheard, cluster);
        }
        if self.heart().is_some() {
            let after = self.settings.session_timeout;
            let error = Error::new(ErrorKind::TimedOut { after }).in_step(Step::Heartbeat);
            self.lose(error, cluster);
        }
    }

    /// Metadata may be what the leader waits for, or makes other shares.
    pub(crate) fn on_metadata(&mut self, cluster: &mut Cluster) {
        if let State::Sharing { .. } = self.state {
            self.share_out(cluster);
        } else if self.watched.has_changed(cluster) {
            self.want_if_member(RebalanceCause::TopicsChanged);
        }
    }

    fn want_if_member(&mut self, cause: RebalanceCause) {
        if !self.is_outside() && !matches!(self.state, State::Leaving { .. }) {
            self.want(cause);
        }
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

    /// Enters a state in which nothing is owned.
    fn go_out(&mut self, state: State, cluster: &mut Cluster) {
        self.generation = -1;
        self.roster.follow();
        let mut unwatched = self.watched.clear();
        match core::mem::replace(&mut self.state, state) {
            State::Joining { step, before } => {
                step.stop(cluster);
                if let Some(heart) = before {
                    heart.stop(cluster);
                }
            }
            State::Sharing {
                leadership, heart, ..
            } => {
                unwatched.extend(leadership.topics());
                heart.stop(cluster);
            }
            State::Syncing { step, heart, .. } => {
                step.stop(cluster);
                heart.stop(cluster);
            }
            State::Stable { heart } => heart.stop(cluster),
            State::Leaving { step, session, .. } => {
                step.stop(cluster);
                cluster.disarm(session);
            }
            State::Outside | State::Unjoined | State::Failed(_) => {}
        }
        self.unwatch(unwatched);
    }

    fn unwatch(&mut self, topics: Vec<TopicHandle>) {
        if !topics.is_empty() {
            self.events.push_back(MemberEvent::Unwatched(topics));
        }
    }

    /// A pause after a question was asked in vain, longer with each in a row.
    fn back_off(&mut self, random: &mut Random, cluster: &mut Cluster) -> Asking {
        back_off(&mut self.attempts, self.settings.backoff, random, cluster)
    }
}

fn refused(code: ErrorCode, step: Step) -> Error {
    let error = Error::new(ErrorKind::Broker(code)).in_step(step);
    match code {
        ErrorCode::FENCED_INSTANCE_ID => {
            error.with_hint("another consumer has the same group.instance.id: give each its own")
        }
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL => error.with_hint(
            "the group's members share no partition.assignment.strategy, or it is a group of another kind",
        ),
        ErrorCode::INVALID_SESSION_TIMEOUT => error.with_hint(
            "set session.timeout.ms between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
        ),
        ErrorCode::GROUP_MAX_SIZE_REACHED => {
            error.with_hint("the broker's group.max.size allows no more members")
        }
        _ => error,
    }
}
