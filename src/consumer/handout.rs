//! Owns lending and taking back: which batch is next, what it may decompress to, and what a return moves.
//!
//! Must not know how data came here.

use super::fetched::too_large;
use super::lent::Lent;
use super::metrics::records_in;
use super::partition::{Before, Partition, Position, State};
use super::role::{ConsumerRole, Cx, Reader};
use super::supply::{Compressed, Hand, Head, Point};
use super::types::{ConsumerEvent, Corruption, LentBatch, Return, ReturnEnd};
use crate::budget::Category;
use crate::error::{Error, ErrorKind, Step};
use crate::record::Codec;
use crate::record::compression::decompression_memory;

/// What any compressed batch may decompress to without being asked twice.
const ALLOWANCE_MIN: usize = 64 << 10;

impl ConsumerRole {
    /// Lends the next batch. Partitions take turns.
    #[inline]
    pub(super) fn next_batch(&mut self, cx: &mut Cx<'_>) -> Option<LentBatch> {
        self.on_read(cx.now());
        while let Some(slot) = self.ready.pop_front() {
            if let Some(batch) = self.lend(slot, cx) {
                return Some(batch);
            }
        }
        self.reader = Reader::Waiting;
        self.make_room(cx);
        None
    }

    #[inline]
    fn lend(&mut self, slot: u32, cx: &mut Cx<'_>) -> Option<LentBatch> {
        let partition = self.assigned.get_mut(slot)?;
        let (Hand::Offered(head), Position::At(position)) =
            (partition.supply.hand(), partition.position)
        else {
            return None;
        };
        let (allowance, reserved) = match head.compressed {
            None => (0, 0),
            Some(area) => {
                let (mut allowance, least) =
                    partition.allowance(area, Self::decompression_limit(cx));
                loop {
                    let reserved = decompression_memory(area.codec, allowance);
                    if cx.cluster.budget().take(Category::Decompressed, reserved) {
                        break (allowance, reserved);
                    }
                    // Only what is known to be needed is waited for: what other batches have expanded to is a guess.
                    if allowance == least {
                        partition.supply.starve(reserved);
                        if !self.starving.contains(&slot) {
                            self.starving.push(slot);
                        }
                        return None;
                    }
                    allowance = (allowance / 2).max(least);
                }
            }
        };
        let id = self.lent.next_id();
        let (_, bytes, frame) = partition.supply.lend(id)?;
        self.frames.share(frame);
        self.lent.insert(Lent {
            partition: slot,
            version: partition.version,
            frame,
            allowance,
            reserved,
            start: position.offset,
            records: records_in(&bytes),
            size: bytes.len(),
        });
        let batch = LentBatch {
            id,
            topic: partition.topic.clone(),
            handle: partition.key.topic,
            partition: partition.key.partition,
            bytes,
            start: position.offset,
            next: head.next.offset,
            allowance,
            high_watermark: partition.high_watermark,
        };
        self.stop_starving(slot, cx);
        self.fetch_if_wanted(slot);
        Some(batch)
    }

    /// With less buffered, the partition may want to be fetched again.
    #[inline]
    fn fetch_if_wanted(&mut self, slot: u32) {
        if let Some(partition) = self.assigned.get(slot)
            && let Some(source) = partition.source()
            && let Some(broker) = self.brokers.get(source)
            && broker.is_idle()
            && partition.wants_fetch(broker.prefetch())
        {
            self.brokers.touch(source);
        }
    }

    /// Takes a batch back.
    ///
    /// # Errors
    /// The batch is not lent: it was returned before, or never lent. Nothing changes.
    #[inline]
    pub(super) fn return_batch(&mut self, returned: Return, cx: &mut Cx<'_>) -> Result<(), Error> {
        let Some(lent) = self.lent.remove(returned.id) else {
            return Err(Error::new(ErrorKind::Misuse)
                .with_detail(alloc::format!("{} is not lent", returned.id))
                .with_hint("return each batch once"));
        };
        if lent.reserved > 0 {
            cx.cluster
                .budget()
                .give_back(Category::Decompressed, lent.reserved);
        }
        self.take_back(&lent, returned, cx);
        self.dropped.push(lent.frame);
        self.release_dropped(cx);
        // Who waits for memory may also wait for the last batch to come back, before others' buffers are dropped for him.
        if lent.reserved > 0 || !self.starving.is_empty() {
            self.memory_freed(cx);
        }
        Ok(())
    }

    #[inline]
    fn take_back(&mut self, lent: &Lent, returned: Return, cx: &mut Cx<'_>) {
        let slot = lent.partition;
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        // A stale batch frees its memory and moves nothing.
        let (true, Hand::Lent(head, id), Position::At(position)) = (
            partition.version == lent.version,
            partition.supply.hand(),
            &mut partition.position,
        ) else {
            return;
        };
        if id != returned.id {
            return;
        }
        let next = returned.next.clamp(lent.start, head.next.offset);
        if next > lent.start {
            // The first move since the application came for records: what lies before it was dealt with then.
            if partition
                .before
                .is_none_or(|before| before.poll != self.polls)
            {
                partition.before = Some(Before {
                    poll: self.polls,
                    position: *position,
                });
            }
            *position = Point {
                offset: next,
                epoch: head.next.epoch,
            };
        }
        let rest_left = next < head.next.offset;
        match returned.end {
            ReturnEnd::Corrupt(corruption) => self.on_corrupt(slot, head, next, &corruption, cx),
            ReturnEnd::NotCompiled { codec } => {
                let error = partition.place(not_compiled(codec), Step::Fetch);
                self.block(slot, error, cx);
            }
            ReturnEnd::Exhausted { needed } if rest_left => {
                partition.supply.put_back();
                let needed = needed.max(lent.allowance.saturating_add(1));
                self.on_exhausted(slot, head, next, needed, cx);
            }
            ReturnEnd::Read | ReturnEnd::Abandoned if rest_left => {
                partition.supply.put_back();
                self.offer(slot, cx);
            }
            // What was exhausted after its last record has nothing left to be lent again for.
            ReturnEnd::Read | ReturnEnd::Abandoned | ReturnEnd::Exhausted { .. } => {
                partition.least_allowance = 0;
                self.metrics.count_batch(lent.records, lent.size);
                match partition
                    .supply
                    .finish(position, self.settings.check_crcs, &mut self.dropped)
                {
                    Ok(()) => self.after_return(slot, cx),
                    Err(unreadable) => self.on_unreadable(slot, &unreadable, cx),
                }
            }
        }
    }

    #[inline]
    fn after_return(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        if partition.is_lendable() {
            self.offer(slot, cx);
        } else if let (true, State::CatchingUp(_)) = (partition.is_caught_up(), partition.state()) {
            self.go_on(slot, cx);
        }
        // A response that was read to its end makes room for another one.
        self.fetch_if_wanted(slot);
    }

    /// Puts a partition in the line of those that can be lent, and wakes a reader who was told that there is nothing.
    #[inline]
    pub(super) fn offer(&mut self, slot: u32, cx: &mut Cx<'_>) {
        if !self.assigned.get(slot).is_some_and(Partition::is_lendable) {
            return;
        }
        self.ready.push_back(slot);
        if self.reader == Reader::Waiting {
            self.reader = Reader::Served;
            self.on_served(cx.now());
            cx.emit(ConsumerEvent::Ready);
        }
    }

    fn on_corrupt(
        &mut self,
        slot: u32,
        head: Head,
        offset: i64,
        corruption: &Corruption,
        cx: &mut Cx<'_>,
    ) {
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        let error = self.corrupt(head.origin, offset).with_detail(corruption);
        let error = partition.place(error, Step::Fetch);
        self.block(slot, error, cx);
    }

    /// The batch takes more than it was allowed: it is lent again with more, if there can ever be so much.
    fn on_exhausted(&mut self, slot: u32, head: Head, offset: i64, needed: usize, cx: &mut Cx<'_>) {
        let limit = Self::decompression_limit(cx);
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        let Some(area) = head.compressed else {
            // What is not compressed cannot be exhausted; it is lent again.
            return self.offer(slot, cx);
        };
        if decompression_memory(area.codec, needed) > limit {
            let error = partition.place(too_large(offset, needed), Step::Fetch);
            return self.block(slot, error, cx);
        }
        partition.expansion = partition.expansion.max(needed.div_ceil(area.size.max(1)));
        partition.least_allowance = needed;
        self.offer(slot, cx);
    }

    /// Looks whether what was given back is enough for those that wait for it.
    pub(super) fn feed_starving(&mut self, cx: &mut Cx<'_>) {
        for slot in core::mem::take(&mut self.starving) {
            let Some(partition) = self.assigned.get_mut(slot) else {
                continue;
            };
            match partition.supply.hand() {
                Hand::AwaitingMemory(_, needed) => {
                    // It stays in the line until it is lent: a fetch would take the memory before the reader comes.
                    self.starving.push(slot);
                    if cx.cluster.budget().free(Category::Decompressed) >= needed {
                        partition.supply.feed();
                        self.offer(slot, cx);
                    }
                }
                Hand::Offered(_) if partition.is_lendable() => self.starving.push(slot),
                Hand::Offered(_) | Hand::Empty | Hand::Lent(..) => {}
            }
        }
        self.make_room(cx);
    }

    /// Nothing is lent, nothing can be, and nothing is on its way: what waits for memory waits for what nobody reads.
    fn make_room(&mut self, cx: &mut Cx<'_>) {
        let Some(slot) = self.starving.first().copied() else {
            return;
        };
        if self.lent.len() > 0 || !self.ready.is_empty() || self.brokers.any_in_flight() {
            return;
        }
        // What others have buffered can be fetched again, once the first in the line has been read.
        let mut dropped = false;
        for other in self.assigned.slots() {
            if let Some(partition) = self.assigned.get_mut(other)
                && other != slot
                && !partition.is_caught_up()
            {
                partition.supply.clear(&mut self.dropped);
                self.starving.retain(|starving| *starving != other);
                self.fetch_if_wanted(other);
                dropped = true;
            }
        }
        let Some(partition) = self.assigned.get(slot) else {
            return;
        };
        match (dropped, partition.supply.hand()) {
            (true, _) => self.release_dropped(cx),
            (false, Hand::AwaitingMemory(_, needed)) => {
                let error = partition.place(
                    too_large(partition.offset().unwrap_or(-1), needed),
                    Step::Fetch,
                );
                self.block(slot, error, cx);
            }
            (false, Hand::Empty | Hand::Offered(_) | Hand::Lent(..)) => {}
        }
    }
}

fn not_compiled(codec: Codec) -> Error {
    let codec = codec.name();
    Error::new(ErrorKind::NotCompiled { codec }).with_hint(alloc::format!(
        "build klamm with its Cargo feature `{codec}`"
    ))
}

impl Partition {
    /// What a compressed batch may decompress to, as far as one can guess, and the least that is worth a try, if that may
    /// take `limit` bytes of memory.
    fn allowance(&self, area: Compressed, limit: usize) -> (usize, usize) {
        let least = self.least_allowance.max(ALLOWANCE_MIN);
        let guess = area.size.saturating_mul(self.expansion).max(least);
        let fitting = |output| match decompression_memory(area.codec, output) <= limit {
            true => output,
            false => largest_output(area.codec, limit),
        };
        (fitting(guess), fitting(least))
    }
}

/// What can be decompressed to with `memory` bytes in all: at least one byte, so that there is a need to be told of.
fn largest_output(codec: Codec, memory: usize) -> usize {
    let (mut fits, mut exceeds) = (1, memory.saturating_add(1));
    while exceeds.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(exceeds);
        match decompression_memory(codec, middle) <= memory {
            true => fits = middle,
            false => exceeds = middle,
        }
    }
    fits
}
