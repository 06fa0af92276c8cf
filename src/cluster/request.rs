//! Owns the requests of roles and of the cluster itself, from hand-in to their one answer.
//!
//! Must not know how a connection works, nor what a request asks for.

use alloc::boxed::Box;

use super::capability::Capability;
use super::slot::{Slot, SlotKey};
use super::{Cluster, Life, Queued, Timer};
use crate::budget::Category;
use crate::collections::VecMap;
use crate::connection::{
    Answer, FailureCause, Handover, Held, Outgoing, Raw, RequestError, Response, SendOptions,
    Token, Typed, step_of,
};
use crate::engine::{ConnectionGroup, ConnectionId, NodeId, Peer, RawRequest, RawResponse};
use crate::error::{Error, ErrorKind};
use crate::time::Duration;
use crate::timer::TimerId;
use crate::wire::header::decode_response;
use crate::wire::{Message as _, Request, VersionRange};

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// This broker, over this connection.
    Node(NodeId, ConnectionGroup),
    /// Whoever has the least to do.
    Any,
}

/// Who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Role,
    Metadata,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Waiting for any broker.
    Unrouted,
    /// Waiting for this connection to come up or to have room.
    Queued(SlotKey),
    /// On the wire.
    Sent(ConnectionId),
}

/// A request that has not ended.
#[derive(Debug)]
struct Live {
    owner: Owner,
    place: Place,
    /// Armed while the request waits for a connection.
    timer: Option<TimerId>,
}

/// All requests that have not ended.
#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u64,
    live: VecMap<Token, Live>,
    /// Those that any broker may answer and none was found for yet, in the order in which they came.
    pub(super) unrouted: VecMap<Token, Handover>,
}

impl Cluster {
    /// Sends a request: at once if the connection is free, else as soon as it is, but not later than its timeout.
    pub(crate) fn send<R: Capability + Send + 'static>(
        &mut self,
        request: R,
        route: Route,
        options: SendOptions,
    ) -> Token {
        self.send_as(Owner::Role, request, route, options)
    }

    /// Sends a request in no version that would lose what it says.
    pub(super) fn send_as<R: Capability + Send + 'static>(
        &mut self,
        owner: Owner,
        request: R,
        route: Route,
        mut options: SendOptions,
    ) -> Token {
        let capable = request.capable();
        options.versions = VersionRange::new(
            options.versions.min.max(capable.min),
            options.versions.max.min(capable.max),
        );
        self.dispatch(owner, Box::new(Typed(request)), route, options)
    }

    /// Sends a request that the user encoded.
    pub(crate) fn send_raw(&mut self, request: &RawRequest) -> Token {
        let route = match request.to {
            Some(node) => Route::Node(node, request.group),
            None => Route::Any,
        };
        let options = SendOptions::new(request.timeout);
        self.dispatch(Owner::Role, Box::new(Raw::from(request)), route, options)
    }

    fn dispatch(
        &mut self,
        owner: Owner,
        request: Box<dyn Outgoing>,
        route: Route,
        options: SendOptions,
    ) -> Token {
        let token = Token(self.requests.next);
        self.requests.next = self.requests.next.saturating_add(1);
        let handover = Handover {
            token,
            request,
            options,
        };
        let place = match route {
            Route::Any => Place::Unrouted,
            Route::Node(node, group) => Place::Queued(SlotKey {
                peer: Peer::Broker(node),
                group,
            }),
        };
        self.requests.live.insert(
            token,
            Live {
                owner,
                place,
                timer: None,
            },
        );
        if self.life != Life::Open {
            let error = Error::new(ErrorKind::Closed).in_step(step_of(handover.request.api()));
            self.fail_unsent(&handover, error, FailureCause::Closed);
            return token;
        }
        match place {
            Place::Queued(key) => self.enqueue(key, handover),
            Place::Unrouted | Place::Sent(_) => {
                self.requests.unrouted.insert(token, handover);
                self.route_unrouted();
            }
        }
        self.arm_wait(token, options.timeout);
        token
    }

    fn arm_wait(&mut self, token: Token, timeout: Duration) {
        let at = self.now + timeout;
        if let Some(live) = self.requests.live.get_mut(&token)
            && !matches!(live.place, Place::Sent(_))
        {
            live.timer = Some(self.timers.arm(at, Timer::Request(token)));
        }
    }

    /// The request has moved.
    pub(super) fn place(&mut self, token: Token, place: Place) {
        if let Some(live) = self.requests.live.get_mut(&token) {
            live.place = place;
            if matches!(place, Place::Sent(_))
                && let Some(timer) = live.timer.take()
            {
                self.timers.disarm(timer);
            }
        }
    }

    /// Whether the request is on the wire.
    pub(super) fn is_sent(&self, token: Token) -> bool {
        self.requests
            .live
            .get(&token)
            .is_some_and(|live| matches!(live.place, Place::Sent(_)))
    }

    /// A request has waited too long for a connection.
    pub(super) fn on_wait_over(&mut self, token: Token) {
        let Some(live) = self.requests.live.get_mut(&token) else {
            return;
        };
        live.timer = None;
        let place = live.place;
        let Some(handover) = self.take_waiting(token, place) else {
            return;
        };
        let mut error = Error::new(ErrorKind::TimedOut {
            after: handover.options.timeout,
        })
        .in_step(step_of(handover.request.api()));
        error = match place {
            Place::Queued(key) => {
                let last = self
                    .slots
                    .get(&key)
                    .and_then(|slot| slot.last_error.as_ref());
                match last {
                    Some(last) => error
                        .at_broker(key.peer)
                        .caused_by("the broker cannot be reached", last),
                    None => error
                        .at_broker(key.peer)
                        .with_detail("no connection could take the request"),
                }
            }
            Place::Unrouted | Place::Sent(_) => {
                let last = |slot: &Slot| slot.last_error.clone();
                let nobody = "no broker could be reached";
                match self.slots.values().find_map(last) {
                    Some(last) => error.caused_by(nobody, &last),
                    None => error.with_detail(nobody),
                }
            }
        };
        self.fail_unsent(&handover, error, FailureCause::TimedOut);
    }

    fn take_waiting(&mut self, token: Token, place: Place) -> Option<Handover> {
        match place {
            Place::Unrouted => self.requests.unrouted.remove(&token),
            Place::Queued(key) => self.slots.get_mut(&key)?.queue.remove(&token),
            Place::Sent(_) => None,
        }
    }

    /// Ends a request that no socket has seen.
    pub(super) fn fail_unsent(&mut self, handover: &Handover, error: Error, cause: FailureCause) {
        self.budget
            .give_back(Category::Fetch, handover.options.allowance);
        self.end(
            handover.token,
            Answer::Failed(RequestError::unsent(error, cause)),
        );
    }

    /// Ends a request: its answer goes to whoever asked.
    pub(super) fn end(&mut self, token: Token, answer: Answer) {
        let Some(live) = self.requests.live.remove(&token) else {
            self.drop_answer(answer);
            return;
        };
        if let Some(timer) = live.timer {
            self.timers.disarm(timer);
        }
        self.events.push_back(match live.owner {
            Owner::Role => Queued::Answer(token, answer),
            Owner::Metadata => Queued::Metadata(token, answer),
        });
    }

    /// An answer that nobody waits for gives its memory back.
    pub(super) fn drop_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Response(response) => {
                let (frame, held) = response.into_parts();
                drop(frame);
                self.release(held);
            }
            Answer::Sent | Answer::Failed(_) => {}
        }
    }

    /// The answer to this request will not be delivered; one that has not been written yet never will be.
    pub(crate) fn abandon(&mut self, token: Token) {
        let Some(live) = self.requests.live.remove(&token) else {
            return;
        };
        if let Some(timer) = live.timer {
            self.timers.disarm(timer);
        }
        if let Some(handover) = self.take_waiting(token, live.place) {
            self.budget
                .give_back(Category::Fetch, handover.options.allowance);
        }
        if let Place::Sent(id) = live.place
            && let Some(attached) = self.connections.get_mut(&id)
        {
            attached.connection.abandon(token);
        }
    }

    /// Ends the connection that this request was sent over, if it was: what stands behind it shall not wait for it.
    pub(crate) fn break_connection(&mut self, token: Token, why: Error) {
        if let Some(Place::Sent(id)) = self.requests.live.get(&token).map(|live| live.place) {
            self.fail_connection(id, why);
        }
    }

    /// Drops all requests without an answer: the client is closing.
    pub(super) fn abandon_all(&mut self) {
        let tokens: alloc::vec::Vec<Token> = self.requests.live.keys().copied().collect();
        for token in tokens {
            self.abandon(token);
        }
    }

    /// Decodes a response. A response that cannot be decoded also closes its connection.
    ///
    /// # Errors
    /// The bytes are not such a response; the error names broker, step and field.
    pub(crate) fn decode<R: Request>(
        &mut self,
        response: Response,
    ) -> Result<(R::Response, Held), Error> {
        debug_assert_eq!(
            response.api,
            R::KEY,
            "a response is decoded as that of another API"
        );
        let (frame, held) = response.into_parts();
        match decode_response::<R>(frame, held.version) {
            Ok((_, decoded)) => Ok((decoded, held)),
            Err(error) => {
                let error = Error::new(ErrorKind::Protocol)
                    .in_step(step_of(held.api))
                    .with_detail(error)
                    .with_hint(
                        "the broker, or something between, breaks the protocol; please report it",
                    );
                let id = held.connection;
                self.release(held);
                Err(self.fail_connection(id, error))
            }
        }
    }

    /// The bytes of a raw response, copied out of the engine's memory.
    ///
    /// # Errors
    /// The response has no valid header.
    pub(crate) fn decode_raw(
        &mut self,
        response: Response,
        flexible: bool,
    ) -> Result<RawResponse, Error> {
        let node = response.node;
        let (frame, held) = response.into_parts();
        let (api, version, id) = (held.api, held.version, held.connection);
        // ApiVersions answers always have the plain header (KIP-511).
        let header_version = i16::from(flexible && api != crate::wire::ApiKey::API_VERSIONS);
        let mut reader = crate::wire::Reader::new(frame);
        let body = crate::wire::header::ResponseHeader::decode(&mut reader, header_version)
            .and_then(|_| reader.bytes(reader.left()));
        let body = body.map(|body| bytes::Bytes::copy_from_slice(&body));
        self.release(held);
        match body {
            Ok(body) => Ok(RawResponse {
                api,
                version,
                body,
                node,
            }),
            Err(error) => {
                let error = Error::new(ErrorKind::Protocol)
                    .in_step(step_of(api))
                    .with_detail(error);
                Err(self.fail_connection(id, error))
            }
        }
    }

    /// Gives the memory of a response back.
    pub(crate) fn release(&mut self, held: Held) {
        self.budget.give_back(held.category, held.charged);
        self.pool.recycle(held.bytes);
    }
}
