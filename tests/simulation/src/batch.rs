//! Owns the reading of a batch in a test: checksum, decompression, records.
//!
//! Knows neither client nor cluster.

use klamm::record::compression::{DecompressBuffer, DecompressError, Decompressor};
use klamm::record::{BatchError, BatchView, RecordError, Records};

/// Why a batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its header or checksum is wrong.
    Batch(BatchError),
    /// It needs more than the limit, or is not sound.
    Compressed(DecompressError),
    /// A record is wrong.
    Record(RecordError),
}

/// The offsets and values of a batch's records, decompressed to at most `limit` bytes.
///
/// # Errors
/// Says what is wrong with the batch.
pub fn read(bytes: &[u8], limit: usize) -> Result<Vec<(i64, Vec<u8>)>, Unreadable> {
    let view = BatchView::parse(bytes).map_err(Unreadable::Batch)?;
    view.check_crc().map_err(Unreadable::Batch)?;
    let mut area = DecompressBuffer::new();
    let codec = view.header().codec();
    Decompressor::new()
        .decompress(codec, view.records_area(), &mut area, limit)
        .map_err(Unreadable::Compressed)?;
    Records::new(view.header(), area.as_slice())
        .map(|record| {
            let record = record.map_err(Unreadable::Record)?;
            Ok((record.offset, record.value.unwrap_or_default().to_vec()))
        })
        .collect()
}
