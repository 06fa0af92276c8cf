//! One TCP connection to one peer: its states, the handshake, frames, correlation, what is in flight and for how long.
//!
//! Owns everything that ends with the socket. Must not know topics, roles, routing or any other connection;
//! a request is an [`Outgoing`] and its answer a frame.

mod answer;
mod authentication;
mod handshake;
mod in_flight;
#[cfg(any(test, feature = "models"))]
mod in_flight_model;
mod outbound;
mod outgoing;
mod receive;
mod session;
mod state;
mod versions;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

pub(crate) use answer::{Answer, FailureCause, Held, RequestError, Response};
#[cfg(any(test, feature = "models"))]
pub(crate) use in_flight_model::hold as hold_in_flight;
pub(crate) use outgoing::{Handover, Outgoing, Raw, SendOptions, Token, Typed, step_of};
pub(crate) use versions::Versions;

use crate::budget::{Budget, Category};
use crate::engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Diagnostic, Host, Job, JobResult, NodeId,
    Output, Peer,
};
use crate::error::{Error, ErrorKind, Step};
use crate::limits::{FLUSH_TIMEOUT, FRAME_MAX, FRAME_MAX_HANDSHAKE};
use crate::metrics::{ClientMetrics, count};
use crate::random::Random;
use crate::sasl::{Credentials, Nonces};
use crate::time::{Duration, Instant};
use crate::wire::Str;
use crate::wire::pool::BufferPool;
use handshake::{HandshakeStep, Verdict};
use in_flight::{InFlight, Pending};
use outbound::Outbound;
use outgoing::unencodable;
use receive::{Frame, Receiver};
use state::{Awaited, Closing, Handshaking, Ready, Session, State, Why};

/// What a connection acts on: everything that outlives it.
pub(crate) struct Effects<'a> {
    pub(crate) now: Instant,
    pub(crate) budget: &'a mut Budget,
    pub(crate) pool: &'a mut BufferPool,
    pub(crate) actions: &'a mut VecDeque<Output<()>>,
    pub(crate) reports: &'a mut Vec<Report>,
    pub(crate) random: &'a mut Random,
    pub(crate) nonces: &'a mut Nonces,
    pub(crate) metrics: &'a mut ClientMetrics,
}

/// What a connection has to say to the cluster around it.
#[derive(Debug)]
pub(crate) enum Report {
    /// The handshake is complete.
    Ready,
    /// The connection needs this done; its result goes to [`Connection::on_job`].
    Work { conn: ConnectionId, job: Job },
    /// A request has come to its end.
    Ended {
        token: Option<Token>,
        answer: Answer,
    },
}

/// What all connections of a client have in common.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) client_id: Str,
    pub(crate) max_in_flight: usize,
    pub(crate) max_idle: Duration,
    /// Who the client says it is, where the brokers want to know.
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// Whom a connection is for, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) peer: Peer,
    pub(crate) group: ConnectionGroup,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) addr: Option<SocketAddr>,
}

impl Target {
    /// The peer and where it was looked for, for errors.
    pub(crate) fn name(&self) -> String {
        let Self {
            peer,
            host,
            port,
            addr,
            ..
        } = self;
        match addr {
            Some(addr) if host.as_str().parse() != Ok(addr.ip()) => {
                format!("{peer} ({host}:{port}, {})", addr.ip())
            }
            Some(_) | None => format!("{peer} ({host}:{port})"),
        }
    }
}

/// What is known when a connection is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether requests could ever be sent over it.
    pub(crate) was_ready: bool,
    /// Why it failed; `None` when this client closed it because nobody needed it.
    pub(crate) error: Option<Error>,
}

/// One incarnation of a socket.
#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    target: Target,
    settings: ConnectionSettings,
    setup_timeout: Duration,
    next_correlation: i32,
    outbound: Outbound,
    state: State,
}

impl Connection {
    /// Opens a socket.
    pub(crate) fn open(
        id: ConnectionId,
        target: Target,
        settings: ConnectionSettings,
        setup_timeout: Duration,
        fx: &mut Effects<'_>,
    ) -> Self {
        let Target {
            peer,
            group,
            host,
            port,
            addr,
        } = target.clone();
        count(&mut fx.metrics.connection_creation_total);
        fx.actions
            .push_back(Output::Diagnostic(Diagnostic::Connecting {
                conn: id,
                peer,
                group,
            }));
        fx.actions.push_back(Output::Open {
            conn: id,
            peer,
            group,
            host,
            port,
            addr,
        });
        Self {
            id,
            target,
            settings,
            setup_timeout,
            next_correlation: 0,
            outbound: Outbound::default(),
            state: State::Connecting {
                deadline: fx.now + setup_timeout,
            },
        }
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// The peer's versions, once the handshake is complete.
    pub(crate) const fn versions(&self) -> Option<&Versions> {
        match &self.state {
            State::Ready(ready) => Some(&ready.versions),
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => None,
        }
    }

    /// Whether a request can be sent now.
    pub(crate) fn is_free(&self) -> bool {
        match &self.state {
            State::Ready(ready) => {
                ready.in_flight.len() < self.settings.max_in_flight
                    && ready.muted_until.is_none()
                    && !ready.session.is_being_renewed()
                    && self.outbound.has_room()
            }
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => false,
        }
    }

    /// How busy the connection is, for choosing the least busy; `None` when it is not ready, is muted, or may be
    /// parked at the broker.
    pub(crate) fn load(&self) -> Option<usize> {
        match &self.state {
            State::Ready(ready) if !ready.in_flight.is_parked() && ready.muted_until.is_none() => {
                Some(ready.in_flight.len())
            }
            State::Ready(_)
            | State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => None,
        }
    }

    /// How many requests are not answered; `None` while none can be sent.
    pub(crate) fn in_flight(&self) -> Option<usize> {
        match &self.state {
            State::Ready(ready) => Some(ready.in_flight.len()),
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => None,
        }
    }

    /// Whether it is on its way to be ready.
    pub(crate) const fn is_setting_up(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::Handshaking(_))
    }

    /// Whether nothing is in flight and all that was written has been accepted.
    pub(crate) fn is_quiet(&self) -> bool {
        match &self.state {
            State::Ready(ready) => ready.in_flight.is_empty() && self.outbound.is_flushed(),
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => true,
        }
    }

    /// When the connection must be looked at again, and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.state {
            State::Connecting { deadline } | State::Handshaking(Handshaking { deadline, .. }) => {
                Some((*deadline, "connection setup timeout"))
            }
            State::Ready(ready) => {
                let work = match ready.in_flight.deadline() {
                    Some(at) => (at, "request timeout"),
                    None => (
                        ready.idle_since + self.settings.max_idle,
                        "idle connection closes",
                    ),
                };
                let muted = ready
                    .muted_until
                    .map(|until| (until, "throttling by the broker ends"));
                [Some(work), muted, ready.session.deadline()]
                    .into_iter()
                    .flatten()
                    .min_by_key(|(at, _)| *at)
            }
            State::Closing(closing) => closing
                .abort_at
                .map(|at| (at, "flush at close takes too long")),
            State::Closed => None,
        }
    }

    /// The deadline has come.
    pub(crate) fn on_deadline(&mut self, fx: &mut Effects<'_>) {
        let now = fx.now;
        match &mut self.state {
            State::Connecting { deadline } if *deadline <= now => {
                self.setup_timed_out(Step::Connect, fx)
            }
            State::Handshaking(handshaking) if handshaking.deadline <= now => {
                let step = handshaking.step.step();
                self.setup_timed_out(step, fx);
            }
            State::Ready(ready) => {
                if ready.muted_until.is_some_and(|until| until <= now) {
                    ready.muted_until = None;
                }
                let session_due = ready
                    .session
                    .deadline()
                    .is_some_and(|(deadline, _)| deadline <= now);
                if let Some(overdue) = ready.in_flight.overdue(now).copied() {
                    self.request_timed_out(&overdue, fx);
                } else if ready.in_flight.is_empty()
                    && ready.idle_since + self.settings.max_idle <= now
                {
                    self.close(fx);
                } else if session_due {
                    self.on_session_deadline(fx);
                }
            }
            State::Closing(closing) if closing.abort_at.is_some_and(|at| at <= now) => {
                closing.abort_at = None;
                fx.actions.push_back(Output::Close {
                    conn: self.id,
                    mode: CloseMode::Abort,
                });
            }
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => {}
        }
    }

    fn setup_timed_out(&mut self, step: Step, fx: &mut Effects<'_>) {
        let error = Error::new(ErrorKind::TimedOut { after: self.setup_timeout })
            .in_step(step)
            .with_hint("check that host and port are those of a Kafka listener and that no firewall drops packets, or raise socket.connection.setup.timeout.ms");
        self.fail(error, fx);
    }

    fn request_timed_out(&mut self, overdue: &Pending, fx: &mut Effects<'_>) {
        let error = Error::new(ErrorKind::TimedOut {
            after: overdue.timeout,
        })
        .in_step(step_of(overdue.api))
        .with_detail(format!("{} version {}", overdue.api, overdue.version))
        .with_hint(
            "the broker is overloaded or unreachable; request.timeout.ms says how long to wait",
        );
        self.abort(
            Why::Failed {
                error: error.at_broker(self.target.name()),
                overdue: Some(overdue.correlation),
            },
            fx,
        );
    }

    /// The socket is connected: the first words are spoken.
    pub(crate) fn on_connected(&mut self, fx: &mut Effects<'_>) -> bool {
        match &self.state {
            State::Connecting { deadline } => {
                self.state.move_to_handshaking(Handshaking {
                    deadline: *deadline,
                    step: HandshakeStep::first(self.settings.credentials.as_ref()),
                    awaited: Awaited::Room,
                    session: Session::Endless,
                    receiver: Receiver::default(),
                });
                self.ask(fx);
                true
            }
            State::Closing(_) => true,
            State::Handshaking(_) | State::Ready(_) | State::Closed => false,
        }
    }

    /// Asks the question that the handshake's step has come to.
    fn ask(&mut self, fx: &mut Effects<'_>) {
        let correlation = self.correlation();
        let State::Handshaking(handshaking) = &mut self.state else {
            return;
        };
        let step = &handshaking.step;
        match step.ask(correlation, &self.settings.client_id, fx.pool.take(0)) {
            Ok(frame) => {
                handshaking.awaited = Awaited::Answer { correlation };
                self.outbound.push(self.id, frame, fx.actions);
            }
            Err(error) => {
                let error = Error::new(ErrorKind::Misuse)
                    .with_detail(error)
                    .in_step(step.step());
                self.fail(error, fx);
            }
        }
    }

    fn on_verdict(&mut self, verdict: Result<Verdict, Error>, fx: &mut Effects<'_>) {
        let now = fx.now;
        let State::Handshaking(handshaking) = &mut self.state else {
            return;
        };
        match verdict {
            Ok(Verdict::Ask) => self.ask(fx),
            Ok(Verdict::Work(job)) => {
                handshaking.awaited = Awaited::Job;
                fx.reports.push(Report::Work { conn: self.id, job });
            }
            Ok(Verdict::Authenticated { lifetime }) => {
                handshaking.session = Session::of(lifetime, now, fx.random);
                handshaking.step = HandshakeStep::api_versions();
                self.ask(fx);
            }
            Ok(Verdict::Done {
                versions,
                throttle_time_ms,
            }) => self.become_ready(versions, throttle_time_ms, fx),
            Err(error) => {
                let step = handshaking.step.step();
                self.fail(error.in_step(step), fx);
            }
        }
    }

    /// Work that [`Report::Work`] gave away is done.
    pub(crate) fn on_job(&mut self, result: JobResult, fx: &mut Effects<'_>) {
        match &mut self.state {
            State::Handshaking(handshaking) => {
                let verdict = handshaking.step.on_job(result);
                self.on_verdict(verdict, fx);
            }
            State::Ready(_) => self.on_session_job(result, fx),
            State::Connecting { .. } | State::Closing(_) | State::Closed => {}
        }
    }

    fn correlation(&mut self) -> i32 {
        let correlation = self.next_correlation;
        // The last eight are kept for authentication, as Java keeps them.
        self.next_correlation = match correlation.checked_add(1) {
            Some(next) if next <= i32::MAX - 8 => next,
            Some(_) | None => 0,
        };
        correlation
    }

    /// Takes bytes off the front of `data`, up to the end of one frame; the rest must be handed in again.
    pub(crate) fn on_received(&mut self, data: &mut &[u8], fx: &mut Effects<'_>) {
        let received = match &mut self.state {
            State::Handshaking(handshaking) => {
                let expected = match handshaking.awaited {
                    Awaited::Answer { correlation } => Some(receive::Expected {
                        correlation,
                        allowance: 0,
                    }),
                    Awaited::Room | Awaited::Job => None,
                };
                handshaking.receiver.receive(
                    data,
                    expected,
                    FRAME_MAX_HANDSHAKE,
                    fx.budget,
                    fx.pool,
                )
            }
            State::Ready(ready) => {
                let expected = ready.in_flight.expected();
                let limit = FRAME_MAX.max(expected.map_or(0, |expected| expected.allowance));
                ready
                    .receiver
                    .receive(data, expected, limit, fx.budget, fx.pool)
            }
            // What arrives before `Connected` breaks the driver's contract; what arrives after `Close` is of no use.
            State::Connecting { .. } | State::Closing(_) | State::Closed => {
                *data = &[];
                return;
            }
        };
        match received {
            Ok(None) => {}
            Ok(Some(frame)) => self.on_frame(frame, fx),
            Err(error) => {
                *data = &[];
                let step = self.step();
                self.fail(error.in_step(step), fx);
            }
        }
    }

    /// What the peer is busy with, for errors.
    fn step(&self) -> Step {
        match &self.state {
            State::Connecting { .. } => Step::Connect,
            State::Handshaking(handshaking) => handshaking.step.step(),
            State::Ready(ready) => ready.in_flight.first_api().map_or(Step::Request, step_of),
            State::Closing(_) | State::Closed => Step::Close,
        }
    }

    fn on_frame(&mut self, frame: Frame, fx: &mut Effects<'_>) {
        match &mut self.state {
            State::Handshaking(handshaking) => {
                let verdict = handshaking.step.on_answer(&frame.bytes, fx.nonces);
                fx.budget.give_back(frame.category, frame.taken);
                fx.pool.recycle(frame.bytes);
                self.on_verdict(verdict, fx);
            }
            State::Ready(ready) => {
                ready.idle_since = fx.now;
                let Some(request) = ready.in_flight.answered(fx.now) else {
                    debug_assert!(false, "a frame without a request");
                    fx.budget.give_back(frame.category, frame.taken);
                    return;
                };
                if ready.session.awaits(request.correlation) {
                    self.on_session_answer(frame, fx);
                    return;
                }
                fx.metrics
                    .answered(request.api, fx.now.since(request.since));
                let answer = self.response(&request, frame, fx);
                fx.reports.push(Report::Ended {
                    token: request.token,
                    answer,
                });
            }
            State::Connecting { .. } | State::Closing(_) | State::Closed => {
                debug_assert!(false, "a frame in {}", self.state.name());
            }
        }
    }

    fn response(&self, request: &Pending, frame: Frame, fx: &mut Effects<'_>) -> Answer {
        let length = frame.bytes.len();
        // The request's allowance pays for the frame from here on; what it did not use goes back.
        fx.budget
            .give_back(Category::Fetch, request.allowance.saturating_sub(length));
        Answer::Response(Response {
            connection: self.id,
            node: self.node(),
            api: request.api,
            version: request.version,
            charged: frame.taken.saturating_add(request.allowance.min(length)),
            category: frame.category,
            frame: frame.bytes,
        })
    }

    const fn node(&self) -> Option<NodeId> {
        match self.target.peer {
            Peer::Broker(node) => Some(node),
            Peer::Bootstrap(_) => None,
        }
    }

    fn become_ready(&mut self, versions: Versions, throttle_time_ms: i32, fx: &mut Effects<'_>) {
        let session = match &mut self.state {
            State::Handshaking(handshaking) => {
                core::mem::replace(&mut handshaking.session, Session::Endless)
            }
            State::Connecting { .. } | State::Ready(_) | State::Closing(_) | State::Closed => {
                Session::Endless
            }
        };
        self.state.move_to_ready(Ready {
            versions,
            session,
            receiver: Receiver::default(),
            in_flight: InFlight::default(),
            idle_since: fx.now,
            muted_until: None,
        });
        self.throttle(throttle_time_ms, fx.now);
        let Target { peer, group, .. } = self.target;
        fx.actions.push_back(Output::Diagnostic(Diagnostic::Ready {
            conn: self.id,
            peer,
            group,
        }));
        fx.reports.push(Report::Ready);
    }

    /// The broker wants to hear nothing for a while (KIP-219); the end never moves back.
    pub(crate) fn throttle(&mut self, throttle_time_ms: i32, now: Instant) {
        if let (State::Ready(ready), Ok(millis @ 1..)) =
            (&mut self.state, u64::try_from(throttle_time_ms))
        {
            let until = now + Duration::from_millis(millis);
            ready.muted_until = ready.muted_until.max(Some(until));
            ready.in_flight.hold_clocks_until(until);
        }
    }

    /// Sends a request; only when [`is_free`](Self::is_free).
    ///
    /// # Errors
    /// Its version or its fields cannot be sent to this broker. The connection is as good as before.
    pub(crate) fn send(&mut self, handover: &Handover, fx: &mut Effects<'_>) -> Result<(), Error> {
        debug_assert!(
            self.is_free(),
            "a request is sent while {}",
            self.state.name()
        );
        let correlation = self.next_correlation;
        let State::Ready(ready) = &mut self.state else {
            return Err(Error::new(ErrorKind::Disconnected).at_broker(self.target.name()));
        };
        let api = handover.request.api();
        let frame = handover.negotiate(&ready.versions).and_then(|version| {
            handover
                .request
                .encode(
                    version,
                    correlation,
                    &self.settings.client_id,
                    fx.pool.take(0),
                )
                .map(|frame| (version, frame))
                .map_err(|error| unencodable(api, version, &error))
        });
        let (version, frame) =
            frame.map_err(|error| error.in_step(step_of(api)).at_broker(self.target.name()))?;
        let end = self.outbound.push(self.id, frame, fx.actions);
        let pending = Pending::new(
            Some(handover.token),
            api,
            version,
            correlation,
            end,
            fx.now,
            &handover.options,
        );
        count(&mut fx.metrics.request_total);
        ready
            .in_flight
            .push(pending, handover.options.expects_answer, fx.now);
        self.correlation();
        Ok(())
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn abandon(&mut self, token: Token) {
        match &mut self.state {
            State::Ready(Ready { in_flight, .. }) | State::Closing(Closing { in_flight, .. }) => {
                in_flight.abandon(token)
            }
            State::Connecting { .. } | State::Handshaking(_) | State::Closed => {}
        }
    }

    /// The socket accepted `bytes` more.
    pub(crate) fn on_sent(&mut self, bytes: u64, fx: &mut Effects<'_>) {
        match &mut self.state {
            State::Handshaking(_) => self.outbound.accept(self.id, bytes, fx.actions),
            State::Ready(Ready {
                in_flight,
                idle_since,
                ..
            }) => {
                self.outbound.accept(self.id, bytes, fx.actions);
                while let Some(request) = in_flight.sent(self.outbound.accepted(), fx.now) {
                    *idle_since = fx.now;
                    fx.reports.push(Report::Ended {
                        token: request.token,
                        answer: Answer::Sent,
                    });
                }
                self.on_session_room(fx);
            }
            State::Closing(Closing { in_flight, .. }) => {
                self.outbound.accept(self.id, bytes, fx.actions);
                while let Some(request) = in_flight.sent(self.outbound.accepted(), fx.now) {
                    fx.reports.push(Report::Ended {
                        token: request.token,
                        answer: Answer::Sent,
                    });
                }
            }
            State::Connecting { .. } | State::Closed => {}
        }
    }

    /// Closes it because nobody needs it any more: what was written is flushed first.
    pub(crate) fn close(&mut self, fx: &mut Effects<'_>) {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return;
        }
        let (mode, abort_at) = match self.state {
            State::Ready(_) => (CloseMode::Flush, Some(fx.now + FLUSH_TIMEOUT)),
            State::Connecting { .. }
            | State::Handshaking(_)
            | State::Closing(_)
            | State::Closed => (CloseMode::Abort, None),
        };
        self.leave(Why::NotNeeded, mode, abort_at, fx);
    }

    /// Closes it because it cannot be used any more.
    pub(crate) fn fail(&mut self, error: Error, fx: &mut Effects<'_>) {
        let error = error.at_broker(self.target.name());
        self.abort(
            Why::Failed {
                error,
                overdue: None,
            },
            fx,
        );
    }

    fn abort(&mut self, why: Why, fx: &mut Effects<'_>) {
        match &mut self.state {
            State::Connecting { .. } | State::Handshaking(_) | State::Ready(_) => {
                self.leave(why, CloseMode::Abort, None, fx);
            }
            // An abort may follow a flush.
            State::Closing(closing) => {
                if closing.abort_at.take().is_some() {
                    fx.actions.push_back(Output::Close {
                        conn: self.id,
                        mode: CloseMode::Abort,
                    });
                }
            }
            State::Closed => {}
        }
    }

    fn leave(
        &mut self,
        why: Why,
        mode: CloseMode,
        abort_at: Option<Instant>,
        fx: &mut Effects<'_>,
    ) {
        self.outbound.stop();
        if let Some(receiver) = self.state.move_to_closing(why, abort_at) {
            receiver.abandon(fx.budget, fx.pool);
        }
        fx.actions.push_back(Output::Close {
            conn: self.id,
            mode,
        });
    }

    /// The connection's last input: everything in flight is resolved, in order.
    pub(crate) fn on_closed(
        &mut self,
        cause: CloseCause,
        sent: u64,
        fx: &mut Effects<'_>,
    ) -> Ended {
        self.outbound.finish(sent);
        let (in_flight, receiver, why, was_ready) = match self.state.move_to_closed() {
            State::Connecting { .. } => (None, None, self.lost(cause, Some(Step::Connect)), false),
            State::Handshaking(handshaking) => {
                let why = self.lost(cause, Some(handshaking.step.step()));
                (None, Some(handshaking.receiver), why, false)
            }
            State::Ready(ready) => {
                let why = self.lost(cause, ready.in_flight.first_api().map(step_of));
                (Some(ready.in_flight), Some(ready.receiver), why, true)
            }
            State::Closing(closing) => (
                Some(closing.in_flight),
                None,
                closing.why,
                closing.was_ready,
            ),
            State::Closed => (None, None, Why::NotNeeded, false),
        };
        if let Some(receiver) = receiver {
            receiver.abandon(fx.budget, fx.pool);
        }
        if let Some(in_flight) = in_flight {
            self.resolve(in_flight, &why, fx);
        }
        count(&mut fx.metrics.connection_close_total);
        let error = match why {
            Why::NotNeeded => None,
            Why::Failed { error, .. } => {
                count(&mut fx.metrics.connection_failed_total);
                Some(error)
            }
        };
        let Target { peer, group, .. } = self.target;
        fx.actions
            .push_back(Output::Diagnostic(Diagnostic::Disconnected {
                conn: self.id,
                peer,
                group,
                error: error.clone(),
            }));
        Ended { was_ready, error }
    }

    fn lost(&self, cause: CloseCause, step: Option<Step>) -> Why {
        let step = match cause {
            CloseCause::Tls(_) => Some(Step::Tls),
            CloseCause::Local
            | CloseCause::EndOfStream
            | CloseCause::Refused
            | CloseCause::Reset
            | CloseCause::Unreachable
            | CloseCause::TimedOut
            | CloseCause::Other => step,
        };
        // Who cannot be trusted, or does not trust, will not be another one after a while.
        let kind = match cause {
            CloseCause::Tls(failure) if failure.lasts() => ErrorKind::Unauthenticated,
            CloseCause::Tls(_)
            | CloseCause::Local
            | CloseCause::EndOfStream
            | CloseCause::Refused
            | CloseCause::Reset
            | CloseCause::Unreachable
            | CloseCause::TimedOut
            | CloseCause::Other => ErrorKind::Disconnected,
        };
        let mut error = Error::new(kind)
            .with_detail(cause)
            .at_broker(self.target.name());
        if let Some(step) = step {
            error = error.in_step(step);
        }
        if let Some(hint) = match (step, cause) {
            (_, CloseCause::Tls(failure)) => Some(failure.hint()),
            (Some(Step::Connect), CloseCause::Refused) => {
                Some("check that a broker is running there and that the port is right")
            }
            (Some(Step::Connect), _) => Some("check the address and the network to it"),
            (Some(Step::Authenticate), _) => Some(
                "the listener may want TLS or no SASL at all (security.protocol), or not these credentials",
            ),
            (Some(Step::ApiVersions), _) => {
                Some("the listener may want TLS or SASL (security.protocol), or is not Kafka")
            }
            (
                Some(Step::Metadata | Step::InitProducerId),
                CloseCause::EndOfStream | CloseCause::Reset,
            ) => Some("a listener that wants SASL closes at the first request (security.protocol)"),
            (_, _) => None,
        } {
            error = error.with_hint(hint);
        }
        Why::Failed {
            error,
            overdue: None,
        }
    }

    fn resolve(&self, mut in_flight: InFlight, why: &Why, fx: &mut Effects<'_>) {
        for (request, expects_answer) in in_flight.drain() {
            fx.budget.give_back(Category::Fetch, request.allowance);
            let accepted = request.end <= self.outbound.accepted();
            let answer = if accepted && !expects_answer {
                Answer::Sent
            } else {
                let (error, cause) = match why {
                    Why::NotNeeded => (
                        Error::new(ErrorKind::Closed).at_broker(self.target.name()),
                        FailureCause::Closed,
                    ),
                    Why::Failed { error, overdue } if *overdue == Some(request.correlation) => {
                        (error.clone(), FailureCause::TimedOut)
                    }
                    Why::Failed { error, .. } => (error.clone(), FailureCause::Disconnected),
                };
                count(&mut fx.metrics.request_failed_total);
                Answer::Failed(RequestError {
                    error,
                    maybe_applied: accepted,
                    cause,
                })
            };
            fx.reports.push(Report::Ended {
                token: request.token,
                answer,
            });
        }
    }
}
