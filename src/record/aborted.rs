//! Which batches a `read_committed` reader leaves out.
//!
//! Owns the rule by which the list of aborted transactions in a Fetch response and the abort markers in the log
//! together tell. It lasts for one response: the next one brings a list of its own. What is still open is not its
//! business: a broker sends nothing from the last stable offset on.
//!
//! Must not know where batches come from, or where the position stands.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::control::{ControlType, control_type};
use super::error::BatchError;
use super::view::BatchView;
use crate::collections::sorted;

/// An aborted transaction, as a Fetch response (v4 and later) lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// The first offset that the transaction wrote in this partition.
    pub first_offset: i64,
    /// Whose transaction it was.
    pub producer_id: i64,
}

/// The aborted transactions of one partition in one Fetch response, as far as they matter at the batch that is looked
/// at.
///
/// ```
/// use klamm::record::{AbortedTransaction, AbortedTransactions, BatchError, Batches};
/// fn visible(fetched: &[u8], aborted: Vec<AbortedTransaction>) -> Result<usize, BatchError> {
///     let (mut aborted, mut records) = (AbortedTransactions::new(aborted), 0);
///     for batch in Batches::new(fetched) {
///         let batch = batch?;
///         batch.check_crc()?;
///         if !aborted.hides(&batch)? {
///             records += batch.header().records_count as usize;
///         }
///     }
///     Ok(records)
/// }
/// # assert_eq!(visible(&[], Vec::new()), Ok(0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    /// Those that begin after the batches seen so far, the next one at the end.
    ahead: Vec<AbortedTransaction>,
    /// The producers in whose aborted transaction the walk is.
    producers: BTreeSet<i64>,
}

impl AbortedTransactions {
    /// The list of a response. Brokers do not promise an order.
    pub fn new(transactions: Vec<AbortedTransaction>) -> Self {
        Self {
            ahead: sorted(transactions, &|a, b| b.cmp(a)),
            producers: BTreeSet::new(),
        }
    }

    /// Whether the reader passes over this batch: a control batch, or one of an aborted transaction.
    ///
    /// Takes every batch of the response once, in their order, after its checksum: a damaged attribute must not make
    /// records vanish.
    ///
    /// # Errors
    /// A control batch that is none, see [`control_type`].
    pub fn hides(&mut self, batch: &BatchView<'_>) -> Result<bool, BatchError> {
        let header = batch.header();
        let control = control_type(batch)?;
        if header.producer_id < 0 {
            return Ok(header.is_control());
        }
        while let Some(next) = self
            .ahead
            .pop_if(|next| next.first_offset <= header.last_offset())
        {
            self.producers.insert(next.producer_id);
        }
        if control == Some(ControlType::Abort) {
            self.producers.remove(&header.producer_id);
        }
        Ok(header.is_control()
            || (header.is_transactional() && self.producers.contains(&header.producer_id)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::record::control::{TransactionEnd, end_transaction_marker};
    use crate::record::{BatchBuilder, BatchProducer, RecordRef, rewrite};

    /// What happens in a partition: one step is one batch, at the offset after the one before.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Plain,
        Idempotent(i64),
        InTransaction(i64),
        End(i64, TransactionEnd),
    }

    fn bytes_of(step: Step, offset: i64) -> Vec<u8> {
        let data = |producer| {
            let mut builder = BatchBuilder::new(BytesMut::new(), 4096);
            builder
                .try_append(&RecordRef::new(0, None, Some(b"v")))
                .unwrap();
            builder.finish().unwrap().seal(producer)
        };
        let bytes = match step {
            Step::Plain => data(BatchProducer::None),
            Step::Idempotent(producer_id) => data(BatchProducer::Idempotent {
                producer_id,
                producer_epoch: 0,
                base_sequence: 0,
            }),
            Step::InTransaction(producer_id) => data(BatchProducer::Transactional {
                producer_id,
                producer_epoch: 0,
                base_sequence: 0,
            }),
            Step::End(producer_id, end) => end_transaction_marker(end, producer_id, 0, 0, 0),
        };
        let mut bytes = bytes.to_vec();
        rewrite::assign_offsets(&mut bytes, offset, 0).unwrap();
        bytes
    }

    /// The naive model: it looks ahead for the end of each transaction, and needs no list.
    fn model_hides(log: &[Step], at: usize) -> bool {
        match log[at] {
            Step::Plain | Step::Idempotent(_) => false,
            Step::End(..) => true,
            Step::InTransaction(producer) => {
                log[at..]
                    .iter()
                    .any(|step| matches!(step, Step::End(p, _) if *p == producer))
                    && log[at..]
                        .iter()
                        .find_map(|step| match step {
                            Step::End(p, end) if *p == producer => {
                                Some(*end == TransactionEnd::Abort)
                            }
                            Step::End(..)
                            | Step::Plain
                            | Step::Idempotent(_)
                            | Step::InTransaction(_) => None,
                        })
                        .unwrap_or(false)
            }
        }
    }

    /// The list that a broker sends for a fetch from `from` on.
    fn aborted_list(log: &[Step], from: usize) -> Vec<AbortedTransaction> {
        let mut open: Vec<AbortedTransaction> = Vec::new();
        let mut aborted = Vec::new();
        for (offset, step) in log.iter().enumerate() {
            match *step {
                Step::Plain | Step::Idempotent(_) => {}
                Step::InTransaction(producer_id) => {
                    if !open
                        .iter()
                        .any(|transaction| transaction.producer_id == producer_id)
                    {
                        open.push(AbortedTransaction {
                            first_offset: offset as i64,
                            producer_id,
                        });
                    }
                }
                Step::End(producer_id, end) => {
                    let found = open
                        .iter()
                        .position(|transaction| transaction.producer_id == producer_id);
                    let ended = found.map(|index| open.swap_remove(index));
                    if end == TransactionEnd::Abort && offset >= from {
                        aborted.extend(ended);
                    }
                }
            }
        }
        aborted
    }

    fn check(log: &[Step], from: usize) {
        let mut aborted = AbortedTransactions::new(aborted_list(log, from));
        for at in from..log.len() {
            let bytes = bytes_of(log[at], at as i64);
            let view = BatchView::parse(&bytes).unwrap();
            assert_eq!(
                aborted.hides(&view).unwrap(),
                model_hides(log, at),
                "offset {at} of {log:?}, read from {from}"
            );
        }
    }

    #[test]
    fn an_aborted_transaction_is_left_out_up_to_its_marker_and_the_next_one_is_not() {
        let (abort, commit) = (TransactionEnd::Abort, TransactionEnd::Commit);
        let log = [
            Step::InTransaction(1),
            Step::Plain,
            Step::InTransaction(2),
            Step::Idempotent(1),
            Step::InTransaction(1),
            Step::End(1, abort),
            Step::InTransaction(1),
            Step::End(2, commit),
            Step::End(1, commit),
        ];
        for from in 0..log.len() {
            check(&log, from);
        }
    }

    #[test]
    fn every_interleaving_of_a_few_producers_agrees_with_the_model() {
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n) as usize
        };
        for _ in 0..2_000 {
            let mut log: Vec<Step> = Vec::new();
            for _ in 0..below(24) {
                let producer = below(3) as i64;
                log.push(match below(8) {
                    0 => Step::Plain,
                    1 => Step::Idempotent(producer),
                    2..=5 => Step::InTransaction(producer),
                    6 => Step::End(producer, TransactionEnd::Abort),
                    _ => Step::End(producer, TransactionEnd::Commit),
                });
            }
            // What is open at the end lies beyond the last stable offset, where no broker sends anything.
            for producer in 0..3 {
                log.push(Step::End(producer, TransactionEnd::Commit));
            }
            let from = below(log.len() as u64);
            check(&log, from);
        }
    }
}
