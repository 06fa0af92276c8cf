//! Owns the subscription to topics, and with it whether this consumer is to be a member of its group: from when on, and
//! whether anybody is there to read.
//!
//! Must not know how one becomes a member, nor what follows for the partitions.

use alloc::collections::BTreeMap;

use super::assignment::check_name;
use super::committed::no_group;
use super::rebalance::After;
use super::role::{ConsumerRole, Cx, Life, Reader, timers};
use super::subscription::{Presence, Subscription, Topics};
use super::types::RebalanceListener;
use crate::collections::gather;
use crate::error::{Error, ErrorKind};
use crate::group::{Departure, RebalanceCause};
use crate::time::Instant;
use crate::timer::{RoleTimer, TimerId};

impl ConsumerRole {
    /// Reads what the group gives this member of these topics.
    ///
    /// # Errors
    /// There is no group, a name cannot be, partitions are assigned by hand, or the consumer is closed. Nothing changes.
    pub(super) fn subscribe(
        &mut self,
        topics: &[&str],
        listener: RebalanceListener,
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_open()?;
        if self.group.is_none() {
            return Err(no_group());
        }
        for topic in topics {
            check_name(topic, 0)?;
        }
        if let Subscription::Manual = self.subscription {
            return Err(Error::new(ErrorKind::Misuse)
                .with_detail("partitions are assigned by hand")
                .with_hint("assign none before subscribing"));
        }
        if topics.is_empty() {
            self.unsubscribe(cx);
            return Ok(());
        }
        self.listener = listener;
        let names: BTreeMap<_, _> = gather(
            topics
                .iter()
                .map(|topic| ((*topic).into(), cx.cluster.want_topic(topic))),
        );
        let before = self.subscription.topics();
        let cause = match before {
            Some(before) if before.names == names => None,
            Some(_) => Some(RebalanceCause::SubscriptionChanged),
            None => Some(RebalanceCause::Subscribed),
        };
        let since = cx.now();
        let left = before
            .map(|before| before.names.clone())
            .unwrap_or_default();
        match &mut self.subscription {
            Subscription::Topics(topics) => {
                topics.names = names;
                topics.presence = Presence::Reading { last: cx.now() };
            }
            Subscription::None | Subscription::Manual => {
                self.subscription = Subscription::Topics(Topics {
                    names,
                    presence: Presence::Reading { last: since },
                    since,
                    reader_timer: self.watch_reader(since + self.settings.max_poll_interval, cx),
                    commit_timer: self.watch_covered(cx),
                });
            }
        }
        for topic in left.into_values() {
            self.forget_if_unused(topic, cx);
        }
        if let Some(group) = &mut self.group {
            match cause {
                Some(cause) => group.want_member(cause),
                // The way back after the membership has failed for good.
                None if group.member().failure().is_some() => {
                    group.want_member(RebalanceCause::Subscribed)
                }
                None => {}
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, cx: &mut Cx<'_>) {
        let Subscription::Topics(topics) =
            core::mem::replace(&mut self.subscription, Subscription::None)
        else {
            return;
        };
        cx.cluster.disarm(topics.reader_timer);
        if let Some(timer) = topics.commit_timer {
            cx.cluster.disarm(timer);
        }
        self.leave_group("the consumer has unsubscribed", cx);
        for topic in topics.names.into_values() {
            self.forget_if_unused(topic, cx);
        }
    }

    /// Lets go of everything, and of the membership.
    pub(super) fn leave_group(&mut self, reason: &'static str, cx: &mut Cx<'_>) {
        self.stop_asking(cx);
        let all = self.assigned.taken();
        self.release(all, After::Leave(reason), cx);
    }

    /// The application comes for records: what was handed out until now has been dealt with.
    pub(super) const fn begin_poll(&mut self) {
        self.polls = self.polls.wrapping_add(1);
    }

    /// Somebody reads.
    #[inline]
    pub(super) fn on_read(&mut self, now: Instant) {
        if let Some(topics) = self.subscription.topics_mut() {
            let before = core::mem::replace(&mut topics.presence, Presence::Reading { last: now });
            if before == Presence::Away {
                self.want_member_if_present();
            }
        }
    }

    /// There is something to be read for somebody who waits.
    #[inline]
    pub(super) const fn on_served(&mut self, now: Instant) {
        if let Some(topics) = self.subscription.topics_mut()
            && let Presence::Reading { last } = &mut topics.presence
        {
            *last = now;
        }
    }

    /// A subscription is a wish to be a member, unless nobody is there to read or the consumer closes.
    pub(super) fn want_member_if_present(&mut self) {
        let present = |topics: &Topics| topics.presence != Presence::Away;
        if let (true, true, Some(group)) = (
            self.subscription.topics().is_some_and(present),
            self.life == Life::Open,
            &mut self.group,
        ) {
            group.want_member(RebalanceCause::Subscribed);
        }
    }

    /// Has the reader looked after.
    fn watch_reader(&self, at: Instant, cx: &mut Cx<'_>) -> TimerId {
        let timer = RoleTimer {
            kind: timers::READER,
            index: 0,
            why: "max.poll.interval.ms is over if nobody has read",
        };
        cx.cluster.arm(at, timer)
    }

    /// Looks whether anybody came for what is there to be read. Who waits for records is there.
    pub(super) fn on_reader_timer(&mut self, cx: &mut Cx<'_>) {
        let Some(topics) = self.subscription.topics() else {
            return;
        };
        let interval = self.settings.max_poll_interval;
        let due = match (self.reader, topics.presence) {
            (Reader::Waiting, _) | (Reader::Served, Presence::Away) => cx.now() + interval,
            (Reader::Served, Presence::Reading { last }) => last + interval,
        };
        let is_over = due <= cx.now();
        if is_over {
            self.go_away("nobody has read for max.poll.interval.ms", cx);
        }
        let next = match is_over {
            true => cx.now() + interval,
            false => due,
        };
        let timer = self.watch_reader(next, cx);
        if let Some(topics) = self.subscription.topics_mut() {
            topics.reader_timer = timer;
        }
    }

    /// The application does not keep up: the group goes on without it until it reads again (KIP-62).
    pub(super) fn go_away(&mut self, reason: &'static str, cx: &mut Cx<'_>) {
        let after = self.settings.max_poll_interval;
        let error = Error::new(ErrorKind::PollIntervalExceeded { after })
            .with_detail(reason)
            .with_hint("read more often, raise max.poll.interval.ms, or take less work at a time");
        if let Some(topics) = self.subscription.topics_mut() {
            topics.presence = Presence::Away;
        }
        if let Some(group) = &mut self.group {
            group.leave(reason, Departure::Unattended, cx.cluster);
        }
        // Nobody may be there to answer either: it is told, and not waited for.
        self.drop_all(error.clone(), cx);
        self.problem(error, cx);
    }
}
