//! A batch that is damaged on the broker's disk.

use crate::common::{consumer, from_the_beginning, producer, read, run, send, values, within};
use klamm_live::kafka::Kafka;
use klamm_tokio::{ErrorKind, Start};
use std::fs;

#[test]
fn a_damaged_batch_is_told_and_not_read_over() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("damage", 1);
    run(async {
        let producer = producer(kafka);
        for value in ["sound", "damaged", "sound again"] {
            // Each is awaited, so each is a batch of its own.
            send(&producer, &topic, value).await;
        }
        flip_a_bit(kafka, &topic, b"damaged");

        let consumer = consumer(kafka);
        consumer
            .assign(&[from_the_beginning(&topic)])
            .expect("assigned");
        assert_eq!(values(&read(&consumer, 1).await), ["sound"]);
        let error = within("the consumer complains", consumer.next_batch())
            .await
            .expect_err("a damaged batch");
        assert_eq!(error.kind(), &ErrorKind::Corrupt { offset: 1 }, "{error}");
        assert_eq!(
            (error.topic(), error.partition()),
            (Some(&*topic), Some(0)),
            "{error}"
        );
        assert_eq!(
            consumer.position(&topic, 0).expect("assigned"),
            Some(1),
            "it stays in front of the batch"
        );

        consumer
            .seek(&topic, 0, Start::Offset(2))
            .expect("the way past it");
        assert_eq!(values(&read(&consumer, 1).await), ["sound again"]);
    });
}

/// Changes what the broker has on its disk; it serves from there, and looks at nothing on the way.
fn flip_a_bit(kafka: &Kafka, topic: &str, value: &[u8]) {
    let file = kafka
        .log_directory(0, topic, 0)
        .join("00000000000000000000.log");
    let mut bytes = fs::read(&file).expect("a segment");
    let at = bytes
        .windows(value.len())
        .position(|window| window == value)
        .expect("the value is in the segment");
    bytes[at] ^= 1;
    // Over the file in place: the broker has it open.
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
        .expect("a segment");
}
