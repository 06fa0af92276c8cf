//! Owns how inputs look in a recording, in both directions.
//!
//! Must not know what an engine does with them.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use ::bytes::Bytes;

use super::{Decoder, Encoder, RecordingError, TAG_INPUT};
use crate::engine::{
    CloseCause, ConnectionId, Input, JobId, JobResult, ResolveError, ResolveId, TlsFailure,
};
use crate::secret::Secret;
use crate::time::{Instant, UnixMillis};

const RESOLVED: u8 = 1;
const CONNECTED: u8 = 2;
const RECEIVED: u8 = 3;
const SENT: u8 = 4;
const CLOSED: u8 = 5;
const JOB_DONE: u8 = 6;
const TIMEOUT: u8 = 7;

/// From here on the numbers are those of failures of TLS.
const TLS_FROM: u8 = 100;

const CAUSES: [CloseCause; 7] = [
    CloseCause::Local,
    CloseCause::EndOfStream,
    CloseCause::Refused,
    CloseCause::Reset,
    CloseCause::Unreachable,
    CloseCause::TimedOut,
    CloseCause::Other,
];

/// Appends an input to a recording.
pub fn put_input(input: &Input<'_>, now: Instant, to: &mut Vec<u8>) {
    let mut out = Encoder::new(to);
    out.put_u8(TAG_INPUT);
    out.put_instant(now);
    out.put_sized(|out| encode(input, out));
}

fn encode(input: &Input<'_>, out: &mut Encoder<'_>) {
    match input {
        Input::Resolved { id, result } => {
            out.put_u8(RESOLVED);
            out.put_u64(id.0);
            match result {
                Ok(addresses) => {
                    out.put_u8(0);
                    out.put_count(addresses.len());
                    for address in addresses {
                        put_address(address, out);
                    }
                }
                Err(ResolveError::NotFound) => out.put_u8(1),
                Err(ResolveError::Failed) => out.put_u8(2),
            }
        }
        Input::Connected { conn } => {
            out.put_u8(CONNECTED);
            out.put_u64(conn.0);
        }
        Input::Received { conn, data } => {
            out.put_u8(RECEIVED);
            out.put_u64(conn.0);
            out.put_bytes(data);
        }
        Input::Sent { conn, bytes } => {
            out.put_u8(SENT);
            out.put_u64(conn.0);
            out.put_u64(*bytes);
        }
        Input::Closed { conn, cause, sent } => {
            out.put_u8(CLOSED);
            out.put_u64(conn.0);
            out.put_u8(cause_number(*cause));
            out.put_u64(*sent);
        }
        Input::JobDone { id, result } => {
            out.put_u8(JOB_DONE);
            out.put_u64(id.0);
            encode_result(result, out);
        }
        Input::Timeout { wall } => {
            out.put_u8(TIMEOUT);
            out.put_i64(wall.0);
        }
    }
}

fn encode_result(result: &JobResult, out: &mut Encoder<'_>) {
    match result {
        JobResult::Compressed(Ok(bytes)) => {
            out.put_u8(0);
            out.put_bytes(bytes);
        }
        JobResult::Compressed(Err(why)) => {
            out.put_u8(1);
            out.put_bytes(why.as_bytes());
        }
        JobResult::Refused => out.put_u8(2),
        JobResult::Proven {
            proof,
            server_signature,
        } => {
            out.put_u8(3);
            out.put_bytes(proof);
            out.put_bytes(server_signature);
        }
        // A placeholder of the same length: the replay says it in place of the token, and both are masked.
        JobResult::Token(Ok(token)) => {
            out.put_u8(4);
            out.put_bytes(&vec![b'*'; token.len()]);
        }
        JobResult::Token(Err(why)) => {
            out.put_u8(5);
            out.put_bytes(why.as_bytes());
        }
    }
}

/// Reads an input of a recording.
///
/// # Errors
/// The bytes are not one.
pub fn get_input(encoded: &[u8]) -> Result<Input<'_>, RecordingError> {
    let mut from = Decoder::new(encoded);
    let input = decode(&mut from)?;
    from.expect_end()?;
    Ok(input)
}

fn decode<'a>(from: &mut Decoder<'a>) -> Result<Input<'a>, RecordingError> {
    let tag = from.get_u8()?;
    let number = |from: &mut Decoder<'a>| from.get_u64();
    Ok(match tag {
        RESOLVED => Input::Resolved {
            id: ResolveId(number(from)?),
            result: match from.get_u8()? {
                0 => {
                    let mut addresses = Vec::new();
                    for _ in 0..from.get_u32()? {
                        addresses.push(get_address(from)?);
                    }
                    Ok(addresses)
                }
                1 => Err(ResolveError::NotFound),
                2 => Err(ResolveError::Failed),
                _ => return Err(from.error("the result of a lookup")),
            },
        },
        CONNECTED => Input::Connected {
            conn: ConnectionId(number(from)?),
        },
        RECEIVED => Input::Received {
            conn: ConnectionId(number(from)?),
            data: from.get_bytes()?,
        },
        SENT => Input::Sent {
            conn: ConnectionId(number(from)?),
            bytes: number(from)?,
        },
        CLOSED => Input::Closed {
            conn: ConnectionId(number(from)?),
            cause: {
                let number = from.get_u8()?;
                cause_of(number).ok_or(from.error("why a socket closed"))?
            },
            sent: number(from)?,
        },
        JOB_DONE => Input::JobDone {
            id: JobId(number(from)?),
            result: match from.get_u8()? {
                0 => JobResult::Compressed(Ok(Bytes::copy_from_slice(from.get_bytes()?))),
                1 => JobResult::Compressed(Err(String::from(from.get_str()?))),
                2 => JobResult::Refused,
                3 => JobResult::Proven {
                    proof: from.get_bytes()?.to_vec(),
                    server_signature: from.get_bytes()?.to_vec(),
                },
                4 => JobResult::Token(Ok(Secret(String::from(from.get_str()?)))),
                5 => JobResult::Token(Err(String::from(from.get_str()?))),
                _ => return Err(from.error("the result of a job")),
            },
        },
        TIMEOUT => Input::Timeout {
            wall: UnixMillis(from.get_i64()?),
        },
        _ => return Err(from.error("a kind of input")),
    })
}

fn cause_of(number: u8) -> Option<CloseCause> {
    match number.checked_sub(TLS_FROM) {
        None => CAUSES.get(usize::from(number)).copied(),
        Some(failure) => TlsFailure::ALL
            .get(usize::from(failure))
            .map(|failure| CloseCause::Tls(*failure)),
    }
}

fn cause_number(cause: CloseCause) -> u8 {
    match cause {
        CloseCause::Local => 0,
        CloseCause::EndOfStream => 1,
        CloseCause::Refused => 2,
        CloseCause::Reset => 3,
        CloseCause::Unreachable => 4,
        CloseCause::TimedOut => 5,
        CloseCause::Other => 6,
        CloseCause::Tls(failure) => {
            let place = TlsFailure::ALL.iter().position(|known| *known == failure);
            let place = place.and_then(|place| u8::try_from(place).ok());
            TLS_FROM.saturating_add(place.unwrap_or(u8::MAX))
        }
    }
}

pub(super) fn put_address(address: &SocketAddr, out: &mut Encoder<'_>) {
    match address.ip() {
        IpAddr::V4(ip) => out.put_bytes(&ip.octets()),
        IpAddr::V6(ip) => out.put_bytes(&ip.octets()),
    }
    out.put_i32(i32::from(address.port()));
    if let SocketAddr::V6(address) = address {
        out.put_u64(u64::from(address.scope_id()));
    }
}

fn get_address(from: &mut Decoder<'_>) -> Result<SocketAddr, RecordingError> {
    let ip = from.get_bytes()?;
    let port = u16::try_from(from.get_i32()?).map_err(|_| from.error("a port"))?;
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return Ok(SocketAddr::from((v4, port)));
    }
    let v6 = <[u8; 16]>::try_from(ip).map_err(|_| from.error("an address"))?;
    let scope = u32::try_from(from.get_u64()?).map_err(|_| from.error("a scope"))?;
    Ok(SocketAddr::V6(core::net::SocketAddrV6::new(
        v6.into(),
        port,
        0,
        scope,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn results() -> impl Iterator<Item = JobResult> {
        [
            JobResult::Compressed(Ok(Bytes::from_static(b"zip"))),
            JobResult::Compressed(Err(String::from("no"))),
            JobResult::Refused,
            JobResult::Proven {
                proof: vec![1, 2],
                server_signature: vec![3],
            },
            JobResult::Token(Ok(Secret(String::from("secret")))),
            JobResult::Token(Err(String::from("none"))),
        ]
        .into_iter()
    }

    #[test]
    fn every_input_comes_back_as_it_was() {
        let conn = ConnectionId(7);
        let addresses = vec![
            SocketAddr::from(([127, 0, 0, 1], 9092)),
            SocketAddr::V6(core::net::SocketAddrV6::new(
                core::net::Ipv6Addr::LOCALHOST,
                1,
                0,
                3,
            )),
        ];
        let mut inputs = vec![
            Input::Resolved {
                id: ResolveId(1),
                result: Ok(addresses),
            },
            Input::Resolved {
                id: ResolveId(2),
                result: Err(ResolveError::NotFound),
            },
            Input::Resolved {
                id: ResolveId(3),
                result: Err(ResolveError::Failed),
            },
            Input::Connected { conn },
            Input::Received { conn, data: b"abc" },
            Input::Sent { conn, bytes: 12 },
            Input::Timeout {
                wall: UnixMillis(-1),
            },
        ];
        inputs.extend(results().map(|result| Input::JobDone {
            id: JobId(4),
            result,
        }));
        let failures = TlsFailure::ALL.map(CloseCause::Tls);
        for cause in CAUSES.into_iter().chain(failures) {
            inputs.push(Input::Closed {
                conn,
                cause,
                sent: u64::MAX,
            });
        }
        for input in inputs {
            let mut bytes = Vec::new();
            encode(&input, &mut Encoder::new(&mut bytes));
            let back = get_input(&bytes).expect("an input");
            assert_eq!(format!("{back:?}"), format!("{input:?}"));
            for end in 0..bytes.len() {
                assert!(get_input(&bytes[..end]).is_err(), "{input:?} cut at {end}");
            }
        }
    }
}
