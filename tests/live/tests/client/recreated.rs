//! A topic that is deleted and made again under the same name while clients use it.

use crate::common::{consumer_config, from_the_beginning, producer, read, run, send_all, values};
use klamm::config::OffsetReset;
use klamm_live::kafka::Kafka;
use klamm_tokio::{Consumer, Tokio};

#[test]
fn a_topic_is_deleted_and_made_again() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("recreated", 1);
    let old: Vec<String> = (0..100).map(|i| format!("old {i}")).collect();
    let new: Vec<String> = (0..10).map(|i| format!("new {i}")).collect();
    run(async {
        let producer = producer(kafka);
        let config = consumer_config(&kafka.bootstrap()).auto_offset_reset(OffsetReset::Earliest);
        let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
        consumer
            .assign(&[from_the_beginning(&topic)])
            .expect("assigned");
        send_all(&producer, &topic, &old).await;
        assert_eq!(values(&read(&consumer, old.len()).await), old);

        kafka.delete_topic(&topic);
        kafka.create_topic(&topic, 1, &[]);

        // The same producer and the same consumer go on, in the new one from its beginning.
        let offsets = send_all(&producer, &topic, &new).await;
        assert!(offsets.iter().copied().eq(0..10), "{offsets:?}");
        assert_eq!(values(&read(&consumer, new.len()).await), new);
        let resets = consumer.take_resets();
        assert_eq!(resets.len(), 1, "the move is told: {resets:?}");
        assert_eq!((resets[0].from, resets[0].to), (100, 0), "{resets:?}");
    });
}
