//! Owns the subscription to topics, and with it whether this consumer is to be a member of its group: from when on, and
//! whether anybody is there to read.
//!
//! Must not know how one becomes a member, nor what follows for the partitions.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::assignment::check_name;
use super::committed::no_group;
use super::rebalance::After;
use super::role::{ConsumerRole, Cx, Life, Reader, timers};
use super::subscription::{Presence, SubscribedBy, Subscription, Topics};
use super::types::RebalanceListener;
use crate::collections::gather;
use crate::engine::TopicHandle;
use crate::error::{Error, ErrorKind};
use crate::group::{Departure, Group, RebalanceCause};
use crate::time::Instant;
use crate::timer::{RoleTimer, TimerId};
use crate::topic_pattern::TopicPattern;

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
        self.check_subscription()?;
        for topic in topics {
            check_name(topic, 0)?;
        }
        if topics.is_empty() {
            self.unsubscribe(cx);
            return Ok(());
        }
        self.listener = listener;
        let want = |topic: &&str| ((*topic).into(), cx.cluster.want_topic(topic));
        let names = gather(topics.iter().map(want));
        self.subscribe_by(SubscribedBy::Names, names, cx);
        Ok(())
    }

    /// The same, of all topics that match.
    ///
    /// # Errors
    /// The text is no pattern, and as [`subscribe`](Self::subscribe). Nothing changes.
    pub(super) fn subscribe_pattern(
        &mut self,
        pattern: &str,
        listener: RebalanceListener,
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_subscription()?;
        let unreadable = |error| Error::new(ErrorKind::Misuse).with_detail(error);
        let pattern = TopicPattern::parse(pattern).map_err(unreadable)?;
        self.listener = listener;
        let by = SubscribedBy::Pattern(pattern);
        // Of the same pattern, what has matched goes on to.
        let matched = match self.subscription.topics() {
            Some(topics) if topics.by == by => topics.names.clone(),
            Some(_) | None => BTreeMap::new(),
        };
        self.subscribe_by(by, matched, cx);
        Ok(())
    }

    fn check_subscription(&self) -> Result<(), Error> {
        self.check_open()?;
        if self.group.is_none() {
            return Err(no_group());
        }
        if let Subscription::Manual = self.subscription {
            return Err(Error::new(ErrorKind::Misuse)
                .with_detail("partitions are assigned by hand")
                .with_hint("assign none before subscribing"));
        }
        Ok(())
    }

    fn subscribe_by(
        &mut self,
        by: SubscribedBy,
        names: BTreeMap<Arc<str>, TopicHandle>,
        cx: &mut Cx<'_>,
    ) {
        if by == SubscribedBy::Names {
            cx.cluster.list_topics(false);
        }
        let before = self.subscription.topics();
        let cause = match before {
            Some(before) if before.names == names && before.by == by => None,
            Some(_) => Some(RebalanceCause::SubscriptionChanged),
            None => Some(RebalanceCause::Subscribed),
        };
        let since = cx.now();
        let left = before
            .map(|before| before.names.clone())
            .unwrap_or_default();
        match &mut self.subscription {
            Subscription::Topics(topics) => {
                (topics.by, topics.names) = (by, names);
                topics.presence = Presence::Reading { last: cx.now() };
            }
            Subscription::None | Subscription::Manual => {
                self.subscription = Subscription::Topics(Topics {
                    by,
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
    }

    /// Where the members share out, each has to say which topics match its pattern: whether that is known.
    pub(super) fn has_matched(&mut self, cx: &mut Cx<'_>) -> bool {
        let here = self.group.as_ref().is_some_and(Group::matches_here);
        let Some(pattern) = self.subscription.topics().and_then(Topics::pattern) else {
            return true;
        };
        cx.cluster.list_topics(here);
        let Some((_, listed)) = cx.cluster.listed_topics().filter(|_| here) else {
            return !here;
        };
        let matching = listed.iter().filter(|name| pattern.matches(name));
        let matching: Vec<Arc<str>> = matching.cloned().collect();
        let want = |name: Arc<str>| {
            let topic = cx.cluster.want_topic(&name);
            (name, topic)
        };
        let names = gather(matching.into_iter().map(want));
        let topics = self.subscription.topics_mut();
        let left = topics.map(|topics| core::mem::replace(&mut topics.names, names));
        for topic in left.unwrap_or_default().into_values() {
            self.forget_if_unused(topic, cx);
        }
        true
    }

    /// Topics may have come and gone: the member joins again if others match now.
    pub(super) fn match_again(&mut self, cx: &mut Cx<'_>) {
        let (Some(topics), Some((edition, listed)), Some(group)) = (
            self.subscription.topics(),
            cx.cluster.listed_topics(),
            &mut self.group,
        ) else {
            return;
        };
        // Who is about to join matches anyway, or will be asked again once it has.
        let is_news = group.member().standing().is_some()
            && self.matched_edition.replace(edition) != Some(edition);
        let Some(pattern) = topics.pattern().filter(|_| is_news) else {
            return;
        };
        let matching = listed.iter().filter(|name| pattern.matches(name));
        if !matching.eq(topics.names.keys()) {
            group.want_member(RebalanceCause::TopicsChanged);
        }
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
        cx.cluster.list_topics(false);
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
