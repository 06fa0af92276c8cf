//! Which request takes which connection, as the broker's own request log tells it.

use crate::common::{consumer_config, from_the_beginning, producer_config, read, run, send_all};
use klamm_live::kafka::Kafka;
use klamm_live::requests::Connection;
use klamm_tokio::{Consumer, Producer, Tokio};
use std::time::Duration;

fn carried(connection: &Connection) -> Vec<&str> {
    connection.calls.keys().map(String::as_str).collect()
}

#[test]
fn every_client_has_sockets_of_its_own_and_the_first_one_carries_no_records() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("connections", 1);
    let lines: Vec<String> = (0..1000).map(|i| format!("line {i}")).collect();
    run(async {
        let mut config = producer_config(&kafka.bootstrap());
        config.common.client_id = "connections-producer".to_owned();
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        send_all(&producer, &topic, &lines).await;
        producer
            .close(Duration::from_secs(10))
            .await
            .expect("closed");

        let mut config = consumer_config(&kafka.bootstrap());
        config.common.client_id = "connections-consumer".to_owned();
        let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
        consumer
            .assign(&[from_the_beginning(&topic)])
            .expect("assigned");
        read(&consumer, lines.len()).await;
        consumer
            .close(Duration::from_secs(10))
            .await
            .expect("closed");
    });

    let of_producer = kafka.requests("connections-producer");
    let of_consumer = kafka.requests("connections-consumer");
    for connection in of_producer.iter().chain(&of_consumer) {
        assert!(connection.software.starts_with("klamm"), "{connection:#?}");
    }
    let bootstrap = &of_producer[0];
    assert!(!carried(bootstrap).contains(&"PRODUCE"), "{bootstrap:#?}");
    let producing = of_producer
        .iter()
        .filter(|c| c.calls.contains_key("PRODUCE"))
        .count();
    assert_eq!((producing, of_producer.len()), (1, 2), "{of_producer:#?}");

    assert!(
        !carried(&of_consumer[0]).contains(&"FETCH"),
        "{of_consumer:#?}"
    );
    let fetching = of_consumer
        .iter()
        .filter(|c| c.calls.contains_key("FETCH"))
        .count();
    assert_eq!((fetching, of_consumer.len()), (1, 2), "{of_consumer:#?}");
}
