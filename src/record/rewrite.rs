//! What changes in a sealed batch: its place in the log, its time, its producer.
//!
//! Owns the rules about the checksum: it does not cover the base offset and the leader's epoch, so a broker sets these
//! freely; after anything else it is computed again.
//!
//! Must not know what the records are.

use super::builder::{BatchProducer, patch, set_log_append_time, write_header};
use super::error::BatchError;
use super::header::{BatchHeader, MAGIC};
use super::view::BatchView;

/// Gives the batch its place in the log, as the leader does on append. The checksum stays as it is.
///
/// # Errors
/// `batch` does not start with a complete batch, or its last offset would overflow; nothing has changed then.
///
/// ```
/// # use bytes::BytesMut;
/// # use klamm::record::{rewrite, BatchBuilder, BatchProducer, BatchView, RecordRef};
/// # let mut builder = BatchBuilder::new(BytesMut::new(), 1024);
/// # builder.try_append(&RecordRef::new(0, None, None)).unwrap();
/// # let sealed = builder.finish().unwrap().seal(BatchProducer::None);
/// let mut stored = sealed.to_vec();
/// rewrite::assign_offsets(&mut stored, 4711, 3)?;
/// let batch = BatchView::parse(&stored)?;
/// batch.check_crc()?;
/// assert_eq!(batch.records()?.next().unwrap().unwrap().offset, 4711);
/// # Ok::<(), klamm::record::BatchError>(())
/// ```
pub fn assign_offsets(
    batch: &mut [u8],
    base_offset: i64,
    partition_leader_epoch: i32,
) -> Result<(), BatchError> {
    let view = current(batch)?;
    let mut header = *view.header();
    header.base_offset = base_offset;
    header.partition_leader_epoch = partition_leader_epoch;
    header.validate(view.records_area().len())?;
    write_header(batch, &header);
    Ok(())
}

/// Sets the time at which the batch was appended, which all its records then have
/// (`message.timestamp.type=LogAppendTime`), and computes the checksum again.
///
/// # Errors
/// `batch` does not start with a complete batch; nothing has changed then.
pub fn assign_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), BatchError> {
    change(batch, |header| set_log_append_time(header, timestamp))
}

/// Sets another producer, epoch and sequence, and computes the checksum again. Only for a batch that no broker can
/// have appended yet: it would not be recognised as a duplicate of itself any more.
///
/// # Errors
/// `batch` does not start with a complete batch; nothing has changed then.
pub fn assign_producer(batch: &mut [u8], producer: BatchProducer) -> Result<(), BatchError> {
    change(batch, |header| producer.stamp(header))
}

/// The batch, if it is of the format that is written.
fn current(batch: &[u8]) -> Result<BatchView<'_>, BatchError> {
    let view = BatchView::parse(batch)?;
    let &BatchHeader {
        base_offset, magic, ..
    } = view.header();
    if magic == MAGIC {
        Ok(view)
    } else {
        Err(BatchError::UnsupportedMagic { base_offset, magic })
    }
}

fn change(batch: &mut [u8], change: impl FnOnce(&mut BatchHeader)) -> Result<(), BatchError> {
    let view = current(batch)?;
    let mut header = *view.header();
    let size = view.as_bytes().len();
    change(&mut header);
    patch(batch.get_mut(..size).unwrap_or(&mut []), &mut header);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use bytes::BytesMut;

    use super::*;
    use crate::record::{BatchBuilder, RecordRef, TimestampType};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(BytesMut::new(), 4096);
        for timestamp in [20, 10, 30] {
            builder
                .try_append(&RecordRef::new(timestamp, None, Some(b"v")))
                .unwrap();
        }
        builder.finish().unwrap().seal(BatchProducer::None).to_vec()
    }

    #[test]
    fn offsets_and_epoch_are_outside_of_the_checksum() {
        let mut bytes = batch();
        let crc = BatchView::parse(&bytes).unwrap().header().crc;
        assign_offsets(&mut bytes, 100, 7).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        assert_eq!(
            (view.header().crc, view.header().partition_leader_epoch),
            (crc, 7)
        );
        view.check_crc().unwrap();
        let offsets: Vec<i64> = view
            .records()
            .unwrap()
            .map(|record| record.unwrap().offset)
            .collect();
        assert_eq!(offsets, [100, 101, 102]);
    }

    #[test]
    fn an_offset_that_leaves_no_next_one_is_refused() {
        let mut bytes = batch();
        let before = bytes.clone();
        for offset in [i64::MAX, i64::MAX - 2, -1] {
            assert!(
                matches!(
                    assign_offsets(&mut bytes, offset, 0),
                    Err(BatchError::InvalidField { .. })
                ),
                "{offset}"
            );
        }
        assert_eq!(bytes, before);
        assign_offsets(&mut bytes, i64::MAX - 3, 0).unwrap();
        assert_eq!(
            BatchView::parse(&bytes).unwrap().header().next_offset(),
            i64::MAX
        );
    }

    #[test]
    fn the_time_of_appending_is_the_time_of_every_record() {
        let mut bytes = batch();
        assign_append_time(&mut bytes, 99).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        view.check_crc().unwrap();
        assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
        assert!(
            view.records()
                .unwrap()
                .all(|record| record.unwrap().timestamp == 99)
        );
    }

    #[test]
    fn another_producer_replaces_the_first_and_leaves_what_follows_the_batch_alone() {
        let mut bytes = batch();
        let size = bytes.len();
        bytes.extend_from_slice(b"the next batch");
        let producer = BatchProducer::Transactional {
            producer_id: 5,
            producer_epoch: 1,
            base_sequence: 8,
        };
        assign_producer(&mut bytes, producer).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        view.check_crc().unwrap();
        assert!(view.header().is_transactional());
        assert_eq!(
            (view.header().producer_id, view.header().last_sequence()),
            (5, 10)
        );
        assign_producer(&mut bytes, BatchProducer::None).unwrap();
        assert_eq!(bytes, [batch(), b"the next batch".to_vec()].concat());
        assert_eq!(size, batch().len());
    }
}
