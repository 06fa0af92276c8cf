//! The records area of a batch, compressed and decompressed.
//!
//! Owns the four codecs' framing as Kafka's Java client writes and reads it, and the bound on what comes out. Runs
//! wherever the caller wants, outside of the engine's lock, and keeps nothing but its buffers.
//!
//! Must not know batches' headers.
//!
//! # Bounds
//! Nothing in compressed bytes tells reliably how long the outcome is, so [`Decompressor::decompress`] takes a limit
//! and stops there: sizes that the bytes declare are at most a reason to stop earlier. What is compressed a
//! thousandfold costs its limit and no more.
//!
//! # Which crates
//! All of them are Rust by default. Nanoseconds for a record of 100 bytes in batches of 16 KiB, best of nine rounds, and
//! the ratio, as `cargo run --release -p klamm-benches --bin micro` prints them on one machine:
//!
//! | codec | crate | decompress | compress | ratio |
//! |---|---|---|---|---|
//! | gzip | flate2 with zlib-rs | 184 | 967 | 3.90 |
//! | snappy | snap | 46 | 114 | 2.43 |
//! | lz4 | lz4_flex, its safe variant | 47 | 137 | 2.42 |
//! | zstd | ruzstd | 326 | 1231 | 2.95 |
//! | zstd, feature `zstd-c` | zstd, in C | 90 | 262 | 4.34 |
//!
//! So whoever moves much zstd takes the feature `zstd-c`, which needs a C compiler to build: it reads 3.6 times as fast,
//! writes 4.7 times as fast, knows levels and compresses better. Younger decoders in Rust are about twice as fast as
//! ruzstd, but none of them has both a Rust version as old as ours and a history without wrong frames.

mod buffer;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(all(feature = "zstd", not(feature = "zstd-c")))]
mod zstd;
#[cfg(feature = "zstd-c")]
#[path = "zstd_c.rs"]
mod zstd;
#[cfg(any(feature = "zstd", feature = "zstd-c"))]
mod zstd_frame;

use core::fmt;
use core::ops::RangeInclusive;

use bytes::BytesMut;

use super::builder::UnsealedBatch;
use super::header::BATCH_HEADER_SIZE;
use super::types::Codec;

pub use buffer::DecompressBuffer;

/// Why something was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError {
    /// The codec is not compiled in.
    NotCompiled {
        /// The codec, which has the name of the Cargo feature.
        codec: Codec,
    },
    /// There is more than the limit allows. Nothing is wrong with the bytes, as far as they were read: with a higher
    /// limit it may be tried again, from the beginning.
    Exhausted {
        /// The smallest limit that can do, as far as is known; it may well take more.
        needed: usize,
    },
    /// The bytes are not what the codec writes. The checksum of the batch has been checked before, so they were
    /// written like this.
    Corrupt {
        /// The codec.
        codec: Codec,
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompiled { codec } => not_compiled(*codec, f),
            Self::Exhausted { needed } => {
                write!(
                    f,
                    "the records take at least {needed} bytes decompressed, more than was allowed"
                )
            }
            Self::Corrupt { codec, reason } => {
                write!(f, "the records are not sound {codec} data: {reason}")
            }
        }
    }
}

impl core::error::Error for DecompressError {}

/// Why something was not compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressError {
    /// The codec is not compiled in.
    NotCompiled {
        /// The codec, which has the name of the Cargo feature.
        codec: Codec,
    },
    /// The codec has no such level.
    InvalidLevel {
        /// The codec.
        codec: Codec,
        /// The level that was asked for.
        level: i32,
        /// The levels that there are.
        levels: RangeInclusive<i32>,
    },
    /// The batch is compressed already.
    AlreadyCompressed {
        /// With what.
        codec: Codec,
    },
    /// The codec failed, which it should not do for any input.
    Failed {
        /// The codec.
        codec: Codec,
        /// What it said.
        reason: &'static str,
    },
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompiled { codec } => not_compiled(*codec, f),
            Self::InvalidLevel {
                codec,
                level,
                levels,
            } => write!(
                f,
                "{codec} has no level {level}: use one from {} to {}",
                levels.start(),
                levels.end()
            ),
            Self::AlreadyCompressed { codec } => {
                write!(f, "the batch is compressed with {codec} already")
            }
            Self::Failed { codec, reason } => {
                write!(f, "{codec} did not compress the records: {reason}")
            }
        }
    }
}

impl core::error::Error for CompressError {}

fn not_compiled(codec: Codec, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "{codec} is not compiled in: build klamm with its Cargo feature `{codec}`"
    )
}

/// Whether a codec is compiled in.
pub const fn is_compiled(codec: Codec) -> bool {
    match codec {
        Codec::None => true,
        Codec::Gzip => cfg!(feature = "gzip"),
        Codec::Snappy => cfg!(feature = "snappy"),
        Codec::Lz4 => cfg!(feature = "lz4"),
        Codec::Zstd => cfg!(any(feature = "zstd", feature = "zstd-c")),
    }
}

/// The levels that `compression.<codec>.level` may name (KIP-390), or nothing for a codec without levels.
///
/// They are Kafka's. lz4 compresses the same at all of them, and so does zstd in Rust, about as C's level 1; the feature
/// `zstd-c` tells them apart.
pub fn levels(codec: Codec) -> Option<RangeInclusive<i32>> {
    match codec {
        Codec::None | Codec::Snappy => None,
        Codec::Gzip => Some(1..=9),
        Codec::Lz4 => Some(1..=17),
        Codec::Zstd => Some(-131_072..=22),
    }
}

/// Whether a level may be named: one of [`levels`], or the codec's default (gzip's -1 is zlib's own).
pub fn is_level(codec: Codec, level: i32) -> bool {
    default_level(codec) == Some(level) || levels(codec).is_some_and(|all| all.contains(&level))
}

/// The level that is meant where none is named.
pub fn default_level(codec: Codec) -> Option<i32> {
    match codec {
        Codec::None | Codec::Snappy => None,
        Codec::Gzip => Some(-1),
        Codec::Lz4 => Some(9),
        Codec::Zstd => Some(3),
    }
}

/// What decompressing to at most `limit` bytes takes at the most, output and working memory together, in bytes: what
/// whoever keeps to a budget must have taken from it before. It grows with `limit`.
///
/// ```
/// use klamm::record::Codec;
/// use klamm::record::compression::decompression_memory;
///
/// assert_eq!(decompression_memory(Codec::Lz4, 100_000), 100_000);
/// assert!(decompression_memory(Codec::Zstd, 100_000) > 100_000);
/// ```
#[must_use]
pub fn decompression_memory(codec: Codec, limit: usize) -> usize {
    let working = match codec {
        Codec::None | Codec::Lz4 | Codec::Snappy => 0,
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::WORKING_MEMORY,
        #[cfg(any(feature = "zstd", feature = "zstd-c"))]
        Codec::Zstd => zstd::working_memory(limit),
        // It ends before anything is decompressed.
        #[allow(unreachable_patterns, reason = "what is left depends on the features")]
        Codec::Gzip | Codec::Zstd => 0,
    };
    limit.saturating_add(working)
}

/// Decompresses records areas. Keeps the codecs' working memory for the next one; make one for each thread.
#[derive(Default)]
pub struct Decompressor {
    #[cfg(feature = "gzip")]
    gzip: gzip::Decoder,
    #[cfg(feature = "snappy")]
    snappy: snappy::Decoder,
    #[cfg(any(feature = "zstd", feature = "zstd-c"))]
    zstd: zstd::Decoder,
}

impl Decompressor {
    /// A decompressor that has no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decompresses `input` into `output`, which holds nothing else then, and never more than `limit` bytes. With an
    /// error, what it holds is not to be used.
    ///
    /// What it takes in all, [`decompression_memory`] tells.
    ///
    /// # Errors
    /// See [`DecompressError`].
    ///
    /// ```
    /// # #[cfg(feature = "lz4")] {
    /// use bytes::BytesMut;
    /// use klamm::record::compression::{Compressor, DecompressBuffer, DecompressError, Decompressor};
    /// use klamm::record::Codec;
    ///
    /// let (mut compressed, mut buffer) = (BytesMut::new(), DecompressBuffer::new());
    /// Compressor::new().compress(Codec::Lz4, None, &[b'K'; 1_000_000], &mut compressed).unwrap();
    /// let mut decompressor = Decompressor::new();
    /// let refused = decompressor.decompress(Codec::Lz4, &compressed, &mut buffer, 10_000);
    /// assert!(matches!(refused, Err(DecompressError::Exhausted { .. })));
    /// decompressor.decompress(Codec::Lz4, &compressed, &mut buffer, 1_000_000).unwrap();
    /// assert_eq!(buffer.as_slice(), [b'K'; 1_000_000]);
    /// # }
    /// ```
    pub fn decompress(
        &mut self,
        codec: Codec,
        input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        output.clear();
        match codec {
            Codec::None => output.append(input, limit),
            #[cfg(feature = "gzip")]
            Codec::Gzip => self.gzip.decompress(input, output, limit),
            #[cfg(feature = "snappy")]
            Codec::Snappy => self.snappy.decompress(input, output, limit),
            #[cfg(feature = "lz4")]
            Codec::Lz4 => lz4::decompress(input, output, limit),
            #[cfg(any(feature = "zstd", feature = "zstd-c"))]
            Codec::Zstd => self.zstd.decompress(input, output, limit),
            #[allow(unreachable_patterns, reason = "what is left depends on the features")]
            codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => {
                Err(DecompressError::NotCompiled { codec })
            }
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// Compresses records areas. Keeps the codecs' working memory for the next one; make one for each thread.
#[derive(Default)]
pub struct Compressor {
    #[cfg(feature = "gzip")]
    gzip: gzip::Encoder,
    #[cfg(feature = "snappy")]
    snappy: snappy::Encoder,
    #[cfg(feature = "lz4")]
    lz4: lz4::Encoder,
    #[cfg(any(feature = "zstd", feature = "zstd-c"))]
    zstd: zstd::Encoder,
}

impl Compressor {
    /// A compressor that has no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses `input` and appends the outcome to `output`; without a level, with the codec's default.
    ///
    /// # Errors
    /// See [`CompressError`]. `output` may then hold a part of the outcome.
    pub fn compress(
        &mut self,
        codec: Codec,
        level: Option<i32>,
        input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        let _level = check_level(codec, level)?;
        match codec {
            Codec::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            #[cfg(feature = "gzip")]
            Codec::Gzip => self.gzip.compress(_level, input, output),
            #[cfg(feature = "snappy")]
            Codec::Snappy => self.snappy.compress(input, output),
            #[cfg(feature = "lz4")]
            Codec::Lz4 => self.lz4.compress(input, output),
            #[cfg(any(feature = "zstd", feature = "zstd-c"))]
            Codec::Zstd => self.zstd.compress(_level, input, output),
            #[allow(unreachable_patterns, reason = "what is left depends on the features")]
            codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => {
                Err(CompressError::NotCompiled { codec })
            }
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// The level to use: 0 for a codec without levels.
fn check_level(codec: Codec, level: Option<i32>) -> Result<i32, CompressError> {
    match (level.or_else(|| default_level(codec)), levels(codec)) {
        (Some(level), Some(levels)) if !is_level(codec, level) => {
            Err(CompressError::InvalidLevel {
                codec,
                level,
                levels,
            })
        }
        (Some(level), Some(_)) => Ok(level),
        (_, None) | (None, Some(_)) => Ok(0),
    }
}

impl UnsealedBatch {
    /// The same batch with its records compressed, in `buffer`, of which the former content is gone. This batch stays
    /// as it is, so that an error loses nothing; its buffer can go back to the pool afterwards.
    ///
    /// # Errors
    /// See [`CompressError`].
    ///
    /// ```
    /// # #[cfg(feature = "snappy")] {
    /// use bytes::BytesMut;
    /// use klamm::record::compression::{Compressor, DecompressBuffer, Decompressor};
    /// use klamm::record::{BatchBuilder, BatchProducer, BatchView, Codec, RecordRef, Records};
    ///
    /// let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    /// while builder.count() < 1000 {
    ///     builder.try_append(&RecordRef::new(1_700_000_000_000, None, Some(b"snow"))).unwrap();
    /// }
    /// let plain = builder.finish().unwrap();
    /// let compressed = plain.compress(&mut Compressor::new(), Codec::Snappy, None, BytesMut::new()).unwrap();
    /// assert!(compressed.size() < plain.size() / 2);
    ///
    /// let bytes = compressed.seal(BatchProducer::None);
    /// let (batch, mut buffer) = (BatchView::parse(&bytes).unwrap(), DecompressBuffer::new());
    /// batch.check_crc().unwrap();
    /// let codec = batch.header().codec();
    /// Decompressor::new().decompress(codec, batch.records_area(), &mut buffer, 1 << 20).unwrap();
    /// assert_eq!(Records::new(batch.header(), buffer.as_slice()).count(), 1000);
    /// # }
    /// ```
    pub fn compress(
        &self,
        compressor: &mut Compressor,
        codec: Codec,
        level: Option<i32>,
        mut buffer: BytesMut,
    ) -> Result<Self, CompressError> {
        if self.codec() != Codec::None {
            return Err(CompressError::AlreadyCompressed {
                codec: self.codec(),
            });
        }
        buffer.clear();
        buffer.extend_from_slice(&[0; BATCH_HEADER_SIZE]);
        compressor.compress(codec, level, self.records_area(), &mut buffer)?;
        Ok(self.with_area(codec, buffer))
    }
}
