//! Owns which of Kafka's two group protocols a consumer is a member by, and has that one do what is asked of a member.
//!
//! Must not know how either of them works.

use alloc::vec::Vec;

use super::classic;
use super::consumer;
use super::lane::Next;
use super::membership::{
    Bid, Departure, MemberChanges, MemberEvent, MemberSettings, RebalanceCause, Standing,
};
use crate::cluster::{Answer, Cluster, Reach, Token};
use crate::config::GroupProtocol;
use crate::engine::{ConnectionGroup, NodeId, TopicHandle, TopicPartition};
use crate::error::Error;
use crate::messages::ConsumerGroupHeartbeatRequest;
use crate::random::Random;
use crate::wire::Str;

/// The feature of a cluster whose groups can have the consumer protocol, from level 1 on (KIP-848).
const GROUP_VERSION: &str = "group.version";

/// One whose protocol depends on what the coordinator has.
#[derive(Debug)]
pub(crate) enum Undecided {
    /// No member, and not to be one.
    Outside,
    /// To be one.
    Wanted(RebalanceCause),
    /// There is no coordinator to be had.
    Failed(Error),
}

/// A consumer as a member of its group, or what is to be one.
#[derive(Debug)]
pub(crate) struct Member {
    settings: MemberSettings,
    by: By,
    /// What has become of it, apart from what the protocols say.
    event: Option<MemberEvent>,
}

#[derive(Debug)]
enum By {
    Undecided(Undecided),
    Classic(classic::Member),
    Consumer(consumer::Member),
}

/// Has the member of either protocol do the same.
macro_rules! either {
    ($by:expr, $undecided:pat => $otherwise:expr, $member:ident => $done:expr) => {
        match $by {
            By::Undecided($undecided) => $otherwise,
            By::Classic($member) => $done,
            By::Consumer($member) => $done,
        }
    };
}

impl Member {
    pub(super) fn new(settings: MemberSettings) -> Self {
        let by = match settings.protocol {
            GroupProtocol::Automatic => By::Undecided(Undecided::Outside),
            GroupProtocol::Classic => By::Classic(classic::Member::new(settings.clone())),
            GroupProtocol::Consumer => By::Consumer(consumer::Member::new(settings.clone())),
        };
        Self {
            settings,
            by,
            event: None,
        }
    }

    /// Whether the coordinator shares the partitions out (KIP-848).
    pub(crate) const fn is_of_consumer_protocol(&self) -> bool {
        matches!(self.by, By::Consumer(_))
    }

    /// Whether the members share the partitions out.
    pub(crate) const fn is_classic(&self) -> bool {
        matches!(self.by, By::Classic(_))
    }

    pub(super) fn next_event(&mut self) -> Option<MemberEvent> {
        self.event
            .take()
            .or_else(|| either!(&mut self.by, _ => None, member => member.next_event()))
    }

    /// It is to be a member, or to join again.
    pub(super) fn want(&mut self, cause: RebalanceCause) {
        match &mut self.by {
            By::Undecided(state @ (Undecided::Outside | Undecided::Failed(_))) => {
                *state = Undecided::Wanted(cause);
            }
            By::Undecided(Undecided::Wanted(_)) => {}
            By::Classic(member) => member.want(cause),
            By::Consumer(member) => member.want(cause),
        }
    }

    /// Why it would join now, if it were told to: nothing is under way that has to come to its end first.
    pub(crate) const fn wants_to_join(&self) -> Option<RebalanceCause> {
        either!(&self.by, _ => None, member => member.wants_to_join())
    }

    pub(super) fn join(&mut self, bid: &Bid, cluster: &mut Cluster) {
        either!(&mut self.by, _ => {}, member => member.join(bid, cluster));
    }

    /// Whether it can be a member only once it is known what the coordinator has.
    pub(super) const fn awaits_protocol(&self) -> bool {
        matches!(self.by, By::Undecided(Undecided::Wanted(_)))
    }

    /// Whether there may be a share to be taken on.
    pub(super) fn has_share(&self) -> bool {
        match &self.by {
            By::Undecided(_) | By::Classic(_) => false,
            By::Consumer(member) => member.has_share(),
        }
    }

    /// What the coordinator has assigned and was not taken on yet, and why it comes. A classic member is told of its share
    /// when there is one ([`MemberEvent::Assigned`]).
    pub(super) fn take_share(
        &mut self,
        cluster: &mut Cluster,
    ) -> Option<(RebalanceCause, Vec<TopicPartition>)> {
        match &mut self.by {
            By::Undecided(_) | By::Classic(_) => None,
            By::Consumer(member) => member.take_share(cluster),
        }
    }

    /// The role has let go of some of what it held; this is left. A classic member says so when it joins.
    pub(super) fn on_released(&mut self, held: &[TopicPartition], cluster: &mut Cluster) {
        match &mut self.by {
            By::Undecided(_) | By::Classic(_) => {}
            By::Consumer(member) => member.on_released(held, cluster),
        }
    }

    /// The share has been taken on; this is held. Where members share out, what was `released` for others is given away by
    /// the next generation (KIP-429).
    pub(super) fn on_taken(
        &mut self,
        held: &[TopicPartition],
        released: bool,
        cluster: &mut Cluster,
    ) {
        match &mut self.by {
            By::Classic(member) if released => member.want(RebalanceCause::PartitionsReleased),
            By::Undecided(_) | By::Classic(_) => {}
            By::Consumer(member) => member.on_taken(held, cluster),
        }
    }

    pub(super) fn leave(
        &mut self,
        reason: &'static str,
        departure: Departure,
        cluster: &mut Cluster,
    ) {
        match &mut self.by {
            By::Undecided(state) => *state = Undecided::Outside,
            By::Classic(member) => member.leave(reason, cluster),
            By::Consumer(member) => member.leave(departure, cluster),
        }
    }

    /// As whom partitions are owned; `None`: none are.
    pub(crate) fn standing(&self) -> Option<Standing> {
        either!(&self.by, _ => None, member => member.standing())
    }

    /// Who came and went since the generation before, if that is known.
    pub(crate) const fn changes(&self) -> Option<&MemberChanges> {
        match &self.by {
            // The coordinator does not say.
            By::Undecided(_) | By::Consumer(_) => None,
            By::Classic(member) => member.changes(),
        }
    }

    /// Whether it is neither a member nor about to leave.
    pub(crate) const fn is_outside(&self) -> bool {
        either!(&self.by, state => !matches!(state, Undecided::Wanted(_)), member => member.is_outside())
    }

    /// Whether the group knows that it is no member, so that nobody waits for its session to be over.
    pub(crate) const fn is_known_to_be_gone(&self) -> bool {
        either!(&self.by, state => !matches!(state, Undecided::Wanted(_)), member => member.is_known_to_be_gone())
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        either!(&self.by, _ => false, member => member.is_leaving())
    }

    /// Whether a generation is being made: a commit of the one before has to wait for it.
    pub(crate) fn is_between_generations(&self) -> bool {
        match &self.by {
            By::Undecided(_) | By::Consumer(_) => false,
            By::Classic(member) => member.is_between_generations(),
        }
    }

    /// Whether the coordinator may be holding a request of the member back: nothing may stand behind it.
    pub(super) const fn is_parked(&self) -> bool {
        match &self.by {
            By::Undecided(_) | By::Consumer(_) => false,
            By::Classic(member) => member.is_parked(),
        }
    }

    /// Whether the member is the one who needs to know of a topic.
    pub(super) fn watches(&self, topic: TopicHandle) -> bool {
        either!(&self.by, _ => false, member => member.watches(topic))
    }

    /// What it is doing, for people.
    pub(crate) fn activity(&self) -> &'static str {
        match &self.by {
            By::Undecided(Undecided::Wanted(_)) => "the consumer is about to join its group",
            By::Undecided(Undecided::Outside) => "the consumer is no member of its group",
            By::Undecided(Undecided::Failed(_)) => "the consumer cannot be a member of its group",
            By::Classic(member) => member.activity(),
            By::Consumer(member) => member.activity(),
        }
    }

    /// Why it cannot be a member.
    pub(crate) const fn failure(&self) -> Option<&Error> {
        match &self.by {
            By::Undecided(Undecided::Failed(error)) => Some(error),
            By::Undecided(Undecided::Outside | Undecided::Wanted(_)) => None,
            By::Classic(member) => member.failure(),
            By::Consumer(member) => member.failure(),
        }
    }

    /// Whether the coordinator is to be told or asked something.
    pub(super) fn is_due(&self) -> bool {
        either!(&self.by, state => matches!(state, Undecided::Wanted(_)), member => member.is_due())
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        either!(&self.by, _ => false, member => member.awaits(token))
    }

    /// Tells or asks the coordinator what is due, if it can be reached.
    pub(super) fn send(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        match &mut self.by {
            By::Undecided(Undecided::Wanted(cause)) => {
                let cause = *cause;
                self.decide(node, cause, cluster);
            }
            By::Undecided(Undecided::Outside | Undecided::Failed(_)) => {}
            By::Classic(member) => member.send(node, group, cluster),
            By::Consumer(member) => {
                member.send(node, group, cluster);
                self.fall_back();
            }
        }
    }

    /// The coordinator's connection is known: the consumer protocol where it has it.
    fn decide(&mut self, node: NodeId, cause: RebalanceCause, cluster: &mut Cluster) {
        let Reach::Ready(versions) = cluster.reach(node, ConnectionGroup::Coordination) else {
            return;
        };
        let version = versions.max_version::<ConsumerGroupHeartbeatRequest>();
        let speaks = version.is_some_and(|version| version >= consumer::SINCE);
        if speaks && versions.feature(GROUP_VERSION) >= 1 {
            self.by = By::Consumer(consumer::Member::new(self.settings.clone()));
        } else {
            self.by = By::Classic(classic::Member::new(self.settings.clone()));
        }
        self.want(cause);
    }

    /// A coordinator may turn out not to have the consumer protocol, at all or for this group. Who did not ask for it by name
    /// goes by the classic one.
    fn fall_back(&mut self) {
        if let (GroupProtocol::Automatic, By::Consumer(member)) = (self.settings.protocol, &self.by)
            && let Some(error) = member.refusal()
        {
            self.event = Some(MemberEvent::Lost(error.clone()));
            self.by = By::Classic(classic::Member::new(self.settings.clone()));
            self.want(RebalanceCause::Subscribed);
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
        match &mut self.by {
            By::Undecided(_) => Next::Done,
            By::Classic(member) => member.on_answer(token, answer, random, cluster),
            By::Consumer(member) => {
                let next = member.on_answer(answer, random, cluster);
                self.fall_back();
                next
            }
        }
    }

    pub(super) fn on_timer(&mut self, kind: u8, cluster: &mut Cluster) {
        either!(&mut self.by, _ => {}, member => member.on_timer(kind, cluster));
    }

    /// What is known of topics has changed.
    pub(super) fn on_metadata(&mut self, cluster: &mut Cluster) {
        match &mut self.by {
            By::Undecided(_) => {}
            By::Classic(member) => member.on_metadata(cluster),
            By::Consumer(member) => member.on_metadata(),
        }
    }

    /// There is no way into the group.
    pub(super) fn fail(&mut self, error: Error, cluster: &mut Cluster) {
        match &mut self.by {
            By::Undecided(state @ Undecided::Wanted(_)) => {
                *state = Undecided::Failed(error.clone());
                self.event = Some(MemberEvent::Failed(error));
            }
            By::Undecided(Undecided::Outside | Undecided::Failed(_)) => {}
            By::Classic(member) => member.fail(error, cluster),
            By::Consumer(member) => member.fail(error, cluster),
        }
    }
}
