//! Owns the naive model of a fetch session: a broker that remembers in a map, and a network that loses.
//!
//! Must not know what the session itself remembers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PartitionKey;
use super::session::{Ask, FetchSession, SessionFault, SessionRequest};
use crate::choices::Choices;
use crate::engine::TopicHandle;
use crate::error_code::ErrorCode;
use crate::wire::Uuid;

/// A broker's side of a session, the naive way: a map that requests change.
#[derive(Default)]
struct Broker {
    id: i32,
    epoch: i32,
    partitions: BTreeMap<PartitionKey, Ask>,
}

impl Broker {
    /// Answers with an error, or with the partitions that a full answer lists.
    fn answer(
        &mut self,
        request: &SessionRequest,
        next_id: i32,
    ) -> Result<Vec<PartitionKey>, ErrorCode> {
        if request.epoch == 0 {
            *self = Self {
                id: next_id,
                epoch: 1,
                partitions: request.send.iter().copied().collect(),
            };
            return Ok(self.partitions.keys().copied().collect());
        }
        if request.id != self.id {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        if request.epoch != self.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        self.epoch = if self.epoch == i32::MAX {
            1
        } else {
            self.epoch + 1
        };
        for (partition, topic_id) in &request.forget {
            let known = self.partitions.remove(partition);
            assert_eq!(known.map(|ask| ask.topic_id), Some(*topic_id));
        }
        self.partitions.extend(request.send.iter().copied());
        Ok(Vec::new())
    }
}

fn wanted(choices: &mut Choices<'_>) -> Vec<(PartitionKey, Ask)> {
    let mut wanted = Vec::new();
    for partition in 0..6 {
        let topic = TopicHandle(0);
        let byte = choices.byte();
        let ask = Ask {
            topic_id: Uuid([1 + u8::from(byte > 240); 16]),
            offset: i64::from(byte % 3),
            leader_epoch: 0,
            max_bytes: 100,
        };
        if byte % 16 > 4 {
            wanted.push((PartitionKey { topic, partition }, ask));
        }
    }
    wanted
}

/// A list of partitions that no sound broker answers with.
fn spoilt(
    mut listed: Vec<PartitionKey>,
    full: bool,
    choices: &mut Choices<'_>,
) -> Option<Vec<Option<PartitionKey>>> {
    match choices.below(3) {
        0 => listed.push(*listed.first()?),
        1 if full => drop(listed.pop()?),
        _ => return Some(listed.into_iter().map(Some).chain([None]).collect()),
    }
    Some(listed.into_iter().map(Some).collect())
}

pub(crate) fn hold(data: &[u8]) -> u32 {
    let mut choices = Choices::new(data);
    let mut session = FetchSession::new();
    let mut broker = Broker::default();
    let (mut next_id, mut incremental, mut must_be_full) = (0, 0, true);
    while !choices.is_empty() {
        let wanted = wanted(&mut choices);
        let by_id = choices.byte() > 8;
        let request = session.build(&wanted, by_id);
        assert!(
            request.epoch == 0 || !must_be_full,
            "it goes on after what was not answered"
        );
        match choices.byte() {
            // Lost on the way there: the broker never saw it.
            0..=19 => {
                session.on_failure();
                must_be_full = true;
                continue;
            }
            // The broker evicts the session to make room for others.
            20..=29 => broker = Broker::default(),
            _ => {}
        }
        next_id += 1;
        incremental += u32::from(request.epoch != 0);
        match broker.answer(&request, next_id) {
            Ok(listed) => {
                assert_eq!(broker.partitions, wanted.iter().copied().collect());
                let full = request.epoch == 0;
                let spoilt = (choices.byte() < 20)
                    .then(|| spoilt(listed.clone(), full, &mut choices))
                    .flatten();
                must_be_full = spoilt.is_some();
                let listed = spoilt.unwrap_or_else(|| listed.into_iter().map(Some).collect());
                let taken =
                    session.on_answer(ErrorCode::NONE, broker.id, listed.into_iter(), false);
                assert_eq!(taken.is_err(), must_be_full, "{taken:?}");
            }
            Err(error) => {
                let fault = session.on_answer(error, 0, core::iter::empty(), false);
                assert_eq!(fault, Err(SessionFault::Broker(error)));
                must_be_full = true;
            }
        }
        // Lost on the way back, as far as the next request is concerned.
        if choices.byte() < 20 {
            session.on_failure();
            must_be_full = true;
        }
    }
    incremental
}
