//! Owns what users see when something fails: one [`Error`], typed by what the caller should do, that says
//! what happened, where, and what to do about it.
//!
//! Must not know how anything is retried; only what became of it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::error_code::ErrorCode;
use crate::time::Duration;

/// What went wrong, where, and what to do.
///
/// One pointer wide, so that results stay small on the paths that succeed.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    broker: Option<String>,
    step: Option<Step>,
    topic: Option<String>,
    partition: Option<i32>,
    detail: Option<String>,
    hint: Option<Cow<'static, str>>,
}

/// What went wrong, in the terms a program can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration key that does not exist, or a value that is not allowed.
    Config {
        /// The key as it was given.
        key: String,
    },
    /// No connection to a broker could be made, or it was lost.
    Disconnected,
    /// What answered is not Kafka, or broke the protocol.
    Protocol,
    /// A frame is larger than the limit.
    FrameTooLarge {
        /// What the peer announced, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Nothing answered in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The topic does not exist, or not yet.
    UnknownTopic,
    /// The topic has no such partition.
    UnknownPartition {
        /// How many the topic has.
        partitions: i32,
    },
    /// A record does not fit.
    RecordTooLarge {
        /// Its size in a batch, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The byte budget has no room now.
    BufferFull {
        /// What was asked for, in bytes.
        needed: usize,
        /// What is free, in bytes.
        free: usize,
    },
    /// Data on the broker is damaged (CRC, structure, or compression).
    Corrupt {
        /// The offset of the batch.
        offset: i64,
    },
    /// A batch needs more memory than may be given to it.
    TooLargeToRead {
        /// The offset of the batch.
        offset: i64,
        /// What it needs at the least, in bytes.
        needed: usize,
    },
    /// The offset does not exist any more, or not yet.
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
    },
    /// The broker refused, with this code.
    Broker(ErrorCode),
    /// Client and broker could not prove to each other who they are.
    Unauthenticated,
    /// The broker cannot do what was asked for.
    Unsupported {
        /// What was asked for.
        feature: String,
    },
    /// The consumer is no member of its group, or not any more: what it owned may be somebody else's by now.
    NotAMember,
    /// Records were there, and for `max.poll.interval.ms` nobody came for them: the consumer has left its group, and joins
    /// again with the next read (KIP-62).
    PollIntervalExceeded {
        /// How long was waited.
        after: Duration,
    },
    /// The call needs a group, and the configuration has no `group.id`.
    NoGroupId,
    /// The group has committed no offset for the partition, and `auto.offset.reset` is `none`.
    NoCommittedOffset,
    /// The partition, topic or operation is not what this client was told to work on.
    NotAssigned,
    /// The client is closed or closing.
    Closed,
    /// The call itself is wrong: an unknown handle, a batch returned twice.
    Misuse,
    /// A codec that this build does not have.
    NotCompiled {
        /// Its name, which is that of the Cargo feature, too.
        codec: &'static str,
    },
}

/// On the way to an answer, how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Looking the name up.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// SASL authentication.
    Authenticate,
    /// Asking for the API versions, the first words of the protocol.
    ApiVersions,
    /// Finding brokers, topics and leaders.
    Metadata,
    /// Getting a producer id.
    InitProducerId,
    /// Writing records.
    Produce,
    /// Reading records.
    Fetch,
    /// Looking offsets up.
    ListOffsets,
    /// Checking an offset against the leader's epochs.
    OffsetForLeaderEpoch,
    /// Finding the broker that coordinates the group.
    FindCoordinator,
    /// Joining the group.
    JoinGroup,
    /// Getting the member's share of the partitions.
    SyncGroup,
    /// Telling the coordinator that the member lives.
    Heartbeat,
    /// Leaving the group.
    LeaveGroup,
    /// Committing offsets.
    OffsetCommit,
    /// Asking for committed offsets.
    OffsetFetch,
    /// A request that the user made by hand.
    Request,
    /// Shutting down.
    Close,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::Tls => "negotiating TLS",
            Self::Authenticate => "authenticating",
            Self::ApiVersions => "negotiating API versions",
            Self::Metadata => "finding the topic's leaders",
            Self::InitProducerId => "getting a producer id",
            Self::Produce => "producing",
            Self::Fetch => "fetching",
            Self::ListOffsets => "looking up offsets",
            Self::OffsetForLeaderEpoch => "validating the position",
            Self::FindCoordinator => "finding the group's coordinator",
            Self::JoinGroup => "joining the group",
            Self::SyncGroup => "getting the member's share",
            Self::Heartbeat => "telling the group's coordinator that the member lives",
            Self::LeaveGroup => "leaving the group",
            Self::OffsetCommit => "committing offsets",
            Self::OffsetFetch => "asking for committed offsets",
            Self::Request => "carrying out the request",
            Self::Close => "closing",
        })
    }
}

/// Which permission is missing, wherever a broker says so.
fn permission(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
            Some("allow this client to read the topic (ACL: Read on the topic)")
        }
        ErrorCode::GROUP_AUTHORIZATION_FAILED => {
            Some("allow this client to be in the group (ACL: Read on the group)")
        }
        _ => None,
    }
}

impl Error {
    /// An error of this kind that does not yet say where.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        let hint = if let ErrorKind::Broker(code) = kind {
            permission(code).map(Into::into)
        } else {
            None
        };
        Self(Box::new(Inner {
            kind,
            broker: None,
            step: None,
            topic: None,
            partition: None,
            detail: None,
            hint,
        }))
    }

    /// Says which broker (name, id or address).
    #[must_use]
    pub fn at_broker(mut self, broker: impl fmt::Display) -> Self {
        self.0.broker = Some(alloc::format!("{broker}"));
        self
    }

    /// Says which step.
    #[must_use]
    pub fn in_step(mut self, step: Step) -> Self {
        self.0.step = Some(step);
        self
    }

    /// Says which topic.
    #[must_use]
    pub fn on_topic(mut self, topic: &str) -> Self {
        self.0.topic = Some(topic.into());
        self
    }

    /// Says which partition.
    #[must_use]
    pub fn on_partition(mut self, partition: i32) -> Self {
        self.0.partition = Some(partition);
        self
    }

    /// Adds what was seen, for people. Text of a peer belongs through [`printable`] first.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.0.detail = Some(alloc::format!("{detail}"));
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says what this comes of: `what` has failed, at the cause's broker, and the cause's hint goes before this one's.
    #[must_use]
    pub fn caused_by(mut self, what: impl fmt::Display, cause: &Self) -> Self {
        let Inner {
            kind,
            broker,
            step,
            topic: _,
            partition: _,
            detail,
            hint,
        } = &*cause.0;
        let mut text = alloc::format!("{what}: {kind}");
        if let Some(detail) = detail {
            text = alloc::format!("{text}: {detail}");
        }
        if let Some(step) = step {
            text = alloc::format!("{text}, while {step}");
        }
        self.0.detail = Some(text);
        self.0.broker = broker.clone().or(self.0.broker);
        self.0.hint = hint.clone().or(self.0.hint);
        self
    }

    /// It happened in this line of a file.
    pub(crate) fn in_line(mut self, line: usize) -> Self {
        let detail = self.0.detail.take().unwrap_or_default();
        self.with_detail(format_args!("line {line}: {detail}"))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The broker it happened at.
    #[must_use]
    pub fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// The step it happened in.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.0.step
    }

    /// The topic it happened on.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition it happened on.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed later, with nothing changed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Disconnected
            | ErrorKind::TimedOut { .. }
            | ErrorKind::UnknownTopic
            | ErrorKind::BufferFull { .. } => true,
            ErrorKind::Broker(code) => code.is_retriable(),
            ErrorKind::Config { .. }
            | ErrorKind::Protocol
            | ErrorKind::FrameTooLarge { .. }
            | ErrorKind::UnknownPartition { .. }
            | ErrorKind::RecordTooLarge { .. }
            | ErrorKind::Corrupt { .. }
            | ErrorKind::TooLargeToRead { .. }
            | ErrorKind::OffsetOutOfRange { .. }
            | ErrorKind::Unsupported { .. }
            | ErrorKind::NotAMember
            | ErrorKind::PollIntervalExceeded { .. }
            | ErrorKind::NoGroupId
            | ErrorKind::NoCommittedOffset
            | ErrorKind::NotAssigned
            | ErrorKind::Unauthenticated
            | ErrorKind::Closed
            | ErrorKind::Misuse
            | ErrorKind::NotCompiled { .. } => false,
        }
    }

    /// Whether this client can do nothing more: a new one must be made, or the configuration changed.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Config { .. } | ErrorKind::Closed => true,
            ErrorKind::Broker(code) => code.is_fatal(),
            ErrorKind::Disconnected
            | ErrorKind::Protocol
            | ErrorKind::FrameTooLarge { .. }
            | ErrorKind::TimedOut { .. }
            | ErrorKind::UnknownTopic
            | ErrorKind::UnknownPartition { .. }
            | ErrorKind::RecordTooLarge { .. }
            | ErrorKind::BufferFull { .. }
            | ErrorKind::Corrupt { .. }
            | ErrorKind::TooLargeToRead { .. }
            | ErrorKind::OffsetOutOfRange { .. }
            | ErrorKind::Unsupported { .. }
            | ErrorKind::NotAMember
            | ErrorKind::PollIntervalExceeded { .. }
            | ErrorKind::NoGroupId
            | ErrorKind::NoCommittedOffset
            | ErrorKind::NotAssigned
            | ErrorKind::Unauthenticated
            | ErrorKind::Misuse
            | ErrorKind::NotCompiled { .. } => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { key } => write!(f, "configuration `{key}` is wrong"),
            Self::Disconnected => f.write_str("no connection"),
            Self::Protocol => f.write_str("the peer does not speak Kafka's protocol as expected"),
            Self::FrameTooLarge { size, limit } => {
                write!(f, "a frame of {size} bytes is over the limit of {limit}")
            }
            Self::TimedOut { after } => write!(f, "no answer within {} ms", after.as_millis()),
            Self::UnknownTopic => f.write_str("the topic does not exist"),
            Self::UnknownPartition { partitions } => {
                write!(f, "no such partition: the topic has {partitions}")
            }
            Self::RecordTooLarge { size, limit } => {
                write!(f, "a record of {size} bytes is over the limit of {limit}")
            }
            Self::BufferFull { needed, free } => {
                write!(f, "the buffer is full: {needed} bytes wanted, {free} free")
            }
            Self::Corrupt { offset } => write!(f, "the batch at offset {offset} is corrupt"),
            Self::TooLargeToRead { offset, needed } => write!(
                f,
                "the batch at offset {offset} needs at least {needed} bytes, more than it may have"
            ),
            Self::OffsetOutOfRange { offset } => write!(f, "offset {offset} is out of range"),
            Self::Unauthenticated => f.write_str("authentication failed"),
            Self::Broker(code) => write!(f, "the broker answered {code}"),
            Self::Unsupported { feature } => write!(f, "the broker does not support {feature}"),
            Self::NotAMember => f.write_str("the consumer is no member of its group"),
            Self::PollIntervalExceeded { after } => {
                write!(f, "nobody read for {} ms", after.as_millis())
            }
            Self::NoGroupId => f.write_str("there is no group"),
            Self::NoCommittedOffset => f.write_str("no offset is committed"),
            Self::NotAssigned => f.write_str("not assigned"),
            Self::Closed => f.write_str("the client is closed"),
            Self::Misuse => f.write_str("the call is wrong"),
            Self::NotCompiled { codec } => write!(f, "{codec} is not compiled in"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(f, "{}", inner.kind)?;
        if let Some(detail) = &inner.detail {
            write!(f, ": {detail}")?;
        }
        let mut separator = " (";
        if let Some(broker) = &inner.broker {
            write!(f, "{separator}at {broker}")?;
            separator = ", ";
        }
        if let Some(step) = inner.step {
            write!(f, "{separator}while {step}")?;
            separator = ", ";
        }
        match (&inner.topic, inner.partition) {
            (Some(topic), Some(partition)) => {
                write!(f, "{separator}topic {topic}, partition {partition})")?;
            }
            (Some(topic), None) => write!(f, "{separator}topic {topic})")?,
            (None, Some(partition)) => write!(f, "{separator}partition {partition})")?,
            (None, None) if separator == ", " => f.write_str(")")?,
            (None, None) => {}
        }
        if let Some(hint) = &inner.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `main` prints of an error that it returns.
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error {}

/// The longest piece of a peer's text that reaches an error.
const PEER_TEXT_MAX: usize = 1024;

/// A peer's text, cut to 1 KiB and with control characters escaped, so that it cannot forge log lines.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= PEER_TEXT_MAX {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let error = Error::new(ErrorKind::UnknownPartition { partitions: 3 })
            .at_broker("broker 1")
            .in_step(Step::Metadata)
            .on_topic("orders")
            .on_partition(7)
            .with_hint("assign a partition from 0 to 2");
        assert_eq!(
            error.to_string(),
            "no such partition: the topic has 3 (at broker 1, while finding the topic's leaders, \
             topic orders, partition 7); assign a partition from 0 to 2"
        );
    }

    #[test]
    fn an_error_tells_its_cause_and_where_that_is_to_be_mended() {
        let cause = Error::new(ErrorKind::Disconnected)
            .with_detail("connection refused")
            .at_broker("broker 1")
            .in_step(Step::Connect)
            .with_hint("start it");
        let after = Duration::from_millis(20);
        let error = Error::new(ErrorKind::TimedOut { after })
            .in_step(Step::Metadata)
            .with_hint("wait longer");
        assert_eq!(
            error.caused_by("nobody was reached", &cause).to_string(),
            "no answer within 20 ms: nobody was reached: no connection: connection refused, while connecting \
             (at broker 1, while finding the topic's leaders); start it"
        );
    }

    #[test]
    fn an_error_without_a_place_has_no_parentheses() {
        assert_eq!(
            Error::new(ErrorKind::Closed).to_string(),
            "the client is closed"
        );
    }

    #[test]
    fn the_text_of_a_peer_cannot_forge_a_log_line() {
        assert_eq!(printable("a\nERROR b\u{1b}[0m"), "a\\nERROR b\\u{1b}[0m");
        assert!(printable(&"x".repeat(5000)).len() <= PEER_TEXT_MAX + 4);
    }
}
