//! Offsets committed by a consumer that assigns its partitions itself.

use crate::common::*;
use klamm_live::kafka::Kafka;
use klamm_tokio::{
    Assignment, CommitError, Consumer, ConsumerConfig, ErrorCode, ErrorKind, OffsetAndMetadata,
    Start, Tokio, TopicPartition,
};

fn grouped(kafka: &Kafka, group: &str) -> Consumer {
    let config = ConsumerConfig::bootstrap(&kafka.bootstrap())
        .expect("addresses")
        .group_id(group);
    Consumer::start(&config, Tokio::current()).expect("a valid configuration")
}

fn resumed(topic: &str) -> Assignment<'_> {
    Assignment {
        topic,
        partition: 0,
        start: Start::Committed,
    }
}

#[test]
fn a_consumer_started_again_resumes_where_the_former_one_committed() {
    let kafka = Kafka::shared();
    let topic = &kafka.topic("commits", 1);
    let group = &format!("{topic}-surveyors");
    run(async {
        let sent: Vec<String> = (0..10).map(|number| format!("record {number}")).collect();
        send_all(&producer(kafka), topic, &sent).await;

        let first = grouped(kafka, group);
        first
            .assign(&[from_the_beginning(topic)])
            .expect("assigned");
        let mut seen = values(&read(&first, 4).await);
        within("a commit", first.commit()).await.expect("committed");
        // What is read after the commit is read again.
        read(&first, 3).await;
        drop(first);

        let second = grouped(kafka, group);
        second.assign(&[resumed(topic)]).expect("assigned");
        seen.extend(values(&read(&second, 6).await));
        assert_eq!(seen, sent);

        let partition = TopicPartition::new(topic, 0);
        let committed = OffsetAndMetadata {
            offset: 9,
            leader_epoch: Some(0),
            metadata: "all but the last".into(),
        };
        let commit = vec![(partition.clone(), committed.clone())];
        within("a commit", second.commit_offsets(commit))
            .await
            .expect("committed");
        let found = within(
            "the committed offset",
            second.committed(std::slice::from_ref(&partition)),
        );
        assert_eq!(
            found.await.expect("an answer"),
            [(partition.clone(), Ok(Some(committed)))]
        );

        let long = OffsetAndMetadata {
            metadata: "x".repeat(5_000),
            ..OffsetAndMetadata::new(1)
        };
        let refused = within("a refusal", second.commit_offsets(vec![(partition, long)])).await;
        let error = refused.expect_err("too long for the broker");
        let code = ErrorCode::OFFSET_METADATA_TOO_LARGE;
        assert_eq!(
            *error.first().expect("an error").kind(),
            ErrorKind::Broker(code)
        );
    });
}

#[test]
fn without_a_group_a_commit_is_refused() {
    run(async {
        let consumer = consumer(Kafka::shared());
        let error = consumer.commit().await.expect_err("there is no group");
        let CommitError::Refused(error) = error else {
            panic!("{error}");
        };
        assert_eq!(*error.kind(), ErrorKind::NoGroupId);
    });
}
