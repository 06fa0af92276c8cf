//! Owns the naive model of a partition's sequence numbers: a list of those given out in the epoch that it is.
//!
//! Must not know how they are kept.

use alloc::vec::Vec;

use super::sequence::{Break, Identity, Sequences, Stamp, Stamping};
use crate::choices::Choices;

/// The numbers of one epoch of one producer id.
struct Chain {
    identity: Identity,
    /// The first number of the next record, in a space without an end.
    next: i64,
    confirmed: bool,
    broken: bool,
}

/// What a broker would see: numbers below 2^31, then 0 again.
fn on_the_wire(number: i64) -> i32 {
    i32::try_from(number % (1 << 31)).unwrap_or(-1)
}

/// The numbers, and their model beside them.
struct Both {
    sequences: Sequences,
    chain: Option<Chain>,
    /// The producer id whose epochs are used up.
    spent: Option<i64>,
    /// What the engine has.
    current: Option<Identity>,
    given: Vec<Stamp>,
}

impl Chain {
    const fn new(identity: Identity) -> Self {
        Self {
            identity,
            next: 0,
            confirmed: false,
            broken: false,
        }
    }
}

impl Both {
    fn new(first: Identity, near_the_end: bool) -> Self {
        let next = i32::MAX - 3;
        let identity = first;
        let (sequences, chain) = match near_the_end {
            false => (Sequences::Fresh, None),
            true => (
                Sequences::Whole { identity, next },
                Some(Chain {
                    next: next.into(),
                    confirmed: true,
                    ..Chain::new(identity)
                }),
            ),
        };
        Self {
            sequences,
            chain,
            spent: None,
            current: None,
            given: Vec::new(),
        }
    }

    fn stamp(&mut self, records: i32) {
        let stamping = self.sequences.stamp(records, self.current);
        let spent = self.spent;
        let fits = |identity: &Identity| spent != Some(identity.producer_id);
        if self.chain.is_none() {
            self.chain = self.current.filter(fits).map(Chain::new);
        }
        let expected = match &mut self.chain {
            None => Stamping::NeedsProducerId,
            Some(chain) if chain.broken => Stamping::Wait,
            Some(chain) => {
                let sequence = on_the_wire(chain.next);
                chain.next += i64::from(records);
                let identity = chain.identity;
                Stamping::Stamped(Stamp { identity, sequence })
            }
        };
        assert_eq!(stamping, expected);
        if let Stamping::Stamped(stamp) = stamping {
            self.given.push(stamp);
        }
    }

    fn bump(&mut self) {
        self.sequences.bump();
        let Some(broken) = self.chain.take_if(|chain| chain.broken) else {
            return;
        };
        let identity = broken.identity;
        match identity.epoch.checked_add(1) {
            Some(epoch) => self.chain = Some(Chain::new(Identity { epoch, ..identity })),
            None => self.spent = Some(identity.producer_id),
        }
    }

    fn assert_same(&self) {
        let chain = self.chain.as_ref();
        let alone = chain.is_some_and(|chain| !chain.confirmed && !chain.broken);
        assert_eq!(
            self.sequences.is_founding(),
            alone,
            "one batch at a time until one is confirmed"
        );
        let broken = chain.is_some_and(|chain| chain.broken);
        assert_eq!(self.sequences.broken().is_some(), broken);
    }
}

pub(crate) fn hold(data: &[u8]) {
    let mut choices = Choices::new(data);
    let first = Identity {
        producer_id: 7,
        epoch: *choices.one_of(&[0, i16::MAX - 1]),
    };
    let mut both = Both::new(first, choices.flag());
    while !choices.is_empty() {
        match choices.below(8) {
            0..=2 => both.stamp(1 + i32::from(choices.byte() % 5)),
            3 | 4 if !both.given.is_empty() => {
                let stamp = *choices.one_of(&both.given);
                both.sequences.confirm(stamp);
                if let Some(chain) = &mut both.chain {
                    chain.confirmed |= chain.identity == stamp.identity && !chain.broken;
                }
            }
            5 => {
                let why = *choices.one_of(&[Break::Gap, Break::Recreated]);
                both.sequences.break_chain(why);
                if let Some(chain) = &mut both.chain {
                    chain.broken = true;
                }
            }
            6 => both.bump(),
            _ => {
                let producer_id = i64::from(7 + choices.byte() % 2);
                both.current = Some(Identity {
                    producer_id,
                    ..first
                });
            }
        }
        both.assert_same();
    }
}
