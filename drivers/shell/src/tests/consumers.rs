//! Transcripts of the consumer that users hold: every way of reading dropped at every await, commits, and the calls about
//! offsets.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use futures_core::Stream as _;
use klamm::{Category, Duration, Error, OffsetAndMetadata, Start, TopicPartition};
use klamm_cluster::ClusterConfig;

use super::clients::{from_the_beginning, text, write};
use crate::Assignment;
use crate::consumer::Consumer;
use crate::testing::town::{Network, Town};

const NETWORKS: [Network; 2] = [Network::Kind, Network::Petty];

fn letters() -> [TopicPartition; 1] {
    [TopicPartition::new("letters", 0)]
}

/// A town where these were written, each as a batch of its own and then all as one.
fn written(network: Network, values: &[&str]) -> (Town, Consumer) {
    let mut town = Town::new(network);
    let producer = town.producer(&[]);
    for value in values {
        write(&mut town, &producer, &[value]);
    }
    write(&mut town, &producer, values);
    let consumer = town.consumer();
    (town, consumer)
}

/// Reads on by `read`, dropped after so many polls, and to the end each other time.
fn read_all<'a, F>(
    town: &mut Town,
    consumer: &'a Consumer,
    times: usize,
    read: impl Fn(&'a Consumer) -> F,
) -> Vec<String>
where
    F: Future<Output = Result<Vec<String>, Error>> + 'a,
{
    let mut values = Vec::new();
    while values.len() < 6 {
        let mut dropped = Box::pin(read(consumer));
        if let Some(some) = town.poll_times(dropped.as_mut(), times) {
            values.extend(some.expect("records"));
        }
        drop(dropped);
        if values.len() < 6 {
            values.extend(town.block_on(read(consumer)).expect("records"));
        }
    }
    values
}

async fn poll(consumer: &Consumer) -> Result<Vec<String>, Error> {
    let records = consumer.poll(2, Duration::from_secs(1)).await?;
    Ok(records.iter().map(text).collect())
}

async fn stream(consumer: &Consumer) -> Result<Vec<String>, Error> {
    let mut stream = pin!(consumer.stream());
    let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
    Ok(vec![text(&next.expect("no end")?)])
}

async fn batch(consumer: &Consumer) -> Result<Vec<String>, Error> {
    let mut batch = consumer.next_batch().await?;
    let value = |record: klamm::record::RecordRef<'_>| {
        String::from_utf8(record.value.expect("a value").to_vec()).expect("a text")
    };
    Ok(batch.records().take(2).map(value).collect())
}

#[test]
fn every_way_of_reading_can_be_dropped_at_every_await_and_loses_nothing() {
    let all = ["a", "b", "c", "a", "b", "c"];
    for network in NETWORKS {
        for times in 0..6 {
            let (mut town, consumer) = written(network, &all[..3]);
            from_the_beginning(&consumer);
            let values = read_all(&mut town, &consumer, times, poll);
            assert_eq!(values, all, "poll, {network:?}, dropped after {times}");
            from_the_beginning(&consumer);
            let values = read_all(&mut town, &consumer, times, stream);
            assert_eq!(values, all, "stream, {network:?}, dropped after {times}");
            from_the_beginning(&consumer);
            let values = read_all(&mut town, &consumer, times, batch);
            assert_eq!(values, all, "batches, {network:?}, dropped after {times}");
        }
    }
}

#[test]
fn a_commit_dropped_at_any_await_harms_nothing_and_the_next_consumer_resumes() {
    for network in NETWORKS {
        for times in 0..6 {
            let (mut town, consumer) = written(network, &["a", "b", "c"]);
            from_the_beginning(&consumer);
            for _ in 0..4 {
                town.block_on(consumer.recv()).expect("a record");
            }
            let mut dropped = Box::pin(consumer.commit());
            let _ = town.poll_times(dropped.as_mut(), times);
            drop(dropped);
            // Part-way in a batch: what `recv` gave counts, and nothing else.
            town.block_on(consumer.commit()).expect("committed");
            let found = town.block_on(consumer.committed(&letters()));
            let committed = OffsetAndMetadata {
                leader_epoch: Some(0),
                ..OffsetAndMetadata::new(4)
            };
            let [partition] = letters();
            assert_eq!(
                found.expect("an answer"),
                [(partition, Ok(Some(committed)))]
            );
            drop(consumer);

            let next = town.consumer();
            let resumed = Assignment {
                topic: "letters",
                partition: 0,
                start: Start::Committed,
            };
            next.assign(&[resumed]).expect("an assignment");
            let record = town.block_on(next.recv()).expect("a record");
            assert_eq!((record.offset, text(&record)), (4, "b".to_owned()));
        }
    }
}

#[test]
fn offsets_are_asked_for_and_moved_to_under_kafka_s_names() {
    let (mut town, consumer) = written(Network::Kind, &["a", "b", "c"]);
    let offset = |found: Result<klamm::FoundOffsets, Error>| {
        let mut found = found.expect("an answer");
        let (_, result) = found.pop().expect("one partition");
        result.expect("no trouble").map(|found| found.offset)
    };
    let all = letters();
    assert_eq!(
        offset(town.block_on(consumer.beginning_offsets(&all))),
        Some(0)
    );
    assert_eq!(offset(town.block_on(consumer.end_offsets(&all))), Some(6));
    let [partition] = letters();
    let since = |time| [(partition.clone(), time)];
    assert_eq!(
        offset(town.block_on(consumer.offsets_for_times(&since(5)))),
        Some(0)
    );
    assert_eq!(
        offset(town.block_on(consumer.offsets_for_times(&since(6)))),
        None
    );

    assert!(
        consumer.seek_to_beginning(&all).is_err(),
        "nothing is assigned"
    );
    from_the_beginning(&consumer);
    town.block_on(consumer.recv()).expect("a record");
    let commit = vec![(partition.clone(), OffsetAndMetadata::new(2))];
    town.block_on(consumer.commit_offsets(commit))
        .expect("committed");
    consumer
        .seek_to_committed(&[])
        .expect("all that is assigned");
    assert_eq!(town.block_on(consumer.recv()).expect("a record").offset, 2);
    consumer.seek_to_beginning(&all).expect("assigned");
    assert_eq!(town.block_on(consumer.recv()).expect("a record").offset, 0);
    consumer.seek_to_end(&[]).expect("all that is assigned");
    let none = town.block_on(consumer.poll(1, Duration::from_secs(1)));
    assert_eq!(none.expect("no trouble"), []);
    assert_eq!(consumer.position("letters", 0).expect("assigned"), Some(6));
}

#[test]
fn questions_about_offsets_dropped_at_any_await_leave_the_next_ones_their_answers() {
    for network in NETWORKS {
        for times in 0..6 {
            let (mut town, consumer) = written(network, &["a", "b", "c"]);
            from_the_beginning(&consumer);
            let all = letters();
            let mut dropped = Box::pin(consumer.end_offsets(&all));
            let _ = town.poll_times(dropped.as_mut(), times);
            drop(dropped);
            let mut dropped = Box::pin(consumer.committed(&all));
            let _ = town.poll_times(dropped.as_mut(), times);
            drop(dropped);
            let ends = town.block_on(consumer.end_offsets(&all)).expect("told");
            let end = ends.into_iter().map(|(_, end)| end.expect("no trouble"));
            let end: Vec<_> = end.map(|found| found.map(|end| end.offset)).collect();
            assert_eq!(end, [Some(6)], "{network:?}, dropped after {times}");
            let committed = town.block_on(consumer.committed(&all)).expect("told");
            let [partition] = letters();
            assert_eq!(committed, [(partition, Ok(None))]);
            assert_eq!(
                text(&town.block_on(consumer.recv()).expect("a record")),
                "a"
            );
        }
    }
}

#[test]
fn hours_without_records_and_hundreds_of_lost_connections_leave_nothing_behind() {
    let mut town = Town::of(Network::Kind, ClusterConfig::with_nodes(1).unrecorded());
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let none = town.block_on(consumer.poll(1, Duration::from_secs(60)));
    assert_eq!(none.expect("no trouble"), []);
    let held = |town: &Town| {
        let state = consumer.shared().lock();
        let engine = state.engine();
        let memory = Category::ALL.map(|category| engine.memory_used(category));
        (town.fake.tasks(), memory, town.connections())
    };
    let at_first = held(&town);
    town.wait(Duration::from_secs(4 * 3600));
    assert_eq!(held(&town), at_first, "after four hours");
    for _ in 0..300 {
        town.hang_up();
        town.wait(Duration::from_secs(10));
        // The connection to a bootstrap server comes back only when somebody needs it.
        let (tasks, memory, connections) = held(&town);
        assert!(
            tasks <= at_first.0 && memory == at_first.1 && (1..=at_first.2).contains(&connections)
        );
    }
    let producer = town.producer(&[]);
    write(&mut town, &producer, &["at last"]);
    let record = town.block_on(consumer.recv()).expect("a record");
    assert_eq!(text(&record), "at last");
}

#[test]
fn a_close_dropped_at_any_await_goes_on_and_commits_that_were_made_before_it_count() {
    for network in NETWORKS {
        for times in 0..6 {
            let (mut town, consumer) = written(network, &["a", "b", "c"]);
            from_the_beginning(&consumer);
            town.block_on(consumer.recv()).expect("a record");
            // Nobody hears how it ends, but it was made.
            let mut commit = Box::pin(consumer.commit());
            let _ = town.poll_times(commit.as_mut(), 1);
            drop(commit);
            let mut dropped = Box::pin(consumer.close(Duration::from_secs(5)));
            let closed = town.poll_times(dropped.as_mut(), times).is_some();
            drop(dropped);
            // To ask again is not to begin again.
            let report = town.block_on(consumer.close(Duration::from_secs(5)));
            assert_eq!(report.expect("closed").lent, 0, "{closed}");
            let error = town.block_on(consumer.recv()).expect_err("it is closed");
            assert_eq!(*error.kind(), klamm::ErrorKind::Closed);

            let next = town.consumer();
            let committed = town.block_on(next.committed(&letters())).expect("told");
            let offsets: Vec<_> = committed
                .into_iter()
                .map(|(_, found)| found.expect("no trouble").map(|found| found.offset))
                .collect();
            assert_eq!(offsets, [Some(1)], "{network:?}, dropped after {times}");
        }
    }
}
