//! Owns what must hold of everything that is known of a cluster, after any answers in any order.
//!
//! Must not know how an answer is taken in.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::metadata::{Metadata, Topic, TopicState};
use crate::choices::Choices;
use crate::engine::{Host, NodeId, TopicHandle};
use crate::messages::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::time::Instant;
use crate::wire::{Str, Uuid};

const NAMES: [&str; 4] = ["letters", "castle", "trial", "never asked for"];

/// Half of them sane.
const HOSTS: [&str; 4] = ["broker-1", "broker-2", "", "broker-1"];
const PORTS: [i32; 6] = [9092, 9093, 0, -1, 65_536, i32::MAX];
const CODES: [i16; 8] = [0, 0, 0, 0, 3, 5, 29, 100];

fn small(choices: &mut Choices<'_>) -> i32 {
    i32::try_from(choices.edgy(32)).unwrap_or(-1)
}

fn partition(choices: &mut Choices<'_>) -> MetadataResponsePartition {
    MetadataResponsePartition {
        error_code: *choices.one_of(&CODES),
        partition_index: small(choices),
        leader_id: small(choices),
        leader_epoch: small(choices),
        ..Default::default()
    }
}

fn topic(choices: &mut Choices<'_>) -> MetadataResponseTopic {
    let name = NAMES.get(choices.below(5));
    MetadataResponseTopic {
        error_code: *choices.one_of(&CODES),
        name: name.map(|name| Str::from(*name)),
        topic_id: Uuid([choices.byte() % 5; 16]),
        partitions: (0..choices.below(5)).map(|_| partition(choices)).collect(),
        ..Default::default()
    }
}

fn response(choices: &mut Choices<'_>) -> MetadataResponse {
    let broker = |choices: &mut Choices<'_>| MetadataResponseBroker {
        node_id: small(choices),
        host: Str::from(*choices.one_of(&HOSTS)),
        port: *choices.one_of(&PORTS),
        ..Default::default()
    };
    MetadataResponse {
        brokers: (0..choices.below(4)).map(|_| broker(choices)).collect(),
        topics: (0..choices.below(4)).map(|_| topic(choices)).collect(),
        ..Default::default()
    }
}

/// Nothing of a topic goes back, but with another topic of its name.
fn assert_forward(before: &Topic, after: &Topic) {
    assert_eq!(before.name, after.name);
    assert!(after.incarnation >= before.incarnation);
    if after.incarnation > before.incarnation {
        // One answer may hold a topic more than once.
        let once = after.incarnation == before.incarnation + 1 && !before.id.is_zero();
        assert!(!after.id.is_zero() && (!once || after.id != before.id));
        return;
    }
    assert!(
        before.id == after.id || before.id.is_zero(),
        "{before:?} {after:?}"
    );
    assert!(after.partitions.len() >= before.partitions.len());
    for (before, after) in before.partitions.iter().zip(&after.partitions) {
        assert!(
            after.leader_epoch >= before.leader_epoch,
            "{before:?} {after:?}"
        );
        assert!(before.leader.is_none() || after.leader.is_some());
    }
    let asked = |topic: &Topic| matches!(topic.state, TopicState::Asked { .. });
    assert!(asked(before) || !asked(after), "an answer is not forgotten");
}

fn assert_sound(metadata: &Metadata, handles: &BTreeMap<&str, TopicHandle>) {
    for broker in metadata.brokers() {
        assert!(broker.id.0 >= 0 && broker.port != 0 && !broker.host.to_string().is_empty());
        assert_eq!(metadata.broker(broker.id), Some(broker));
    }
    for (name, handle) in handles {
        assert_eq!(metadata.topic_by_name(name), Some(*handle));
        let topic = metadata.topic(*handle).expect("a handle is for ever");
        if !topic.id.is_zero() {
            assert_eq!(metadata.topic_by_id(&topic.id), Some(*handle), "{topic:?}");
        }
    }
}

pub(crate) fn hold(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut metadata = Metadata::default();
    let mut handles: BTreeMap<&str, TopicHandle> = BTreeMap::new();
    while !choices.is_empty() {
        let before: Vec<Topic> = handles
            .values()
            .filter_map(|handle| metadata.topic(*handle))
            .cloned()
            .collect();
        let named = *choices.one_of(&NAMES[..3]);
        match choices.below(8) {
            0 => {
                let (handle, _) = metadata.want(named, Instant::START);
                assert_eq!(*handles.entry(named).or_insert(handle), handle);
            }
            1 => {
                if let Some(handle) = handles.get(named) {
                    metadata.forget(*handle);
                }
            }
            2 => hint(&mut metadata, handles.get(named).copied(), &mut choices),
            3 => metadata.learn_broker(NodeId(1), Host::from("broker-1"), 9092),
            4 if choices.byte() == 0 => metadata.forget_brokers(),
            _ => {
                let response = response(&mut choices);
                let version = *choices.one_of(&[12, 9, 8]);
                let asked: Vec<TopicHandle> = handles.values().copied().collect();
                let change = metadata.apply(&response, version, &asked, Instant::START);
                let named = |handle: &TopicHandle| {
                    let name = metadata.topic(*handle).map(|topic| topic.name.clone());
                    response.topics.iter().any(|topic| {
                        topic.name == name || topic.name.is_none() || !topic.topic_id.is_zero()
                    })
                };
                assert!(
                    change.incomplete || asked.iter().all(named),
                    "what is missing is missed"
                );
            }
        }
        for topic in &before {
            let handle = handles.get(topic.name.as_str());
            let after = handle.and_then(|handle| metadata.topic(*handle));
            assert_forward(topic, after.expect("a topic stays"));
        }
        assert_sound(&metadata, &handles);
    }
}

/// A leader that another answer names (KIP-951) counts if it is newer, and if it can be reached.
fn hint(metadata: &mut Metadata, handle: Option<TopicHandle>, choices: &mut Choices<'_>) {
    let Some(handle) = handle else {
        return;
    };
    let (partition, leader, epoch) = (small(choices), NodeId(small(choices)), small(choices));
    let known = |metadata: &Metadata| {
        let at = usize::try_from(partition).ok()?;
        metadata.topic(handle)?.partitions.get(at).copied()
    };
    let before = known(metadata);
    let reachable = metadata.broker(leader).is_some();
    let news = metadata.apply_hint(handle, partition, leader, epoch);
    assert_eq!(
        news,
        reachable && epoch >= 0 && before.is_some_and(|before| epoch > before.leader_epoch)
    );
    if news {
        let after = known(metadata).map(|after| (after.leader, after.leader_epoch));
        assert_eq!(after, Some((Some(leader), epoch)));
    } else {
        assert_eq!(known(metadata), before);
    }
}
