//! Control batches: the markers that brokers write into a partition where a transaction ends.
//!
//! Owns their layout, both ways: readers find the end of an aborted transaction by them, and the cluster in memory
//! writes them. Applications never see them; a position just moves past them.
//!
//! Must not know what a consumer does about them.

use bytes::{Bytes, BytesMut};

use super::builder::{BatchBuilder, BatchProducer};
use super::error::BatchError;
use super::types::RecordRef;
use super::view::BatchView;

/// The version of the key and of the value of the markers that are written today.
const VERSION: i16 = 0;

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// The producer's transaction was aborted here.
    Abort,
    /// The producer's transaction was committed here.
    Commit,
    /// Something between brokers, which clients pass over.
    Other(i16),
}

impl ControlType {
    /// The number that stands for it in the record's key.
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }

    /// What a number stands for.
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        }
    }

    /// Reads the key of a control record: a version, of which later ones may be longer, and the type.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match key {
            [v0, v1, t0, t1, ..] if i16::from_be_bytes([*v0, *v1]) >= VERSION => {
                Some(Self::from_id(i16::from_be_bytes([*t0, *t1])))
            }
            _ => None,
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// Its records are not to be read by `read_committed` consumers.
    Abort,
    /// Its records count.
    Commit,
}

/// What a control batch says, or nothing if the batch is none or compaction has emptied it.
///
/// # Errors
/// The batch is compressed, or its record is not one of a control batch.
pub fn control_type(batch: &BatchView<'_>) -> Result<Option<ControlType>, BatchError> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    let invalid = BatchError::InvalidControlRecord {
        base_offset: batch.header().base_offset,
    };
    match batch.records()?.next() {
        None => Ok(None),
        Some(Ok(RecordRef { key: Some(key), .. })) => {
            ControlType::from_key(key).map(Some).ok_or(invalid)
        }
        Some(Ok(_) | Err(_)) => Err(invalid),
    }
}

/// The batch that ends a transaction in a partition, as the coordinator has it written (`WriteTxnMarkers`).
///
/// Its base offset is 0 until [`assign_offsets`](super::rewrite::assign_offsets) gives it its place.
pub fn end_transaction_marker(
    end: TransactionEnd,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Bytes {
    let kind = match end {
        TransactionEnd::Abort => ControlType::Abort,
        TransactionEnd::Commit => ControlType::Commit,
    };
    let [v0, v1] = VERSION.to_be_bytes();
    let [t0, t1] = kind.id().to_be_bytes();
    let [e0, e1, e2, e3] = coordinator_epoch.to_be_bytes();
    let (key, value) = ([v0, v1, t0, t1], [v0, v1, e0, e1, e2, e3]);
    let record = RecordRef::new(timestamp.max(super::NO_TIMESTAMP), Some(&key), Some(&value));
    let size = BatchBuilder::size_alone(&record);
    let mut builder = BatchBuilder::new(BytesMut::with_capacity(size), size);
    // The batch has exactly the room that the record takes, so neither of these goes the other way.
    let appended = builder.try_append(&record);
    debug_assert!(appended.is_ok());
    match builder.finish() {
        Ok(batch) => batch.seal_control(BatchProducer::Transactional {
            producer_id,
            producer_epoch,
            base_sequence: -1,
        }),
        Err(buffer) => buffer.freeze(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_says_how_the_transaction_ended_and_whose_it_was() {
        for (end, kind) in [
            (TransactionEnd::Abort, ControlType::Abort),
            (TransactionEnd::Commit, ControlType::Commit),
        ] {
            let bytes = end_transaction_marker(end, 4001, 3, 17, 1_700_000_000_000);
            let batch = BatchView::parse(&bytes).unwrap();
            batch.check_crc().unwrap();
            assert_eq!(control_type(&batch), Ok(Some(kind)));
            let header = batch.header();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!(
                (
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence
                ),
                (4001, 3, -1)
            );
            let record = batch.records().unwrap().next().unwrap().unwrap();
            assert_eq!(record.key, Some(&[0, 0, 0, kind.id() as u8][..]));
            assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 17][..]));
        }
    }

    #[test]
    fn keys_of_later_versions_and_unknown_types_are_understood_and_short_ones_are_not() {
        assert_eq!(
            ControlType::from_key(&[0, 1, 0, 1, 9, 9]),
            Some(ControlType::Commit)
        );
        assert_eq!(
            ControlType::from_key(&[0, 0, 0, 6]),
            Some(ControlType::Other(6))
        );
        assert_eq!(ControlType::from_key(&[0, 0, 0]), None);
        assert_eq!(ControlType::from_key(&[0xff, 0xff, 0, 0]), None);
    }
}
