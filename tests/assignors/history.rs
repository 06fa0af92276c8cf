//! Groups as they come to be: members join, leave, stay away and come back with what they had, change what they subscribe to
//! and claim what is not theirs, while topics are made and grow. Each group is made of what the last one's members got.

use std::sync::Arc;

use klamm::assignor::{Assignor, LastAssignment, Member, Subscription, Topics};
use klamm::{Str, TopicPartition};

use crate::group::Group;

/// Whether members do what Kafka's own assignors do not expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Java's result is one that can be used.
    Good,
    /// Some subscribe to nothing, claim partitions that are not there, or come back with those of topics that they no longer
    /// want. Java's assignors give away what nobody wants, or throw.
    Bad,
}

/// How far groups go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) members: u64,
    pub(crate) topics: u64,
    pub(crate) partitions: u64,
}

pub(crate) struct History {
    assignor: Assignor,
    manners: Manners,
    size: Size,
    random: Random,
    topics: Topics,
    members: Vec<State>,
    racks: u64,
    /// Whether all members always subscribe to all topics.
    equal: bool,
    generation: i32,
    joined: u64,
}

#[derive(Clone)]
struct State {
    member: Member,
    last: Option<LastAssignment>,
    away: bool,
}

const RACKS: [&str; 4] = ["east", "west", "north", "south"];
/// In the order of UTF-16, the last stands before the one before it.
const CLIENTS: [&str; 5] = ["consumer-workers", "rdkafka", "a", "\u{ff5e}", "\u{1f600}"];

impl History {
    pub(crate) fn new(assignor: Assignor, manners: Manners, size: Size, seed: u64) -> Self {
        let mut random = Random(seed);
        let racks = [0, 0, 2, 3, 4][random.below(5) as usize];
        let equal = random.one_in(2);
        let mut history = Self {
            assignor,
            manners,
            size,
            random,
            topics: Topics::new(),
            members: Vec::new(),
            racks,
            equal,
            generation: 0,
            joined: 0,
        };
        for _ in 0..1 + history.random.below(history.size.topics) {
            history.create_topic();
        }
        for _ in 0..1 + history.random.below(history.size.members) {
            history.join();
        }
        history
    }

    /// The group of the next generation.
    pub(crate) fn next_group(&mut self) -> Group {
        if self.generation > 0 {
            for _ in 0..1 + self.random.below(3) {
                self.change();
            }
        }
        if self.members.iter().all(|state| state.away) {
            self.join();
        }
        let group = Group {
            assignor: self.assignor,
            topics: self.topics.clone(),
            members: self.members_at_hand(),
        };
        self.take(&group);
        group
    }

    fn change(&mut self) {
        match self.random.below(9) {
            0 | 1 => {
                for _ in 0..1 + self.random.below(3) {
                    self.join();
                }
            }
            2 => drop(self.pick().map(|at| self.members.remove(at))),
            3 | 4 => {
                if let Some(at) = self.pick() {
                    self.members[at].away ^= true;
                }
            }
            5 => {
                if let Some(at) = self.pick() {
                    self.members[at].member.subscription.topics = self.some_topics();
                }
            }
            6 => self.create_topic(),
            7 => self.grow_topic(),
            _ => self.claim_of_another(),
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let count = self.members.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn join(&mut self) {
        self.joined += 1;
        let client = CLIENTS[self.random.below(CLIENTS.len() as u64) as usize];
        let member_id = format!("{client}-{}-{:016x}", self.joined, self.random.next());
        let instance = self.random.one_in(4);
        let rack = self.racks > 0 && !self.random.one_in(6);
        let rack = rack.then(|| Str::from(RACKS[self.random.below(self.racks) as usize]));
        let subscription = Subscription {
            topics: self.some_topics(),
            rack_id: rack,
            ..Subscription::default()
        };
        self.members.push(State {
            member: Member {
                member_id: member_id.as_str().into(),
                group_instance_id: instance.then(|| format!("worker-{}", self.joined).into()),
                subscription,
            },
            last: None,
            away: false,
        });
    }

    fn some_topics(&mut self) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = self.topics.keys().cloned().collect();
        if self.equal {
            return topics;
        }
        if self.manners == Manners::Bad && self.random.one_in(4) {
            return Vec::new();
        }
        let unwanted = self.random.below(topics.len() as u64);
        for _ in 0..unwanted {
            let at = self.random.below(topics.len() as u64) as usize;
            topics.remove(at);
        }
        topics
    }

    fn create_topic(&mut self) {
        let name: Arc<str> = format!("topic_{}", self.random.below(self.size.topics * 2)).into();
        let count = self.random.below(self.size.partitions + 1);
        let partitions = (0..count).map(|_| self.replica_racks()).collect();
        self.topics.entry(name).or_insert(partitions);
        if self.equal {
            let topics: Vec<Arc<str>> = self.topics.keys().cloned().collect();
            for state in &mut self.members {
                state.member.subscription.topics.clone_from(&topics);
            }
        }
    }

    fn grow_topic(&mut self) {
        let at = self.random.below(self.topics.len() as u64) as usize;
        let more = [self.replica_racks(), self.replica_racks()];
        if let Some(partitions) = self.topics.values_mut().nth(at) {
            partitions.extend(more);
        }
    }

    fn replica_racks(&mut self) -> Vec<Str> {
        let replicas = self.random.below(self.racks + 1);
        (0..replicas)
            .map(|_| RACKS[self.random.below(self.racks) as usize].into())
            .collect()
    }

    fn claim_of_another(&mut self) {
        let (Some(claimant), Some(other)) = (self.pick(), self.pick()) else {
            return;
        };
        let Some(claimed) = self.members[other].last.clone() else {
            return;
        };
        if let Some(last) = &mut self.members[claimant].last {
            last.partitions
                .extend(claimed.partitions.into_iter().take(3));
            last.partitions.sort();
            last.partitions.dedup();
        }
    }

    fn members_at_hand(&mut self) -> Vec<Member> {
        let mut members = Vec::new();
        for at in 0..self.members.len() {
            if self.members[at].away {
                continue;
            }
            if self.manners == Manners::Bad && self.random.one_in(4) {
                self.claim_what_is_not_there(at);
            }
            let State { member, last, .. } = &mut self.members[at];
            let topics = &member.subscription.topics;
            if let Some(last) = last
                && last.generation_id < self.generation
                && self.manners == Manners::Good
            {
                last.partitions.retain(|p| topics.contains(&p.topic));
            }
            let mut member = member.clone();
            let last = last.clone();
            self.speak(&mut member.subscription, last);
            members.push(member);
        }
        members
    }

    fn claim_what_is_not_there(&mut self, at: usize) {
        let partitions = [
            TopicPartition::new("topic_0", 1_000),
            TopicPartition::new("topic_1", -1),
            TopicPartition::new("nowhere", 0),
        ];
        if let Some(last) = &mut self.members[at].last {
            last.partitions.extend(partitions);
        }
    }

    /// What a member says of its last assignment, as clients of several ages do.
    fn speak(&mut self, subscription: &mut Subscription, last: Option<LastAssignment>) {
        subscription.user_data = self.assignor.user_data(last.as_ref());
        let Some(mut last) = last else {
            return;
        };
        // Before version 2 there was no generation in a subscription, and before KIP-341 none in the user data.
        let old = self.random.one_in(8);
        if old && self.manners == Manners::Good {
            let topics = &subscription.topics;
            last.partitions.retain(|p| topics.contains(&p.topic));
        }
        subscription.user_data = self.assignor.user_data(Some(&last));
        subscription.generation_id = (!old).then_some(last.generation_id);
        match (self.assignor, &mut subscription.user_data) {
            (Assignor::Sticky, Some(data)) if old && self.random.one_in(2) => {
                data.truncate(data.len() - 4);
            }
            (_, data) if old && self.random.one_in(4) => *data = None,
            (_, _) => (),
        }
        if self.assignor == Assignor::CooperativeSticky {
            subscription.owned_partitions = last.partitions;
            subscription.owned_partitions.sort();
        }
    }

    /// Each member gets its own; the others keep what they had.
    fn take(&mut self, group: &Group) {
        self.generation += 1;
        let assigned = self.assignor.assign(&group.members, &group.topics);
        let at_hand = self.members.iter_mut().filter(|state| !state.away);
        for (state, partitions) in at_hand.zip(assigned) {
            state.last = Some(LastAssignment {
                generation_id: self.generation,
                partitions,
            });
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
