//! Fetch.

use klamm::messages::{FetchForgottenTopic, FetchPartition, FetchRequest, FetchTopic};
use klamm::{Str, Uuid};

use crate::both::{Both, Side};
use crate::writing::{batch, produce};

pub(crate) fn fetch(side: &Side, version: i16, offset: i64) -> FetchRequest {
    FetchRequest {
        min_bytes: 1,
        session_epoch: if version < 7 { 0 } else { -1 },
        topics: vec![FetchTopic {
            topic: if version < 13 {
                side.name()
            } else {
                Str::EMPTY
            },
            topic_id: if version < 13 { Uuid::ZERO } else { side.id },
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
        }],
        ..FetchRequest::default()
    }
}

/// A topic with three batches of ten records.
fn filled() -> Both {
    let mut both = Both::with_topic(&[]);
    for _ in 0..3 {
        both.each(|side| {
            let request = produce(side, 9, -1, batch(10));
            side.response(9, &request);
        });
    }
    both
}

#[test]
fn every_version_reads_the_same() {
    let mut both = filled();
    for version in 4..=18 {
        for offset in [0, 15, 29, 30, 31, -1, 1000] {
            both.same(&format!("v{version} from {offset}"), |side| {
                side.ask(version, &fetch(side, version, offset))
            });
        }
        both.same(&format!("v{version}, committed only"), |side| {
            let mut request = fetch(side, version, 0);
            request.isolation_level = 1;
            side.ask(version, &request)
        });
    }
}

#[test]
fn limits_cut_alike() {
    let mut both = filled();
    for bytes in [0, 1, 100, 200, 300, 400, 1000] {
        both.same(&format!("{bytes} of the partition"), |side| {
            let mut request = fetch(side, 12, 5);
            request.topics[0].partitions[0].partition_max_bytes = bytes;
            side.ask(12, &request)
        });
        both.same(&format!("{bytes} in all"), |side| {
            let mut request = fetch(side, 12, 5);
            request.max_bytes = bytes;
            side.ask(12, &request)
        });
        both.same(&format!("at least {bytes}, without time to wait"), |side| {
            let mut request = fetch(side, 12, 25);
            request.min_bytes = bytes;
            side.ask(12, &request)
        });
    }
    both.same("more than there is, and a little time", |side| {
        let mut request = fetch(side, 12, 0);
        request.min_bytes = 1 << 20;
        request.max_wait_ms = 20;
        side.ask(12, &request)
    });
}

#[test]
fn unknown_topics_and_partitions() {
    let mut both = filled();
    both.same("a name", |side| {
        let mut request = fetch(side, 12, 0);
        request.topics[0].topic = Str::from("no-such-topic");
        side.ask(12, &request)
    });
    both.same("an id", |side| {
        let mut request = fetch(side, 17, 0);
        request.topics[0].topic_id = Uuid::from(77);
        side.ask(17, &request)
    });
    both.same("a partition", |side| {
        let mut request = fetch(side, 12, 0);
        request.topics[0].partitions[0].partition = 9;
        side.ask(12, &request)
    });
    both.same("nothing", |side| {
        let mut request = fetch(side, 12, 0);
        request.topics = vec![];
        side.ask(12, &request)
    });
}

#[test]
fn leader_epochs_are_checked_alike() {
    let mut both = filled();
    for epoch in [-1, 0, 1] {
        both.same(&format!("current epoch {epoch}"), |side| {
            let mut request = fetch(side, 17, 0);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            side.ask(17, &request)
        });
        for offset in [0, 30, 31] {
            both.same(&format!("last epoch {epoch} at {offset}"), |side| {
                let mut request = fetch(side, 17, offset);
                request.topics[0].partitions[0].last_fetched_epoch = epoch;
                side.ask(17, &request)
            });
        }
    }
}

#[test]
fn sessions_go_the_same_way() {
    let mut both = filled();
    both.same("an unknown session", |side| {
        let mut request = fetch(side, 12, 0);
        (request.session_id, request.session_epoch) = (12345, 1);
        side.ask(12, &request)
    });
    both.each(|side| {
        let mut request = fetch(side, 12, 0);
        request.session_epoch = 0;
        let id = side.response(12, &request).session_id;
        assert_ne!(id, 0);
        side.kept.insert("session", i64::from(id));
    });
    let next = |side: &Side, epoch: i32| FetchRequest {
        session_id: i32::try_from(side.kept["session"]).expect("a session id"),
        session_epoch: epoch,
        topics: vec![],
        ..fetch(side, 12, 0)
    };
    both.same("again the same", |side| side.ask(12, &next(side, 1)));
    both.same("a wrong epoch", |side| side.ask(12, &next(side, 5)));
    both.same("moved to the end", |side| {
        let request = FetchRequest {
            topics: fetch(side, 12, 30).topics,
            ..next(side, 2)
        };
        side.ask(12, &request)
    });
    both.same("no news", |side| side.ask(12, &next(side, 3)));
    both.each(|side| {
        let request = produce(side, 9, -1, batch(1));
        side.response(9, &request);
    });
    both.same("news", |side| side.ask(12, &next(side, 4)));
    both.same("an error", |side| {
        let request = FetchRequest {
            topics: fetch(side, 12, 99).topics,
            ..next(side, 5)
        };
        side.ask(12, &request)
    });
    both.same("the error again", |side| side.ask(12, &next(side, 6)));
    both.same("with ids all at once", |side| {
        let request = FetchRequest {
            topics: vec![],
            ..next(side, 7)
        };
        side.ask(17, &request)
    });
    both.same("forgotten", |side| {
        let request = FetchRequest {
            forgotten_topics_data: vec![FetchForgottenTopic {
                topic: side.name(),
                partitions: vec![0],
                ..FetchForgottenTopic::default()
            }],
            ..next(side, 7)
        };
        side.ask(12, &request)
    });
    both.same("gone", |side| side.ask(12, &next(side, 8)));
}
