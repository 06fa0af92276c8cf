//! What cannot work, and what is said of it: every error names where it happened, and says what to do.

use crate::common::{
    consumer, consumer_config, from_the_beginning, producer, producer_config, read, run, send,
    values, within,
};
use klamm_live::kafka::Kafka;
use klamm_tokio::{
    Assignment, Consumer, Error, ErrorKind, NewRecord, Producer, ProducerConfig, SendError, Start,
    Tokio,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

/// Where nobody listens: the port of "discard", which nobody has had for decades.
const NOBODY: &str = "127.0.0.1:9";
const PATIENCE: Duration = Duration::from_secs(2);

/// What both kinds of clients say of a cluster that they cannot use.
fn complaints(bootstrap: &str) -> [Error; 2] {
    run(async {
        let config = producer_config(bootstrap).max_block(PATIENCE);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        let sent = within(
            "send gives up",
            producer.send(NewRecord::to("anything").value("x")),
        )
        .await;
        let Err(SendError::Rejected(of_producer)) = sent else {
            panic!("{sent:?}")
        };
        let consumer = Consumer::start(&consumer_config(bootstrap), Tokio::current())
            .expect("a valid configuration");
        consumer
            .assign(&[from_the_beginning("anything")])
            .expect("assigned");
        let of_consumer = within("the consumer complains", consumer.next_batch()).await;
        [of_producer, of_consumer.expect_err("no batch")]
    })
}

#[test]
fn nobody_listens() {
    for error in complaints(NOBODY) {
        let said = error.to_string();
        assert!(
            said.contains("connection refused") && said.contains(NOBODY),
            "{said}"
        );
        assert!(error.is_retriable() && !error.is_fatal(), "{said}");
        assert!(error.hint().is_some(), "{said}");
    }
}

#[test]
fn an_http_server_is_no_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket").to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let mut request = [0; 64];
            // A client that hangs up first is none of this server's business.
            let _ = socket.read(&mut request);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for error in complaints(&address) {
        let said = error.to_string();
        assert!(said.contains("HTTP") && said.contains(&address), "{said}");
        assert!(error.hint().is_some(), "{said}");
    }
}

#[test]
fn a_topic_that_does_not_exist() {
    let kafka = Kafka::shared();
    run(async {
        let config = producer_config(&kafka.bootstrap()).max_block(PATIENCE);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        let sent = within(
            "send gives up",
            producer.send(NewRecord::to("nowhere").value("x")),
        )
        .await;
        let Err(SendError::Rejected(error)) = sent else {
            panic!("{sent:?}")
        };
        assert_eq!(
            (error.kind(), error.topic()),
            (&ErrorKind::UnknownTopic, Some("nowhere")),
            "{error}"
        );

        let consumer = consumer(kafka);
        consumer
            .assign(&[from_the_beginning("later")])
            .expect("assigned");
        let error = within("the consumer complains", consumer.next_batch())
            .await
            .expect_err("no batch");
        assert_eq!(
            (error.kind(), error.topic()),
            (&ErrorKind::UnknownTopic, Some("later")),
            "{error}"
        );

        // It is picked up as soon as it exists.
        kafka.create_topic("later", 1, &[]);
        send(&self::producer(kafka), "later", "at last").await;
        assert_eq!(values(&read(&consumer, 1).await), ["at last"]);
    });
}

#[test]
fn a_partition_that_does_not_exist() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("bad-input", 1);
    run(async {
        let producer = producer(kafka);
        let sent = within(
            "send gives up",
            producer.send(NewRecord::to(&topic).partition(7).value("x")),
        )
        .await;
        let Err(SendError::Rejected(error)) = sent else {
            panic!("{sent:?}")
        };
        assert_eq!(
            error.kind(),
            &ErrorKind::UnknownPartition { partitions: 1 },
            "{error}"
        );
        assert_eq!(
            (error.topic(), error.partition()),
            (Some(&*topic), Some(7)),
            "{error}"
        );

        // One bad partition does not keep the good one back.
        send(&producer, &topic, "good").await;
        let consumer = consumer(kafka);
        let missing = Assignment {
            topic: &topic,
            partition: 7,
            start: Start::Beginning,
        };
        consumer
            .assign(&[missing, from_the_beginning(&topic)])
            .expect("assigned");
        let (mut error, mut read) = (None, Vec::new());
        while error.is_none() || read.is_empty() {
            match within("a record and an error", consumer.recv()).await {
                Ok(record) => read.push(record),
                Err(e) => error = Some(e),
            }
        }
        let error = error.expect("told");
        assert_eq!(
            error.kind(),
            &ErrorKind::UnknownPartition { partitions: 1 },
            "{error}"
        );
        assert_eq!(
            (values(&read), error.partition()),
            (vec!["good".to_owned()], Some(7))
        );
    });
}

#[test]
fn a_record_that_is_too_large() {
    let kafka = Kafka::shared();
    let narrow = "bad-input-narrow";
    kafka.create_topic(narrow, 1, &[("max.message.bytes", "10000")]);
    let topic = kafka.topic("bad-input", 1);
    run(async {
        let producer = producer(kafka);
        let large = "x".repeat(2 << 20);
        let sent = within(
            "send gives up",
            producer.send(NewRecord::to(&topic).value(&large)),
        )
        .await;
        let Err(SendError::Rejected(error)) = sent else {
            panic!("{sent:?}")
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::RecordTooLarge {
                    limit: 1_048_576,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(error.topic(), Some(&*topic));
        assert!(error.to_string().contains("max.request.size"), "{error}");

        // What the broker finds too large: a batch is split, a record is not written.
        let mut deliveries = Vec::new();
        for size in [6_000, 6_000, 20_000, 6_000] {
            let value = "x".repeat(size);
            deliveries.push(
                producer
                    .enqueue(NewRecord::to(narrow).value(&value))
                    .await
                    .expect("accepted"),
            );
        }
        let mut outcomes = Vec::new();
        for delivery in deliveries {
            outcomes.push(within("a record has its outcome", delivery).await);
        }
        let Err(SendError::Rejected(error)) = &outcomes[2] else {
            panic!("{outcomes:?}")
        };
        assert_eq!(error.topic(), Some(narrow), "{error}");
        drop(outcomes.remove(2));
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");

        let consumer = consumer(kafka);
        consumer
            .assign(&[from_the_beginning(narrow)])
            .expect("assigned");
        let sizes: Vec<usize> = values(&read(&consumer, 3).await)
            .iter()
            .map(String::len)
            .collect();
        assert_eq!(sizes, [6_000; 3]);
    });
}

#[test]
fn a_buffer_that_is_full() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("bad-input", 1);
    run(async {
        let config = producer_config(&kafka.bootstrap())
            .buffer_memory(1_usize << 20)
            .batch_size(1_usize << 18);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        send(&producer, &topic, "first").await;
        let value = "x".repeat(10_000);
        let mut deliveries = Vec::new();
        let refused = loop {
            match producer.try_enqueue(NewRecord::to(&topic).value(&value)) {
                Ok(delivery) => deliveries.push(delivery),
                Err(refused) => break refused,
            }
            assert!(
                deliveries.len() < 100_000,
                "a gigabyte is accepted, and more"
            );
        };
        assert!(
            matches!(refused.error.kind(), ErrorKind::BufferFull { .. }),
            "{}",
            refused.error
        );
        assert_eq!(
            refused.record.value,
            Some(value.as_bytes()),
            "it is given back"
        );
        let accepted = deliveries.len();
        for delivery in deliveries {
            within("a record has its outcome", delivery)
                .await
                .expect("what was accepted is delivered");
        }

        let consumer = consumer(kafka);
        consumer
            .assign(&[from_the_beginning(&topic)])
            .expect("assigned");
        read(&consumer, accepted + 1).await;
        let more = consumer
            .poll(1, Duration::from_millis(700))
            .await
            .expect("no trouble");
        assert!(more.is_empty(), "what was refused is not written");
    });
}

#[test]
fn a_setting_that_does_not_exist() {
    let properties = [("bootstrap.servers", NOBODY), ("linger.mss", "5")];
    let error = ProducerConfig::from_properties(properties).expect_err("there is no such key");
    assert_eq!(
        error.kind(),
        &ErrorKind::Config {
            key: "linger.mss".to_owned()
        }
    );
    assert!(error.to_string().contains("linger.ms"), "{error}");
}
