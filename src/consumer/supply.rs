//! Owns what is fetched for one partition and not yet returned: the batches in their order, the one on offer or lent,
//! and which of them nobody sees (control, aborted, empty, or wholly below the position).
//!
//! Must not know how batches are asked for, nor what memory they are charged to.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::BrokerIndex;
use super::frames::FrameId;
use super::lent::BatchId;
use crate::record::{AbortedTransactions, BatchError, BatchView, Batches, Codec};

/// An offset, and the leader epoch of the batch before it (KIP-320); -1 where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) offset: i64,
    pub(crate) epoch: i32,
}

/// The whole batches that one response brought for the partition.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) frame: FrameId,
    /// The broker that sent it.
    pub(crate) origin: BrokerIndex,
    /// What is not yet returned of it; begins with a batch.
    pub(crate) rest: Bytes,
    /// Which batches belong to aborted transactions; the list lasts for this response.
    pub(crate) aborted: AbortedTransactions,
    /// Where the next fetch begins.
    pub(crate) end: Point,
}

/// What of a batch is needed while it is on offer and lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) origin: BrokerIndex,
    pub(crate) size: usize,
    pub(crate) base_offset: i64,
    pub(crate) next: Point,
    /// Present if the records area is compressed.
    pub(crate) compressed: Option<Compressed>,
}

/// A compressed records area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) codec: Codec,
    /// Its size as it is.
    pub(crate) size: usize,
}

/// What the reader's side of a partition is doing.
///
/// ```text
/// Empty ──push──▶ Offered ──lend──▶ Lent ──finish──▶ Offered | Empty
///                   │  ▲              │ put_back ▲
///         starve    ▼  │ feed         ▼          │
///              AwaitingMemory      Offered ──────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// Nothing is buffered.
    Empty,
    /// The first batch can be lent.
    Offered(Head),
    /// The first batch is with the reader.
    Lent(Head, BatchId),
    /// The first batch can be lent as soon as its decompression may take so many bytes.
    AwaitingMemory(Head, usize),
}

/// The first batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) origin: BrokerIndex,
    pub(crate) offset: i64,
    pub(crate) error: BatchError,
}

/// The fetched data of one partition.
#[derive(Debug)]
pub(crate) struct Supply {
    chunks: VecDeque<Chunk>,
    hand: Hand,
}

impl Supply {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            hand: Hand::Empty,
        }
    }

    pub(crate) const fn hand(&self) -> Hand {
        self.hand
    }

    /// How many responses have something in here.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The bytes that are buffered and not lent.
    pub(crate) fn buffered(&self) -> usize {
        let held: usize = self.chunks.iter().map(|chunk| chunk.rest.len()).sum();
        match self.hand {
            Hand::Lent(head, _) => held.saturating_sub(head.size),
            Hand::Empty | Hand::Offered(_) | Hand::AwaitingMemory(..) => held,
        }
    }

    /// Where the data ends, and the next fetch begins; `None` if there is none.
    pub(crate) fn end(&self) -> Option<Point> {
        self.chunks.back().map(|chunk| chunk.end)
    }

    /// Takes more data, which begins where the data ends.
    pub(crate) fn push(
        &mut self,
        chunk: Chunk,
        position: &mut Point,
        check_crcs: bool,
        dropped: &mut Vec<FrameId>,
    ) -> Result<(), Unreadable> {
        self.chunks.push_back(chunk);
        match self.hand {
            Hand::Empty => self.advance(position, check_crcs, dropped),
            Hand::Offered(_) | Hand::Lent(..) | Hand::AwaitingMemory(..) => Ok(()),
        }
    }

    /// Passes over batches that nobody sees, up to one that can be lent, or to the end.
    fn advance(
        &mut self,
        position: &mut Point,
        check_crcs: bool,
        dropped: &mut Vec<FrameId>,
    ) -> Result<(), Unreadable> {
        self.hand = Hand::Empty;
        while let Some(chunk) = self.chunks.front_mut() {
            match chunk.next_visible(position, check_crcs) {
                Ok(Some(head)) => {
                    self.hand = Hand::Offered(head);
                    return Ok(());
                }
                Ok(None) => {
                    dropped.push(chunk.frame);
                    self.chunks.pop_front();
                }
                Err(error) => {
                    let (origin, offset) = (chunk.origin, position.offset);
                    self.clear(dropped);
                    return Err(Unreadable {
                        origin,
                        offset,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Lends the first batch, if it is on offer: a slice of the response, not a copy.
    pub(crate) fn lend(&mut self, id: BatchId) -> Option<(Head, Bytes, FrameId)> {
        let Hand::Offered(head) = self.hand else {
            return None;
        };
        let chunk = self.chunks.front()?;
        let bytes = chunk
            .rest
            .get(..head.size)
            .map(|_| chunk.rest.slice(..head.size))?;
        self.hand = Hand::Lent(head, id);
        Some((head, bytes, chunk.frame))
    }

    /// The lent batch came back, read to its end: the position stands after it, and after what nobody sees.
    pub(crate) fn finish(
        &mut self,
        position: &mut Point,
        check_crcs: bool,
        dropped: &mut Vec<FrameId>,
    ) -> Result<(), Unreadable> {
        let Hand::Lent(head, _) = self.hand else {
            return Ok(());
        };
        *position = head.next;
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.rest.advance(head.size.min(chunk.rest.len()));
        }
        self.advance(position, check_crcs, dropped)
    }

    /// The lent batch came back with something left in it, and is on offer again.
    pub(crate) fn put_back(&mut self) {
        if let Hand::Lent(head, _) = self.hand {
            self.hand = Hand::Offered(head);
        }
    }

    /// The offered batch must wait until it may decompress to `needed` bytes.
    pub(crate) fn starve(&mut self, needed: usize) {
        if let Hand::Offered(head) = self.hand {
            self.hand = Hand::AwaitingMemory(head, needed);
        }
    }

    /// There may be memory now.
    pub(crate) fn feed(&mut self) {
        if let Hand::AwaitingMemory(head, _) = self.hand {
            self.hand = Hand::Offered(head);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, dropped: &mut Vec<FrameId>) {
        self.hand = Hand::Empty;
        dropped.extend(self.chunks.drain(..).map(|chunk| chunk.frame));
    }

    /// Drops everything that is not lent; a lent batch stays, and data ends with it.
    pub(crate) fn clear_unlent(&mut self, dropped: &mut Vec<FrameId>) {
        let Hand::Lent(head, _) = self.hand else {
            return self.clear(dropped);
        };
        while self.chunks.len() > 1 {
            dropped.extend(self.chunks.pop_back().map(|chunk| chunk.frame));
        }
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.rest.truncate(head.size);
            chunk.end = head.next;
        }
    }
}

impl Chunk {
    /// Looks for the first batch that a reader sees; `None` at the end. What is passed over moves the position.
    fn next_visible(
        &mut self,
        position: &mut Point,
        check_crcs: bool,
    ) -> Result<Option<Head>, BatchError> {
        while !self.rest.is_empty() {
            let view = BatchView::parse(&self.rest)?;
            let header = view.header();
            let next = Point {
                offset: header.next_offset(),
                epoch: header.partition_leader_epoch,
            };
            let size = view.as_bytes().len();
            let unseen = self.aborted.hides(&view)?
                || header.records_count == 0
                || next.offset <= position.offset;
            if !unseen {
                let compressed = match header.codec() {
                    Codec::None => None,
                    codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => {
                        Some(Compressed {
                            codec,
                            size: view.records_area().len(),
                        })
                    }
                };
                return Ok(Some(Head {
                    origin: self.origin,
                    size,
                    base_offset: header.base_offset,
                    next,
                    compressed,
                }));
            }
            // A damaged header must not make records vanish; whoever reads a batch checks it itself.
            if check_crcs {
                view.check_crc()?;
            }
            if next.offset > position.offset {
                *position = next;
            }
            self.rest.advance(size);
        }
        Ok(None)
    }
}

/// What the records field of a response holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Nothing.
    Nothing,
    /// So many bytes of whole batches, which end there.
    Batches { size: usize, end: Point },
    /// Only the beginning of a batch, which has so many bytes.
    Partial { needed: usize },
    /// Batches that all end at or before the offset that was asked for.
    Behind,
    /// The first batch cannot be read.
    Unreadable(BatchError),
}

/// Measures the whole batches of a response that was asked for `from`. What follows a batch that cannot be read is
/// left: it comes again as the first of the next fetch, and is judged then.
pub(crate) fn measure(records: &[u8], from: i64) -> Fetched {
    let mut size = 0_usize;
    let mut end: Option<Point> = None;
    for batch in Batches::new(records) {
        match batch {
            Ok(view) => {
                let header = view.header();
                if end.is_some_and(|end| header.base_offset < end.offset) {
                    break;
                }
                size = size.saturating_add(view.as_bytes().len());
                end = Some(Point {
                    offset: header.next_offset(),
                    epoch: header.partition_leader_epoch,
                });
            }
            Err(_) if end.is_some() => break,
            Err(BatchError::Incomplete { needed, .. }) => {
                return Fetched::Partial {
                    needed: usize::try_from(needed).unwrap_or(usize::MAX),
                };
            }
            Err(error) => return Fetched::Unreadable(error),
        }
    }
    match end {
        None => Fetched::Nothing,
        Some(end) if end.offset <= from => Fetched::Behind,
        Some(end) => Fetched::Batches { size, end },
    }
}

#[cfg(test)]
#[path = "supply_tests.rs"]
mod tests;
