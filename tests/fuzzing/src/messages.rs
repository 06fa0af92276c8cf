//! Messages from hostile bytes: F2 (responses), F3 (requests), F9 (what other members of a group have written).
//!
//! The list of decoders is the protocol's table: a message that is added there is a target, or this does not compile.

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::wire::header::{
    RequestHeader, decode_request_header, decode_response, request_header_version,
    response_header_version,
};
use klamm::wire::{Message, Reader, Request, Writer, decode_versioned, encode_versioned};
use klamm::{ApiKey, DecodeError, VersionRange};

use crate::assignors;
use crate::memory::{Usage, measure};

/// One API: how its messages are read and written.
pub(crate) struct Subject {
    pub(crate) key: ApiKey,
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
    pub(crate) versions: VersionRange,
    pub(crate) request_header: fn(i16) -> i16,
    pub(crate) response_header: fn(i16) -> i16,
    check_request: fn(Reader, i16),
    check_response: fn(Bytes, i16),
}

macro_rules! subjects {
    ($($key:ident $request:ident $response:ident,)*) => {
        /// All APIs of the table.
        pub(crate) const SUBJECTS: &[Subject] = &[$(Subject {
            key: ApiKey::$key,
            request: stringify!($request),
            response: stringify!($response),
            versions: $request::VERSIONS,
            request_header: request_header_version::<$request>,
            response_header: response_header_version::<$request>,
            check_request: check_request::<$request>,
            check_response: check_response::<$request>,
        }),*];
    };
}
klamm::for_each_api!(subjects);

pub(crate) fn subject(key: i16) -> Option<&'static Subject> {
    SUBJECTS.iter().find(|subject| subject.key.0 == key)
}

/// Holds what a decoder took against the limit: 8 bytes of memory for each byte read, and 16 KiB.
pub(crate) fn assert_bounded(what: &str, input: usize, usage: Usage) {
    assert!(
        usage.peak <= 8 * input + 16 * 1024,
        "{what}: {input} bytes took {usage:?}"
    );
    assert!(
        usage.allocations <= input + 64,
        "{what}: {input} bytes took {usage:?}"
    );
}

fn assert_printable(error: &DecodeError) {
    let text = error.to_string();
    assert!(
        text.len() < 1024 && !text.contains(char::is_control),
        "{text}"
    );
}

fn write<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new(BytesMut::new());
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("v{version}: {error}"));
    let size = writer.len();
    let written = writer.finish();
    assert_eq!(size, written.len(), "{} v{version}", M::NAME);
    written.to_vec()
}

/// What was read can be written, and that is read as the same.
fn assert_round_trip<M: Message>(message: &M, version: i16) {
    let written = write(message, version);
    let mut reader = Reader::new(written.clone().into());
    let again = M::decode(&mut reader, version)
        .and_then(|again| reader.finish().map(|()| again))
        .unwrap_or_else(|error| panic!("v{version}, of our own: {error}\n{message:?}"));
    // Compared as bytes: a number that is none does not equal itself.
    assert_eq!(written, write(&again, version), "{} v{version}", M::NAME);
}

fn check_response<M: Request>(frame: Bytes, version: i16) {
    let size = frame.len();
    let (read, usage) = measure(|| decode_response::<M>(frame, version));
    assert_bounded(M::Response::NAME, size, usage);
    match read {
        Ok((_, response)) => assert_round_trip(&response, version),
        Err(error) => assert_printable(&error),
    }
}

fn check_request<M: Request>(mut reader: Reader, version: i16) {
    let size = reader.at() + reader.left();
    let (read, usage) = measure(|| M::decode(&mut reader, version));
    assert_bounded(M::NAME, size, usage);
    match read {
        Ok(request) => assert_round_trip(&request, version),
        Err(error) => assert_printable(&error),
    }
}

/// F2: a response frame without its size, behind two bytes that say what was asked: the API's number and the version.
pub fn f2_response(data: &[u8]) {
    let [key, version, frame @ ..] = data else {
        return;
    };
    if let Some(subject) = subject(i16::from(*key)) {
        (subject.check_response)(Bytes::copy_from_slice(frame), i16::from(*version));
    }
}

/// F3: a request frame without its size.
pub fn f3_request(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let header_version = |key: ApiKey, version| {
        let subject = subject(key.0).filter(|subject| subject.versions.contains(version))?;
        Some((subject.request_header)(version))
    };
    match decode_request_header(frame, header_version) {
        Ok((header, reader)) => {
            let version =
                header_version(ApiKey(header.request_api_key), header.request_api_version);
            assert_round_trip(&header, version.unwrap_or(RequestHeader::VERSIONS.min));
            if let Some(subject) = subject(header.request_api_key) {
                (subject.check_request)(reader, header.request_api_version);
            }
        }
        Err(error) => assert_printable(&error),
    }
}

fn check_versioned<M: Message>(bytes: &[u8]) {
    let copy = Bytes::copy_from_slice(bytes);
    let (read, usage) = measure(|| decode_versioned::<M>(copy));
    assert_bounded(M::NAME, bytes.len(), usage);
    match read {
        Ok((version, message)) => {
            // A newer writer's is read as the newest that is known.
            let version = version.min(M::VERSIONS.max);
            let written =
                encode_versioned(&message, version).expect("what was read can be written");
            assert_eq!(decode_versioned(written), Ok((version, message)));
        }
        Err(error) => assert_printable(&error),
    }
}

/// F9: blobs that other members of a group or other brokers have written; the first byte says which.
pub fn f9_group_blob(data: &[u8]) {
    let Some((which, blob)) = data.split_first() else {
        return;
    };
    match which % 5 {
        0 => check_versioned::<ConsumerProtocolSubscription>(blob),
        1 => check_versioned::<ConsumerProtocolAssignment>(blob),
        2 => check_versioned::<EndTxnMarker>(blob),
        3 => check_versioned::<ControlRecordTypeSchema>(blob),
        _ => assignors::check_group(blob),
    }
}
