//! Owns recordings: what passed an engine's border, in order, as bytes; written by a driver under the lock that orders
//! it, read by whoever wants the same run again.
//!
//! Must not know any role: an engine says itself what its commands and events look like ([`Recordable`]), nor where
//! the bytes are kept.
//!
//! A recording is a header (role, configuration, entropy, both clocks) and then one entry after the other: inputs and
//! commands with their `now`, and the outputs that were popped. Replayed into an engine made from the same header,
//! it gives the same outputs, byte for byte, because an engine has no other way in.

mod bytes;
mod input;
mod output;
mod request;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use bytes::{Decoder, Encoder};
pub use input::{get_input, put_input};
pub use output::{RecordedOutput, describe_output, get_output, put_output};

use crate::engine::Engine;
use crate::time::{Instant, UnixMillis};

/// How a recording begins.
const MAGIC: &[u8; 8] = b"klamm\x00r1";

const TAG_INPUT: u8 = 1;
const TAG_COMMAND: u8 = 2;
const TAG_OUTPUT: u8 = 3;
const TAG_REPLY: u8 = 4;

/// An engine whose commands and events can be written down.
pub trait Recordable: Engine {
    /// The role's name, which a recording begins with.
    const ROLE: &'static str;

    /// Writes a command as plain data.
    fn put_command(command: &Self::Command<'_>, out: &mut Encoder<'_>);

    /// Reads a command that [`put_command`](Recordable::put_command) wrote, and carries it out.
    ///
    /// # Errors
    /// The bytes are not such a command; nothing was done.
    fn replay_command(
        &mut self,
        encoded: &mut Decoder<'_>,
        now: Instant,
    ) -> Result<Self::Reply, RecordingError>;

    /// Writes what a command answered, so that equal replies and only those give equal bytes.
    fn put_reply(reply: &Self::Reply, out: &mut Encoder<'_>);

    /// Writes an event, so that equal events and only those give equal bytes.
    fn put_event(event: &Self::Event, out: &mut Encoder<'_>);
}

/// What an engine was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which engine: [`Recordable::ROLE`].
    pub role: String,
    /// Its configuration, as properties. Secrets must have been replaced.
    pub properties: Vec<(String, String)>,
    /// Its entropy.
    pub entropy: [u8; 32],
    /// Monotonic time when it was made.
    pub now: Instant,
    /// Wall-clock time when it was made.
    pub wall: UnixMillis,
}

impl Header {
    /// The beginning of a recording.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(*MAGIC);
        let mut out = Encoder::new(&mut bytes);
        out.put_bytes(self.role.as_bytes());
        out.put_count(self.properties.len());
        for (key, value) in &self.properties {
            out.put_bytes(key.as_bytes());
            out.put_bytes(value.as_bytes());
        }
        out.put_bytes(&self.entropy);
        out.put_instant(self.now);
        out.put_i64(self.wall.0);
        bytes
    }
}

/// A recording, read from its bytes.
#[derive(Clone, Debug)]
pub struct Recording<'a> {
    /// What the engine was made of.
    pub header: Header,
    entries: Decoder<'a>,
}

impl<'a> Recording<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The bytes are not a recording, or one of another format.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordingError> {
        let mut from = Decoder::new(bytes);
        if from.get_array::<8>()? != *MAGIC {
            return Err(from.error("the beginning of a recording"));
        }
        let role = from.get_string()?;
        let mut properties = Vec::new();
        for _ in 0..from.get_u32()? {
            properties.push((from.get_string()?, from.get_string()?));
        }
        let entropy = from.get_bytes()?;
        let entropy =
            <[u8; 32]>::try_from(entropy).map_err(|_| from.error("32 bytes of entropy"))?;
        let header = Header {
            role,
            properties,
            entropy,
            now: from.get_instant()?,
            wall: UnixMillis(from.get_i64()?),
        };
        let entries = from;
        Ok(Self { header, entries })
    }

    /// The entries, in the order in which they happened.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries {
            rest: self.entries.clone(),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A fact from outside: see [`get_input`].
    Input {
        /// The time that came with it.
        now: Instant,
        /// The input.
        encoded: &'a [u8],
    },
    /// A wish of the user: see [`Recordable::replay_command`].
    Command {
        /// The time that came with it.
        now: Instant,
        /// The command.
        encoded: &'a [u8],
    },
    /// The command before answered this at once.
    Reply {
        /// The reply, for comparison.
        encoded: &'a [u8],
    },
    /// An output was popped, and was this.
    Output {
        /// The output, for comparison and for [`describe_output`].
        encoded: &'a [u8],
    },
}

impl Entry<'_> {
    /// Appends the entry to a recording, as it is.
    pub fn put(&self, to: &mut Vec<u8>) {
        let mut out = Encoder::new(to);
        let (tag, now, encoded) = match self {
            Self::Input { now, encoded } => (TAG_INPUT, Some(now), encoded),
            Self::Command { now, encoded } => (TAG_COMMAND, Some(now), encoded),
            Self::Reply { encoded } => (TAG_REPLY, None, encoded),
            Self::Output { encoded } => (TAG_OUTPUT, None, encoded),
        };
        out.put_u8(tag);
        if let Some(now) = now {
            out.put_instant(*now);
        }
        out.put_bytes(encoded);
    }
}

/// The entries of a recording, each read when it is asked for. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: Decoder<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.rest = Decoder::new(&[]);
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn read(&mut self) -> Result<Entry<'a>, RecordingError> {
        let tag = self.rest.get_u8()?;
        match tag {
            TAG_INPUT => Ok(Entry::Input {
                now: self.rest.get_instant()?,
                encoded: self.rest.get_bytes()?,
            }),
            TAG_COMMAND => Ok(Entry::Command {
                now: self.rest.get_instant()?,
                encoded: self.rest.get_bytes()?,
            }),
            TAG_REPLY => Ok(Entry::Reply {
                encoded: self.rest.get_bytes()?,
            }),
            TAG_OUTPUT => Ok(Entry::Output {
                encoded: self.rest.get_bytes()?,
            }),
            _ => Err(self.rest.error("an input, a command, a reply or an output")),
        }
    }
}

/// Appends a command to a recording.
pub fn put_command<E: Recordable>(command: &E::Command<'_>, now: Instant, to: &mut Vec<u8>) {
    let mut out = Encoder::new(to);
    out.put_u8(TAG_COMMAND);
    out.put_instant(now);
    out.put_sized(|out| E::put_command(command, out));
}

/// Appends what a command answered to a recording.
pub fn put_reply<E: Recordable>(reply: &E::Reply, to: &mut Vec<u8>) {
    let mut out = Encoder::new(to);
    out.put_u8(TAG_REPLY);
    out.put_sized(|out| E::put_reply(reply, out));
}

/// What a replay compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// What a command answered at once.
    Reply,
    /// What was popped later.
    Output,
}

impl Compared {
    fn describe(self, encoded: &[u8]) -> String {
        match self {
            Self::Reply => alloc::format!("a reply of {} bytes", encoded.len()),
            Self::Output => describe_output(encoded),
        }
    }
}

/// Where a replay first gave something else than the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the entry, counted from 0.
    pub entry: u64,
    /// What sort of entry it is.
    pub of: Compared,
    /// What the recording has there.
    pub recorded: Vec<u8>,
    /// What the engine gave.
    pub replayed: Vec<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recorded, replayed) = (&self.recorded, &self.replayed);
        write!(
            f,
            "entry {}: the recording has {}, the replay gave {}",
            self.entry,
            self.of.describe(recorded),
            self.of.describe(replayed)
        )?;
        let common = recorded.iter().zip(replayed).take_while(|(a, b)| a == b);
        write!(f, "; they differ from byte {} on", common.count())
    }
}

/// What a whole replay went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs applied.
    pub inputs: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Replies and outputs compared.
    pub outputs: u64,
    /// Bytes of these.
    pub output_bytes: u64,
}

/// Why a replay ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The recording cannot be read.
    Recording(RecordingError),
    /// The engine gave something else.
    Difference(Difference),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(error) => error.fmt(f),
            Self::Difference(difference) => difference.fmt(f),
        }
    }
}

impl core::error::Error for ReplayError {}

impl From<RecordingError> for ReplayError {
    fn from(error: RecordingError) -> Self {
        Self::Recording(error)
    }
}

/// Applies the entries to a fresh engine, and compares each reply and each output with the recorded one, byte for byte.
///
/// # Errors
/// The first reply or output that differs, or the first entry that cannot be read.
pub fn replay<'a, E: Recordable>(
    engine: &mut E,
    entries: impl IntoIterator<Item = Result<Entry<'a>, RecordingError>>,
) -> Result<Replayed, ReplayError> {
    let mut done = Replayed::default();
    let mut reply = Vec::new();
    for (entry, number) in entries.into_iter().zip(0_u64..) {
        let (of, recorded, replayed) = match entry? {
            Entry::Input { now, encoded } => {
                engine.handle(get_input(encoded)?, now);
                done.inputs = done.inputs.saturating_add(1);
                continue;
            }
            Entry::Command { now, encoded } => {
                let replied = engine.replay_command(&mut Decoder::new(encoded), now)?;
                reply.clear();
                E::put_reply(&replied, &mut Encoder::new(&mut reply));
                done.commands = done.commands.saturating_add(1);
                continue;
            }
            Entry::Reply { encoded } => (Compared::Reply, encoded, core::mem::take(&mut reply)),
            Entry::Output { encoded } => {
                let mut output = Vec::new();
                output::encode::<E>(&engine.poll_output(), &mut Encoder::new(&mut output));
                (Compared::Output, encoded, output)
            }
        };
        if replayed != recorded {
            return Err(ReplayError::Difference(Difference {
                entry: number,
                of,
                recorded: recorded.into(),
                replayed,
            }));
        }
        done.outputs = done.outputs.saturating_add(1);
        done.output_bytes = done.output_bytes.saturating_add(recorded.len() as u64);
    }
    Ok(done)
}

/// Bytes that are not what a recording has at this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingError {
    /// What was expected.
    pub expected: &'static str,
    /// How many bytes were left there.
    pub left: usize,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, left } = self;
        write!(
            f,
            "the recording is damaged: expected {expected}, {left} bytes before the end"
        )
    }
}

impl core::error::Error for RecordingError {}
