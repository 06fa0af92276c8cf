//! Owns when metadata is asked for, and what an answer, or none, leads to.
//!
//! Must not know what anybody does with a topic.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::metadata::{Metadata, TopicState};
use super::request::{Owner, Route};
use super::slot::{Location, SlotKey};
use super::{Cluster, ClusterEvent, Life, Queued, Timer};
use crate::budget::Category;
use crate::collections::{VecMap, sorted};
use crate::connection::{Answer, FailureCause, Response, SendOptions, Token};
use crate::engine::{Diagnostic, Host, NodeId, Output, Peer, TopicHandle};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::limits::{BROKERS_MAX, PARTITIONS_MAX, REBOOTSTRAP_AFTER};
use crate::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use crate::time::Instant;
use crate::timer::TimerId;
use crate::wire::{Str, Uuid};

/// What is going on.
#[derive(Debug)]
enum Phase {
    /// Nothing is to be asked.
    Quiet,
    /// The next question has to wait.
    Waiting { timer: TimerId },
    /// A question is unanswered.
    Asking {
        token: Token,
        asked: Vec<TopicHandle>,
        scope: Scope,
    },
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Some topics.
    Some,
    /// All that are wanted: everything is as fresh as the answer.
    Wanted,
    /// All that there are, the wanted ones among them.
    All,
}

/// The topics that there are, as far as somebody wants to know.
#[derive(Debug)]
enum Listing {
    Unwanted,
    Awaited,
    Known { names: Vec<Arc<str>>, edition: u64 },
}

/// When metadata is asked for.
#[derive(Debug)]
pub(super) struct Refresh {
    phase: Phase,
    /// Somebody said that what is known is stale.
    wanted: bool,
    /// Topics that were never asked for: they do not wait.
    new_topics: VecMap<TopicHandle, ()>,
    /// Topics that are known by their ids alone.
    ids: VecMap<Uuid, ()>,
    /// Whether some of these were never asked for: they do not wait.
    new_ids: bool,
    /// Whether the last question was about these: names and ids cannot be asked for at once, and take turns.
    asked_ids: bool,
    listing: Listing,
    /// Questions in a row that brought no answer.
    failures: u32,
    /// Answers in a row that brought nothing new.
    equivalents: u32,
    not_before: Instant,
    failing_since: Option<Instant>,
    age_timer: Option<TimerId>,
    /// What the budget gave for what is known.
    charged: usize,
}

impl Refresh {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Quiet,
            wanted: false,
            new_topics: VecMap::new(),
            ids: VecMap::new(),
            new_ids: false,
            asked_ids: false,
            listing: Listing::Unwanted,
            failures: 0,
            equivalents: 0,
            not_before: Instant::START,
            failing_since: None,
            age_timer: None,
            charged: 0,
        }
    }

    /// Whether there is something to ask that nobody has seen to.
    pub(super) fn is_due(&self) -> bool {
        let new = !self.new_topics.is_empty() || self.new_ids;
        matches!(self.phase, Phase::Quiet) && (self.wanted || new || !self.ids.is_empty())
            || matches!(self.phase, Phase::Waiting { .. }) && new
    }

    fn is_turn_of_ids(&self) -> bool {
        !self.ids.is_empty() && (!self.wanted || !self.asked_ids)
    }
}

/// How many questions in a row may be lost with their connections before somebody is told.
const LOST_UNTOLD: u32 = 2;

impl Cluster {
    /// The handle of a topic, which is asked for soon and kept fresh from now on.
    pub(crate) fn want_topic(&mut self, name: &str) -> TopicHandle {
        let (handle, new) = self.metadata.want(name, self.now);
        if new {
            self.refresh.new_topics.insert(handle, ());
        } else if let Some(TopicState::Failed { .. }) =
            self.metadata.topic(handle).map(|topic| topic.state)
        {
            self.refresh_metadata();
        }
        handle
    }

    /// Nobody needs the topic any more; its handle stays valid.
    pub(crate) fn forget_topic(&mut self, handle: TopicHandle) {
        self.refresh.new_topics.remove(&handle);
        self.metadata.forget(handle);
    }

    /// The topics of these ids are asked for until they are known, instead of those before. Once they are, they are wanted as
    /// by their names.
    pub(crate) fn want_topic_ids(&mut self, ids: Vec<Uuid>) {
        let before = &self.refresh.ids;
        let new = self.refresh.new_ids || ids.iter().any(|id| !before.contains_key(id));
        self.refresh.new_ids = new && !ids.is_empty();
        self.refresh.ids = ids.into_iter().map(|id| (id, ())).collect();
    }

    /// Whether all topics are to be asked for, by every question from now on.
    pub(crate) fn list_topics(&mut self, wanted: bool) {
        match (wanted, &self.refresh.listing) {
            (true, Listing::Unwanted) => {
                self.refresh.listing = Listing::Awaited;
                self.refresh_metadata();
            }
            (false, _) => self.refresh.listing = Listing::Unwanted,
            (true, Listing::Awaited | Listing::Known { .. }) => {}
        }
    }

    /// The names of all topics but the internal ones, in order, and a number that grows when they change.
    pub(crate) fn listed_topics(&self) -> Option<(u64, &[Arc<str>])> {
        match &self.refresh.listing {
            Listing::Known { names, edition } => Some((*edition, names)),
            Listing::Unwanted | Listing::Awaited => None,
        }
    }

    fn full_scope(&self) -> Scope {
        match self.refresh.listing {
            Listing::Unwanted => Scope::Wanted,
            Listing::Awaited | Listing::Known { .. } => Scope::All,
        }
    }

    /// What is known is stale. How often brokers are asked is limited here.
    pub(crate) fn refresh_metadata(&mut self) {
        // A question that has not been sent yet will be answered with what is true then.
        self.refresh.wanted |= !self.is_about_to_ask();
    }

    fn is_about_to_ask(&self) -> bool {
        match &self.refresh.phase {
            Phase::Asking { token, scope, .. } => {
                *scope == self.full_scope() && !self.is_sent(*token)
            }
            Phase::Quiet | Phase::Waiting { .. } => false,
        }
    }

    /// Without brokers nothing else can be asked.
    pub(super) fn want_brokers(&mut self) {
        if !self.metadata.has_brokers() {
            self.refresh_metadata();
        }
    }

    /// Asks, or waits until that is allowed.
    pub(super) fn advance_refresh(&mut self) {
        if self.life != Life::Open || matches!(self.refresh.phase, Phase::Asking { .. }) {
            self.refresh.wanted &= self.life == Life::Open;
            self.refresh
                .new_topics
                .retain(|_, ()| self.life == Life::Open);
            self.refresh.ids.retain(|_, ()| self.life == Life::Open);
            self.refresh.new_ids &= self.life == Life::Open;
            return;
        }
        if !self.refresh.new_topics.is_empty() {
            let partial = self.metadata.has_brokers() && self.refresh.age_timer.is_some();
            self.ask(match partial {
                true => Scope::Some,
                false => self.full_scope(),
            });
        } else if self.refresh.new_ids {
            self.ask_ids();
        } else if self.refresh.wanted || !self.refresh.ids.is_empty() {
            if self.refresh.not_before <= self.now {
                match self.refresh.is_turn_of_ids() {
                    true => self.ask_ids(),
                    false => self.ask(self.full_scope()),
                }
            } else if matches!(self.refresh.phase, Phase::Quiet) {
                let timer = self.timers.arm(self.refresh.not_before, Timer::Metadata);
                self.refresh.phase = Phase::Waiting { timer };
            }
        }
    }

    fn ask(&mut self, scope: Scope) {
        self.quiet();
        let new = core::mem::take(&mut self.refresh.new_topics);
        let chosen = |handle: &TopicHandle| scope != Scope::Some || new.contains_key(handle);
        let (asked, topics): (Vec<TopicHandle>, Vec<MetadataRequestTopic>) = self
            .metadata
            .wanted()
            .filter(|(handle, _)| chosen(handle))
            .map(|(handle, name)| {
                let name = Some(name.clone());
                (
                    handle,
                    MetadataRequestTopic {
                        name,
                        ..Default::default()
                    },
                )
            })
            .unzip();
        let topics = (scope != Scope::All).then_some(topics);
        self.refresh.wanted &= scope == Scope::Some;
        self.refresh.asked_ids = false;
        self.send_question(topics, asked, scope);
    }

    fn ask_ids(&mut self) {
        self.quiet();
        self.refresh.new_ids = false;
        self.refresh.asked_ids = true;
        let topic = |topic_id: &Uuid| MetadataRequestTopic {
            topic_id: *topic_id,
            name: None,
        };
        let topics = self.refresh.ids.keys().map(topic).collect();
        self.send_question(Some(topics), Vec::new(), Scope::Some);
    }

    fn send_question(
        &mut self,
        topics: Option<Vec<MetadataRequestTopic>>,
        asked: Vec<TopicHandle>,
        scope: Scope,
    ) {
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: self.settings.allow_auto_create_topics,
            ..Default::default()
        };
        let options = SendOptions::new(self.settings.request_timeout);
        let token = self.send_as(Owner::Metadata, request, Route::Any, options);
        self.refresh.phase = Phase::Asking {
            token,
            asked,
            scope,
        };
    }

    fn quiet(&mut self) {
        if let Phase::Waiting { timer } = core::mem::replace(&mut self.refresh.phase, Phase::Quiet)
        {
            self.timers.disarm(timer);
        }
    }

    /// The wait is over.
    pub(super) fn on_metadata_timer(&mut self) {
        if matches!(self.refresh.phase, Phase::Waiting { .. }) {
            self.refresh.phase = Phase::Quiet;
        }
    }

    /// What is known has become old.
    pub(super) fn on_metadata_age(&mut self) {
        self.refresh.age_timer = None;
        self.refresh.equivalents = 0;
        self.refresh_metadata();
    }

    /// An answer to the cluster's own question.
    pub(super) fn on_metadata_answer(&mut self, token: Token, answer: Answer) {
        let (asked, scope) = match core::mem::replace(&mut self.refresh.phase, Phase::Quiet) {
            Phase::Asking {
                token: own,
                asked,
                scope,
            } if own == token => (asked, scope),
            other @ (Phase::Quiet | Phase::Waiting { .. } | Phase::Asking { .. }) => {
                self.refresh.phase = other;
                self.drop_answer(answer);
                return;
            }
        };
        match answer {
            Answer::Response(response) => match self.take_in(response, &asked, scope) {
                Ok(complete) => self.refreshed(scope != Scope::Some, complete),
                Err(error) => self.refresh_failed(Some(error)),
            },
            Answer::Sent => debug_assert!(false, "metadata is always answered"),
            Answer::Failed(failed) => self.refresh_failed(match failed.cause {
                // Brokers that shake hands and then close over the first question: a listener that wants SASL does.
                FailureCause::Disconnected
                    if failed.maybe_applied && self.refresh.failures >= LOST_UNTOLD =>
                {
                    Some(failed.error)
                }
                // Whole failed rounds are told of where brokers are looked for.
                FailureCause::Disconnected | FailureCause::Closed => None,
                FailureCause::TimedOut | FailureCause::Unsupported => Some(failed.error),
            }),
        }
    }

    /// Says whether all that was asked for is known now.
    fn take_in(
        &mut self,
        response: Response,
        asked: &[TopicHandle],
        scope: Scope,
    ) -> Result<bool, Error> {
        let version = response.version;
        let node = response.node;
        let (mut response, held) = self.decode::<MetadataRequest>(response)?;
        self.throttle(&held, response.throttle_time_ms);
        let at = |error: Error| match node {
            Some(node) => error.at_broker(Peer::Broker(node)).in_step(Step::Metadata),
            None => error.in_step(Step::Metadata),
        };
        let checked = self.check(&response).map_err(at);
        let change = checked.map(|()| {
            if scope == Scope::All {
                self.take_listing(&mut response, asked);
            }
            self.name_ids(&response);
            let change = self.metadata.apply(&response, version, asked, self.now);
            self.relocate_brokers();
            change
        });
        drop(response);
        self.release(held);
        let change = change?;
        self.refresh.equivalents = match change.news {
            true => 0,
            false => self.refresh.equivalents.saturating_add(1),
        };
        let brokers = self.metadata.brokers().count();
        let topics = self.metadata.wanted().count();
        self.actions
            .push_back(Output::Diagnostic(Diagnostic::MetadataUpdated {
                brokers,
                topics,
            }));
        self.events.push_back(Queued::Event(ClusterEvent::Metadata));
        Ok(!change.incomplete)
    }

    /// An answer about all topics: what it does not name does not exist.
    fn take_listing(&mut self, response: &mut MetadataResponse, asked: &[TopicHandle]) {
        let named = |topic: &MetadataResponseTopic| {
            let name = topic.name.as_ref()?;
            Some((Arc::from(name.as_str()), topic.is_internal))
        };
        let all: Vec<(Arc<str>, bool)> = response.topics.iter().filter_map(named).collect();
        let all = sorted(all, &Ord::cmp);
        let is_missing = |name: &Str| {
            let found = all.binary_search_by(|(own, _)| (**own).cmp(name.as_str()));
            found.is_err()
        };
        let asked = asked.iter().filter_map(|topic| self.metadata.topic(*topic));
        let missing = asked
            .map(|topic| &topic.name)
            .filter(|name| is_missing(name));
        let missing = missing.map(|name| MetadataResponseTopic {
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0,
            name: Some(name.clone()),
            ..MetadataResponseTopic::default()
        });
        let missing: Vec<MetadataResponseTopic> = missing.collect();
        response.topics.extend(missing);
        let now = all.into_iter().filter(|(_, is_internal)| !is_internal);
        let now: Vec<Arc<str>> = now.map(|(name, _)| name).collect();
        match &mut self.refresh.listing {
            // Nobody wants to know any more.
            Listing::Unwanted => {}
            listing @ Listing::Awaited => {
                *listing = Listing::Known {
                    names: now,
                    edition: 0,
                };
            }
            Listing::Known { names, edition } => {
                *edition = edition.wrapping_add(u64::from(*names != now));
                *names = now;
            }
        }
    }

    /// The topics that were asked for by their ids have names from here on.
    fn name_ids(&mut self, response: &MetadataResponse) {
        for topic in &response.topics {
            if let Some(name) = topic.name.as_ref().filter(|_| topic.error_code == 0)
                && self.refresh.ids.remove(&topic.topic_id).is_some()
            {
                self.metadata.want(name, self.now);
            }
        }
    }

    /// Whether an answer may be taken in at all.
    fn check(&mut self, response: &MetadataResponse) -> Result<(), Error> {
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::REBOOTSTRAP_REQUIRED => {
                self.rebootstrap();
                return Err(Error::new(ErrorKind::Broker(
                    ErrorCode::REBOOTSTRAP_REQUIRED,
                )));
            }
            code => return Err(Error::new(ErrorKind::Broker(code))),
        }
        if response.brokers.is_empty() {
            return Err(
                Error::new(ErrorKind::Protocol).with_detail("metadata that names no broker")
            );
        }
        let partitions = response
            .topics
            .iter()
            .fold(0_usize, |sum, t| sum.saturating_add(t.partitions.len()));
        if response.brokers.len() > BROKERS_MAX || partitions > PARTITIONS_MAX {
            return Err(Error::new(ErrorKind::Protocol).with_detail(format!(
                "metadata of {} brokers and {partitions} partitions is over the limit of {BROKERS_MAX} and {PARTITIONS_MAX}",
                response.brokers.len(),
            )));
        }
        let size = self.metadata.size_after(response);
        let more = size.saturating_sub(self.refresh.charged);
        if !self.budget.take(Category::Metadata, more) {
            let free = self.budget.free(Category::Metadata);
            return Err(Error::new(ErrorKind::BufferFull { needed: more, free })
                .with_detail("metadata does not fit into memory.budget")
                .with_hint("raise memory.budget"));
        }
        self.budget.give_back(
            Category::Metadata,
            self.refresh.charged.saturating_sub(size),
        );
        self.refresh.charged = size;
        Ok(())
    }

    fn refreshed(&mut self, full: bool, complete: bool) {
        self.refresh.failures = 0;
        self.refresh.failing_since = None;
        let wait = self
            .settings
            .retry
            .after(self.refresh.equivalents, &mut self.random);
        self.refresh.not_before = self.now + wait;
        self.refresh.wanted |= !complete;
        if full {
            if let Some(timer) = self.refresh.age_timer.take() {
                self.timers.disarm(timer);
            }
            let at = self.now + self.settings.metadata_max_age;
            self.refresh.age_timer = Some(self.timers.arm(at, Timer::MetadataAge));
        }
    }

    fn refresh_failed(&mut self, error: Option<Error>) {
        let wait = self
            .settings
            .retry
            .after(self.refresh.failures, &mut self.random);
        self.refresh.failures = self.refresh.failures.saturating_add(1);
        self.refresh.not_before = self.now + wait;
        self.refresh.wanted = true;
        let since = *self.refresh.failing_since.get_or_insert(self.now);
        if self.now.since(since) >= REBOOTSTRAP_AFTER {
            self.rebootstrap();
        }
        if let Some(error) = error {
            self.events
                .push_back(Queued::Event(ClusterEvent::NoBroker { error }));
        }
    }

    /// Forgets where the brokers are and starts from the configured servers again (KIP-899, KIP-1102). Leaders and
    /// epochs stay known.
    fn rebootstrap(&mut self) {
        self.refresh.failing_since = None;
        self.metadata.forget_brokers();
        self.relocate_brokers();
    }

    /// Slots of brokers that moved, left or came follow.
    fn relocate_brokers(&mut self) {
        let keys: Vec<SlotKey> = self.slots.keys().copied().collect();
        for key in keys {
            if let Peer::Broker(node) = key.peer {
                let location = location(&self.metadata, node);
                self.relocate(key, location);
            }
        }
        self.unrouted_changed = true;
    }

    /// A newer leader, as a response to Produce or Fetch named it (KIP-951); says whether it was news. The caller
    /// asks for a refresh all the same.
    pub(crate) fn apply_leader_hint(
        &mut self,
        topic: TopicHandle,
        partition: i32,
        leader: NodeId,
        epoch: i32,
        endpoint: Option<(Host, u16)>,
    ) -> bool {
        if let Some((host, port)) = endpoint {
            self.learn_broker(leader, host, port);
        }
        let news = self.metadata.apply_hint(topic, partition, leader, epoch);
        if news {
            self.events.push_back(Queued::Event(ClusterEvent::Metadata));
        }
        news
    }

    /// Learns where a broker is that metadata has not named yet.
    pub(crate) fn learn_broker(&mut self, node: NodeId, host: Host, port: u16) {
        if self.metadata.broker(node).is_none() && node.0 >= 0 && port != 0 {
            self.metadata.learn_broker(node, host, port);
            self.relocate_brokers();
        }
    }

    /// No more questions: the client is closing.
    pub(super) fn stop_refreshing(&mut self) {
        self.quiet();
        self.refresh.phase = Phase::Quiet;
        self.refresh.wanted = false;
        self.refresh.new_topics.clear();
        self.refresh.ids.clear();
        self.refresh.new_ids = false;
        if let Some(timer) = self.refresh.age_timer.take() {
            self.timers.disarm(timer);
        }
    }
}

fn location(metadata: &Metadata, node: NodeId) -> Option<Location> {
    metadata.broker(node).map(|broker| Location {
        host: broker.host.clone(),
        port: broker.port,
    })
}
