//! Transactions that a test writes into a log: what readers of committed records are told.

use bytes::BytesMut;
use klamm::messages::{FetchPartitionData, FetchRequest};
use klamm::record::control::TransactionEnd;
use klamm::record::{BatchBuilder, BatchProducer, RecordRef};
use klamm_cluster::ConnectionKey;

use crate::client::{Conversation, batch, fetch, only};

/// A batch of one record of a transaction.
fn transactional(producer_id: i64, base_sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1000);
    let record = RecordRef::new(0, None, Some(b"value"));
    builder.try_append(&record).unwrap();
    let producer = BatchProducer::Transactional {
        producer_id,
        producer_epoch: 0,
        base_sequence,
    };
    builder.finish().unwrap().seal(producer).to_vec()
}

fn committed(talk: &mut Conversation, over: ConnectionKey, offset: i64) -> FetchPartitionData {
    let request = FetchRequest {
        isolation_level: 1,
        ..fetch("t", offset, 0)
    };
    only(talk.ask(over, 12, &request))
}

#[test]
fn readers_of_committed_records_stop_at_an_open_transaction() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    talk.produce(broker, 1, batch(None, &["a"]));
    talk.cluster
        .append_batch("t", 0, &transactional(7, 0))
        .unwrap();
    talk.produce(broker, 1, batch(None, &["b"]));
    let told = committed(&mut talk, broker, 0);
    assert_eq!((told.high_watermark, told.last_stable_offset), (3, 1));
    assert_eq!(told.aborted_transactions, Some(vec![]));
    let all = talk.fetch(broker, 0);
    assert_eq!(all.aborted_transactions, None);
    assert!(all.records.unwrap().len() > told.records.unwrap().len());
}

#[test]
fn readers_of_committed_records_are_told_what_was_aborted() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    for producer in [7, 8] {
        let batch = transactional(producer, 0);
        talk.cluster.append_batch("t", 0, &batch).unwrap();
    }
    let mut end = |producer, end| {
        talk.cluster
            .end_transaction("t", 0, (producer, 0), end)
            .unwrap()
    };
    assert_eq!(end(8, TransactionEnd::Commit), 2);
    assert_eq!(end(7, TransactionEnd::Abort), 3);
    let told = committed(&mut talk, broker, 0);
    assert_eq!(told.last_stable_offset, 4);
    let aborted = told.aborted_transactions.unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!((aborted[0].producer_id, aborted[0].first_offset), (7, 0));
}
