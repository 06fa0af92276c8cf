//! Owns the way of a request from its frame to its handler, and of the answer back; faults meet requests here.
//!
//! Must not know what any request means.

use bytes::{Bytes, BytesMut};
use klamm::messages::api;
use klamm::wire::header::{decode_request_body, decode_request_header, encode_response};
use klamm::wire::{Reader, Request, Writer};
use klamm::{ApiKey, ErrorCode, Segments, Str};

use crate::cluster::{Cluster, Timer};
use crate::connection::{Call, ConnectionKey, State};
use crate::faults::Moment;
use crate::journal::RequestEntry;

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is answered.
    Answer(Segments),
    /// Nothing answers it: Produce with `acks=0`.
    Nothing,
    /// Its connection is closed.
    Close(String),
}

/// A handler's request and what it says of itself.
pub(crate) type Handled = (Call, Outcome);

impl Cluster {
    /// Reads and serves requests until one waits or no frame is whole.
    pub(crate) fn read_requests(&mut self, key: ConnectionKey) {
        let limit = self.config.max_request_size;
        while let Some(connection) = self.connections.get_mut(&key) {
            match connection.next_frame(limit) {
                Ok(Some(frame)) => self.begin(key, frame),
                Ok(None) => return,
                Err(size) => {
                    let why = format!("a frame of {} bytes is not allowed", size.0);
                    self.close(key, &why);
                }
            }
        }
    }

    /// A request was read.
    fn begin(&mut self, key: ConnectionKey, frame: Bytes) {
        let Some(broker) = self.connections.get(&key).map(|c| c.broker) else {
            return;
        };
        let (header, reader) = match decode_request_header(frame.clone(), header_version) {
            Ok(decoded) => decoded,
            Err(error) => return self.close(key, &error.to_string()),
        };
        let api = ApiKey(header.request_api_key);
        let entry = self.journal.read(RequestEntry {
            at: self.now,
            broker,
            connection: key,
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.0.as_ref().map(Str::to_string),
            size: frame.len(),
            frame: Some(frame),
            answered: None,
        });
        let call = Call {
            connection: key,
            broker,
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.0.unwrap_or_default(),
            entry,
            met: self.faults.meet(api, broker, key),
        };
        if call.met.closes == Some(Moment::Before) {
            self.close(key, "a fault closed it before the request took effect");
        } else if call.met.silences == Some(Moment::Before) {
            self.park(key, State::Silent);
        } else if call.met.delay_before.is_zero() {
            self.serve(call, reader);
        } else {
            let at = self.now + call.met.delay_before;
            self.timers.arm(at, Timer::Connection(key));
            self.park(key, State::Held(Box::new((call, reader))));
        }
    }

    /// Serves a request that was read.
    pub(crate) fn serve(&mut self, call: Call, reader: Reader) {
        let release = self.topology.node(call.broker).map(|node| node.release);
        let served = release.and_then(|release| release.served(call.api));
        if !served.is_some_and(|versions| versions.contains(call.version)) {
            if call.api == ApiKey::API_VERSIONS {
                let answer = self.refuse_api_versions(&call);
                return self.finish(call, answer);
            }
            let why = format!("{} v{} is not served", call.api, call.version);
            return self.close(call.connection, &why);
        }
        let key = call.connection;
        if let Some(why) = self.unauthenticated(key, call.api) {
            return self.close(key, why);
        }
        let handled = match call.api {
            ApiKey::SASL_HANDSHAKE => self.with(call, reader, Self::serve_sasl_handshake),
            ApiKey::SASL_AUTHENTICATE => self.with(call, reader, Self::serve_sasl_authenticate),
            ApiKey::API_VERSIONS => self.with(call, reader, Self::serve_api_versions),
            ApiKey::METADATA => self.with(call, reader, Self::serve_metadata),
            ApiKey::PRODUCE => self.with(call, reader, Self::serve_produce),
            ApiKey::FETCH => self.with(call, reader, Self::serve_fetch),
            ApiKey::LIST_OFFSETS => self.with(call, reader, Self::serve_list_offsets),
            ApiKey::OFFSET_FOR_LEADER_EPOCH => {
                self.with(call, reader, Self::serve_offset_for_leader_epoch)
            }
            ApiKey::INIT_PRODUCER_ID => self.with(call, reader, Self::serve_init_producer_id),
            ApiKey::FIND_COORDINATOR => self.with(call, reader, Self::serve_find_coordinator),
            ApiKey::OFFSET_COMMIT => self.with(call, reader, Self::serve_offset_commit),
            ApiKey::OFFSET_FETCH => self.with(call, reader, Self::serve_offset_fetch),
            ApiKey::JOIN_GROUP => self.with(call, reader, Self::serve_join_group),
            ApiKey::SYNC_GROUP => self.with(call, reader, Self::serve_sync_group),
            ApiKey::HEARTBEAT => self.with(call, reader, Self::serve_heartbeat),
            ApiKey::LEAVE_GROUP => self.with(call, reader, Self::serve_leave_group),
            ApiKey::DESCRIBE_GROUPS => self.with(call, reader, Self::serve_describe_groups),
            ApiKey::LIST_GROUPS => self.with(call, reader, Self::serve_list_groups),
            ApiKey::DELETE_GROUPS => self.with(call, reader, Self::serve_delete_groups),
            ApiKey::CONSUMER_GROUP_HEARTBEAT => {
                self.with(call, reader, Self::serve_consumer_group_heartbeat)
            }
            ApiKey::CONSUMER_GROUP_DESCRIBE => {
                self.with(call, reader, Self::serve_consumer_group_describe)
            }
            ApiKey::CREATE_TOPICS => self.with(call, reader, Self::serve_create_topics),
            ApiKey::DELETE_TOPICS => self.with(call, reader, Self::serve_delete_topics),
            ApiKey::CREATE_PARTITIONS => self.with(call, reader, Self::serve_create_partitions),
            ApiKey::DELETE_RECORDS => self.with(call, reader, Self::serve_delete_records),
            other => {
                let why = format!("{other} is not served");
                return self.close(key, &why);
            }
        };
        if let Some((call, outcome)) = handled {
            self.finish(call, outcome);
        }
    }

    /// Decodes the request and hands it to `handler`, which gives nothing back if the request has to wait.
    fn with<R: Request>(
        &mut self,
        call: Call,
        mut reader: Reader,
        handler: fn(&mut Self, Call, R) -> Option<Handled>,
    ) -> Option<Handled> {
        match decode_request_body::<R>(&mut reader, call.version) {
            Ok(request) => handler(self, call, request),
            Err(error) => {
                let why = format!("{} v{}: {error}", call.api, call.version);
                Some((call, Outcome::Close(why)))
            }
        }
    }

    /// Encodes the answer to a call.
    pub(crate) fn answer<R: Request>(&self, call: &Call, response: &R::Response) -> Outcome {
        let writer = Writer::new(BytesMut::with_capacity(256));
        match encode_response::<R>(response, call.version, call.correlation_id, writer) {
            Ok(bytes) => Outcome::Answer(bytes),
            Err(error) => Outcome::Close(format!(
                "the answer to {} v{} cannot be written: {error}",
                call.api, call.version
            )),
        }
    }

    /// Does with a call what came of it, unless a fault has other plans.
    pub(crate) fn finish(&mut self, call: Call, outcome: Outcome) {
        let key = call.connection;
        self.faults.used(&call.met.answers);
        match (outcome, call.met.closes, call.met.silences) {
            (Outcome::Close(why), _, _) => self.close(key, &why),
            (_, Some(_), _) => self.close(key, "a fault closed it after the request took effect"),
            (_, None, Some(_)) => self.park(key, State::Silent),
            (Outcome::Nothing, None, None) => self.park(key, State::Reading),
            (Outcome::Answer(bytes), None, None) if call.met.delay_after.is_zero() => {
                self.send(call, bytes);
            }
            (Outcome::Answer(bytes), None, None) => {
                let at = self.now + call.met.delay_after;
                self.timers.arm(at, Timer::Connection(key));
                self.park(key, State::Answering(Box::new((call, bytes))));
            }
        }
    }

    /// The throttle time that responses state, in milliseconds.
    pub(crate) fn throttle_ms(&self) -> i32 {
        i32::try_from(self.config.throttle_time.as_millis()).unwrap_or(i32::MAX)
    }

    /// The error that a fault puts at the top of the answer, before or after the request took effect.
    pub(crate) fn top_fault(call: &mut Call) -> Option<ErrorCode> {
        let answers = &mut call.met.answers;
        answers
            .top(Moment::Before)
            .or_else(|| answers.top(Moment::After))
    }
}

/// The version of the header that stands before a request.
pub(crate) fn header_version(key: ApiKey, version: i16) -> Option<i16> {
    let flexible = api(key)?.flexible_from.is_some_and(|from| version >= from);
    Some(if flexible { 2 } else { 1 })
}
