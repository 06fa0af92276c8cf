//! Transcripts of handlers that are run over what is read: dropped at every await, failing, and stopped.

use std::cell::RefCell;
use std::future::{pending, poll_fn, ready};
use std::task::Poll;

use klamm::{Duration, TopicPartition};

use super::clients::{text, write};
use crate::consumer::{Consumer, ConsumerRecord, RunError};
use crate::testing::town::{Network, Town};
use crate::{Assignment, Start};

const WRITTEN: [&str; 4] = ["K.", "arrived", "late", "again"];

/// A town with two partitions of letters, two batches each.
fn town(network: Network) -> (Town, Consumer) {
    let mut town = Town::new(network);
    town.cluster.add_partitions("letters", 2).expect("one more");
    let producer = town.producer(&[]);
    for value in WRITTEN {
        write(&mut town, &producer, &[value]);
    }
    let consumer = town.consumer();
    let start = Start::Beginning;
    let (topic, partitions) = ("letters", [0, 1]);
    let all = partitions.map(|partition| Assignment {
        topic,
        partition,
        start,
    });
    consumer.assign(&all).expect("an assignment");
    (town, consumer)
}

/// A handler that waits once in the middle.
async fn slowly(records: Vec<ConsumerRecord>, done: &RefCell<Vec<String>>) -> Result<(), String> {
    let mut waited = false;
    poll_fn(|cx| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
    done.borrow_mut().extend(records.iter().map(text));
    Ok(())
}

/// Ends once so much is done.
async fn until(count: usize, done: &RefCell<Vec<String>>) {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        match done.borrow().len() >= count {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

#[test]
fn every_record_is_handled_in_order_and_stopping_awaits_what_is_at_work() {
    let (mut town, consumer) = town(Network::Kind);
    let done = RefCell::default();
    let run = consumer.run(2, until(WRITTEN.len(), &done), |records| {
        slowly(records, &done)
    });
    town.block_on(run).expect("no failure");
    assert_eq!(*done.borrow(), WRITTEN);
    assert_eq!(consumer.position("letters", 0), Ok(Some(4)));
    let partitions = [TopicPartition::new("letters", 0)];
    town.block_on(consumer.commit()).expect("committed");
    let committed = town
        .block_on(consumer.committed(&partitions))
        .expect("an answer");
    let offset = committed[0]
        .1
        .as_ref()
        .expect("no trouble")
        .as_ref()
        .map(|c| c.offset);
    assert_eq!(offset, Some(4));
}

#[test]
fn what_is_dropped_while_it_is_handled_comes_again_and_nothing_is_missing() {
    for network in [Network::Kind, Network::Petty] {
        for times in 0..12 {
            let (mut town, consumer) = town(network);
            let done = RefCell::default();
            {
                let stop = until(WRITTEN.len(), &done);
                let run = consumer.run(2, stop, |records| slowly(records, &done));
                let mut dropped = Box::pin(run);
                let _ = town.poll_times(dropped.as_mut(), times);
            }
            let handled = i64::try_from(done.borrow().len()).expect("few");
            let position = consumer.position("letters", 0).expect("assigned");
            assert!(
                position.is_none_or(|at| at == handled),
                "{position:?} after {handled}"
            );
            let run = consumer.run(2, until(WRITTEN.len(), &done), |records| {
                slowly(records, &done)
            });
            town.block_on(run).expect("no failure");
            assert_eq!(*done.borrow(), WRITTEN, "after {times} polls");
        }
    }
}

#[test]
fn a_handler_that_fails_ends_the_run_and_its_records_come_again() {
    let (mut town, consumer) = town(Network::Kind);
    let run = consumer.run(4, pending(), |records| {
        ready(match text(&records[0]).as_str() {
            "late" => Err("too late".to_owned()),
            _ => Ok(()),
        })
    });
    let error = town.block_on(run).expect_err("it fails");
    assert!(
        matches!(&error, RunError::Handler(why) if why == "too late"),
        "{error}"
    );
    assert_eq!(consumer.position("letters", 0), Ok(Some(2)));
    let next = town.block_on(consumer.poll(10, Duration::from_secs(1)));
    let values: Vec<String> = next.expect("records").iter().map(text).collect();
    assert_eq!(values.first().map(String::as_str), Some("late"));
}
