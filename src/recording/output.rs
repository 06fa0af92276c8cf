//! Owns how outputs look in a recording: so that equal outputs, and only those, give equal bytes.
//!
//! Must not know how to read them back into outputs: a replay makes its own and compares.

use alloc::string::String;
use alloc::vec::Vec;

use super::input::put_address;
use super::{Decoder, Encoder, Recordable, RecordingError, TAG_OUTPUT};
use crate::engine::{CloseMode, ConnectionId, Job, Output};
use crate::time::Instant;
use crate::wire::ApiKey;

const RESOLVE: u8 = 1;
const OPEN: u8 = 2;
const WRITE: u8 = 3;
const CLOSE: u8 = 4;
const WORK: u8 = 5;
const EVENT: u8 = 6;
const DIAGNOSTIC: u8 = 7;
const IDLE: u8 = 8;

// Behind the numbers of the codecs.
const PROVE: u8 = 100;
const FETCH_TOKEN: u8 = 101;

/// What stands in front of a request's secrets: size, API, version and correlation id.
const VISIBLE: usize = 12;

/// The bytes of a frame without the secrets that it carries: those of SaslAuthenticate.
fn masked(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.get(4..6) == Some(&ApiKey::SASL_AUTHENTICATE.0.to_be_bytes()[..]) {
        frame.iter_mut().skip(VISIBLE).for_each(|byte| *byte = b'*');
    }
    frame
}

/// Appends an output to a recording.
pub fn put_output<E: Recordable>(output: &Output<E::Event>, to: &mut Vec<u8>) {
    let mut out = Encoder::new(to);
    out.put_u8(TAG_OUTPUT);
    out.put_sized(|out| encode::<E>(output, out));
}

pub(super) fn encode<E: Recordable>(output: &Output<E::Event>, out: &mut Encoder<'_>) {
    match output {
        Output::Resolve { id, host, port } => {
            out.put_u8(RESOLVE);
            out.put_u64(id.0);
            out.put_bytes(host.as_str().as_bytes());
            out.put_i32(i32::from(*port));
        }
        Output::Open {
            conn,
            peer,
            group,
            host,
            port,
            addr,
        } => {
            out.put_u8(OPEN);
            out.put_u64(conn.0);
            out.put_debug(peer);
            out.put_debug(group);
            out.put_bytes(host.as_str().as_bytes());
            out.put_i32(i32::from(*port));
            out.put_option(addr.as_ref(), |out, addr| put_address(addr, out));
        }
        Output::Write { conn, data } => {
            out.put_u8(WRITE);
            out.put_u64(conn.0);
            out.put_bytes(&masked(data.to_vec()));
        }
        Output::Close { conn, mode } => {
            out.put_u8(CLOSE);
            out.put_u64(conn.0);
            out.put_u8(match mode {
                CloseMode::Flush => 0,
                CloseMode::Abort => 1,
            });
        }
        Output::Work { id, job } => {
            out.put_u8(WORK);
            out.put_u64(id.0);
            encode_job(job, out);
        }
        Output::Event(event) => {
            out.put_u8(EVENT);
            E::put_event(event, out);
        }
        Output::Diagnostic(diagnostic) => {
            out.put_u8(DIAGNOSTIC);
            out.put_debug(diagnostic);
        }
        Output::Idle(wake) => {
            out.put_u8(IDLE);
            out.put_option(wake.as_ref(), |out, wake| {
                out.put_instant(wake.at);
                out.put_bytes(wake.why.as_bytes());
            });
        }
    }
}

fn encode_job(job: &Job, out: &mut Encoder<'_>) {
    match job {
        Job::Compress {
            codec,
            level,
            records,
        } => {
            out.put_u8(codec.id());
            out.put_option(*level, Encoder::put_i32);
            out.put_bytes(records);
        }
        // Neither the password nor how long it is.
        Job::Prove(proofs) => {
            out.put_u8(PROVE);
            out.put_debug(proofs);
        }
        Job::FetchToken => out.put_u8(FETCH_TOKEN),
    }
}

/// What a recorded output is, as far as a recording says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedOutput<'a> {
    /// [`Output::Resolve`].
    Resolve {
        /// The name.
        host: &'a str,
        /// The port.
        port: i32,
    },
    /// [`Output::Open`].
    Open {
        /// The incarnation.
        conn: ConnectionId,
        /// Whom it is for, as `Debug` writes a [`Peer`](crate::Peer).
        peer: &'a str,
        /// Its group, as `Debug` writes a [`ConnectionGroup`](crate::ConnectionGroup).
        group: &'a str,
        /// The name.
        host: &'a str,
        /// The port.
        port: i32,
    },
    /// [`Output::Write`].
    Write {
        /// On which incarnation.
        conn: ConnectionId,
        /// The bytes, with asterisks for secrets.
        data: &'a [u8],
    },
    /// [`Output::Close`].
    Close {
        /// Which incarnation.
        conn: ConnectionId,
    },
    /// [`Output::Work`].
    Work {
        /// Its number.
        id: u64,
    },
    /// [`Output::Event`], as `Debug` writes it.
    Event(&'a str),
    /// [`Output::Diagnostic`], as `Debug` writes it.
    Diagnostic(&'a str),
    /// [`Output::Idle`], with the time and the reason of the next wake.
    Idle(Option<(Instant, &'a str)>),
}

/// Reads a recorded output.
///
/// # Errors
/// The bytes are not one.
pub fn get_output(encoded: &[u8]) -> Result<RecordedOutput<'_>, RecordingError> {
    let mut from = Decoder::new(encoded);
    Ok(match from.get_u8()? {
        RESOLVE => {
            let _ = from.get_u64()?;
            RecordedOutput::Resolve {
                host: from.get_str()?,
                port: from.get_i32()?,
            }
        }
        OPEN => RecordedOutput::Open {
            conn: ConnectionId(from.get_u64()?),
            peer: from.get_str()?,
            group: from.get_str()?,
            host: from.get_str()?,
            port: from.get_i32()?,
        },
        WRITE => RecordedOutput::Write {
            conn: ConnectionId(from.get_u64()?),
            data: from.get_bytes()?,
        },
        CLOSE => RecordedOutput::Close {
            conn: ConnectionId(from.get_u64()?),
        },
        WORK => RecordedOutput::Work {
            id: from.get_u64()?,
        },
        EVENT => RecordedOutput::Event(from.get_str()?),
        DIAGNOSTIC => RecordedOutput::Diagnostic(from.get_str()?),
        IDLE => RecordedOutput::Idle(
            from.get_option(|from| Ok((from.get_instant()?, from.get_str()?)))?,
        ),
        _ => return Err(from.error("a kind of output")),
    })
}

/// What a recorded output is, for people.
#[must_use]
pub fn describe_output(encoded: &[u8]) -> String {
    match get_output(encoded) {
        Ok(RecordedOutput::Resolve { host, port }) => alloc::format!("Resolve {host}:{port}"),
        Ok(RecordedOutput::Open {
            conn,
            peer,
            group,
            host,
            port,
        }) => alloc::format!("Open {conn} to {peer} {group} at {host}:{port}"),
        Ok(RecordedOutput::Write { conn, data }) => {
            alloc::format!("Write of {} bytes on {conn}", data.len())
        }
        Ok(RecordedOutput::Close { conn }) => alloc::format!("Close of {conn}"),
        Ok(RecordedOutput::Work { id }) => alloc::format!("Work {id}"),
        Ok(RecordedOutput::Event(event)) => alloc::format!("an event: {event}"),
        Ok(RecordedOutput::Diagnostic(diagnostic)) => alloc::format!("a diagnostic: {diagnostic}"),
        Ok(RecordedOutput::Idle(Some((at, why)))) => alloc::format!("Idle until {at} ({why})"),
        Ok(RecordedOutput::Idle(None)) => String::from("Idle until an input"),
        Err(error) => alloc::format!("{error}"),
    }
}
