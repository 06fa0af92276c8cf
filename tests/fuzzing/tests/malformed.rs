//! Each type of field, with everything that can be wrong with it: a typed error with the field's path, and no more memory
//! than the input allows.
//!
//! Every case is a real message: the bytes before its last field are those of a valid one.

use bytes::Bytes;
use klamm::messages::*;
use klamm::wire::header::RequestHeader;
use klamm::wire::{DecodeErrorKind as Wrong, Message, Reader};
use klamm_fuzzing::memory::measure;

/// The message that starts with `valid` and goes on with `wrong`.
#[track_caller]
fn refused<M: Message>(version: i16, valid: &[u8], wrong: &[u8], path: &str, why: Wrong) {
    let bytes = Bytes::from([valid, wrong].concat());
    let length = bytes.len();
    let (refused, usage) = measure(|| {
        let mut reader = Reader::new(bytes);
        M::decode(&mut reader, version)
            .and_then(|_| reader.finish())
            .expect_err("malformed")
    });
    assert_eq!(
        (refused.path().to_string(), refused.kind()),
        (format!("{}.{path}", M::NAME), why)
    );
    assert!(usage.peak <= 8 * length + (16 << 10), "{usage:?}");
}

/// As [`refused`], in the two encodings: lengths as plain numbers, and in the flexible versions (KIP-482).
struct Both {
    plain: i16,
    flexible: i16,
}

fn cut(needed: usize, left: usize) -> Wrong {
    Wrong::Cut { needed, left }
}

/// The value's bytes, each time one fewer.
#[track_caller]
fn refused_cut<M: Message>(version: i16, valid: &[u8], value: &[u8], path: &str) {
    for left in 0..value.len() {
        refused::<M>(version, valid, &value[..left], path, cut(value.len(), left));
    }
}

#[test]
fn int8() {
    refused_cut::<ElectLeadersRequest>(1, &[], &[0], "election_type");
}

#[test]
fn int16() {
    refused_cut::<HeartbeatResponse>(0, &[], &[0; 2], "error_code");
}

#[test]
fn int32() {
    refused_cut::<HeartbeatResponse>(1, &[], &[0; 4], "throttle_time_ms");
}

#[test]
fn int64() {
    refused_cut::<EndTxnRequest>(0, &[0, 1, b't'], &[0; 8], "producer_id");
    refused_cut::<EndTxnRequest>(3, &[2, b't'], &[0; 8], "producer_id");
}

#[test]
fn uint16() {
    // No cluster id, a timeout, a voter and its directory; a listener's name and host.
    let mut valid = vec![0; 25];
    valid.extend([2, 2, b'n', 2, b'h']);
    refused::<AddRaftVoterRequest>(0, &valid, &[0], "listeners[0].port", cut(2, 1));
    // Without a byte of the port, the listener is smaller than any.
    let count = Wrong::Count {
        count: 1,
        smallest: 4,
        left: 3,
    };
    refused::<AddRaftVoterRequest>(0, &valid[..29], &[], "listeners", count);
}

#[test]
fn bool() {
    // Every byte is a bool, as Kafka reads it; only none is not.
    let mut valid = vec![0, 1, b't'];
    valid.extend([0; 10]);
    refused_cut::<EndTxnRequest>(0, &valid, &[1], "committed");
}

#[test]
fn uuid() {
    refused_cut::<PushTelemetryRequest>(0, &[], &[0; 16], "client_instance_id");
}

#[test]
fn float64() {
    // One entry of no entity and one operation, whose key has 1 to 8 letters.
    for missing in 1..=7 {
        let mut valid = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, missing];
        valid.extend(vec![b'k'; missing.into()]);
        let left = 8 - usize::from(missing);
        let path = "entries[0].ops[0].value";
        refused::<AlterClientQuotasRequest>(0, &valid, &vec![0; left], path, cut(8, left));
    }
}

/// A string whose length takes two bytes.
fn plain_strings<M: Message>(v: i16, valid: &[u8], path: &str) {
    refused_cut::<M>(v, valid, &[0; 2], path);
    refused::<M>(v, valid, &[0x7f, 0xff], path, cut(0x7fff, 0));
    refused::<M>(v, valid, &[0, 3, b'a', b'b'], path, cut(3, 2));
    refused::<M>(v, valid, &[0xff, 0xfe], path, Wrong::NegativeLength(-2));
    refused::<M>(v, valid, &[0x80, 0], path, Wrong::NegativeLength(-32_768));
    refused::<M>(v, valid, &[0, 2, 0xc3, 0x28], path, Wrong::NotUtf8);
}

/// The client's name is one of these in every version.
#[test]
fn the_string_that_is_never_flexible() {
    for version in [1, 2] {
        plain_strings::<RequestHeader>(version, &[0, 18, 0, 3, 0, 0, 0, 5], "client_id");
    }
}

/// A string, of which `valid` is what comes before.
fn strings<M: Message>(versions: Both, valid: [&[u8]; 2], path: &str, null: bool) {
    let [plain, flexible] = valid;
    plain_strings::<M>(versions.plain, plain, path);
    let v = versions.flexible;
    refused::<M>(v, flexible, &[], path, cut(1, 0));
    refused::<M>(v, flexible, &[0x80], path, cut(2, 1));
    refused::<M>(v, flexible, &[4, b'a', b'b'], path, cut(3, 2));
    refused::<M>(v, flexible, &[0xff; 5], path, Wrong::VarintTooLong);
    refused::<M>(v, flexible, &[3, 0xc3, 0x28], path, Wrong::NotUtf8);
    for (digits, length) in [
        ([0x81, 0x80, 0x02, 0, 0], 0x8000),
        ([0xff, 0xff, 0xff, 0xff, 0x0f], 0xffff_fffe),
    ] {
        refused::<M>(v, flexible, &digits, path, Wrong::StringTooLong { length });
    }
    if null {
        refused::<M>(
            versions.plain,
            plain,
            &[0xff; 2],
            path,
            Wrong::UnexpectedNull,
        );
        refused::<M>(
            versions.flexible,
            flexible,
            &[0],
            path,
            Wrong::UnexpectedNull,
        );
    }
}

#[test]
fn string_and_compact_string() {
    let versions = Both {
        plain: 0,
        flexible: 3,
    };
    strings::<EndTxnRequest>(versions, [&[], &[]], "transactional_id", true);
    // In a version that allows no null, of a field that may be null later on.
    let versions = Both {
        plain: 1,
        flexible: 9,
    };
    let one: [&[u8]; 2] = [&[0, 0, 0, 1], &[2]];
    let path = "topics[0].name";
    let [plain, flexible] = one;
    refused::<MetadataRequest>(
        versions.plain,
        plain,
        &[0xff; 2],
        path,
        Wrong::UnexpectedNull,
    );
    refused::<MetadataRequest>(
        versions.flexible,
        flexible,
        &[0, 0],
        path,
        Wrong::UnexpectedNull,
    );
}

#[test]
fn nullable_string_and_compact_nullable_string() {
    let versions = Both {
        plain: 0,
        flexible: 2,
    };
    strings::<InitProducerIdRequest>(versions, [&[], &[]], "transactional_id", false);
}

/// Bytes of any kind.
fn byte_fields<M: Message>(versions: Both, valid: [&[u8]; 2], path: &str, null: bool) {
    let [plain, flexible] = valid;
    let v = versions.plain;
    refused_cut::<M>(v, plain, &[0; 4], path);
    refused::<M>(
        v,
        plain,
        &[0x7f, 0xff, 0xff, 0xff],
        path,
        cut(0x7fff_ffff, 0),
    );
    refused::<M>(v, plain, &[0, 0, 0, 3, 1, 2], path, cut(3, 2));
    refused::<M>(
        v,
        plain,
        &[0xff, 0xff, 0xff, 0xfe],
        path,
        Wrong::NegativeLength(-2),
    );
    let least = Wrong::NegativeLength(i32::MIN.into());
    refused::<M>(v, plain, &[0x80, 0, 0, 0], path, least);
    let v = versions.flexible;
    refused::<M>(v, flexible, &[], path, cut(1, 0));
    refused::<M>(v, flexible, &[0x80], path, cut(2, 1));
    refused::<M>(v, flexible, &[4, 1, 2], path, cut(3, 2));
    let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
    refused::<M>(v, flexible, &most, path, cut(0xffff_fffe, 0));
    refused::<M>(v, flexible, &[0xff; 5], path, Wrong::VarintTooLong);
    if null {
        refused::<M>(
            versions.plain,
            plain,
            &[0xff; 4],
            path,
            Wrong::UnexpectedNull,
        );
        refused::<M>(
            versions.flexible,
            flexible,
            &[0],
            path,
            Wrong::UnexpectedNull,
        );
    }
}

#[test]
fn bytes_and_compact_bytes() {
    let versions = Both {
        plain: 1,
        flexible: 2,
    };
    byte_fields::<SaslAuthenticateRequest>(versions, [&[], &[]], "auth_bytes", true);
}

#[test]
fn nullable_bytes() {
    // No topics. It exists in plain versions only.
    let wrong = |bytes: &[u8], why| {
        let valid = [0; 4];
        refused::<ConsumerProtocolSubscription>(0, &valid, bytes, "user_data", why);
    };
    wrong(&[0, 0, 0], cut(4, 3));
    wrong(&[0, 0, 0, 3, 1], cut(3, 1));
    wrong(&[0xff, 0xff, 0xff, 0xfe], Wrong::NegativeLength(-2));
}

#[test]
fn records() {
    // No transaction, acks and a timeout; a topic with no name; a partition's number.
    let plain = [
        &[0xff, 0xff, 0, 1, 0, 0, 0, 9][..],
        &[0, 0, 0, 1],
        &[0, 0],
        &[0, 0, 0, 1],
        &[0; 4],
    ];
    let flexible = [&[0, 0, 1, 0, 0, 0, 9][..], &[2], &[1], &[2], &[0; 4]];
    let (plain, flexible) = (plain.concat(), flexible.concat());
    let versions = Both {
        plain: 8,
        flexible: 9,
    };
    let path = "topic_data[0].partition_data[0].records";
    // What lies before is shorter than the smallest partition where all of the length is cut off.
    let count = Wrong::Count {
        count: 1,
        smallest: 5,
        left: 4,
    };
    let partitions = "topic_data[0].partition_data";
    refused::<ProduceRequest>(8, &plain, &[], partitions, count);
    refused::<ProduceRequest>(9, &flexible, &[], partitions, count);
    for left in 1..4 {
        refused::<ProduceRequest>(8, &plain, &vec![0; left], path, cut(4, left));
    }
    let wrong =
        |bytes: &[u8], why| refused::<ProduceRequest>(versions.plain, &plain, bytes, path, why);
    wrong(&[0x7f, 0xff, 0xff, 0xff], cut(0x7fff_ffff, 0));
    wrong(&[0, 0, 0, 3, 1, 2], cut(3, 2));
    wrong(&[0xff, 0xff, 0xff, 0xfe], Wrong::NegativeLength(-2));
    let wrong = |bytes: &[u8], why| {
        refused::<ProduceRequest>(versions.flexible, &flexible, bytes, path, why)
    };
    wrong(&[0x80], cut(2, 1));
    wrong(&[4, 1, 2], cut(3, 2));
    wrong(&[0xff; 5], Wrong::VarintTooLong);
}

/// An array of elements of at least `smallest` bytes, of which `valid` is what comes before.
fn arrays<M: Message>(versions: Both, valid: [&[u8]; 2], path: &str, smallest: usize, null: bool) {
    let [plain, flexible] = valid;
    let count = |count, left| Wrong::Count {
        count,
        smallest,
        left,
    };
    let v = versions.plain;
    refused_cut::<M>(v, plain, &[0; 4], path);
    refused::<M>(
        v,
        plain,
        &[0x7f, 0xff, 0xff, 0xff],
        path,
        count(0x7fff_ffff, 0),
    );
    refused::<M>(
        v,
        plain,
        &[0x7f, 0xff, 0xff, 0xff, 9, 9],
        path,
        count(0x7fff_ffff, 2),
    );
    refused::<M>(v, plain, &[0, 0, 0, 1], path, count(1, 0));
    refused::<M>(
        v,
        plain,
        &[0xff, 0xff, 0xff, 0xfe],
        path,
        Wrong::NegativeLength(-2),
    );
    let least = Wrong::NegativeLength(i32::MIN.into());
    refused::<M>(v, plain, &[0x80, 0, 0, 0], path, least);
    let v = versions.flexible;
    refused::<M>(v, flexible, &[], path, cut(1, 0));
    refused::<M>(v, flexible, &[0x80], path, cut(2, 1));
    refused::<M>(v, flexible, &[2], path, count(1, 0));
    let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
    refused::<M>(v, flexible, &most, path, count(0xffff_fffe, 0));
    refused::<M>(v, flexible, &[0xff; 5], path, Wrong::VarintTooLong);
    if null {
        refused::<M>(
            versions.plain,
            plain,
            &[0xff; 4],
            path,
            Wrong::UnexpectedNull,
        );
        refused::<M>(
            versions.flexible,
            flexible,
            &[0],
            path,
            Wrong::UnexpectedNull,
        );
    }
}

#[test]
fn arrays_of_strings_and_of_numbers() {
    let versions = Both {
        plain: 0,
        flexible: 5,
    };
    arrays::<DescribeGroupsRequest>(versions, [&[], &[]], "groups", 1, true);
    // An array of int32 in an array of structs: one topic, of the name "t".
    let versions = Both {
        plain: 1,
        flexible: 2,
    };
    let valid: [&[u8]; 2] = [&[0, 0, 0, 1, 0, 1, b't'], &[2, 2, b't']];
    let path = "topic_partitions[0].partitions";
    arrays::<ElectLeadersRequest>(
        versions,
        [&[&[0], valid[0]].concat(), &[&[0], valid[1]].concat()],
        path,
        4,
        true,
    );
}

#[test]
fn arrays_of_structs() {
    let versions = Both {
        plain: 0,
        flexible: 1,
    };
    arrays::<AlterClientQuotasRequest>(versions, [&[], &[]], "entries", 2, true);
    // The second of two elements is the one that is cut.
    let path = "entries[1].entity";
    refused::<AlterClientQuotasRequest>(
        0,
        &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0],
        path,
        cut(4, 3),
    );
    refused::<AlterClientQuotasRequest>(1, &[3, 1, 1, 0], &[0x80, 0x80], path, cut(3, 2));
}

#[test]
fn nullable_arrays() {
    let versions = Both {
        plain: 1,
        flexible: 9,
    };
    arrays::<MetadataRequest>(versions, [&[], &[]], "topics", 1, false);
    // Before the version that allows it, null is none.
    refused::<MetadataRequest>(0, &[], &[0xff; 4], "topics", Wrong::UnexpectedNull);
}

#[test]
fn structs() {
    // No topics, a limit; a cursor whose topic is "t".
    let valid = [1, 0, 0, 0, 9];
    let wrong = |bytes: &[u8], path: &str, why| {
        refused::<DescribeTopicPartitionsRequest>(0, &valid, bytes, path, why);
    };
    wrong(&[], "cursor", cut(1, 0));
    for presence in [0, 2, -2, i8::MIN, i8::MAX] {
        let byte = presence.to_be_bytes();
        wrong(&byte, "cursor", Wrong::NotAPresence(presence));
    }
    wrong(&[1, 0], "cursor.topic_name", Wrong::UnexpectedNull);
    wrong(&[1, 2, b't', 0, 0, 0], "cursor.partition_index", cut(4, 3));
    wrong(&[1, 2, b't', 0, 0, 0, 0], "cursor.tagged fields", cut(1, 0));
    wrong(&[0xff], "tagged fields", cut(1, 0));
}

#[test]
fn tagged_sections() {
    // No error, no APIs, no throttling: what follows is a section of tagged fields.
    let valid = [0, 0, 1, 0, 0, 0, 0];
    let wrong = |bytes: &[u8], path: &str, why| {
        refused::<ApiVersionsResponse>(3, &valid, bytes, path, why);
    };
    let section = "tagged fields";
    wrong(&[], section, cut(1, 0));
    wrong(&[0x80], section, cut(2, 1));
    wrong(&[0xff; 5], section, Wrong::VarintTooLong);
    wrong(&[0x81, 0x08], section, Wrong::TooManyTags(1025));
    let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
    wrong(&most, section, Wrong::TooManyTags(u32::MAX));
    // A tag or a size that is none, for known and unknown ones.
    wrong(&[1], section, cut(1, 0));
    wrong(
        &[1, 0xff, 0xff, 0xff, 0xff, 0xff],
        section,
        Wrong::VarintTooLong,
    );
    wrong(&[1, 9], section, cut(1, 0));
    wrong(
        &[1, 9, 0xff, 0xff, 0xff, 0xff, 0xff],
        section,
        Wrong::VarintTooLong,
    );
    wrong(&[1, 9, 3, 7], section, cut(3, 1));
    wrong(&[&[1, 9][..], &most].concat(), section, cut(0xffff_ffff, 0));
    // Twice, and backwards.
    let order = |tag, previous| Wrong::TagOrder { tag, previous };
    wrong(&[2, 9, 0, 9, 0], section, order(9, 9));
    wrong(&[2, 9, 0, 8, 0], section, order(8, 9));
}

#[test]
fn tagged_fields_of_each_type() {
    let valid = [0, 0, 1, 0, 0, 0, 0];
    let wrong = |bytes: &[u8], path: &str, why| {
        refused::<ApiVersionsResponse>(3, &valid, bytes, path, why);
    };
    let trailing = |left| Wrong::Trailing { left };
    // int64: one byte short, one byte long, and longer than the message.
    let epoch = "finalized_features_epoch";
    wrong(&[1, 1, 7, 0, 0, 0, 0, 0, 0, 0], epoch, cut(8, 7));
    wrong(&[1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], epoch, trailing(1));
    wrong(&[1, 1, 8, 0], epoch, cut(8, 1));
    // bool.
    wrong(&[1, 3, 0], "zk_migration_ready", cut(1, 0));
    wrong(&[1, 3, 2, 1, 0], "zk_migration_ready", trailing(1));
    // Array: the count is held against the field's bytes, not against those of the message.
    let count = Wrong::Count {
        count: 1,
        smallest: 5,
        left: 0,
    };
    let features = "supported_features";
    wrong(&[1, 0, 1, 2, 2, b'f', 0, 0, 0, 0, 0], features, count);
    wrong(&[1, 0, 1, 0], features, Wrong::UnexpectedNull);
    wrong(&[1, 0, 2, 1, 0], features, trailing(1));
    // A string and a number within its elements.
    let name = "supported_features[0].name";
    wrong(&[1, 0, 7, 2, 0, 0, 0, 0, 0, 0], name, Wrong::UnexpectedNull);
    wrong(&[1, 0, 7, 2, 2, 0xff, 0, 0, 0, 0], name, Wrong::NotUtf8);
    let max = "supported_features[0].max_version";
    wrong(&[1, 0, 6, 2, 2, b'f', 0, 0, 0], max, cut(2, 1));
    // Nullable string, and a struct.
    let request = |tags: &[u8], path: &str, why| {
        // Numbers, then no topics, none forgotten, and no rack.
        let valid = [&[0; 21][..], &[1, 1, 1]].concat();
        refused::<FetchRequest>(15, &valid, tags, path, why);
    };
    request(&[1, 0, 2, 3, b'a'], "cluster_id", cut(2, 1));
    request(&[1, 0, 2, 2, 0xff], "cluster_id", Wrong::NotUtf8);
    let state = "replica_state";
    request(
        &[1, 1, 3, 0, 0, 0],
        &format!("{state}.replica_id"),
        cut(4, 3),
    );
    request(
        &[1, 1, 4, 0, 0, 0, 0],
        &format!("{state}.replica_epoch"),
        cut(8, 0),
    );
}

#[test]
fn nothing_is_reserved_for_what_a_message_only_claims() {
    // As many elements as the bytes could hold, each of which would be many times as large in memory.
    let mut bytes = vec![0x81, 0x80, 0x04]; // 65,536
    bytes.resize(3 + 65_536, 0);
    let length = bytes.len();
    let (refused, usage) = measure(|| {
        let mut reader = Reader::new(bytes.into());
        DescribeGroupsResponse::decode(&mut reader, 5).expect_err("zeros are no groups")
    });
    assert!(usage.peak <= 8 * length + (16 << 10), "{usage:?} {refused}");
}
