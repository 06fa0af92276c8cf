//! All codecs, out and in, with Java's own console clients at the other end.

use crate::common::{consumer, from_the_beginning, producer_config, read, run, text, within};
use klamm::record::{Batches, Codec};
use klamm_live::java::class;
use klamm_live::kafka::Kafka;
use klamm_tokio::{HeaderRef, NewRecord, Producer, Tokio};
use std::fs;

const RECORDS_EACH: usize = 200;
const TIME: i64 = 1_700_000_000_000;

#[test]
fn java_reads_what_klamm_writes() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("codecs", 1);
    let expected = run(write_in_all_codecs(kafka, &topic));

    let count = expected.len().to_string();
    let mut args = vec![
        "--topic",
        &topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        &count,
    ];
    for shown in [
        "print.timestamp=true",
        "print.offset=true",
        "print.headers=true",
        "print.key=true",
    ] {
        args.extend(["--formatter-property", shown]);
    }
    assert_eq!(
        kafka.tool(class::CONSOLE_CONSUMER, &args, b"").lines(),
        expected
    );

    let segment = fs::read(
        kafka
            .log_directory(0, &topic, 0)
            .join("00000000000000000000.log"),
    )
    .expect("a segment");
    let mut codecs: Vec<Codec> = Batches::new(&segment)
        .map(|b| b.expect("a batch").header().codec())
        .collect();
    codecs.dedup();
    assert_eq!(codecs, Codec::ALL, "as the producers compressed them");
}

/// What Java prints of it.
async fn write_in_all_codecs(kafka: &Kafka, topic: &str) -> Vec<String> {
    let mut expected = Vec::new();
    for codec in Codec::ALL {
        let config = producer_config(&kafka.bootstrap()).compression(codec);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        let mut deliveries = Vec::new();
        for i in 0..RECORDS_EACH {
            let (key, value) = (
                format!("key {i}"),
                format!("{i} of {codec}, {}", "and so on ".repeat(i)),
            );
            let headers = [HeaderRef::new("codec", Some(codec.name().as_bytes()))];
            let record = NewRecord::to(topic)
                .partition(0)
                .key(&key)
                .value(&value)
                .headers(&headers)
                .timestamp(TIME);
            deliveries.push(producer.enqueue(record).await.expect("accepted"));
            let offset = expected.len();
            expected.push(format!(
                "CreateTime:{TIME}\tOffset:{offset}\tcodec:{codec}\t{key}\t{value}"
            ));
        }
        for delivery in deliveries {
            within("a record has its outcome", delivery)
                .await
                .expect("delivered");
        }
    }
    expected
}

#[test]
fn klamm_reads_what_java_writes() {
    let kafka = Kafka::shared();
    for codec in Codec::ALL {
        let topic = kafka.topic("codecs", 1);
        let lines: Vec<String> = (0..RECORDS_EACH)
            .map(|i| {
                format!(
                    "codec:{codec},nothing:NULL\tkey {i}\t{i} of {codec}, {}",
                    "and so on ".repeat(i)
                )
            })
            .collect();
        let mut args = vec!["--topic", &topic, "--compression-codec", codec.name()];
        for property in ["parse.key=true", "parse.headers=true", "null.marker=NULL"] {
            args.extend(["--reader-property", property]);
        }
        kafka.tool(
            class::CONSOLE_PRODUCER,
            &args,
            (lines.join("\n") + "\n").as_bytes(),
        );

        let records = run(async {
            let consumer = consumer(kafka);
            consumer
                .assign(&[from_the_beginning(&topic)])
                .expect("assigned");
            read(&consumer, RECORDS_EACH).await
        });
        for ((offset, record), line) in (0..).zip(&records).zip(&lines) {
            let headers: Vec<String> = record
                .headers
                .iter()
                .map(|header| {
                    format!(
                        "{}:{}",
                        text(Some(&header.key)),
                        text(header.value.as_deref())
                    )
                })
                .collect();
            let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
            let read = format!(
                "{}\t{key}\t{value}",
                headers.join(",").replace("null", "NULL")
            );
            assert_eq!((record.offset, &read), (offset, line));
        }
    }
}
