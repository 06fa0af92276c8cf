//! Fetched bytes as batches, and one batch as what it says of itself.
//!
//! Owns the walk over the records field of a Fetch response and the checksum. Copies nothing.
//!
//! Must not know compression, and of records no more than how many there are.

use crate::wire::crc32c;

use super::error::BatchError;
use super::header::{BATCH_HEADER_SIZE, BatchHeader, CRC_START, LENGTH_PREFIX, MAGIC, MAGIC_END};
use super::iterate::Records;
#[cfg(feature = "legacy")]
use super::legacy;
use super::types::Codec;

/// One complete batch, borrowed from the bytes that hold it.
///
/// Its header makes sense, but nothing has been checked against the checksum until
/// [`check_crc`](Self::check_crc): what depends on the header being right, such as leaving out an aborted batch,
/// comes after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Takes the first batch of `bytes`; what follows it is left alone.
    ///
    /// # Errors
    /// [`Incomplete`](BatchError::Incomplete) if `bytes` ends within the batch. A field with an impossible value is
    /// reported as such only if the checksum fits; else the batch is damaged, and
    /// [`CrcMismatch`](BatchError::CrcMismatch) says so.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let incomplete = |needed| BatchError::Incomplete {
            needed,
            available: bytes.len(),
        };
        let Some(start) = bytes.first_chunk::<MAGIC_END>() else {
            return Err(incomplete(needed_bytes(bytes)));
        };
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, .., magic] = *start;
        let base_offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let length = i32::from_be_bytes([l0, l1, l2, l3]);
        let magic = i8::from_be_bytes([magic]);
        let invalid_length = BatchError::InvalidLength {
            base_offset,
            length,
        };
        let size = usize::try_from(length)
            .map_err(|_| invalid_length.clone())?
            .saturating_add(LENGTH_PREFIX);
        if size < MAGIC_END {
            return Err(invalid_length);
        }
        #[cfg(feature = "legacy")]
        if legacy::is_legacy(magic) {
            if size < legacy::smallest(magic) {
                return Err(invalid_length);
            }
            let message = bytes.get(..size).ok_or(incomplete(size as u64))?;
            let header = legacy::header(message, magic).ok_or(invalid_length)?;
            return Self::checked_message(message, header);
        }
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic { base_offset, magic });
        }
        if size < BATCH_HEADER_SIZE {
            return Err(invalid_length);
        }
        let (Some(bytes), Some(header)) = (bytes.get(..size), bytes.first_chunk()) else {
            return Err(incomplete(size as u64));
        };
        let view = Self {
            header: BatchHeader::read(header),
            bytes,
        };
        match view.header.validate(view.records_area().len()) {
            Ok(()) => Ok(view),
            Err(error) => {
                view.check_crc()?;
                Err(error)
            }
        }
    }

    /// The one message in `bytes`, of the format v0 or v1.
    #[cfg(feature = "legacy")]
    fn checked_message(bytes: &'a [u8], header: BatchHeader) -> Result<Self, BatchError> {
        let view = Self { header, bytes };
        match legacy::validate(&header, bytes) {
            Ok(()) => Ok(view),
            Err(error) => {
                view.check_crc()?;
                Err(error)
            }
        }
    }

    /// The header's fields.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed as the header's codec says. (Of the formats v0 and v1: what a
    /// compressed message wraps, or the message itself.)
    #[inline]
    pub fn records_area(&self) -> &'a [u8] {
        self.header.records_area(self.bytes)
    }

    /// Holds the bytes against the checksum in the header: one pass over all of them, before anything else is done
    /// with them (`check.crcs`).
    ///
    /// # Errors
    /// [`CrcMismatch`](BatchError::CrcMismatch).
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = self.computed_crc();
        let stored = self.header.crc;
        if stored == computed {
            return Ok(());
        }
        Err(BatchError::CrcMismatch {
            base_offset: self.header.base_offset,
            stored,
            computed,
        })
    }

    fn computed_crc(&self) -> u32 {
        #[cfg(feature = "legacy")]
        if legacy::is_legacy(self.header.magic) {
            return legacy::crc(self.bytes);
        }
        crc32c(self.bytes.get(CRC_START..).unwrap_or(&[]))
    }

    /// The records of a batch that is not compressed.
    ///
    /// For a compressed one, decompress [`records_area`](Self::records_area) and give the outcome to
    /// [`Records::new`].
    ///
    /// # Errors
    /// [`Compressed`](BatchError::Compressed).
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use klamm::record::{BatchBuilder, BatchProducer, BatchView, RecordRef};
    /// let mut builder = BatchBuilder::new(BytesMut::new(), 16 * 1024);
    /// builder.try_append(&RecordRef::new(1_700_000_000_000, None, Some(b"to the castle"))).unwrap();
    /// let bytes = builder.finish().unwrap().seal(BatchProducer::None);
    ///
    /// let batch = BatchView::parse(&bytes)?;
    /// batch.check_crc()?;
    /// for record in batch.records()? {
    ///     assert_eq!(record.unwrap().value, Some(&b"to the castle"[..]));
    /// }
    /// # Ok::<(), klamm::record::BatchError>(())
    /// ```
    #[inline]
    pub fn records(&self) -> Result<Records<'a>, BatchError> {
        match self.header.codec() {
            Codec::None => Ok(Records::new(&self.header, self.records_area())),
            codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => {
                Err(BatchError::Compressed {
                    base_offset: self.header.base_offset,
                    codec,
                })
            }
        }
    }
}

/// How many bytes a batch takes of which these, too few to parse, are the beginning.
fn needed_bytes(bytes: &[u8]) -> u64 {
    let length = bytes
        .get(8..LENGTH_PREFIX)
        .and_then(|length| length.first_chunk::<4>());
    let size = length.map_or(0, |length| {
        i64::from(i32::from_be_bytes(*length)).saturating_add(LENGTH_PREFIX as i64)
    });
    u64::try_from(size).unwrap_or(0).max(MAGIC_END as u64)
}

/// Walks over the batches in the records field of a Fetch response.
///
/// A broker cuts the field at the limit of the fetch, so a batch that is not complete ends the walk quietly; it comes
/// again with the next fetch. Only if there is no complete batch at all, that is an error
/// ([`BatchError::Incomplete`]), because then no fetch would ever get further. After an error the walk is over.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    seen: bool,
}

impl<'a> Batches<'a> {
    /// A walk over `bytes`, from their beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            seen: false,
        }
    }

    /// What has not been walked over: at the end, the batch that was cut off.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok(view) => {
                self.rest = self.rest.get(view.bytes.len()..).unwrap_or(&[]);
                self.seen = true;
                Some(Ok(view))
            }
            Err(BatchError::Incomplete { .. }) if self.seen => None,
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}
