//! Owns the errors of encoding and decoding: what was wrong, in which field, at which byte. Knows no message.

use super::VersionRange;
use alloc::{boxed::Box, vec::Vec};
use core::fmt;

/// Where in a message: its name, then field names and positions in arrays, from the outermost to the innermost.
///
/// Built from the inside out while an error travels up, so that the good case pays nothing for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(&'static str),
    Index(usize),
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for step in self.0.iter().rev() {
            match step {
                Step::Name(name) if first => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
            first = false;
        }
        Ok(())
    }
}

/// Bytes that are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<DecodeInner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct DecodeInner {
    kind: DecodeErrorKind,
    at: usize,
    path: Path,
}

/// What is wrong with bytes that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The message has no such version.
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
        /// The versions that there are.
        supported: VersionRange,
    },
    /// The bytes end within a value.
    Cut {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// An array claims more elements than the bytes that are left could hold.
    Count {
        /// Elements claimed.
        count: usize,
        /// Bytes that the smallest element takes.
        smallest: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A length or a count below -1.
    NegativeLength(i64),
    /// A string longer than Kafka allows.
    StringTooLong {
        /// The claimed length in bytes.
        length: usize,
    },
    /// A null where the version allows none.
    UnexpectedNull,
    /// A string that is not UTF-8.
    NotUtf8,
    /// A variable-length integer that does not fit its type.
    VarintTooLong,
    /// The byte before a nullable struct is neither 1 (present) nor -1 (null).
    NotAPresence(i8),
    /// Tags out of order, or one twice.
    TagOrder {
        /// The offending tag.
        tag: u32,
        /// The tag before it.
        previous: u32,
    },
    /// More tagged fields than any message has.
    TooManyTags(u32),
    /// Bytes follow what the message, or a tagged field, holds.
    Trailing {
        /// How many.
        left: usize,
    },
    /// The decoded form would take more memory than allowed.
    TooMuchMemory {
        /// Bytes of memory that the array would take.
        needed: usize,
        /// Bytes that are still allowed.
        allowed: usize,
    },
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(kind: DecodeErrorKind, at: usize) -> Self {
        let path = Path::default();
        Self(Box::new(DecodeInner { kind, at, path }))
    }

    /// The same error, one level further out: in the field `name`, or in the message of that name.
    #[cold]
    pub(crate) fn within(mut self, name: &'static str) -> Self {
        self.0.path.0.push(Step::Name(name));
        self
    }

    #[cold]
    pub(crate) fn element(mut self, index: usize) -> Self {
        self.0.path.0.push(Step::Index(index));
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// The byte of the frame (its size prefix not counted) at which the value starts that is wrong.
    #[must_use]
    pub fn at(&self) -> usize {
        self.0.at
    }

    /// The message and field.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnsupportedVersion { version, supported } => {
                write!(f, "there is no version {version}, only {supported}")
            }
            Self::Cut { needed, left } => write!(f, "{needed} bytes needed, {left} left"),
            Self::Count {
                count,
                smallest,
                left,
            } => {
                write!(
                    f,
                    "{count} elements of at least {smallest} bytes claimed, {left} bytes left"
                )
            }
            Self::NegativeLength(length) => write!(f, "length {length} is negative"),
            Self::StringTooLong { length } => write!(
                f,
                "string of {length} bytes, at most {} allowed",
                super::value::MAX_STRING
            ),
            Self::UnexpectedNull => write!(f, "null where none is allowed"),
            Self::NotUtf8 => write!(f, "string is not UTF-8"),
            Self::VarintTooLong => write!(f, "variable-length integer too long"),
            Self::NotAPresence(byte) => {
                write!(f, "{byte} before a nullable struct, neither 1 nor -1")
            }
            Self::TagOrder { tag, previous } => write!(f, "tag {tag} after tag {previous}"),
            Self::TooManyTags(count) => write!(f, "{count} tagged fields claimed"),
            Self::Trailing { left } => write!(f, "{left} bytes too many"),
            Self::TooMuchMemory { needed, allowed } => {
                write!(f, "array of {needed} bytes in memory, {allowed} allowed")
            }
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (at byte {})",
            self.0.path, self.0.kind, self.0.at
        )
    }
}

impl core::error::Error for DecodeError {}

/// A message that the version cannot carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError(Box<EncodeInner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct EncodeInner {
    kind: EncodeErrorKind,
    path: Path,
}

/// Why a message cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// The message has no such version.
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
        /// The versions that there are.
        supported: VersionRange,
    },
    /// The field is set, and the version does not have it: sent without it, the message would say something else.
    NotInVersion {
        /// The version asked for.
        version: i16,
    },
    /// The field is null, and the version allows none.
    UnexpectedNull {
        /// The version asked for.
        version: i16,
    },
    /// A string, array, byte field or frame longer than its length field can say.
    TooLong {
        /// Its length.
        length: usize,
        /// The longest that can be said.
        max: usize,
    },
}

impl EncodeError {
    #[cold]
    pub(crate) fn new(kind: EncodeErrorKind) -> Self {
        let path = Path::default();
        Self(Box::new(EncodeInner { kind, path }))
    }

    /// The same error, one level further out: in the field `name`, or in the message of that name.
    #[cold]
    pub(crate) fn within(mut self, name: &'static str) -> Self {
        self.0.path.0.push(Step::Name(name));
        self
    }

    #[cold]
    pub(crate) fn element(mut self, index: usize) -> Self {
        self.0.path.0.push(Step::Index(index));
        self
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> EncodeErrorKind {
        self.0.kind
    }

    /// The message and field.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl fmt::Display for EncodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnsupportedVersion { version, supported } => {
                write!(f, "there is no version {version}, only {supported}")
            }
            Self::NotInVersion { version } => {
                write!(f, "is set, but version {version} cannot carry it")
            }
            Self::UnexpectedNull { version } => {
                write!(f, "is null, which version {version} does not allow")
            }
            Self::TooLong { length, max } => {
                write!(f, "has length {length}, at most {max} can be sent")
            }
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.path, self.0.kind)
    }
}

impl core::error::Error for EncodeError {}
