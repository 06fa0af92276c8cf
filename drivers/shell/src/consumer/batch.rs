//! Owns the reading of a lent batch, outside the lock: checksum, decompression, records; and its return, exactly as far as
//! it was read.
//!
//! Must not know where batches come from.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use klamm::record::compression::{DecompressBuffer, DecompressError, Decompressor};
use klamm::record::{self, BatchHeader, BatchView, Codec, RecordRef, RecordsMark};
use klamm::{ConsumerCommand, Corruption, LentBatch, OffsetAndMetadata, Return, ReturnEnd};

use super::hub::ConsumerHub;
use crate::shared::Shared;

/// Idle decompression buffers that a consumer keeps, and how large each may stay: fresh memory costs more than the
/// decompression, but what is not counted in `memory.budget` must stay small.
const IDLE_BUFFERS_MAX: usize = 4;
const IDLE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// What decompression works with, used again for the next batch.
#[derive(Default)]
struct Tools {
    decompressor: Decompressor,
    buffer: DecompressBuffer,
    /// The most that it was allowed to decompress to: what it keeps for the next batch grows with that.
    most: usize,
}

/// What the readers of one consumer share beside the lock.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared<ConsumerHub>>,
    pub(super) moves: Arc<AtomicU64>,
    pub(super) check_crcs: bool,
    #[allow(
        clippy::vec_box,
        reason = "a batch holds the box, which is not opened between"
    )]
    idle: Mutex<Vec<Box<Tools>>>,
}

impl Desk {
    pub(super) const fn new(
        shared: Arc<Shared<ConsumerHub>>,
        moves: Arc<AtomicU64>,
        check_crcs: bool,
    ) -> Self {
        Self {
            shared,
            moves,
            check_crcs,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn take_tools(&self) -> Box<Tools> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_default()
    }

    fn put_tools(&self, mut tools: Box<Tools>) {
        if tools.most > IDLE_BUFFER_BYTES_MAX {
            tools.buffer.shrink_to(IDLE_BUFFER_BYTES_MAX);
            tools.decompressor = Decompressor::new();
            tools.most = 0;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_BUFFERS_MAX {
            idle.push(tools);
        }
    }
}

/// Where the records lie.
enum Area {
    /// In the batch itself.
    Plain,
    Decompressed(Box<Tools>),
}

/// How far the reading came.
struct Cursor {
    mark: Option<RecordsMark>,
    /// The next offset for the application.
    next: i64,
    /// The count of moves at which the batch was last known to be current.
    moves: u64,
    state: Reading,
}

enum Reading {
    UnderWay,
    /// To the end, or until it became stale.
    Ended,
    Corrupt(Corruption),
}

/// A batch of records of one partition, lent to the reader.
///
/// Its records are read in place by [`records`](Self::records), or taken one by one as records that own their bytes.
/// Dropped, it goes back, and the position of the partition is the offset after the last record that was handed out:
/// to the record, also part-way. While it is held, no other batch of its partition is handed out, and its memory counts
/// in `memory.budget`.
///
/// After a [`seek`](super::Consumer::seek) or [`assign`](super::Consumer::assign) that concerns it no more records come
/// out of it, whoever holds it.
pub struct Batch {
    desk: Arc<Desk>,
    lent: LentBatch,
    header: BatchHeader,
    area: Area,
    cursor: Cursor,
    /// The area as bytes of its own, once an owned record was asked for.
    owned: Option<Bytes>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("topic", &self.lent.topic)
            .field("partition", &self.lent.partition)
            .field("base_offset", &self.header.base_offset)
            .field("next", &self.cursor.next)
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// Checks and decompresses what was lent. If that fails the batch goes back with the reason, and the engine says
    /// what follows: more room, or an error of the partition.
    pub(super) fn open(desk: &Arc<Desk>, lent: LentBatch, moves: u64) -> Option<Self> {
        let (id, start) = (lent.id, lent.start);
        match Self::read(desk, &lent) {
            Ok((header, area)) => Some(Self {
                desk: Arc::clone(desk),
                cursor: Cursor {
                    mark: None,
                    next: start,
                    moves,
                    state: Reading::UnderWay,
                },
                lent,
                header,
                area,
                owned: None,
            }),
            Err(end) => {
                drop(lent);
                let next = start;
                give_back(desk, Return { id, next, end });
                None
            }
        }
    }

    fn read(desk: &Desk, lent: &LentBatch) -> Result<(BatchHeader, Area), ReturnEnd> {
        let corrupt = |error| ReturnEnd::Corrupt(Corruption::Batch(error));
        let view = BatchView::parse(&lent.bytes).map_err(corrupt)?;
        if desk.check_crcs {
            view.check_crc().map_err(corrupt)?;
        }
        let codec = view.header().codec();
        if codec == Codec::None {
            return Ok((*view.header(), Area::Plain));
        }
        let mut tools = desk.take_tools();
        let Tools {
            decompressor,
            buffer,
            most,
        } = &mut *tools;
        *most = lent.allowance.max(*most);
        match decompressor.decompress(codec, view.records_area(), buffer, lent.allowance) {
            Ok(()) => Ok((*view.header(), Area::Decompressed(tools))),
            Err(error) => {
                desk.put_tools(tools);
                if let DecompressError::Exhausted { needed } = error {
                    return Err(ReturnEnd::Exhausted { needed });
                }
                if let DecompressError::NotCompiled { codec } = error {
                    return Err(ReturnEnd::NotCompiled { codec });
                }
                let why = Corruption::Compression(error.to_string());
                Err(ReturnEnd::Corrupt(why))
            }
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.lent.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.lent.partition
    }

    /// How many records the batch has, including those before the position and those that were handed out.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.header.records_count).unwrap_or(0)
    }

    /// Whether the batch has no records: compaction leaves such ones.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next offset for the application: what the position is if the batch goes back now.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.cursor.next
    }

    /// The position, and the epoch of the leader that appended what was read; `None` while nothing was.
    pub(super) fn consumed(&self) -> Option<OffsetAndMetadata> {
        let epoch = self.header.partition_leader_epoch;
        (self.cursor.next > self.lent.start).then(|| OffsetAndMetadata {
            leader_epoch: (epoch >= 0).then_some(epoch),
            ..OffsetAndMetadata::new(self.cursor.next)
        })
    }

    /// It goes back as if nothing of it had been read.
    pub(super) fn put_back(mut self) {
        self.cursor.next = self.lent.start;
        self.cursor.state = Reading::UnderWay;
    }

    /// The end of what is replicated, as the broker last said.
    #[must_use]
    pub fn high_watermark(&self) -> i64 {
        self.lent.high_watermark
    }

    /// Whether all of it was handed out.
    pub(super) const fn is_read(&self) -> bool {
        self.cursor.next >= self.lent.next
    }

    /// Whether a seek or an assignment has made the batch stale.
    pub(super) fn is_stale(&self) -> bool {
        let state = self.desk.shared.lock();
        state.is_stopped() || !state.engine().is_current(self.lent.id)
    }

    /// The records that were not handed out yet, borrowed from the batch.
    ///
    /// They end where the batch ends, where it became stale, and in front of a record that is damaged: then the error
    /// is the next thing that the consumer says.
    pub fn records(&mut self) -> Records<'_> {
        let inner = resume(
            &self.header,
            area(&self.header, &self.lent, &self.area),
            &self.cursor,
            self.lent.start,
        );
        Records {
            inner,
            desk: &self.desk,
            lent: &self.lent,
            cursor: &mut self.cursor,
        }
    }

    /// The next record, owning its bytes: they are slices of the batch's, and keep all of it (and of the response it
    /// came in) in memory for as long as one of them lives, beyond `memory.budget`;
    /// [`detach`](ConsumerRecord::detach) copies them out.
    ///
    /// `None` as for [`records`](Self::records).
    pub fn next_record(&mut self) -> Option<ConsumerRecord> {
        let bytes = match (&self.owned, &self.area) {
            (Some(bytes), _) => bytes.clone(),
            (None, Area::Plain) => self.lent.bytes.clone(),
            // The buffer goes back to be used again; one copy of a hot batch costs a few ns a record.
            (None, Area::Decompressed(tools)) => {
                let bytes = Bytes::copy_from_slice(tools.buffer.as_slice());
                self.owned.insert(bytes).clone()
            }
        };
        let (topic, partition) = (Arc::clone(&self.lent.topic), self.lent.partition);
        let plain = matches!(self.area, Area::Plain);
        let area = if plain {
            self.header.records_area(&bytes)
        } else {
            &bytes[..]
        };
        let inner = resume(&self.header, area, &self.cursor, self.lent.start);
        let mut records = Records {
            inner,
            desk: &self.desk,
            lent: &self.lent,
            cursor: &mut self.cursor,
        };
        let record = records.next()?;
        let own = |part: Option<&[u8]>| part.map(|part| bytes.slice_ref(part));
        Some(ConsumerRecord {
            topic,
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: own(record.key),
            value: own(record.value),
            headers: record
                .headers
                .iter()
                .map(|header| record::Header {
                    key: bytes.slice_ref(header.key),
                    value: own(header.value),
                })
                .collect(),
        })
    }
}

fn area<'a>(header: &BatchHeader, lent: &'a LentBatch, area: &'a Area) -> &'a [u8] {
    match area {
        Area::Plain => header.records_area(&lent.bytes),
        Area::Decompressed(tools) => tools.buffer.as_slice(),
    }
}

fn resume<'a>(
    header: &BatchHeader,
    area: &'a [u8],
    cursor: &Cursor,
    start: i64,
) -> record::Records<'a> {
    let records = record::Records::new(header, area).starting_at(start);
    match cursor.mark {
        Some(mark) => records.resumed_at(mark),
        None => records,
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // The memory goes first, so that the engine can use it again.
        self.lent.bytes = Bytes::new();
        self.owned = None;
        if let Area::Decompressed(tools) = std::mem::replace(&mut self.area, Area::Plain) {
            self.desk.put_tools(tools);
        }
        let end = match std::mem::replace(&mut self.cursor.state, Reading::Ended) {
            Reading::Ended => ReturnEnd::Read,
            Reading::UnderWay => ReturnEnd::Abandoned,
            Reading::Corrupt(corruption) => ReturnEnd::Corrupt(corruption),
        };
        let (id, next) = (self.lent.id, self.cursor.next);
        give_back(&self.desk, Return { id, next, end });
    }
}

fn give_back(desk: &Desk, returned: Return) {
    desk.shared.step(|state, _, now| {
        // A batch that is stale is not lent any more: its return has only freed memory.
        let _ = state.done(ConsumerCommand::Return(returned), now);
    });
}

/// The records of a [`Batch`], borrowed from it. A record counts as handed out once it was given here.
pub struct Records<'a> {
    inner: record::Records<'a>,
    desk: &'a Desk,
    lent: &'a LentBatch,
    cursor: &'a mut Cursor,
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("next", &self.cursor.next)
            .finish_non_exhaustive()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.desk.moves.load(Ordering::Acquire) != self.cursor.moves && self.is_stale() {
            return None;
        }
        match self.inner.next() {
            Some(Ok(record)) => {
                self.cursor.next = record.offset.saturating_add(1);
                Some(record)
            }
            Some(Err(error)) => {
                self.cursor.state = Reading::Corrupt(Corruption::Record(error));
                None
            }
            None => {
                self.end();
                None
            }
        }
    }
}

impl Records<'_> {
    /// Something has moved since: was it this partition?
    #[cold]
    fn is_stale(&mut self) -> bool {
        let state = self.desk.shared.lock();
        let moves = self.desk.moves.load(Ordering::Acquire);
        let current = !state.is_stopped() && state.engine().is_current(self.lent.id);
        drop(state);
        if current {
            self.cursor.moves = moves;
        } else {
            self.cursor.state = Reading::Ended;
        }
        !current
    }

    /// There is nothing more in the batch: what is left of its offsets holds nothing.
    #[cold]
    fn end(&mut self) {
        if matches!(self.cursor.state, Reading::UnderWay) {
            self.cursor.next = self.lent.next;
            self.cursor.state = Reading::Ended;
        }
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        self.cursor.mark = Some(self.inner.mark());
    }
}

/// A record that owns its bytes.
///
/// They are slices of the batch that it came in: keeping one record keeps that memory. [`detach`](Self::detach) what is
/// kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or -1 for none.
    pub timestamp: i64,
    /// The key, or `None` for null.
    pub key: Option<Bytes>,
    /// The value, or `None` for null.
    pub value: Option<Bytes>,
    /// The headers, in their order.
    pub headers: Vec<record::Header>,
}

impl ConsumerRecord {
    /// The same record in memory of its own.
    #[must_use]
    pub fn detach(&self) -> Self {
        let copy = |bytes: &Option<Bytes>| bytes.as_deref().map(Bytes::copy_from_slice);
        Self {
            topic: Arc::clone(&self.topic),
            key: copy(&self.key),
            value: copy(&self.value),
            headers: self
                .headers
                .iter()
                .map(|header| header.as_ref().to_header())
                .collect(),
            ..*self
        }
    }
}
