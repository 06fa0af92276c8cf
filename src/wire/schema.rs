//! Owns the machinery that turns the definition of a message into a plain struct with both directions, in every
//! version, by the rules of Kafka's schemas.
//!
//! Must not know any message.
//!
//! A definition looks as the protocol guide does:
//! ```text
//! message! {
//!     /// Asks a broker for records.
//!     struct FetchRequest: Request { key: 1, versions: 4..=18, flexible: 12.. } {
//!         replica_id: i32 [..=14] = -1,
//!         topics: Vec<FetchTopic>,
//!         rack_id: Str [11..; ignorable],
//!         cluster_id: Option<Str> [12..; ignorable] | 0 = None,
//!     }
//!     /// One topic of a [`FetchRequest`].
//!     struct FetchTopic { .. }
//! }
//! ```
//! - The type says how a value is encoded; `Option` is a nullable one.
//! - `[versions; null versions; ignorable]`: which versions have the field, which of them allow a null (all that have
//!   it, where nothing is said), and whether a version without the field may lose it: if not, encoding a value that is
//!   not the default is an error.
//! - `| n`: a tagged field (KIP-482) of that tag. Tagged fields stand in the order of their tags.
//! - `= x`: the default, where it is not that of the type.

use super::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Reader, VersionRange, Wire,
    Writer,
};
#[cfg(feature = "messages")]
use alloc::{string::String, vec::Vec};
use core::fmt;

/// More levels of structs than any message has: deeper ones do not compile.
pub(crate) const MAX_DEPTH: usize = 8;

/// A request, a response, or another struct that stands for itself with a version of its own.
pub trait Message: Wire + fmt::Debug + Clone + PartialEq + Default {
    /// Kafka's name.
    const NAME: &'static str;
    /// The API that it belongs to; `None` for headers and for what lies within other messages.
    const API: Option<ApiKey>;
    /// The versions that can be written and read.
    const VERSIONS: VersionRange;
    /// The first version of the flexible encoding (KIP-482), if any.
    const FLEXIBLE_FROM: Option<i16>;
    /// The versions that Kafka calls stable: what a client may use unless told otherwise.
    const STABLE: VersionRange;

    /// Whether `version` has the flexible encoding.
    #[inline]
    #[must_use]
    fn is_flexible(version: i16) -> bool {
        Self::FLEXIBLE_FROM.is_some_and(|from| version >= from)
    }

    /// Appends the message in `version`.
    ///
    /// # Errors
    /// There is no such version, or it cannot carry the message.
    #[inline]
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(version) {
            let supported = Self::VERSIONS;
            return Err(EncodeError::new(EncodeErrorKind::UnsupportedVersion {
                version,
                supported,
            })
            .within(Self::NAME));
        }
        writer.set_format(version, Self::is_flexible(version));
        self.write(writer).map_err(|error| error.within(Self::NAME))
    }

    /// Reads the message in `version`. What follows it is left to the caller: see [`Reader::finish`].
    ///
    /// # Errors
    /// There is no such version, or the bytes are not such a message.
    #[inline]
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        const { assert!(Self::DEPTH <= MAX_DEPTH, "structs are nested too deeply") }
        if !Self::VERSIONS.contains(version) {
            let supported = Self::VERSIONS;
            return Err(reader
                .error(DecodeErrorKind::UnsupportedVersion { version, supported })
                .within(Self::NAME));
        }
        reader.set_format(version, Self::is_flexible(version));
        Self::read(reader).map_err(|error| error.within(Self::NAME))
    }

    /// What the definition says, for programs that compare or print definitions.
    #[cfg(feature = "messages")]
    #[must_use]
    fn description() -> Description {
        Description {
            name: Self::NAME,
            api: Self::API,
            versions: Self::VERSIONS,
            stable: Self::STABLE,
            flexible_from: Self::FLEXIBLE_FROM,
            fields: Self::describe(),
        }
    }
}

/// A message that asks, and is answered by another.
pub trait Request: Message {
    /// The API that it calls.
    const KEY: ApiKey;
    /// What answers it, in the same version.
    type Response: Message;
}

/// A message's definition as data.
#[cfg(feature = "messages")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Kafka's name.
    pub name: &'static str,
    /// The API that it belongs to, if any.
    pub api: Option<ApiKey>,
    /// All versions.
    pub versions: VersionRange,
    /// Those that Kafka calls stable.
    pub stable: VersionRange,
    /// The first version of the flexible encoding, if any.
    pub flexible_from: Option<i16>,
    /// The fields in their order.
    pub fields: Vec<FieldDescription>,
}

/// A field's definition as data.
#[cfg(feature = "messages")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDescription {
    /// The name, in Rust's spelling.
    pub name: &'static str,
    /// The type, in Rust's spelling.
    pub type_name: &'static str,
    /// The versions that have the field.
    pub versions: VersionRange,
    /// The versions that allow a null, if any does.
    pub nullable: Option<VersionRange>,
    /// The tag, if the field is a tagged one.
    pub tag: Option<u32>,
    /// The default value, as `Debug` prints it.
    pub default: String,
    /// Whether a version without the field may lose its value.
    pub ignorable: bool,
    /// The fields of the struct that the field holds, be it one, an array or an option of it.
    pub fields: Vec<FieldDescription>,
}

/// The greater of two, for constants.
pub(crate) const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Equality of two values of one type: it lets the compiler infer the type of a default.
#[inline]
pub(crate) fn same<T: PartialEq>(a: &T, b: &T) -> bool {
    a == b
}

/// Defines messages; see the module's text. The first struct of a group is a message, the others lie within it.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        struct $name:ident $(: $kind:ident { $($head:tt)* })? {
            $(
                $(#[$field_meta:meta])*
                $field:ident : $type:ty $([ $($option:tt)* ])? $(| $tag:literal)? $(= $default:expr)?
            ),* $(,)?
        }
    )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[doc = concat!(
                    "In Kafka's schema: `", stringify!($field), "`", $(", versions `", stringify!($($option)*), "`",)?
                    $(", tag ", stringify!($tag),)? $(", by default `", stringify!($default), "`",)? "."
                )]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            #[inline]
            fn default() -> Self {
                Self { $($field: $crate::wire::schema::default!($($default)?),)* }
            }
        }

        #[allow(clippy::identity_op, unused_mut, unused_variables, reason = "depends on what fields there are")]
        impl $crate::wire::Wire for $name {
            const SMALLEST: usize = $crate::wire::schema::max(
                1,
                0_usize $(.saturating_add($crate::wire::schema::smallest!($type [$($($option)*)?] [$($tag)?])))*
            );
            const DEPTH: usize = {
                let mut depth = 0;
                $(depth = $crate::wire::schema::max(depth, <$type as $crate::wire::Wire>::DEPTH);)*
                depth.saturating_add(1)
            };

            #[inline]
            fn write(&self, writer: &mut $crate::wire::Writer) -> Result<(), $crate::wire::EncodeError> {
                $($crate::wire::schema::write!(self writer $field [$($($option)*)?] [$($tag)?] [$($default)?]);)*
                if writer.flexible() {
                    let tags = 0_u32 $(.saturating_add(
                        $crate::wire::schema::count_tag!(self writer $field [$($($option)*)?] [$($tag)?] [$($default)?])
                    ))*;
                    writer.uvarint(tags);
                    $($crate::wire::schema::write_tag!(self writer $field [$($($option)*)?] [$($tag)?] [$($default)?]);)*
                }
                Ok(())
            }

            #[inline]
            fn read(reader: &mut $crate::wire::Reader) -> Result<Self, $crate::wire::DecodeError> {
                let mut value = Self {
                    $($field: $crate::wire::schema::read!(reader $field [$($($option)*)?] [$($tag)?] [$($default)?]),)*
                };
                if reader.flexible() {
                    let mut tags = reader.tags().map_err(|error| error.within("tagged fields"))?;
                    while let Some((tag, size)) = tags.next(reader).map_err(|error| error.within("tagged fields"))? {
                        $($crate::wire::schema::read_tag!(reader value tag size $field [$($($option)*)?] [$($tag)?]);)*
                        reader.skip(size).map_err(|error| error.within("tagged fields"))?;
                    }
                }
                Ok(value)
            }

            #[cfg(feature = "messages")]
            fn describe() -> alloc::vec::Vec<$crate::wire::FieldDescription> {
                let default = Self::default();
                alloc::vec![$(
                    $crate::wire::schema::describe!(default $field $type [$($($option)*)?] [$($tag)?])
                ),*]
            }
        }

        impl $crate::wire::Nullable for $name {
            #[inline]
            fn write_nullable(
                value: Option<&Self>,
                writer: &mut $crate::wire::Writer,
            ) -> Result<(), $crate::wire::EncodeError> {
                $crate::wire::value::write_nullable_struct(value, writer)
            }

            #[inline]
            fn read_nullable(reader: &mut $crate::wire::Reader) -> Result<Option<Self>, $crate::wire::DecodeError> {
                $crate::wire::value::read_nullable_struct(reader)
            }
        }

        $($crate::wire::schema::head! { $name { $($head)* } })?
    )* };
}

/// What makes a struct a message: `{ key: 1, versions: 4..=18, flexible: 12.. }`. Data has no key; `unstable: 6` says
/// from which version on Kafka does not call it stable.
macro_rules! head {
    ($name:ident { $(key: $key:literal,)? versions: $min:literal ..= $max:literal, flexible: $($flexible:tt)* }) => {
        impl $crate::wire::Message for $name {
            const NAME: &'static str = stringify!($name);
            const API: Option<$crate::wire::ApiKey> = $crate::wire::schema::key!($($key)?);
            const VERSIONS: $crate::wire::VersionRange = $crate::wire::VersionRange::new($min, $max);
            const FLEXIBLE_FROM: Option<i16> = $crate::wire::schema::flexible!($($flexible)*);
            const STABLE: $crate::wire::VersionRange = $crate::wire::schema::stable_versions!($min $max $($flexible)*);
        }
    };
}

macro_rules! key {
    () => {
        None
    };
    ($key:literal) => {
        Some($crate::wire::ApiKey($key))
    };
}

macro_rules! flexible {
    (none) => {
        None
    };
    ($from:literal .. $($rest:tt)*) => {
        Some($from)
    };
}

macro_rules! stable_versions {
    ($min:literal $max:literal $from:literal .., unstable: $unstable:literal) => {
        $crate::wire::VersionRange::new($min, $unstable - 1)
    };
    ($min:literal $max:literal $($flexible:tt)*) => {
        $crate::wire::VersionRange::new($min, $max)
    };
}

macro_rules! default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// The fewest bytes of a field in any version: nothing, where some version may lack it.
macro_rules! smallest {
    ($type:ty [] []) => {
        <$type as $crate::wire::Wire>::SMALLEST
    };
    ($type:ty [$($option:tt)*] [$($tag:literal)?]) => {
        0
    };
}

/// Whether the version has the field.
macro_rules! has {
    ($version:expr, []) => {
        true
    };
    ($version:expr, [$versions:expr $(; $($rest:tt)*)?]) => {
        core::ops::RangeBounds::<i16>::contains(&($versions), &$version)
    };
}

/// Whether the version allows a null.
macro_rules! allows_null {
    ($version:expr, [$versions:expr; null $nullable:expr $(; ignorable)?]) => {
        core::ops::RangeBounds::<i16>::contains(&($nullable), &$version)
    };
    ($version:expr, [$($option:tt)*]) => {
        true
    };
}

macro_rules! ignorable {
    ([$versions:expr; ignorable]) => {
        true
    };
    ([$versions:expr; null $nullable:expr; ignorable]) => {
        true
    };
    ([$($option:tt)*]) => {
        false
    };
}

/// Whether the field has its default value.
macro_rules! is_default {
    ($self:ident $field:ident [$($default:expr)?]) => {
        $crate::wire::schema::same(&$self.$field, &$crate::wire::schema::default!($($default)?))
    };
}

/// The value of the field, with its name on errors.
macro_rules! write_value {
    ($self:ident $writer:ident $field:ident [$($option:tt)*]) => {
        $crate::wire::value::check_written(
            $crate::wire::schema::allows_null!($writer.version(), [$($option)*]),
            &$self.$field,
            $writer,
        )
        .and_then(|()| $crate::wire::Wire::write(&$self.$field, $writer))
        .map_err(|error| error.within(stringify!($field)))?
    };
}

/// The part of a field in a struct's body: the value, if it is not tagged, or the refusal to lose it.
macro_rules! write {
    ($self:ident $writer:ident $field:ident [] [] [$($default:expr)?]) => {
        if let Err(error) = $crate::wire::Wire::write(&$self.$field, $writer) {
            return Err(error.within(stringify!($field)));
        }
    };
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [] [$($default:expr)?]) => {
        if $crate::wire::schema::has!($writer.version(), [$($option)*]) {
            $crate::wire::schema::write_value!($self $writer $field [$($option)*]);
        } else if !$crate::wire::schema::ignorable!([$($option)*])
            && !$crate::wire::schema::is_default!($self $field [$($default)?])
        {
            return Err($crate::wire::schema::not_in_version($writer, stringify!($field)));
        }
    };
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [$tag:literal] [$($default:expr)?]) => {
        if !$crate::wire::schema::has!($writer.version(), [$($option)*])
            && !$crate::wire::schema::ignorable!([$($option)*])
            && !$crate::wire::schema::is_default!($self $field [$($default)?])
        {
            return Err($crate::wire::schema::not_in_version($writer, stringify!($field)));
        }
    };
}

/// How many tagged fields a field adds: one, if it is tagged, in the version and not at its default.
macro_rules! count_tag {
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [] [$($default:expr)?]) => {
        0
    };
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [$tag:literal] [$($default:expr)?]) => {
        u32::from(
            $crate::wire::schema::has!($writer.version(), [$($option)*])
                && !$crate::wire::schema::is_default!($self $field [$($default)?]),
        )
    };
}

macro_rules! write_tag {
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [] [$($default:expr)?]) => {};
    ($self:ident $writer:ident $field:ident [$($option:tt)*] [$tag:literal] [$($default:expr)?]) => {
        if $crate::wire::schema::has!($writer.version(), [$($option)*])
            && !$crate::wire::schema::is_default!($self $field [$($default)?])
        {
            let start = $writer.begin_tag($tag);
            $crate::wire::schema::write_value!($self $writer $field [$($option)*]);
            $writer.end_tag(&start)?;
        }
    };
}

/// The value of a field from a struct's body, or its default.
macro_rules! read {
    ($reader:ident $field:ident [] [] [$($default:expr)?]) => {
        match $crate::wire::Wire::read($reader) {
            Ok(value) => value,
            Err(error) => return Err(error.within(stringify!($field))),
        }
    };
    ($reader:ident $field:ident [$($option:tt)*] [] [$($default:expr)?]) => {
        if $crate::wire::schema::has!($reader.version(), [$($option)*]) {
            let at = $reader.at();
            $crate::wire::Wire::read($reader)
                .and_then(|value| {
                    let allowed = $crate::wire::schema::allows_null!($reader.version(), [$($option)*]);
                    $crate::wire::value::check_read(allowed, value, at)
                })
                .map_err(|error| error.within(stringify!($field)))?
        } else {
            $crate::wire::schema::default!($($default)?)
        }
    };
    ($reader:ident $field:ident [$($option:tt)*] [$tag:literal] [$($default:expr)?]) => {
        $crate::wire::schema::default!($($default)?)
    };
}

macro_rules! read_tag {
    ($reader:ident $value:ident $seen:ident $size:ident $field:ident [$($option:tt)*] []) => {};
    ($reader:ident $value:ident $seen:ident $size:ident $field:ident [$($option:tt)*] [$tag:literal]) => {
        if $seen == $tag && $crate::wire::schema::has!($reader.version(), [$($option)*]) {
            let at = $reader.at();
            $value.$field = $reader
                .enter($size)
                .and_then(|outer| {
                    let value = $crate::wire::Wire::read($reader)?;
                    $reader.leave(outer)?;
                    let allowed = $crate::wire::schema::allows_null!($reader.version(), [$($option)*]);
                    $crate::wire::value::check_read(allowed, value, at)
                })
                .map_err(|error| error.within(stringify!($field)))?;
            continue;
        }
    };
}

#[cfg(feature = "messages")]
macro_rules! describe {
    ($default:ident $field:ident $type:ty [$($option:tt)*] [$($tag:literal)?]) => {
        $crate::wire::FieldDescription {
            name: stringify!($field),
            type_name: stringify!($type),
            versions: $crate::wire::schema::described_versions!([$($option)*]),
            nullable: stringify!($type)
                .starts_with("Option")
                .then(|| $crate::wire::schema::described_nullable!([$($option)*])),
            tag: None $(.or(Some($tag)))?,
            default: alloc::format!("{:?}", $default.$field),
            ignorable: $crate::wire::schema::ignorable!([$($option)*]),
            fields: <$type as $crate::wire::Wire>::describe(),
        }
    };
}

#[cfg(feature = "messages")]
macro_rules! described_versions {
    ([]) => {
        $crate::wire::VersionRange::from_bounds(..)
    };
    ([$versions:expr $(; $($rest:tt)*)?]) => {
        $crate::wire::VersionRange::from_bounds($versions)
    };
}

#[cfg(feature = "messages")]
macro_rules! described_nullable {
    ([$versions:expr; null $nullable:expr $(; ignorable)?]) => {
        $crate::wire::VersionRange::from_bounds($nullable)
    };
    ([$($option:tt)*]) => {
        $crate::wire::schema::described_versions!([$($option)*])
    };
}

/// The error of a set field that the version does not have.
#[cold]
pub(crate) fn not_in_version(writer: &Writer, field: &'static str) -> EncodeError {
    let version = writer.version();
    EncodeError::new(EncodeErrorKind::NotInVersion { version }).within(field)
}

pub(crate) use {
    allows_null, count_tag, default, flexible, has, head, ignorable, is_default, key, message,
    read, read_tag, smallest, stable_versions, write, write_tag, write_value,
};
#[cfg(feature = "messages")]
pub(crate) use {describe, described_nullable, described_versions};
