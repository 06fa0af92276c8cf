//! Bytes that are no message, and messages that no bytes can say: each is refused with what was wrong, in which field
//! and where.

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::wire::{
    DecodeError, DecodeErrorKind as Wrong, EncodeErrorKind as Cannot, Message, Reader, Str,
    VersionRange, Writer, decode_versioned, encode_versioned,
};

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let message = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}

/// The path, what was wrong, and the byte.
fn refused<M: Message>(bytes: &[u8], version: i16) -> (String, Wrong, usize) {
    let error = decode::<M>(bytes, version).expect_err("should be refused");
    (error.path().to_string(), error.kind(), error.at())
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Vec<u8>, (String, Cannot)> {
    let mut writer = Writer::new(BytesMut::new());
    match message.encode(&mut writer, version) {
        Ok(()) => Ok(writer.finish().to_vec()),
        Err(error) => Err((error.path().to_string(), error.kind())),
    }
}

fn at(path: &str, wrong: Wrong, at: usize) -> (String, Wrong, usize) {
    (path.to_owned(), wrong, at)
}

#[test]
fn counts_that_the_bytes_left_cannot_hold() {
    let count = |count, smallest, left| Wrong::Count {
        count,
        smallest,
        left,
    };
    // ListGroupsRequest v4: states_filter, one byte an element at least, of which there are three.
    assert_eq!(
        refused::<ListGroupsRequest>(&[5, 1, 1, 0], 4),
        at("ListGroupsRequest.states_filter", count(4, 1, 3), 0)
    );
    // The largest counts that can be said, in both encodings.
    assert_eq!(
        refused::<MetadataRequest>(&[0x7f, 0xff, 0xff, 0xff], 1),
        at("MetadataRequest.topics", count(0x7fff_ffff, 1, 0), 0)
    );
    assert_eq!(
        refused::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 9),
        at("MetadataRequest.topics", count(0xffff_fffe, 1, 1), 0)
    );
    // An inner array names its outer element. ProduceResponse v3, second topic.
    let mut bytes = vec![0, 0, 0, 2];
    bytes.extend([0, 1, b'a', 0, 0, 0, 0]);
    bytes.extend([0, 1, b'b', 0, 0, 0, 9]);
    bytes.extend([0; 20]);
    assert_eq!(
        refused::<ProduceResponse>(&bytes, 3),
        at(
            "ProduceResponse.responses[1].partition_responses",
            count(9, 22, 20),
            14
        )
    );
}

#[test]
fn many_tiny_elements_do_not_take_memory_without_bound() {
    // 200,000 empty strings in as many bytes would take 6.4 MB of memory.
    let mut bytes = vec![0xc1, 0x9a, 0x0c]; // 200,000 and one
    bytes.extend(vec![1; 200_000]);
    bytes.push(0);
    let (path, wrong, _) = refused::<ListGroupsRequest>(&bytes, 4);
    let allowed = (15 << 10) + 8 * bytes.len();
    assert_eq!(path, "ListGroupsRequest.states_filter");
    assert_eq!(
        wrong,
        Wrong::TooMuchMemory {
            needed: 200_000 * size_of::<Str>(),
            allowed
        }
    );
    let mut reader = Reader::new(bytes.into()).with_memory(8 << 20);
    assert_eq!(
        ListGroupsRequest::decode(&mut reader, 4)
            .unwrap()
            .states_filter
            .len(),
        200_000
    );
}

#[test]
fn negative_counts_and_lengths() {
    assert_eq!(
        refused::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xfe], 1),
        at("MetadataRequest.topics", Wrong::NegativeLength(-2), 0)
    );
    assert_eq!(
        refused::<SaslHandshakeRequest>(&[0x80, 0], 1),
        at(
            "SaslHandshakeRequest.mechanism",
            Wrong::NegativeLength(-32768),
            0
        )
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(&[0xff, 0xff, 0xff, 0xf0], 0),
        at(
            "SaslAuthenticateRequest.auth_bytes",
            Wrong::NegativeLength(-16),
            0
        )
    );
}

#[test]
fn lengths_beyond_the_end() {
    assert_eq!(
        refused::<SaslHandshakeRequest>(&[0, 5, b'P', b'L'], 1),
        at(
            "SaslHandshakeRequest.mechanism",
            Wrong::Cut { needed: 5, left: 2 },
            2
        )
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(&[0x7f, 0xff, 0xff, 0xff, 1], 0),
        at(
            "SaslAuthenticateRequest.auth_bytes",
            Wrong::Cut {
                needed: 0x7fff_ffff,
                left: 1
            },
            4
        )
    );
    assert_eq!(
        refused::<SaslHandshakeRequest>(&[0], 1),
        at(
            "SaslHandshakeRequest.mechanism",
            Wrong::Cut { needed: 2, left: 1 },
            0
        )
    );
}

#[test]
fn nulls_where_none_is_allowed() {
    // Never.
    assert_eq!(
        refused::<SaslHandshakeRequest>(&[0xff, 0xff], 1),
        at("SaslHandshakeRequest.mechanism", Wrong::UnexpectedNull, 0)
    );
    assert_eq!(
        refused::<SaslAuthenticateRequest>(&[0, 0], 2),
        at(
            "SaslAuthenticateRequest.auth_bytes",
            Wrong::UnexpectedNull,
            0
        )
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&[0, 0], 4),
        at("ListGroupsRequest.states_filter", Wrong::UnexpectedNull, 0)
    );
    // Only in later versions.
    assert_eq!(
        decode::<MetadataRequest>(&[0xff; 4], 1).unwrap().topics,
        None
    );
    assert_eq!(
        refused::<MetadataRequest>(&[0xff; 4], 0),
        at("MetadataRequest.topics", Wrong::UnexpectedNull, 0)
    );
    let nameless = MetadataRequestTopic {
        name: None,
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![Default::default(), nameless]),
        ..Default::default()
    };
    assert!(encode(&request, 10).is_ok());
    let cannot = |path: &str, version| Err((path.to_owned(), Cannot::UnexpectedNull { version }));
    assert_eq!(
        encode(&request, 9),
        cannot("MetadataRequest.topics[1].name", 9)
    );
    assert_eq!(
        encode(
            &MetadataRequest {
                topics: None,
                ..Default::default()
            },
            0
        ),
        cannot("MetadataRequest.topics", 0)
    );
    let bytes = encode(&request, 10).unwrap();
    // Version 9 has no topic ids: two topics, the second's name is null.
    assert_eq!(bytes[..1], [3]);
    assert_eq!(
        refused::<MetadataRequest>(&[3, 1, 0, 0, 0, 1, 0, 0, 0], 9),
        at("MetadataRequest.topics[1].name", Wrong::UnexpectedNull, 3)
    );
}

#[test]
fn nullable_structs_are_there_or_not() {
    let request = DescribeTopicPartitionsRequest::default();
    let null = encode(&request, 0).unwrap();
    assert_eq!(
        null,
        [1, 0, 0, 7, 0xd0, 0xff, 0],
        "no topics, limit 2,000, no cursor, no tags"
    );
    let mut bytes = null.clone();
    bytes[5] = 0;
    assert_eq!(
        refused::<DescribeTopicPartitionsRequest>(&bytes, 0),
        at(
            "DescribeTopicPartitionsRequest.cursor",
            Wrong::NotAPresence(0),
            5
        )
    );
    bytes[5] = 1;
    let (path, wrong, _) = refused::<DescribeTopicPartitionsRequest>(&bytes, 0);
    assert_eq!(
        (&path[..], wrong),
        (
            "DescribeTopicPartitionsRequest.cursor.topic_name",
            Wrong::UnexpectedNull
        )
    );
}

#[test]
fn strings_that_are_none() {
    assert_eq!(
        refused::<MetadataRequest>(&[0, 0, 0, 2, 0, 1, b'a', 0, 2, 0xc3, 0x28], 1),
        at("MetadataRequest.topics[1].name", Wrong::NotUtf8, 9)
    );
    // 32,768 bytes can be said in flexible versions, and are too many nevertheless.
    let mut bytes = vec![2, 0x81, 0x80, 0x02];
    bytes.extend(vec![b'x'; 32_768]);
    bytes.push(0);
    assert_eq!(
        refused::<ListGroupsRequest>(&bytes, 4),
        at(
            "ListGroupsRequest.states_filter[0]",
            Wrong::StringTooLong { length: 32_768 },
            1
        )
    );
    let long = |length| ListGroupsRequest {
        states_filter: vec!["x".repeat(length).into()],
        ..Default::default()
    };
    for version in 4..=5 {
        assert!(encode(&long(32_767), version).is_ok());
        let cannot = Cannot::TooLong {
            length: 32_768,
            max: 32_767,
        };
        assert_eq!(
            encode(&long(32_768), version),
            Err(("ListGroupsRequest.states_filter[0]".to_owned(), cannot))
        );
    }
}

#[test]
fn tagged_fields_out_of_order_twice_cut_or_too_long() {
    let tags = "ListGroupsRequest.tagged fields";
    let with = |tags: &[u8]| [&[1][..], tags].concat();
    assert!(
        decode::<ListGroupsRequest>(&with(&[2, 5, 1, 9, 6, 0]), 4).is_ok(),
        "unknown ones are skipped"
    );
    let order = |tag, previous| Wrong::TagOrder { tag, previous };
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[2, 5, 0, 5, 0]), 4),
        at(tags, order(5, 5), 4)
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[2, 5, 0, 4, 0]), 4),
        at(tags, order(4, 5), 4)
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[1, 5, 3, 1, 1]), 4),
        at(tags, Wrong::Cut { needed: 3, left: 2 }, 4)
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[1]), 4),
        at(tags, Wrong::Cut { needed: 1, left: 0 }, 2)
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[0x81, 0x08]), 4),
        at(tags, Wrong::TooManyTags(1025), 3)
    );
    assert_eq!(
        refused::<ListGroupsRequest>(&with(&[0xff; 5]), 4),
        at(tags, Wrong::VarintTooLong, 1)
    );

    // A known one: FetchRequest v12+, tag 0, cluster_id.
    let request = FetchRequest {
        cluster_id: Some("ab".into()),
        ..Default::default()
    };
    let bytes = encode(&request, 12).unwrap();
    let (body, tag) = bytes.split_at(bytes.len() - 6);
    assert_eq!(
        tag,
        [1, 0, 3, 3, b'a', b'b'],
        "one field: tag 0, three bytes"
    );
    let start = body.len();
    let with = |tags: &[u8]| [body, tags].concat();
    assert_eq!(decode::<FetchRequest>(&with(tag), 12).unwrap(), request);
    assert_eq!(
        refused::<FetchRequest>(&with(&[1, 0, 4, 3, b'a', b'b', 0]), 12),
        at(
            "FetchRequest.cluster_id",
            Wrong::Trailing { left: 1 },
            start + 6
        )
    );
    assert_eq!(
        refused::<FetchRequest>(&with(&[1, 0, 2, 3, b'a', b'b']), 12),
        at(
            "FetchRequest.cluster_id",
            Wrong::Cut { needed: 2, left: 1 },
            start + 4
        )
    );
    assert_eq!(
        refused::<FetchRequest>(&with(&[1, 0, 9, 3, b'a', b'b']), 12),
        at(
            "FetchRequest.cluster_id",
            Wrong::Cut { needed: 9, left: 3 },
            start + 3
        )
    );
}

#[test]
fn bytes_after_the_message() {
    let error = decode::<SaslHandshakeRequest>(&[0, 1, b'P', 7, 7], 1).unwrap_err();
    assert_eq!((error.kind(), error.at()), (Wrong::Trailing { left: 2 }, 3));
}

#[test]
fn versions_that_there_are_not() {
    let supported = VersionRange::new(4, 18);
    for version in [i16::MIN, -1, 0, 3, 19, i16::MAX] {
        assert_eq!(
            refused::<FetchRequest>(&[], version),
            at(
                "FetchRequest",
                Wrong::UnsupportedVersion { version, supported },
                0
            )
        );
        let cannot = Cannot::UnsupportedVersion { version, supported };
        assert_eq!(
            encode(&FetchRequest::default(), version),
            Err(("FetchRequest".to_owned(), cannot))
        );
    }
}

#[test]
fn set_fields_are_not_lost_on_the_way() {
    let cannot = |path: &str, version| Err((path.to_owned(), Cannot::NotInVersion { version }));
    // Which states to list is the question itself: without it another one is asked.
    let request = ListGroupsRequest {
        states_filter: vec!["Stable".into()],
        ..Default::default()
    };
    assert!(encode(&request, 4).is_ok());
    assert_eq!(
        encode(&request, 3),
        cannot("ListGroupsRequest.states_filter", 3)
    );
    // A name where the version speaks of ids, within two arrays.
    let topic = FetchTopic {
        topic: "t".into(),
        ..Default::default()
    };
    let request = FetchRequest {
        topics: vec![FetchTopic::default(), topic],
        ..Default::default()
    };
    assert!(encode(&request, 12).is_ok());
    // Kafka calls names and ids ignorable: they stand for each other.
    assert!(encode(&request, 13).is_ok());
    // A tagged field before its version.
    let state = FetchReplicaState {
        replica_id: 3,
        replica_epoch: 4,
    };
    assert_eq!(
        encode(
            &FetchRequest {
                replica_state: state,
                ..Default::default()
            },
            14
        ),
        cannot("FetchRequest.replica_state", 14)
    );
    // An ignorable one is lost silently, as its meaning allows.
    let request = FetchRequest {
        rack_id: "r1".into(),
        ..Default::default()
    };
    assert_eq!(encode(&request, 10), encode(&FetchRequest::default(), 10));
    assert_ne!(encode(&request, 11), encode(&FetchRequest::default(), 11));
}

#[test]
fn messages_behind_their_own_version() {
    let marker = EndTxnMarker {
        coordinator_epoch: 7,
    };
    let bytes = encode_versioned(&marker, 0).unwrap();
    assert_eq!(bytes[..], [0, 0, 0, 0, 0, 7]);
    assert_eq!(decode_versioned(bytes), Ok((0, marker.clone())));
    // A newer writer's: its version is told, the known fields are read.
    assert_eq!(
        decode_versioned(Bytes::from_static(&[0, 9, 0, 0, 0, 7, 1, 2, 3])),
        Ok((9, marker))
    );
    let refused = |bytes: &'static [u8]| {
        decode_versioned::<EndTxnMarker>(Bytes::from_static(bytes)).unwrap_err()
    };
    let supported = VersionRange::new(0, 0);
    assert_eq!(
        refused(&[0xff, 0xff]).kind(),
        Wrong::UnsupportedVersion {
            version: -1,
            supported
        }
    );
    assert_eq!(
        refused(&[0]).to_string(),
        "EndTxnMarker.version: 2 bytes needed, 1 left (at byte 0)"
    );
    // Large user data is a piece of its own while it is written, and part of the whole in the end.
    let subscription = ConsumerProtocolSubscription {
        user_data: Some(vec![7; 5_000].into()),
        ..Default::default()
    };
    assert_eq!(
        decode_versioned(encode_versioned(&subscription, 1).unwrap()),
        Ok((1, subscription))
    );
}

#[test]
fn errors_read_well() {
    let error = decode::<MetadataRequest>(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28], 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MetadataRequest.topics[0].name: string is not UTF-8 (at byte 6)"
    );
    let error = ListGroupsRequest {
        states_filter: vec!["x".into()],
        ..Default::default()
    }
    .encode(&mut Writer::default(), 3)
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "ListGroupsRequest.states_filter: is set, but version 3 cannot carry it"
    );
}

/// Every message that Kafka's classes have written, cut at every byte, and with every byte changed.
#[test]
fn cut_and_changed_messages_never_panic() {
    let mut decoders = std::collections::BTreeMap::<&str, fn(Bytes, i16) -> bool>::new();
    fn reads<M: Message>(bytes: Bytes, version: i16) -> bool {
        let mut reader = Reader::new(bytes);
        let Ok(message) = M::decode(&mut reader, version) else {
            return false;
        };
        // What was read can be written.
        message
            .encode(&mut Writer::default(), version)
            .unwrap_or_else(|error| panic!("{error}"));
        true
    }
    macro_rules! fill {
        ($($key:ident $request:ident $response:ident,)*) => { $(
            decoders.insert(stringify!($request), reads::<$request>);
            decoders.insert(stringify!($response), reads::<$response>);
        )* };
    }
    klamm::for_each_api!(fill);
    for line in include_str!("golden/vectors.txt").lines() {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (reads, version) = (decoders[name], version.parse().unwrap());
        let mut bytes: Vec<u8> = (0..hex.len() / 2)
            .filter_map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok())
            .collect();
        let whole = Bytes::from(bytes.clone());
        for end in 0..bytes.len() {
            assert!(
                !reads(whole.slice(..end), version),
                "{name} v{version} cut at {end}"
            );
        }
        for at in 0..bytes.len() {
            for changed in [0xff, bytes[at].wrapping_add(1)] {
                let before = std::mem::replace(&mut bytes[at], changed);
                reads(Bytes::copy_from_slice(&bytes), version);
                bytes[at] = before;
            }
        }
    }
}
