//! Owns whole clients on the runtime, over TCP to a cluster in memory.
//!
//! Must not know any runtime.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, TcpListener};
use std::task::Poll;

use klamm_cluster::{ClusterConfig, Server};
use klamm_shell::{
    Assignment, Consumer, ConsumerConfig, Delivery, Duration, NewRecord, Producer, ProducerConfig,
    Runtime, Start,
};

use crate::{in_time, sleep};

const TOPIC: &str = "letters";

fn server(brokers: u16) -> Server {
    let server = Server::start(ClusterConfig::with_nodes(brokers)).expect("free ports");
    server
        .with(|cluster| cluster.create_topic(TOPIC, 3))
        .expect("a legal name");
    server
}

fn producer(runtime: &impl Runtime, bootstrap: &str, more: &[(&str, &str)]) -> Producer {
    let properties = [("bootstrap.servers", bootstrap)];
    let properties = properties.into_iter().chain(more.iter().copied());
    let config = ProducerConfig::from_properties(properties).expect("a valid configuration");
    Producer::start(&config, runtime.clone()).expect("a valid configuration")
}

fn consumer(runtime: &impl Runtime, bootstrap: &str) -> Consumer {
    let config = ConsumerConfig::bootstrap(bootstrap).expect("a valid configuration");
    Consumer::start(&config, runtime.clone()).expect("a valid configuration")
}

fn from_the_beginning(consumer: &Consumer) {
    let all = [0, 1, 2].map(|partition| Assignment {
        topic: TOPIC,
        partition,
        start: Start::Beginning,
    });
    consumer.assign(&all).expect("assigned");
}

async fn enqueue(producer: &Producer, number: usize) -> Delivery {
    let value = number.to_string();
    let record = NewRecord::to(TOPIC).key(&value).value(&value);
    producer.enqueue(record).await.expect("accepted")
}

/// Reads `count` records and checks that they are the numbers from 0, once each.
async fn read_all(consumer: &Consumer, count: usize) {
    let mut seen = vec![0; count];
    for _ in 0..count {
        let record = match consumer.recv().await {
            Ok(record) => record,
            Err(error) => panic!("{error}"),
        };
        let value = record.value.expect("every record has one");
        let number: usize = String::from_utf8_lossy(&value).parse().expect("a number");
        seen[number] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1), "lost or doubled");
}

/// Compressed ones, in batches large enough that compressing them is a job for a thread.
pub async fn records_go_out_and_come_back(runtime: &impl Runtime) {
    let server = server(3);
    let properties = [
        ("compression.type", "gzip"),
        ("batch.size", "200000"),
        ("linger.ms", "20"),
    ];
    let producer = producer(runtime, &server.bootstrap(), &properties);
    let text = "so long and thanks for all the fish ".repeat(400);
    let mut deliveries = Vec::new();
    for _ in 0..100 {
        let record = NewRecord::to(TOPIC).value(&text);
        deliveries.push(producer.enqueue(record).await.expect("accepted"));
    }
    for delivery in deliveries {
        assert!(delivery.await.expect("delivered").offset().is_some());
    }
    let consumer = consumer(runtime, &server.bootstrap());
    from_the_beginning(&consumer);
    for _ in 0..100 {
        let record = consumer.recv().await.expect("a record");
        assert_eq!(record.value.as_deref(), Some(text.as_bytes()));
    }
}

/// Each broker in turn is stopped and started again while records are written.
pub async fn a_restarted_broker_costs_nothing_and_doubles_nothing(runtime: &impl Runtime) {
    let server = server(3);
    let producer = producer(runtime, &server.bootstrap(), &[("linger.ms", "0")]);
    let mut deliveries = Vec::new();
    for number in 0..300 {
        if number % 50 == 25 {
            let broker = number / 50 % 3 + 1;
            let broker = i32::try_from(broker).expect("small");
            server
                .with(|cluster| cluster.stop_broker(broker))
                .expect("runs");
            sleep(runtime, Duration::from_millis(20)).await;
            server
                .with(|cluster| cluster.start_broker(broker))
                .expect("stopped");
        }
        deliveries.push(enqueue(&producer, number).await);
    }
    for delivery in deliveries {
        if let Err(error) = delivery.await {
            panic!("{error}");
        }
    }
    let consumer = consumer(runtime, &server.bootstrap());
    from_the_beginning(&consumer);
    read_all(&consumer, 300).await;
}

/// Polls the future `polls` times at the most, each time when it was woken; `None` when it is then dropped.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| match left.checked_sub(1) {
        None => Poll::Ready(None),
        Some(fewer) => {
            left = fewer;
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        }
    })
    .await
}

/// Waits for records and deliveries that are given up after one poll, two polls, …, and asked for again.
pub async fn a_future_dropped_at_every_await_point_loses_nothing(runtime: &impl Runtime) {
    const COUNT: usize = 60;
    let server = server(1);
    let producer = producer(runtime, &server.bootstrap(), &[("linger.ms", "1")]);
    let consumer = consumer(runtime, &server.bootstrap());
    from_the_beginning(&consumer);
    for number in 0..COUNT {
        // The delivery is dropped somewhere on its way: what was accepted is written all the same.
        let delivery = enqueue(&producer, number).await;
        let _ = polled(number % 4, delivery).await;
        let _ = polled(number % 3, producer.flush()).await;
    }
    let mut seen = [0; COUNT];
    let mut polls = 0;
    while seen.iter().sum::<usize>() < COUNT {
        polls += 1;
        let record = match polled(polls % 4, consumer.recv()).await {
            Some(record) => record.expect("a record"),
            None => {
                sleep(runtime, Duration::from_millis(1)).await;
                continue;
            }
        };
        let value = record.value.expect("every record has one");
        let number: usize = String::from_utf8_lossy(&value).parse().expect("a number");
        seen[number] += 1;
    }
    assert_eq!(seen, [1; COUNT]);
}

/// A port where a connection is made and nothing ever answered.
pub async fn a_client_without_a_broker_can_be_dropped_and_closed_at_once(runtime: &impl Runtime) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let bootstrap = listener.local_addr().expect("bound").to_string();

    let dropped = consumer(runtime, &bootstrap);
    from_the_beginning(&dropped);
    assert!(
        crate::within(runtime, Duration::from_millis(20), dropped.recv())
            .await
            .is_none()
    );
    drop(dropped);

    let closed = producer(runtime, &bootstrap, &[]);
    let topic = closed.topic(TOPIC).expect("a legal name");
    let refused = closed.try_enqueue(NewRecord::to(topic).value("v"));
    assert!(refused.is_err(), "nothing is known of the topic");
    let report = in_time(runtime, closed.close(Duration::from_millis(20))).await;
    assert!(report.is_ok());
}

/// The broker sees every connection end.
pub async fn a_closed_client_leaves_no_socket(runtime: &impl Runtime) {
    let server = server(3);
    let producer = producer(runtime, &server.bootstrap(), &[]);
    let consumer = consumer(runtime, &server.bootstrap());
    let delivery = enqueue(&producer, 0).await;
    delivery.await.expect("delivered");
    from_the_beginning(&consumer);
    read_all(&consumer, 1).await;
    let connections = || server.with(|cluster| cluster.connections().count());
    assert!(connections() >= 2);
    consumer
        .close(Duration::from_secs(5))
        .await
        .expect("closed");
    // The other one is dropped, not closed.
    drop(producer);
    while connections() > 0 {
        sleep(runtime, Duration::from_millis(1)).await;
    }
}
