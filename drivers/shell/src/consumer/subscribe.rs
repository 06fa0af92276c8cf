//! Owns subscribing: with a listener, without, and not any more.
//!
//! Must not know how a group shares partitions out.

use std::future::Future;
use std::sync::Arc;

use klamm::{ConsumerCommand, Error, RebalanceListener, RebalanceReport};

use super::Consumer;
use super::rebalance::{self, Rebalance};

impl Consumer {
    /// Reads topics as a member of the group `group.id`: its members share the partitions out among themselves, again
    /// whenever one comes or goes. Subscribing again replaces the topics of before.
    ///
    /// Each partition begins where the group has committed, or by `auto.offset.reset`. With `enable.auto.commit`, which is
    /// the default, what was handed out before the current read is committed every `auto.commit.interval.ms`, before
    /// partitions go, and by [`close`](Self::close). The consumer stays a member whatever the application does, but if it
    /// does not come for its records for `max.poll.interval.ms`: then the next read tells so
    /// ([`ErrorKind::PollIntervalExceeded`](klamm::ErrorKind::PollIntervalExceeded)), and joins again.
    ///
    /// Where several tasks read from one consumer, a read of one of them counts what the others were handed before as dealt
    /// with: they should set `enable.auto.commit=false` and [`commit_offsets`](Self::commit_offsets) of what each has done.
    ///
    /// # Errors
    /// There is no `group.id` ([`ErrorKind::NoGroupId`](klamm::ErrorKind::NoGroupId)), a name cannot be, partitions are
    /// assigned by hand, or the consumer is closed. Nothing changes. Trouble with the group is told by the next read.
    pub fn subscribe(&self, topics: &[&str]) -> Result<(), Error> {
        let listener = RebalanceListener::Told;
        self.subscribed(ConsumerCommand::Subscribe { topics, listener })
    }

    /// Reads all topics that match `pattern`, now and later, but the internal ones, as [`subscribe`](Self::subscribe) does
    /// those that are named. What a pattern may say: [`TopicPattern`](klamm::TopicPattern). By the consumer protocol (KIP-848)
    /// the coordinator matches; by the classic one this client does, every `metadata.max.age.ms`.
    ///
    /// ```no_run
    /// # fn example(consumer: &klamm_shell::Consumer) -> Result<(), klamm_shell::Error> {
    /// consumer.subscribe_pattern(r"orders-(eu|us)-\d+")
    /// # }
    /// ```
    ///
    /// # Errors
    /// The text is no pattern ([`ErrorKind::Misuse`](klamm::ErrorKind::Misuse)), and as [`subscribe`](Self::subscribe).
    pub fn subscribe_pattern(&self, pattern: &str) -> Result<(), Error> {
        let listener = RebalanceListener::Told;
        self.subscribed(ConsumerCommand::SubscribePattern { pattern, listener })
    }

    fn subscribed(&self, command: ConsumerCommand<'_>) -> Result<(), Error> {
        self.shared().step(|state, after, now| {
            state.done(command, now)?;
            state.role.rebalances.unlisten(after);
            Ok(())
        })
    }

    /// The same, where partitions come and go only when `listener` is done with them. It runs in a task of its own, one
    /// call after the other, and may take up to `max.poll.interval.ms`; after that, or if it panics, everything is lost.
    ///
    /// ```no_run
    /// # fn example(consumer: &klamm_shell::Consumer) -> Result<(), klamm_shell::Error> {
    /// use klamm_shell::RebalanceKind;
    ///
    /// consumer.subscribe_with(&["letters"], |rebalance| async move {
    ///     match rebalance.kind() {
    ///         RebalanceKind::Assigned => println!("new here: {:?}", rebalance.partitions()),
    ///         RebalanceKind::Revoked => println!("soon gone: {:?}", rebalance.partitions()),
    ///         RebalanceKind::Lost(why) => println!("lost: {why}"),
    ///     }
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`subscribe`](Self::subscribe).
    pub fn subscribe_with<F>(
        &self,
        topics: &[&str],
        listener: impl FnMut(Rebalance) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let asked = RebalanceListener::Asked;
        let command = ConsumerCommand::Subscribe {
            topics,
            listener: asked,
        };
        self.listened(command, listener)
    }

    /// [`subscribe_pattern`](Self::subscribe_pattern) with a listener, as [`subscribe_with`](Self::subscribe_with) has one.
    ///
    /// # Errors
    /// See [`subscribe_pattern`](Self::subscribe_pattern).
    pub fn subscribe_pattern_with<F>(
        &self,
        pattern: &str,
        listener: impl FnMut(Rebalance) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let asked = RebalanceListener::Asked;
        let command = ConsumerCommand::SubscribePattern {
            pattern,
            listener: asked,
        };
        self.listened(command, listener)
    }

    fn listened<F>(
        &self,
        command: ConsumerCommand<'_>,
        listener: impl FnMut(Rebalance) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let number = self.shared().step(|state, after, now| {
            state.done(command, now)?;
            Ok::<_, Error>(state.role.rebalances.listen(after))
        })?;
        let shared = Arc::clone(self.shared());
        (self.spawn)(Box::pin(rebalance::listen(shared, number, listener)));
        Ok(())
    }

    /// The rebalances that this member went through since the last time this was asked, the last hundred at the most: why,
    /// what went and came, and how long each part took.
    #[must_use]
    pub fn take_rebalances(&self) -> Vec<RebalanceReport> {
        self.shared().lock().role.take_reports()
    }

    /// Leaves the group, once partitions are let go of as in a rebalance. Then partitions can be assigned by hand.
    ///
    /// # Errors
    /// The consumer is closed, or never had a group.
    pub fn unsubscribe(&self) -> Result<(), Error> {
        self.shared().step(|state, _, now| {
            let listener = RebalanceListener::Told;
            let topics = &[];
            state.done(ConsumerCommand::Subscribe { topics, listener }, now)
        })
    }
}
