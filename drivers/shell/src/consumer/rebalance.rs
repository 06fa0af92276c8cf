//! Owns the rebalance listener: the task that it runs in, what it is told, and what it may do meanwhile.
//!
//! Must not know why a group rebalances.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use klamm::{
    ConsumerCommand, Error, Instant, OffsetAndMetadata, RebalanceId, RebalanceKind, Start,
    TopicPartition,
};

use super::commit::{CommitError, commit_offsets};
use super::hub::ConsumerHub;
use crate::after::After;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// A task without its type.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks, so that no user's type names the runtime.
pub(super) type Spawn = Box<dyn Fn(Task) + Send + Sync>;

pub(super) fn spawn_on(runtime: impl Runtime) -> Spawn {
    Box::new(move |task| runtime.spawn(task))
}

/// What the engine says of a rebalance.
pub(super) struct Notice {
    pub(super) id: RebalanceId,
    pub(super) kind: RebalanceKind,
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) deadline: Option<Instant>,
}

/// Who is told of rebalances.
#[derive(Default)]
enum Audience {
    /// Nobody.
    #[default]
    None,
    /// The listener of the latest subscription that has one.
    Listener { number: u64, waker: Option<Waker> },
    /// There will be no more.
    Stopped,
}

/// What was not told yet.
#[derive(Default)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    audience: Audience,
    listeners: u64,
}

impl Notices {
    pub(super) fn push(&mut self, notice: Notice) {
        match self.audience {
            Audience::Listener { .. } => self.waiting.push_back(notice),
            Audience::None | Audience::Stopped => {}
        }
    }

    pub(super) fn wake(&mut self, after: &mut After) {
        if let Audience::Listener { waker, .. } = &mut self.audience {
            after.wake(waker.take());
        }
    }

    /// Nobody listens any more.
    pub(super) fn unlisten(&mut self, after: &mut After) {
        self.wake(after);
        self.waiting.clear();
        self.audience = Audience::None;
    }

    /// From here on another one listens.
    pub(super) fn listen(&mut self, after: &mut After) -> u64 {
        self.unlisten(after);
        self.listeners += 1;
        let (number, waker) = (self.listeners, None);
        self.audience = Audience::Listener { number, waker };
        number
    }

    pub(super) fn stop(&mut self, after: &mut After) {
        self.unlisten(after);
        self.audience = Audience::Stopped;
    }

    /// The next one for this listener; `None` once it is not the one any more.
    fn poll(&mut self, own: u64, cx: &Context<'_>, after: &mut After) -> Poll<Option<Notice>> {
        match &mut self.audience {
            Audience::Listener { number, waker } if *number == own => {
                match self.waiting.pop_front() {
                    Some(notice) => Poll::Ready(Some(notice)),
                    None => {
                        after.replace(waker, cx.waker());
                        Poll::Pending
                    }
                }
            }
            Audience::Listener { .. } | Audience::None | Audience::Stopped => Poll::Ready(None),
        }
    }
}

/// What happens to partitions of a subscribed consumer, as its listener is told. It goes on when the listener is done.
///
/// Until then new partitions are not fetched, and partitions that go are still owned: offsets can be committed. Heartbeats
/// go on meanwhile, whatever the listener does.
pub struct Rebalance {
    shared: Arc<Shared<ConsumerHub>>,
    kind: RebalanceKind,
    partitions: Vec<TopicPartition>,
    deadline: Option<Instant>,
}

impl fmt::Debug for Rebalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalance")
            .field("kind", &self.kind)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl Rebalance {
    /// What happens.
    #[must_use]
    pub const fn kind(&self) -> &RebalanceKind {
        &self.kind
    }

    /// To which partitions.
    #[must_use]
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// Until when the listener may take, on the runtime's clock: later, everything is lost. `None`: it is not waited for.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The offset after the last record of a partition that was handed out, batch by batch.
    ///
    /// # Errors
    /// The partition is not assigned (any more).
    pub fn position(&self, partition: &TopicPartition) -> Result<Option<i64>, Error> {
        let state = self.shared.lock();
        state
            .engine()
            .position(&partition.topic, partition.partition)
    }

    /// Begins elsewhere: see [`Consumer::seek`](super::Consumer::seek).
    ///
    /// # Errors
    /// The partition is not assigned (any more), or the offset makes no sense. Nothing changes.
    pub fn seek(&self, partition: &TopicPartition, to: Start) -> Result<(), Error> {
        let TopicPartition { topic, partition } = partition;
        let command = ConsumerCommand::Seek {
            topic,
            partition: *partition,
            to,
        };
        self.shared.step(|state, _, now| {
            state.done(command, now)?;
            state.role.moved();
            Ok(())
        })
    }

    /// Commits offsets: see [`Consumer::commit_offsets`](super::Consumer::commit_offsets).
    ///
    /// Cancel safety: dropped, the commit runs to its end, and its result is not told.
    ///
    /// # Errors
    /// The partitions are lost, the consumer is closed, or not every partition was committed.
    pub async fn commit_offsets(
        &self,
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
    ) -> Result<(), CommitError> {
        commit_offsets(&self.shared, offsets).await
    }
}

/// Calls the listener for one rebalance after the other, for as long as it is the one.
pub(super) async fn listen<F>(
    shared: Arc<Shared<ConsumerHub>>,
    number: u64,
    mut listener: impl FnMut(Rebalance) -> F,
) where
    F: Future<Output = ()>,
{
    let next = |cx: &mut Context<'_>| {
        shared.step(|state, after, _| state.role.rebalances.poll(number, cx, after))
    };
    while let Some(notice) = poll_fn(next).await {
        let Notice {
            id,
            kind,
            partitions,
            deadline,
        } = notice;
        let rebalance = Rebalance {
            shared: Arc::clone(&shared),
            kind,
            partitions,
            deadline,
        };
        listener(rebalance).await;
        if deadline.is_some() {
            shared.step(|state, _, now| {
                // Too late: that was told.
                let _ = state.done(ConsumerCommand::RebalanceDone { id }, now);
                state.role.moved();
            });
        }
    }
}
