//! The Kafka protocol's encodings: reading and writing values, frames, headers, and the machinery that turns a
//! message's definition into a struct with both directions.
//!
//! It owns every rule of what bytes mean and every limit against hostile ones. It knows no connection, no broker, no
//! state of any kind; it must not know what a message is for.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod api_key;
mod crc;
mod embedded;
mod error;
pub mod frame;
pub mod header;
pub mod pool;
mod reader;
pub(crate) mod schema;
mod secret;
mod segments;
mod string;
#[cfg(test)]
mod tests;
mod uuid;
pub(crate) mod value;
pub mod varint;
mod version;
mod writer;

pub use crate::secret::Secret;
pub use api_key::ApiKey;
#[cfg(feature = "legacy")]
pub(crate) use crc::crc32;
pub use crc::{crc32c, crc32c_append};
pub use embedded::{decode_versioned, encode_versioned};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Path};
pub use reader::Reader;
pub(crate) use schema::message;
#[cfg(feature = "messages")]
pub use schema::{Description, FieldDescription};
pub use schema::{Message, Request};
pub use segments::Segments;
pub use string::Str;
pub use uuid::Uuid;
pub use value::{Nullable, Records, Wire};
pub use version::VersionRange;
pub use writer::Writer;
