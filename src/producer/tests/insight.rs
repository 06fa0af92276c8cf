//! What a producer says of itself: metrics and status.

use alloc::string::ToString;

use super::desk::Desk;
use crate::error_code::ErrorCode;
use crate::status::Partitions;
use crate::time::Duration;
use crate::wire::ApiKey;

#[test]
fn each_record_is_counted_when_it_is_accepted_sent_sent_again_and_ended() {
    let (mut desk, topic) = Desk::with_topic(&[1, 1], |_| ());
    desk.append(topic, 0, 3).unwrap();
    desk.append(topic, 1, 2).unwrap();
    let (first, second) = (desk.next(), desk.next());
    let metrics = desk.engine.metrics();
    assert_eq!(
        (metrics.record_append_total, metrics.records_unresolved),
        (5, 5)
    );
    assert_eq!((metrics.record_send_total, metrics.batch_total), (5, 2));
    assert!(metrics.batch_byte_total > 0);
    assert!(metrics.buffer_available_bytes < metrics.buffer_total_bytes);

    desk.wait(7);
    desk.reply(&first, ErrorCode::NOT_ENOUGH_REPLICAS, -1);
    desk.reply(&second, ErrorCode::INVALID_RECORD, -1);
    let produce = desk.engine.metrics();
    let produce = produce.client.latency_of(ApiKey::PRODUCE).unwrap();
    assert_eq!(
        (produce.count(), produce.max()),
        (2, Duration::from_millis(7))
    );
    desk.wait(500);
    let again = desk.next();
    let metrics = desk.engine.metrics();
    assert_eq!(
        (metrics.record_send_total, metrics.record_retry_total),
        (5, 3)
    );
    assert_eq!(
        (metrics.record_error_total, metrics.record_unknown_total),
        (2, 0)
    );

    desk.ok(&again, 0);
    let metrics = desk.engine.metrics();
    assert_eq!(
        (metrics.record_delivered_total, metrics.records_unresolved),
        (3, 0)
    );
    assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes);
}

#[test]
fn what_may_be_written_is_an_error_and_unknown() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.append(topic, 0, 4).unwrap();
    let sent = desk.next();
    desk.down.push(1);
    desk.lose(&sent);
    desk.wait(130_000);
    let metrics = desk.engine.metrics();
    assert_eq!(
        (metrics.record_error_total, metrics.record_unknown_total),
        (4, 4)
    );
    assert!(metrics.client.connection_failed_total > 1);
}

#[test]
fn the_status_says_what_waits_how_long_and_for_what() {
    let (mut desk, topic) = Desk::with_topic(&[1, 2], |config| {
        config.linger = Duration::from_millis(5);
    });
    assert!(
        desk.engine
            .status(desk.now)
            .to_string()
            .ends_with("every record has its outcome\n")
    );
    desk.append(topic, 0, 3).unwrap();
    desk.wait(5);
    desk.down.push(2);
    desk.lose_node(2);
    desk.append(topic, 1, 1).unwrap();
    desk.wait(20);
    let status = desk.engine.status(desk.now);
    let Partitions::Produced(partitions) = &status.partitions else {
        panic!("{status}");
    };
    assert_eq!(partitions[0].waits_for, "the broker's answer");
    assert_eq!(
        (partitions[0].batches, partitions[0].oldest),
        (1, Duration::from_millis(25))
    );
    assert_eq!(partitions[1].waits_for, "its broker");
    let text = status.to_string();
    assert!(
        text.contains("    no connection: connection refused"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}
