//! The step that every client is made of: apply, fire what is due, settle to a fixed point, queue the outputs.
//!
//! Owns the order of outputs and the rule that nothing is left for later. Must not know what any role does.

use alloc::collections::VecDeque;

use crate::cluster::{Answer, Cluster, ClusterEvent, Settings, Token};
use crate::engine::{ConnectionGroup, Input, JobId, JobResult, NodeId, Output, Wake};
use crate::error::Error;
use crate::limits::SETTLE_STEPS_MAX;
use crate::time::{Duration, Instant, UnixMillis};
use crate::timer::RoleTimer;

/// What a client is for: a producer, a consumer. It is called with what happened and acts through the [`Context`].
pub(crate) trait Role {
    /// What the user is told.
    type Event;

    /// A request has come to its end: exactly once for each token that was not abandoned.
    fn on_answer(&mut self, token: Token, answer: Answer, cx: &mut Context<'_, Self::Event>);

    /// A timer of this role has come.
    fn on_timer(&mut self, timer: RoleTimer, cx: &mut Context<'_, Self::Event>);

    /// What is known of topics and leaders was refreshed, or a wanted topic failed.
    fn on_metadata(&mut self, cx: &mut Context<'_, Self::Event>);

    /// A broker that `reach` was asked for can take a request now.
    fn on_reachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        cx: &mut Context<'_, Self::Event>,
    );

    /// An attempt to reach a broker that `reach` was asked for has failed; the next one follows by itself.
    fn on_unreachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        error: &Error,
        cx: &mut Context<'_, Self::Event>,
    );

    /// A whole round over all known servers has failed, or metadata cannot be had: users must learn of it.
    fn on_no_broker(&mut self, error: &Error, cx: &mut Context<'_, Self::Event>);

    /// Work given away is done.
    fn on_job(&mut self, id: JobId, result: JobResult, cx: &mut Context<'_, Self::Event>);

    /// Memory was given back since something was refused for lack of it.
    fn on_budget_freed(&mut self, cx: &mut Context<'_, Self::Event>);

    /// After `Cluster::close`: the last connection is gone.
    fn on_closed(&mut self, cx: &mut Context<'_, Self::Event>) {
        let _ = cx;
    }
}

/// What a role acts through.
#[derive(Debug)]
pub(crate) struct Context<'a, E> {
    pub(crate) cluster: &'a mut Cluster,
    events: &'a mut VecDeque<E>,
}

impl<E> Context<'_, E> {
    /// Tells the user, in order with all actions.
    pub(crate) fn emit(&mut self, event: E) {
        self.cluster.mark_event();
        self.events.push_back(event);
    }

    pub(crate) const fn now(&self) -> Instant {
        self.cluster.now()
    }
}

/// A role on its cluster.
#[derive(Debug)]
pub(crate) struct Client<R: Role> {
    pub(crate) role: R,
    pub(crate) cluster: Cluster,
    /// The events of which the marks lie among the cluster's actions.
    events: VecDeque<R::Event>,
    /// How much of the budget was in use when something was refused.
    short_at: Option<usize>,
}

impl<R: Role> Client<R> {
    pub(crate) fn new(
        role: R,
        settings: Settings,
        entropy: [u8; 32],
        now: Instant,
        wall: UnixMillis,
    ) -> Self {
        Self {
            role,
            cluster: Cluster::new(settings, entropy, now, wall),
            events: VecDeque::new(),
            short_at: None,
        }
    }

    /// Applies a fact, fires what is due, and settles.
    pub(crate) fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.cluster.advance(now);
        match input {
            Input::Received { conn, mut data } => loop {
                let taken = self.cluster.handle(Input::Received { conn, data });
                self.settle();
                data = data.get(taken..).unwrap_or_default();
                if data.is_empty() {
                    break;
                }
            },
            Input::Resolved { .. }
            | Input::Connected { .. }
            | Input::Sent { .. }
            | Input::Closed { .. }
            | Input::JobDone { .. }
            | Input::Timeout { .. } => {
                self.cluster.handle(input);
                self.settle();
            }
        }
    }

    /// Carries out a command, fires what is due, and settles.
    #[inline]
    pub(crate) fn step<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut R, &mut Context<'_, R::Event>) -> T,
    ) -> T {
        self.cluster.advance(now);
        let mut cx = Context {
            cluster: &mut self.cluster,
            events: &mut self.events,
        };
        let reply = act(&mut self.role, &mut cx);
        if !self.is_settled() {
            self.settle();
        }
        reply
    }

    #[inline]
    fn is_settled(&self) -> bool {
        self.cluster.is_settled() && !self.cluster.budget_changed(self.short_at)
    }

    /// Runs inner effects to a fixed point. Fuel ends what would never end.
    fn settle(&mut self) {
        for _ in 0..SETTLE_STEPS_MAX {
            if let Some(event) = self.cluster.next_event() {
                self.dispatch(event);
            } else if self.cluster.budget_freed(&mut self.short_at) {
                let (role, mut cx) = self.split();
                role.on_budget_freed(&mut cx);
            } else {
                return;
            }
        }
        debug_assert!(false, "a step that does not come to rest");
    }

    fn split(&mut self) -> (&mut R, Context<'_, R::Event>) {
        (
            &mut self.role,
            Context {
                cluster: &mut self.cluster,
                events: &mut self.events,
            },
        )
    }

    fn dispatch(&mut self, event: ClusterEvent) {
        let (role, mut cx) = self.split();
        let cx = &mut cx;
        match event {
            ClusterEvent::Answer { token, answer } => role.on_answer(token, answer, cx),
            ClusterEvent::Timer(timer) => role.on_timer(timer, cx),
            ClusterEvent::Metadata => role.on_metadata(cx),
            ClusterEvent::Reachable { node, group } => role.on_reachable(node, group, cx),
            ClusterEvent::Unreachable { node, group, error } => {
                role.on_unreachable(node, group, &error, cx)
            }
            ClusterEvent::NoBroker { error } => role.on_no_broker(&error, cx),
            ClusterEvent::Job { id, result } => role.on_job(id, result, cx),
            ClusterEvent::Closed => {
                role.on_closed(cx);
                // Whatever the role was going to do, there is nobody left to do it with.
                cx.cluster.disarm_all();
            }
        }
    }

    /// Pops one output.
    pub(crate) fn poll_output(&mut self) -> Output<R::Event> {
        loop {
            return match self.cluster.next_action() {
                Some(Output::Resolve { id, host, port }) => Output::Resolve { id, host, port },
                Some(Output::Open {
                    conn,
                    peer,
                    group,
                    host,
                    port,
                    addr,
                }) => Output::Open {
                    conn,
                    peer,
                    group,
                    host,
                    port,
                    addr,
                },
                Some(Output::Write { conn, data }) => Output::Write { conn, data },
                Some(Output::Close { conn, mode }) => Output::Close { conn, mode },
                Some(Output::Work { id, job }) => Output::Work { id, job },
                Some(Output::Diagnostic(diagnostic)) => Output::Diagnostic(diagnostic),
                Some(Output::Event(())) => match self.events.pop_front() {
                    Some(event) => Output::Event(event),
                    None => continue,
                },
                Some(Output::Idle(_)) => continue,
                None => Output::Idle(self.wake()),
            };
        }
    }

    fn wake(&self) -> Option<Wake> {
        let wake = self.cluster.wake()?;
        // Always later than now: what was due has fired, unless fuel ran out.
        let at = wake.at.max(self.cluster.now() + Duration::from_nanos(1));
        Some(Wake { at, ..wake })
    }

    /// Whether a driver that sleeps until `armed` must be woken.
    pub(crate) fn needs_drive(&self, armed: Option<Instant>) -> bool {
        if self.cluster.has_actions() {
            return true;
        }
        match (self.cluster.next_deadline(), armed) {
            (Some(next), Some(armed)) => next < armed,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests;
