//! Owns the log of one replica of a partition: whole batches by offset, leader epochs, transactions.
//!
//! Must not know brokers, replication or requests. What a batch says has been checked before it comes here.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use klamm::record::BatchHeader;

/// A batch as it lies in a log.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// Its header, with offset and leader epoch as the leader wrote them.
    pub header: BatchHeader,
    /// The whole batch.
    pub bytes: Bytes,
    /// Bytes of the log before this batch, counted from the log's beginning.
    position: u64,
}

impl StoredBatch {
    fn end_position(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// An aborted transaction, as Fetch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
}

#[derive(Clone, Copy, Debug)]
struct EndedTransaction {
    producer_id: i64,
    first_offset: i64,
    /// The marker's offset.
    last_offset: i64,
    aborted: bool,
}

/// The end of a leader epoch in a log, as OffsetForLeaderEpoch answers it (KIP-101).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    pub(crate) epoch: i32,
    pub(crate) end_offset: i64,
}

/// The log of one replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    batches: VecDeque<StoredBatch>,
    start_offset: i64,
    end_offset: i64,
    end_position: u64,
    /// Leader epochs and the offset at which each began, both ascending.
    epochs: Vec<(i32, i64)>,
    /// Open transactions: producer id and first offset.
    open: BTreeMap<i64, i64>,
    ended: Vec<EndedTransaction>,
}

impl Log {
    /// An empty log that begins at `offset`.
    pub(crate) fn starting_at(offset: i64) -> Self {
        Self {
            start_offset: offset,
            end_offset: offset,
            ..Self::default()
        }
    }

    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// The bytes of all its batches.
    pub(crate) fn size(&self) -> u64 {
        let first = self
            .batches
            .front()
            .map_or(self.end_position, |b| b.position);
        self.end_position - first
    }

    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &StoredBatch> {
        self.batches.iter()
    }

    /// Begins leader epoch `epoch` at the log's end.
    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            // An epoch in which nothing was appended leaves no trace.
            while self
                .epochs
                .last()
                .is_some_and(|(_, start)| *start >= self.end_offset)
            {
                self.epochs.pop();
            }
            self.epochs.push((epoch, self.end_offset));
        }
    }

    pub(crate) fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// Appends a whole batch, whose base offset is the log's end or, after compaction, behind it.
    pub(crate) fn append(&mut self, header: BatchHeader, bytes: Bytes) {
        self.begin_epoch(header.partition_leader_epoch);
        self.track_transaction(&header);
        self.end_offset = header.next_offset();
        let batch = StoredBatch {
            header,
            bytes,
            position: self.end_position,
        };
        self.end_position = batch.end_position();
        self.batches.push_back(batch);
    }

    fn track_transaction(&mut self, header: &BatchHeader) {
        if !header.is_transactional() {
            return;
        }
        let producer_id = header.producer_id;
        if !header.is_control() {
            self.open.entry(producer_id).or_insert(header.base_offset);
        }
    }

    /// Notes that the control batch just appended ended `producer_id`'s transaction.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, marker_offset: i64, aborted: bool) {
        if let Some(first_offset) = self.open.remove(&producer_id) {
            self.ended.push(EndedTransaction {
                producer_id,
                first_offset,
                last_offset: marker_offset,
                aborted,
            });
        }
    }

    /// The place of the first batch that ends at or behind `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.header.last_offset() < offset)
    }

    /// The batches that hold offsets from `offset` to `before`, in whole batches.
    pub(crate) fn batches_from(
        &self,
        offset: i64,
        before: i64,
    ) -> impl Iterator<Item = &StoredBatch> {
        self.batches
            .range(self.index_of(offset)..)
            .take_while(move |batch| batch.header.base_offset < before)
    }

    /// How many bytes a reader at `offset` would find before offset `before`.
    pub(crate) fn readable(&self, offset: i64, before: i64) -> u64 {
        let first = self.index_of(offset);
        let end = self
            .batches
            .partition_point(|batch| batch.header.base_offset < before);
        match (self.batches.get(first), end.checked_sub(1)) {
            (Some(from), Some(last)) if first < end => self
                .batches
                .get(last)
                .map_or(0, |to| to.end_position() - from.position),
            _ => 0,
        }
    }

    /// How many bytes a [`read`](Log::read) brings.
    pub(crate) fn read_size(
        &self,
        offset: i64,
        before: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> usize {
        let first = self.batches_from(offset, before).next();
        let first = first.map_or(0, |batch| batch.bytes.len());
        if first > max_bytes && !at_least_one {
            return 0;
        }
        let available = usize::try_from(self.readable(offset, before)).unwrap_or(usize::MAX);
        max_bytes.max(first).min(available)
    }

    /// The bytes of the log from the batch that holds `offset` to offset `before`, cut after `max_bytes`.
    ///
    /// The first batch is whole, whatever its size, if `at_least_one`; if it is not and does not fit, nothing comes
    /// (KIP-74). The last one may be cut anywhere: the log is sliced by bytes.
    pub(crate) fn read(
        &self,
        offset: i64,
        before: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Bytes {
        let size = self.read_size(offset, before, max_bytes, at_least_one);
        let mut batches = self.batches_from(offset, before);
        let Some(first) = batches.next().filter(|_| size > 0) else {
            return Bytes::new();
        };
        if size == first.bytes.len() {
            return first.bytes.clone();
        }
        let mut records = BytesMut::with_capacity(size);
        records.extend_from_slice(&first.bytes);
        for batch in batches {
            let room = size - records.len();
            records.extend_from_slice(&batch.bytes[..room.min(batch.bytes.len())]);
            if records.len() == size {
                break;
            }
        }
        records.freeze()
    }

    /// The offset up to which no transaction is undecided, if all before `high_watermark` is replicated (KIP-98).
    pub(crate) fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        let open = self.open.values().copied().min();
        let unreplicated = self
            .ended
            .iter()
            .rev()
            .take_while(|ended| ended.last_offset >= high_watermark)
            .map(|ended| ended.first_offset)
            .min();
        let first = open.into_iter().chain(unreplicated).min();
        first.map_or(high_watermark, |offset| offset.min(high_watermark))
    }

    /// The aborted transactions that a reader of the offsets from `from` to `before` needs.
    pub(crate) fn aborted(&self, from: i64, before: i64) -> Vec<AbortedTransaction> {
        self.ended
            .iter()
            .filter(|ended| ended.aborted && ended.last_offset >= from)
            .filter(|ended| ended.first_offset < before)
            .map(|ended| AbortedTransaction {
                producer_id: ended.producer_id,
                first_offset: ended.first_offset,
            })
            .collect()
    }

    /// The end of the largest epoch that is not larger than `epoch`, as Kafka's leader epoch cache answers it.
    pub(crate) fn epoch_end(&self, epoch: i32) -> Option<EpochEnd> {
        if epoch < 0 {
            return None;
        }
        if self.latest_epoch() == Some(epoch) {
            return Some(EpochEnd {
                epoch,
                end_offset: self.end_offset,
            });
        }
        let next = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let (_, end_offset) = *self.epochs.get(next)?;
        let floor = next.checked_sub(1).and_then(|place| self.epochs.get(place));
        Some(EpochEnd {
            epoch: floor.map_or(epoch, |(known, _)| *known),
            end_offset,
        })
    }

    /// Where leader epoch `epoch` began.
    pub(crate) fn epoch_start(&self, epoch: i32) -> Option<i64> {
        let known = self.epochs.iter().rev().find(|(known, _)| *known == epoch);
        known.map(|(_, start)| *start)
    }

    /// The leader epoch of the record at `offset`, or of the log's end.
    pub(crate) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let next = self.epochs.partition_point(|(_, start)| *start <= offset);
        let (epoch, _) = self.epochs.get(next.checked_sub(1)?)?;
        Some(*epoch)
    }

    /// Removes the batches that hold `offset` or anything behind it. Returns whether there was any.
    pub(crate) fn truncate(&mut self, offset: i64) -> bool {
        if offset >= self.end_offset {
            return false;
        }
        let keep = self.index_of(offset);
        self.batches.truncate(keep);
        self.end_offset = offset.max(0);
        self.end_position = self
            .batches
            .back()
            .map_or(self.end_position, StoredBatch::end_position);
        self.start_offset = self.start_offset.min(self.end_offset);
        while self
            .epochs
            .last()
            .is_some_and(|(_, start)| *start >= offset)
        {
            self.epochs.pop();
        }
        self.reread_transactions();
        true
    }

    /// Transactions after a truncation: those ended before it stay ended, the others are open again if they began.
    fn reread_transactions(&mut self) {
        let end = self.end_offset;
        let undone: Vec<_> = self
            .ended
            .iter()
            .filter(|ended| ended.last_offset >= end)
            .copied()
            .collect();
        self.ended.retain(|ended| ended.last_offset < end);
        self.open
            .extend(undone.iter().map(|t| (t.producer_id, t.first_offset)));
        self.open.retain(|_, first| *first < end);
    }

    /// Moves the start up to `offset` and drops the batches that lie wholly before it.
    pub(crate) fn advance_start(&mut self, offset: i64) {
        if offset <= self.start_offset {
            return;
        }
        self.start_offset = offset.min(self.end_offset);
        let start = self.start_offset;
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.header.last_offset() < start)
        {
            self.batches.pop_front();
        }
        let floor = self.epochs.partition_point(|(_, begun)| *begun <= start);
        self.epochs.drain(..floor.saturating_sub(1));
        if let Some((_, begun)) = self.epochs.first_mut() {
            *begun = (*begun).max(start);
        }
        self.ended.retain(|ended| ended.last_offset >= start);
    }

    /// The start offset at which the log holds at most `bytes`, in whole batches before `high_watermark`.
    pub(crate) fn start_for_size(&self, bytes: u64, high_watermark: i64) -> i64 {
        let mut size = self.size();
        let mut start = self.start_offset;
        for batch in &self.batches {
            let next = batch.header.next_offset();
            if size <= bytes || next > high_watermark || next >= self.end_offset {
                break;
            }
            size -= batch.bytes.len() as u64;
            start = next;
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::record::{BatchBuilder, BatchProducer, BatchView, RecordRef, rewrite};

    /// A batch of one record at `offset`, appended in `epoch`.
    fn batch(offset: i64, epoch: i32) -> (BatchHeader, Bytes) {
        let mut builder = BatchBuilder::new(BytesMut::new(), 1000);
        let value = [7; SIZE - 68];
        builder
            .try_append(&RecordRef::new(0, None, Some(&value)))
            .unwrap();
        let mut bytes = builder.finish().unwrap().seal(BatchProducer::None).to_vec();
        rewrite::assign_offsets(&mut bytes, offset, epoch).unwrap();
        let header = *BatchView::parse(&bytes).unwrap().header();
        (header, Bytes::from(bytes))
    }

    fn log(epochs: &[i32]) -> Log {
        let mut log = Log::default();
        for (offset, epoch) in (0..).zip(epochs) {
            let (header, bytes) = batch(offset, *epoch);
            log.append(header, bytes);
        }
        log
    }

    const SIZE: usize = 78;

    #[test]
    fn a_read_begins_at_a_whole_batch_and_may_end_inside_one() {
        let log = log(&[0, 0, 0, 0]);
        assert_eq!(log.read(1, 4, SIZE + 10, true).len(), SIZE + 10);
        assert_eq!(log.read(1, 4, usize::MAX, true).len(), 3 * SIZE);
        assert_eq!(log.read(4, 4, usize::MAX, true).len(), 0);
    }

    #[test]
    fn a_read_ends_at_the_high_watermark() {
        let log = log(&[0, 0, 0, 0]);
        assert_eq!(log.read(1, 2, usize::MAX, true).len(), SIZE);
        assert_eq!(log.readable(1, 2), SIZE as u64);
        assert_eq!(log.readable(2, 2), 0);
    }

    #[test]
    fn the_first_batch_comes_whole_or_not_at_all() {
        let log = log(&[0, 0]);
        assert_eq!(log.read(0, 2, 1, true).len(), SIZE);
        assert_eq!(log.read(0, 2, 1, false).len(), 0);
        assert_eq!(log.read(0, 2, SIZE, false).len(), SIZE);
    }

    #[test]
    fn epochs_end_where_the_next_one_begins() {
        let log = log(&[0, 0, 2, 2, 5]);
        let end = |epoch| log.epoch_end(epoch).map(|end| (end.epoch, end.end_offset));
        assert_eq!(end(0), Some((0, 2)));
        assert_eq!(end(1), Some((0, 2)));
        assert_eq!(end(3), Some((2, 4)));
        assert_eq!(end(5), Some((5, 5)));
        assert_eq!(end(6), None);
    }

    #[test]
    fn an_epoch_without_records_is_replaced() {
        let mut log = log(&[0]);
        log.begin_epoch(1);
        log.begin_epoch(2);
        assert_eq!(log.latest_epoch(), Some(2));
        assert_eq!(log.epoch_end(1).map(|end| end.end_offset), Some(1));
    }

    #[test]
    fn truncation_forgets_batches_and_epochs() {
        let mut log = log(&[0, 0, 2, 2]);
        assert!(log.truncate(2));
        assert_eq!((log.end_offset(), log.latest_epoch()), (2, Some(0)));
        assert_eq!(log.size(), 2 * SIZE as u64);
        assert!(!log.truncate(2));
    }

    #[test]
    fn the_start_moves_over_whole_batches() {
        let mut log = log(&[0, 1, 2]);
        log.advance_start(2);
        assert_eq!((log.start_offset(), log.size()), (2, SIZE as u64));
        assert_eq!(log.epoch_end(0).map(|end| end.end_offset), Some(2));
        assert_eq!(log.epoch_at(2), Some(2));
    }

    #[test]
    fn retention_keeps_the_last_batch() {
        let log = log(&[0, 0, 0]);
        assert_eq!(log.start_for_size(0, 3), 2);
        assert_eq!(log.start_for_size(2 * SIZE as u64, 3), 1);
        assert_eq!(log.start_for_size(u64::MAX, 3), 0);
    }

    #[test]
    fn an_open_transaction_holds_the_last_stable_offset() {
        let mut log = log(&[0]);
        let (mut header, bytes) = batch(1, 0);
        header.attributes = 1 << 4;
        header.producer_id = 9;
        log.append(header, bytes);
        assert_eq!(log.last_stable_offset(2), 1);
        let (header, bytes) = batch(2, 0);
        log.append(header, bytes);
        log.end_transaction(9, 2, true);
        assert_eq!(log.last_stable_offset(2), 1, "the marker is not replicated");
        assert_eq!(log.last_stable_offset(3), 3);
        assert_eq!(
            log.aborted(0, 3),
            [AbortedTransaction {
                producer_id: 9,
                first_offset: 1
            }]
        );
        assert_eq!(log.aborted(3, 4), []);
    }
}
