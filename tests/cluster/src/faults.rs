//! Owns the faults that were asked for: which requests they meet, how often, and what they do.
//!
//! Must not know how a request is served; handlers ask what to answer, the dispatcher what to do.

use std::collections::BTreeMap;

use klamm::{ApiKey, Duration, ErrorCode};

use crate::NodeId;
use crate::connection::ConnectionKey;
use crate::topology::TopicRef;

/// Names a fault, to [remove](crate::Cluster::remove_fault) it or to ask how often it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(u64);

/// Where in a response an error code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of the response as a whole.
    Top,
    /// Of a topic, or a group or coordinator key where those are what the request names.
    Topic,
    /// Of a partition.
    Partition,
}

/// Whether a fault comes before the request takes effect, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request has no effect.
    Before,
    /// The request has its effect, and only its answer suffers.
    After,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Answer(ErrorCode, Level, Moment),
    Close(Moment),
    Silence(Moment),
    Delay(Duration, Moment),
}

/// Which requests a fault meets.
#[derive(Clone, Debug)]
struct Matcher {
    api: ApiKey,
    broker: Option<NodeId>,
    connection: Option<ConnectionKey>,
    topic: Option<String>,
    partition: Option<i32>,
}

#[derive(Clone, Debug)]
struct Fault {
    matcher: Matcher,
    skip: u64,
    /// How often it still happens; `None`: always.
    left: Option<u64>,
    action: Action,
    hits: u64,
}

/// All faults, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    faults: BTreeMap<FaultId, Fault>,
    asked: u64,
}

/// What a request meets, as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) closes: Option<Moment>,
    pub(crate) silences: Option<Moment>,
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    pub(crate) answers: Answers,
}

/// The errors that a request is to be answered with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    answers: Vec<Answer>,
    /// Errors that were decided for partitions of a request that may have to wait.
    settled: Vec<(TopicRef, i32, ErrorCode)>,
}

#[derive(Clone, Debug)]
struct Answer {
    fault: FaultId,
    error: ErrorCode,
    level: Level,
    moment: Moment,
    topic: Option<String>,
    partition: Option<i32>,
    used: bool,
}

impl Answers {
    pub(crate) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Decides the error of a partition.
    pub(crate) fn settle(&mut self, topic: &TopicRef, index: i32, error: ErrorCode) {
        self.settled.push((topic.clone(), index, error));
    }

    /// The error that was decided for a partition.
    pub(crate) fn settled(&self, topic: &TopicRef, index: i32) -> Option<ErrorCode> {
        let settled = self.settled.iter();
        let mut found = settled.filter(|(name, place, _)| name == topic && *place == index);
        found.next().map(|(_, _, error)| *error)
    }

    fn find(
        &mut self,
        level: Level,
        moment: Moment,
        topic: Option<&str>,
        partition: Option<i32>,
    ) -> Option<ErrorCode> {
        let answer = self.answers.iter_mut().find(|answer| {
            answer.level == level
                && answer.moment == moment
                && (answer.topic.is_none() || answer.topic.as_deref() == topic)
                && (answer.partition.is_none() || answer.partition == partition)
        })?;
        answer.used = true;
        Some(answer.error)
    }

    /// The error of the whole response.
    pub(crate) fn top(&mut self, moment: Moment) -> Option<ErrorCode> {
        self.find(Level::Top, moment, None, None)
    }

    /// The error of `topic`, or of the group or key of that name.
    pub(crate) fn topic(&mut self, moment: Moment, topic: &str) -> Option<ErrorCode> {
        self.find(Level::Topic, moment, Some(topic), None)
    }

    /// The error of `topic` in a request that has no effect, so that before and after are the same.
    pub(crate) fn either_topic(&mut self, topic: &str) -> Option<ErrorCode> {
        self.topic(Moment::Before, topic)
            .or_else(|| self.topic(Moment::After, topic))
    }

    /// The error of a partition in a request that has no effect, so that before and after are the same.
    pub(crate) fn either_partition(&mut self, topic: &str, index: i32) -> Option<ErrorCode> {
        self.partition(Moment::Before, topic, index)
            .or_else(|| self.partition(Moment::After, topic, index))
    }

    /// The error of a partition.
    pub(crate) fn partition(
        &mut self,
        moment: Moment,
        topic: &str,
        index: i32,
    ) -> Option<ErrorCode> {
        self.find(Level::Partition, moment, Some(topic), Some(index))
    }
}

impl Faults {
    fn add(&mut self, fault: Fault) -> FaultId {
        self.asked += 1;
        let id = FaultId(self.asked);
        self.faults.insert(id, fault);
        id
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        self.faults.remove(&id).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn hits(&self, id: FaultId) -> u64 {
        self.faults.get(&id).map_or(0, |fault| fault.hits)
    }

    /// What a request meets: of the faults that are not answers the first, and all answers. Faults of particular
    /// topics count only when [`Faults::used`] hears that one was named.
    pub(crate) fn meet(&mut self, api: ApiKey, broker: NodeId, connection: ConnectionKey) -> Met {
        let mut met = Met::default();
        for (id, fault) in &mut self.faults {
            let matcher = &fault.matcher;
            let meets = matcher.api == api
                && matcher.broker.is_none_or(|wanted| wanted == broker)
                && matcher.connection.is_none_or(|wanted| wanted == connection);
            if !meets {
                continue;
            }
            if let Action::Answer(error, level, moment) = fault.action
                && matcher.topic.is_some()
            {
                if fault.skip == 0 && fault.left != Some(0) {
                    let answer = fault.answer(*id, error, level, moment);
                    met.answers.answers.push(answer);
                }
                continue;
            }
            if !fault.count() {
                continue;
            }
            match fault.action {
                Action::Answer(error, level, moment) => {
                    let answer = fault.answer(*id, error, level, moment);
                    met.answers.answers.push(answer);
                }
                Action::Close(moment) => met.closes = met.closes.or(Some(moment)),
                Action::Silence(moment) => met.silences = met.silences.or(Some(moment)),
                Action::Delay(delay, Moment::Before) => met.delay_before += delay,
                Action::Delay(delay, Moment::After) => met.delay_after += delay,
            }
        }
        met
    }

    /// Counts the faults of particular topics that a request did name.
    pub(crate) fn used(&mut self, answers: &Answers) {
        for answer in &answers.answers {
            if answer.topic.is_some()
                && answer.used
                && let Some(fault) = self.faults.get_mut(&answer.fault)
            {
                fault.count();
            }
        }
    }
}

impl Fault {
    /// Counts one request that matches. Returns whether the fault happens to it.
    fn count(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        self.hits += 1;
        true
    }

    fn answer(&self, fault: FaultId, error: ErrorCode, level: Level, moment: Moment) -> Answer {
        Answer {
            fault,
            error,
            level,
            moment,
            topic: self.matcher.topic.clone(),
            partition: self.matcher.partition,
            used: false,
        }
    }
}

/// A fault being asked for: which requests it meets, and how often. It happens once unless said otherwise.
///
/// Made by [`Cluster::on`](crate::Cluster::on); nothing happens until one of the methods that end it is called.
#[derive(Debug)]
#[must_use = "a fault happens only when it is said what is to happen"]
pub struct Injection<'a> {
    faults: &'a mut Faults,
    matcher: Matcher,
    skip: u64,
    left: Option<u64>,
}

impl<'a> Injection<'a> {
    pub(crate) fn new(faults: &'a mut Faults, api: ApiKey) -> Self {
        Self {
            faults,
            matcher: Matcher {
                api,
                broker: None,
                connection: None,
                topic: None,
                partition: None,
            },
            skip: 0,
            left: Some(1),
        }
    }

    /// Only requests to `broker`.
    pub fn to(mut self, broker: NodeId) -> Self {
        self.matcher.broker = Some(broker);
        self
    }

    /// Only requests on `connection`.
    pub fn over(mut self, connection: ConnectionKey) -> Self {
        self.matcher.connection = Some(connection);
        self
    }

    /// Lets the first `count` requests that match pass.
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// To the next `count` requests that match.
    pub fn times(mut self, count: u64) -> Self {
        self.left = Some(count);
        self
    }

    /// To all requests that match, until it is removed.
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    /// Only in the answer for `topic`, or for the group or key of that name.
    pub fn topic(mut self, topic: &str) -> AnswerInjection<'a> {
        self.matcher.topic = Some(topic.to_owned());
        AnswerInjection(self)
    }

    /// Only in the answer for partition `index` of `topic`.
    pub fn partition(mut self, topic: &str, index: i32) -> AnswerInjection<'a> {
        self.matcher.partition = Some(index);
        self.topic(topic)
    }

    fn add(self, action: Action) -> FaultId {
        self.faults.add(Fault {
            matcher: self.matcher,
            skip: self.skip,
            left: self.left,
            action,
            hits: 0,
        })
    }

    /// Answers `error` at the finest level that the API has, and does nothing that was asked.
    pub fn answer(self, error: ErrorCode) -> FaultId {
        let level = finest_level(self.matcher.api);
        self.answer_at(level, Moment::Before, error)
    }

    /// Does what was asked, and answers `error` nevertheless, at the finest level that the API has.
    pub fn apply_and_answer(self, error: ErrorCode) -> FaultId {
        let level = finest_level(self.matcher.api);
        self.answer_at(level, Moment::After, error)
    }

    /// Answers `error` at `level`. Nothing happens if the response has no error there: see [`levels`].
    pub fn answer_at(self, level: Level, moment: Moment, error: ErrorCode) -> FaultId {
        self.add(Action::Answer(error, level, moment))
    }

    /// Closes the connection instead of answering, before or after the request took effect.
    pub fn drop_connection(self, moment: Moment) -> FaultId {
        self.add(Action::Close(moment))
    }

    /// Never answers, and so reads no further request of the connection either.
    pub fn never_answer(self, moment: Moment) -> FaultId {
        self.add(Action::Silence(moment))
    }

    /// Waits before the request takes effect, or between effect and answer.
    pub fn delay(self, delay: Duration, moment: Moment) -> FaultId {
        self.add(Action::Delay(delay, moment))
    }
}

/// A fault of a particular topic or partition being asked for: it can only be an error code in the answer.
#[derive(Debug)]
#[must_use = "a fault happens only when it is said what is to happen"]
pub struct AnswerInjection<'a>(Injection<'a>);

impl AnswerInjection<'_> {
    /// As [`Injection::answer`].
    pub fn answer(self, error: ErrorCode) -> FaultId {
        self.0.answer(error)
    }

    /// As [`Injection::apply_and_answer`].
    pub fn apply_and_answer(self, error: ErrorCode) -> FaultId {
        self.0.apply_and_answer(error)
    }

    /// As [`Injection::answer_at`].
    pub fn answer_at(self, level: Level, moment: Moment, error: ErrorCode) -> FaultId {
        self.0.answer_at(level, moment, error)
    }
}

/// The levels at which the responses of `api` have error codes (in their newest versions), the finest last.
#[must_use]
pub fn levels(api: ApiKey) -> &'static [Level] {
    match api {
        ApiKey::PRODUCE | ApiKey::LIST_OFFSETS | ApiKey::OFFSET_FOR_LEADER_EPOCH => {
            &[Level::Partition]
        }
        ApiKey::OFFSET_COMMIT | ApiKey::DELETE_RECORDS => &[Level::Partition],
        ApiKey::FETCH => &[Level::Top, Level::Partition],
        ApiKey::METADATA => &[Level::Top, Level::Topic, Level::Partition],
        ApiKey::OFFSET_FETCH => &[Level::Topic, Level::Partition],
        ApiKey::FIND_COORDINATOR
        | ApiKey::DESCRIBE_GROUPS
        | ApiKey::CONSUMER_GROUP_DESCRIBE
        | ApiKey::DELETE_GROUPS => &[Level::Topic],
        ApiKey::CREATE_TOPICS | ApiKey::DELETE_TOPICS | ApiKey::CREATE_PARTITIONS => {
            &[Level::Topic]
        }
        _ => &[Level::Top],
    }
}

fn finest_level(api: ApiKey) -> Level {
    levels(api).last().copied().unwrap_or(Level::Top)
}
