//! The smallest of all Kafka clients: it creates and deletes topics and looks who leads them.
//!
//! Written out by hand, so that it shares nothing with the client under test, and because a Java tool takes a second and a
//! half to start. It opens a connection for each request.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;

/// What a broker knows of its cluster.
#[derive(Debug)]
pub struct Metadata {
    /// The brokers: id and port.
    pub brokers: Vec<(i32, i32)>,
    /// Of the topic that was asked for: its error code, and the leader of each partition (-1: none) in their order.
    pub topic: Option<(i16, Vec<i32>)>,
}

/// Asks the broker at `address` for its brokers and for one topic. Creates nothing.
///
/// # Errors
/// If the broker cannot be reached or does not answer within five seconds.
pub fn metadata(address: &str, topic: Option<&str>) -> Result<Metadata> {
    let mut body = Body::default();
    // v4: an empty list of topics is none of them.
    body.array(topic.iter().len());
    if let Some(name) = topic {
        body.string(name);
    }
    body.0.push(0);
    let mut answer = call(address, METADATA, 4, &body.0)?;
    answer.i32()?;
    let mut brokers = Vec::new();
    for _ in 0..answer.i32()? {
        let id = answer.i32()?;
        answer.string()?;
        brokers.push((id, answer.i32()?));
        answer.string()?;
    }
    answer.string()?;
    answer.i32()?;
    let mut found = None;
    for _ in 0..answer.i32()? {
        let error = answer.i16()?;
        answer.string()?;
        answer.take(1)?;
        let mut leaders = Vec::new();
        for _ in 0..answer.i32()? {
            answer.i16()?;
            leaders.push((answer.i32()?, answer.i32()?));
            for _ in 0..2 {
                for _ in 0..answer.i32()? {
                    answer.i32()?;
                }
            }
        }
        leaders.sort_unstable();
        found = Some((
            error,
            leaders.into_iter().map(|(_, leader)| leader).collect(),
        ));
    }
    Ok(Metadata {
        brokers,
        topic: found,
    })
}

/// Creates a topic and returns the broker's error code.
///
/// # Errors
/// If the broker cannot be reached or does not answer within five seconds.
pub fn create_topic(
    address: &str,
    name: &str,
    partitions: i32,
    replicas: i16,
    config: &[(&str, &str)],
) -> Result<i16> {
    let mut body = Body::default();
    body.array(1);
    body.string(name);
    body.0.extend(partitions.to_be_bytes());
    body.0.extend(replicas.to_be_bytes());
    body.array(0);
    body.array(config.len());
    for (key, value) in config {
        body.string(key);
        body.string(value);
    }
    body.0.extend(4_000_i32.to_be_bytes());
    body.0.push(0);
    first_error(call(address, CREATE_TOPICS, 2, &body.0)?)
}

/// Deletes a topic and returns the broker's error code. The broker forgets it a moment later.
///
/// # Errors
/// If the broker cannot be reached or does not answer within five seconds.
pub fn delete_topic(address: &str, name: &str) -> Result<i16> {
    let mut body = Body::default();
    body.array(1);
    body.string(name);
    body.0.extend(4_000_i32.to_be_bytes());
    first_error(call(address, DELETE_TOPICS, 1, &body.0)?)
}

fn first_error(mut answer: Answer) -> Result<i16> {
    answer.i32()?;
    answer.i32()?;
    answer.string()?;
    answer.i16()
}

fn call(address: &str, api: i16, version: i16, body: &[u8]) -> Result<Answer> {
    const LIMIT: Duration = Duration::from_secs(5);
    let address = address.parse().map_err(|_| wrong("not an address"))?;
    let mut socket = TcpStream::connect_timeout(&address, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut head = Body::default();
    head.0.extend(api.to_be_bytes());
    head.0.extend(version.to_be_bytes());
    head.0.extend(0_i32.to_be_bytes());
    head.string("klamm-live-admin");
    let length = i32::try_from(head.0.len() + body.len()).map_err(|_| wrong("too long"))?;
    socket.write_all(&[&length.to_be_bytes(), &head.0[..], body].concat())?;
    let mut size = [0; 4];
    socket.read_exact(&mut size)?;
    let size = u64::from(u32::from_be_bytes(size));
    let mut bytes = Vec::new();
    socket.take(size).read_to_end(&mut bytes)?;
    let mut answer = Answer { bytes, at: 0 };
    answer.i32()?;
    Ok(answer)
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn array(&mut self, length: usize) {
        self.0
            .extend(i32::try_from(length).expect("a short list").to_be_bytes());
    }

    fn string(&mut self, value: &str) {
        self.0.extend(
            i16::try_from(value.len())
                .expect("a short string")
                .to_be_bytes(),
        );
        self.0.extend(value.as_bytes());
    }
}

struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let taken = self
            .bytes
            .get(self.at..self.at + length)
            .ok_or_else(|| wrong("the answer is cut short"))?;
        self.at += length;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(
            self.take(2)?.try_into().map_err(|_| wrong("two bytes"))?,
        ))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(
            self.take(4)?.try_into().map_err(|_| wrong("four bytes"))?,
        ))
    }

    /// A string, or null as an empty one.
    fn string(&mut self) -> Result<()> {
        let length = self.i16()?;
        self.take(usize::try_from(length).unwrap_or(0))?;
        Ok(())
    }
}
