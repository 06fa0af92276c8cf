//! What a consumer says of itself: metrics and status.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use super::harness::*;
use crate::consumer::{ReturnEnd, Start};
use crate::metrics::{ClientMetrics, MetricValue};
use crate::time::Duration;
use crate::wire::ApiKey;

#[test]
fn what_is_read_is_counted_by_batch_and_what_is_left_is_the_lag() {
    let mut world = World::reading(&[0]);
    let fetch = world.fetch_at(0);
    world.pass(Duration::from_millis(40));
    let batches = [batch(0, 5), batch(5, 3)];
    let bytes: usize = batches.iter().map(|batch| batch.len()).sum();
    let mut letters = data(0, &batches);
    letters.high_watermark = 100;
    fetch.answer(&mut world, 11, vec![letters]);
    let latency = |world: &World| {
        let metrics = world.consumer.metrics();
        metrics.client.latency_of(ApiKey::FETCH).unwrap().clone()
    };
    assert_eq!(latency(&world).count(), 1);
    assert_eq!(latency(&world).max(), Duration::from_millis(40));

    let first = world.lend().expect("a batch");
    world.give_back_at(&first, 2, ReturnEnd::Read);
    let metrics = world.consumer.metrics();
    assert_eq!(
        (metrics.records_consumed_total, metrics.records_lag_max),
        (0, 98),
        "a batch counts when it was read to its end"
    );
    assert_eq!(world.read_all().len(), 6);
    let metrics = world.consumer.metrics();
    assert_eq!(metrics.records_consumed_total, 8);
    assert_eq!(metrics.bytes_consumed_total, bytes as u64);
    assert_eq!(metrics.batch_total, 2);
    assert_eq!(metrics.records_lag_max, 92);
    assert_eq!((metrics.assigned_partitions, metrics.batches_lent), (1, 0));
    assert_eq!(metrics.client.requests_in_flight, 1, "the next fetch");
    assert_eq!(
        metrics.client.response_total + metrics.client.requests_in_flight,
        metrics.client.request_total
    );
}

#[test]
fn a_lost_connection_is_counted_with_the_requests_that_it_took_along() {
    let mut world = World::reading(&[0, 2]);
    world.fetch_at(0);
    let before = world.consumer.metrics().client;
    world.disconnect(0);
    let after = world.consumer.metrics().client;
    // The bootstrap server was the same node.
    let ended = |m: &ClientMetrics| (m.connection_failed_total, m.connection_close_total);
    assert_eq!(ended(&before), (0, 0));
    assert_eq!(ended(&after), (2, 2));
    assert_eq!(after.request_failed_total, before.request_failed_total + 1);
    assert!(after.connection_count < before.connection_count);
}

#[test]
fn every_number_has_a_name_and_a_meaning_and_no_name_stands_twice() {
    let world = World::reading(&[0]);
    let metrics: Vec<_> = world.consumer.metrics().list().collect();
    let mut names: Vec<String> = metrics
        .iter()
        .map(|metric| format!("{} {:?}", metric.name, metric.label))
        .collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(metrics.iter().all(|metric| !metric.doc.is_empty()));
    let is_histogram = |value: &MetricValue| matches!(value, MetricValue::Histogram(_));
    assert!(metrics.iter().any(|metric| is_histogram(&metric.value)));
}

#[test]
fn the_status_is_what_a_person_wants_to_know() {
    let mut world = World::new(&config());
    world.down = vec![1];
    world.assign(&[0, 1, 2], Start::Offset(0));
    let fetch = world.fetch_at(0);
    let mut letters = data(0, &[batch(0, 5)]);
    letters.high_watermark = 12_000;
    fetch.answer(&mut world, 11, vec![letters, nothing(2)]);
    world.pass(Duration::from_millis(5));
    let status = world.consumer.status(world.now).to_string();
    let lines: Vec<&str> = status.lines().collect();
    assert!(lines[0].starts_with("consumer klamm, memory "), "{status}");
    assert_eq!(
        lines[3],
        "broker                                           default        coordination"
    );
    assert!(
        status.contains("broker 0 localhost:9000                          1 in flight    -\n"),
        "{status}"
    );
    assert!(
        status.contains("failed         -\n    no connection: connection refused"),
        "{status}"
    );
    let partitions: Vec<&str> = lines
        .iter()
        .skip_while(|line| !line.starts_with("partition"))
        .copied()
        .collect();
    // Trouble first, then by lag.
    assert!(partitions[1].starts_with("castle-1 "), "{status}");
    assert!(partitions[2].contains("connection refused"), "{status}");
    assert_eq!(
        partitions[3],
        "castle-0                                   0       12000 buffered         5 ms"
    );
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{status}"
    );
}
