//! Transcripts of what is fetched, lent and returned, and the same held against a naive model of a log.

use alloc::vec;

use bytes::BytesMut;

use super::*;
use crate::consumer::frames::Frames;
use crate::random::{Random, Stream};
use crate::record::control::{TransactionEnd, end_transaction_marker};
use crate::record::{AbortedTransaction, BatchBuilder, BatchProducer, RecordRef, rewrite};

/// A batch of `count` records from `offset` on.
fn batch(offset: i64, count: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 16);
    for _ in 0..count {
        builder
            .try_append(&RecordRef::new(0, None, Some(b"value")))
            .unwrap();
    }
    at(builder.finish().unwrap().seal(BatchProducer::None), offset)
}

fn transactional(offset: i64, producer_id: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 16);
    builder
        .try_append(&RecordRef::new(0, None, Some(b"value")))
        .unwrap();
    let producer = BatchProducer::Transactional {
        producer_id,
        producer_epoch: 0,
        base_sequence: 0,
    };
    at(builder.finish().unwrap().seal(producer), offset)
}

fn marker(offset: i64, producer_id: i64, end: TransactionEnd) -> Vec<u8> {
    at(end_transaction_marker(end, producer_id, 0, 0, 0), offset)
}

fn at(bytes: impl AsRef<[u8]>, offset: i64) -> Vec<u8> {
    let mut bytes = bytes.as_ref().to_vec();
    rewrite::assign_offsets(&mut bytes, offset, 4).unwrap();
    bytes
}

/// What compaction leaves of a batch of which no record is needed any more.
fn emptied(offset: i64, count: i32) -> Vec<u8> {
    let mut bytes = batch(offset, count);
    bytes.truncate(61);
    bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&0_i32.to_be_bytes());
    let crc = crate::wire::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A partition's reader, with its position.
struct Reader {
    supply: Supply,
    position: Point,
    frames: Frames<()>,
    dropped: Vec<FrameId>,
}

impl Reader {
    fn at(offset: i64) -> Self {
        Self {
            supply: Supply::new(),
            position: Point { offset, epoch: -1 },
            frames: Frames::new(),
            dropped: Vec::new(),
        }
    }

    fn fetched(
        &mut self,
        batches: &[Vec<u8>],
        aborted: Vec<AbortedTransaction>,
    ) -> Result<(), Unreadable> {
        let records = batches.concat();
        let from = self.supply.end().unwrap_or(self.position).offset;
        let Fetched::Batches { size, end } = measure(&records, from) else {
            panic!("not whole batches");
        };
        let chunk = Chunk {
            frame: self.frames.insert(()),
            origin: BrokerIndex(0),
            rest: Bytes::from(records).slice(..size),
            aborted: AbortedTransactions::new(aborted),
            end,
        };
        self.supply
            .push(chunk, &mut self.position, true, &mut self.dropped)
    }

    fn lend(&mut self) -> Option<(i64, i64)> {
        self.supply
            .lend(BatchId::from_u64(0))
            .map(|(head, _, _)| (head.base_offset, head.next.offset))
    }

    fn finish(&mut self) {
        self.supply
            .finish(&mut self.position, true, &mut self.dropped)
            .unwrap();
    }
}

#[test]
fn batches_are_lent_one_after_the_other_and_the_position_follows_their_return() {
    let mut reader = Reader::at(0);
    reader.fetched(&[batch(0, 3), batch(3, 2)], vec![]).unwrap();
    assert_eq!(reader.supply.end().map(|end| end.offset), Some(5));
    assert_eq!(reader.lend(), Some((0, 3)));
    assert_eq!(reader.lend(), None, "at most one batch is lent");
    assert_eq!(reader.position.offset, 0);
    reader.finish();
    assert_eq!(
        reader.position,
        Point {
            offset: 3,
            epoch: 4
        }
    );
    assert_eq!(reader.lend(), Some((3, 5)));
    assert_eq!(reader.dropped.len(), 0);
    reader.finish();
    assert_eq!(reader.position.offset, 5);
    assert_eq!(reader.dropped.len(), 1, "the frame is free");
    assert_eq!(reader.supply.hand(), Hand::Empty);
}

#[test]
fn the_position_moves_over_control_and_empty_batches() {
    let mut reader = Reader::at(10);
    let end = TransactionEnd::Commit;
    reader
        .fetched(
            &[
                marker(10, 7, end),
                emptied(11, 4),
                batch(20, 1),
                marker(21, 7, end),
            ],
            vec![],
        )
        .unwrap();
    assert_eq!(reader.position.offset, 15, "after the emptied batch");
    assert_eq!(reader.lend(), Some((20, 21)));
    reader.finish();
    assert_eq!(reader.position.offset, 22);
    assert_eq!(reader.dropped.len(), 1);
}

#[test]
fn a_response_of_nothing_visible_moves_the_position_at_once() {
    let mut reader = Reader::at(0);
    reader
        .fetched(&[marker(0, 7, TransactionEnd::Abort)], vec![])
        .unwrap();
    assert_eq!(reader.position.offset, 1);
    assert_eq!(reader.supply.hand(), Hand::Empty);
    assert_eq!(reader.dropped.len(), 1);
}

#[test]
fn a_batch_that_begins_before_the_position_is_lent_one_wholly_before_it_is_not() {
    let mut reader = Reader::at(5);
    reader.fetched(&[batch(0, 3), batch(3, 4)], vec![]).unwrap();
    assert_eq!(reader.lend(), Some((3, 7)));
    assert_eq!(reader.position.offset, 5);
}

#[test]
fn aborted_batches_are_passed_over_and_the_list_lasts_for_its_response() {
    let mut reader = Reader::at(0);
    let list = vec![AbortedTransaction {
        first_offset: 0,
        producer_id: 7,
    }];
    let log = [
        transactional(0, 7),
        transactional(1, 8),
        marker(2, 7, TransactionEnd::Abort),
        transactional(3, 7),
    ];
    reader.fetched(&log, list).unwrap();
    assert_eq!(reader.lend(), Some((1, 2)));
    reader.finish();
    assert_eq!(reader.lend(), Some((3, 4)));
    reader.finish();
    reader.fetched(&[transactional(4, 7)], vec![]).unwrap();
    assert_eq!(reader.lend(), Some((4, 5)));
}

#[test]
fn a_batch_returned_part_way_is_lent_again() {
    let mut reader = Reader::at(0);
    reader.fetched(&[batch(0, 9)], vec![]).unwrap();
    assert_eq!(reader.lend(), Some((0, 9)));
    reader.position.offset = 4;
    reader.supply.put_back();
    assert_eq!(reader.lend(), Some((0, 9)));
    reader.finish();
    assert_eq!(reader.position.offset, 9);
}

#[test]
fn a_damaged_batch_that_nobody_would_see_is_an_error_at_the_position() {
    let mut damaged = emptied(3, 2);
    damaged[40] ^= 1;
    let mut reader = Reader::at(0);
    reader.fetched(&[batch(0, 3), damaged], vec![]).unwrap();
    assert_eq!(reader.lend(), Some((0, 3)));
    let failed = reader
        .supply
        .finish(&mut reader.position, true, &mut reader.dropped)
        .unwrap_err();
    assert_eq!(failed.offset, 3);
    assert!(matches!(failed.error, BatchError::CrcMismatch { .. }));
    assert_eq!(reader.dropped.len(), 1);
}

#[test]
fn what_is_dropped_spares_the_lent_batch() {
    let mut reader = Reader::at(0);
    reader.fetched(&[batch(0, 3), batch(3, 3)], vec![]).unwrap();
    reader.fetched(&[batch(6, 3)], vec![]).unwrap();
    assert_eq!(reader.lend(), Some((0, 3)));
    reader.supply.clear_unlent(&mut reader.dropped);
    assert_eq!(reader.dropped.len(), 1, "the second frame");
    assert_eq!(reader.supply.end().map(|end| end.offset), Some(3));
    assert_eq!(reader.supply.buffered(), 0);
    reader.finish();
    assert_eq!(reader.position.offset, 3);
    assert_eq!(reader.supply.hand(), Hand::Empty);
}

#[test]
fn a_response_is_measured_up_to_its_last_whole_batch() {
    let (first, second) = (batch(0, 2), batch(2, 2));
    let both = [first.clone(), second.clone()].concat();
    let end = |offset| Point { offset, epoch: 4 };
    let size = both.len();
    assert_eq!(measure(&both, 0), Fetched::Batches { size, end: end(4) });
    let size = first.len();
    for cut in size..both.len() {
        assert_eq!(
            measure(&both[..cut], 0),
            Fetched::Batches { size, end: end(2) }
        );
    }
    assert_eq!(measure(&first[..61], 0), Fetched::Partial { needed: size });
    assert_eq!(measure(&[], 0), Fetched::Nothing);
    assert_eq!(measure(&both, 4), Fetched::Behind);
    let backwards = [second, first].concat();
    let size = backwards.len() / 2;
    assert_eq!(
        measure(&backwards, 0),
        Fetched::Batches { size, end: end(4) }
    );
    let mut unknown_format = batch(0, 1);
    unknown_format[16] = 3;
    assert!(matches!(
        measure(&unknown_format, 0),
        Fetched::Unreadable(BatchError::UnsupportedMagic { .. })
    ));
}

/// One batch of a random log: its bytes, its offsets, and whether a reader sees it.
struct Logged {
    bytes: Vec<u8>,
    first: i64,
    next: i64,
    visible: bool,
}

fn random_log(random: &mut Random) -> Vec<Logged> {
    let mut log = Vec::new();
    let mut offset = 0;
    for _ in 0..12 {
        offset += i64::from(random.below(3)); // What compaction took out.
        let count = 1 + random.below(4);
        let (bytes, visible) = match random.below(4) {
            0 => (emptied(offset, count.cast_signed()), false),
            1 => (marker(offset, 7, TransactionEnd::Commit), false),
            _ => (batch(offset, count.cast_signed()), true),
        };
        let next = BatchView::parse(&bytes).unwrap().header().next_offset();
        log.push(Logged {
            bytes,
            first: offset,
            next,
            visible,
        });
        offset = next;
    }
    log
}

#[test]
fn every_visible_batch_is_lent_once_in_order_whatever_is_fetched_and_returned_when() {
    for seed in 0..150 {
        let mut random = Random::derive(&[seed; 32], Stream::Consumer);
        let log = random_log(&mut random);
        let end = log[log.len() - 1].next;
        let start = i64::from(random.below(u32::try_from(end).unwrap()));
        let mut reader = Reader::at(start);
        let (mut seen, mut lent) = (Vec::new(), None);
        for _ in 0..2_000 {
            match random.below(4) {
                // The broker answers with some batches from the fetch offset on.
                0 if reader.supply.chunks() < 3 => {
                    let from = reader.supply.end().unwrap_or(reader.position).offset;
                    let wanted = 1 + random.below(4) as usize;
                    let batches: Vec<Vec<u8>> = log
                        .iter()
                        .filter(|logged| logged.next > from)
                        .take(wanted)
                        .map(|logged| logged.bytes.clone())
                        .collect();
                    if !batches.is_empty() {
                        reader.fetched(&batches, vec![]).unwrap();
                    }
                }
                1 => lent = reader.lend().or(lent),
                2 => {
                    if let Some(batch) = lent.take() {
                        seen.push(batch);
                        reader.finish();
                    }
                }
                _ => {
                    if let Some((_, next)) = lent.take() {
                        reader.position.offset = next - 1;
                        reader.supply.put_back();
                    }
                }
            }
            assert!(reader.position.offset >= start);
            assert!(
                log.iter()
                    .filter(|logged| logged.visible && logged.next > start)
                    .filter(|logged| logged.next <= reader.position.offset)
                    .all(|logged| seen.contains(&(logged.first, logged.next))),
                "seed {seed}: the position passed a batch that nobody saw"
            );
        }
        let expected: Vec<(i64, i64)> = log
            .iter()
            .filter(|logged| logged.visible && logged.next > start)
            .map(|logged| (logged.first, logged.next))
            .collect();
        assert_eq!(seen, expected, "seed {seed}");
        assert_eq!(reader.position.offset.max(end), end);
        assert_eq!(
            reader.dropped.len(),
            reader.frames.len(),
            "seed {seed}: a frame is still held"
        );
    }
}
