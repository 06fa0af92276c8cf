//! Messages that Kafka's own classes have written (`golden/Golden.java`), in every version: each is read, and written
//! again to the same bytes.

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::wire::header::{RequestHeader, ResponseHeader};
use klamm::wire::{ApiKey, Message, Reader, Request, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Random values in every field that the version has: `Name version hex`.
const RANDOM: &str = include_str!("golden/vectors.txt");
/// All defaults, one element in every array, nulls, unknown tagged fields: `variant Name version hex`.
const VARIANTS: &str = include_str!("golden/variants.txt");

/// Bytes of one message of Kafka's.
struct Vector {
    name: &'static str,
    version: i16,
    bytes: Bytes,
}

impl Vector {
    fn parse(line: &'static str) -> Self {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {line}")
        };
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        let bytes = if hex == "-" {
            Bytes::new()
        } else {
            (0..hex.len()).step_by(2).map(byte).collect()
        };
        Self {
            name,
            version: version.parse().expect("a version"),
            bytes,
        }
    }
}

/// The vectors of one variant.
fn variant(which: &str) -> impl Iterator<Item = Vector> {
    VARIANTS
        .lines()
        .filter_map(move |line| Some(Vector::parse(line.strip_prefix(which)?.strip_prefix(' ')?)))
}

fn decode<M: Message>(bytes: &Bytes, version: i16) -> M {
    let mut reader = Reader::new(bytes.clone());
    let message =
        M::decode(&mut reader, version).unwrap_or_else(|error| panic!("v{version}: {error}"));
    reader
        .finish()
        .unwrap_or_else(|error| panic!("{} v{version}: {error}", M::NAME));
    message
}

fn encode<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new(BytesMut::new());
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("v{version}: {error}"));
    writer.finish().to_vec()
}

/// What the tests do with a message of a type that a line names.
struct Codec {
    /// Reads the message and writes it again.
    through: fn(&Bytes, i16) -> Vec<u8>,
    /// Writes the message that has defaults only.
    default: fn(i16) -> Vec<u8>,
    /// Whether the bytes read as the message that has defaults only.
    is_default: fn(&Bytes, i16) -> bool,
    /// Whether both read as the same message.
    same: fn(&Bytes, &Bytes, i16) -> bool,
}

impl Codec {
    fn of<M: Message>() -> Self {
        Self {
            through: |bytes, version| encode(&decode::<M>(bytes, version), version),
            default: |version| encode(&M::default(), version),
            is_default: |bytes, version| decode::<M>(bytes, version) == M::default(),
            same: |a, b, version| decode::<M>(a, version) == decode::<M>(b, version),
        }
    }

    fn named(name: &str) -> Self {
        macro_rules! find {
            ($($key:ident $request:ident $response:ident,)*) => {
                match name {
                    $(stringify!($request) => Self::of::<$request>(), stringify!($response) => Self::of::<$response>(),)*
                    "RequestHeader" => Self::of::<RequestHeader>(),
                    "ResponseHeader" => Self::of::<ResponseHeader>(),
                    "ConsumerProtocolSubscription" => Self::of::<ConsumerProtocolSubscription>(),
                    "ConsumerProtocolAssignment" => Self::of::<ConsumerProtocolAssignment>(),
                    "EndTxnMarker" => Self::of::<EndTxnMarker>(),
                    "ControlRecordTypeSchema" => Self::of::<ControlRecordTypeSchema>(),
                    _ => panic!("no message {name}"),
                }
            };
        }
        klamm::for_each_api!(find)
    }
}

/// Reads each and writes it again to the same bytes; gives which there were.
fn all_through(vectors: impl Iterator<Item = Vector>) -> BTreeMap<&'static str, BTreeSet<i16>> {
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for Vector {
        name,
        version,
        bytes,
    } in vectors
    {
        assert_eq!(
            hex(&(Codec::named(name).through)(&bytes, version)),
            hex(&bytes),
            "{name} v{version}"
        );
        seen.entry(name).or_default().insert(version);
    }
    seen
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asserts that there were all versions of all APIs, and nothing else.
fn assert_complete(mut seen: BTreeMap<&'static str, BTreeSet<i16>>) {
    macro_rules! expect {
        ($($key:ident $request:ident $response:ident,)*) => { $(
            assert_eq!(seen.remove(stringify!($request)), Some($request::VERSIONS.iter().collect()));
            assert_eq!(seen.remove(stringify!($response)), Some($response::VERSIONS.iter().collect()));
        )* };
    }
    klamm::for_each_api!(expect);
    assert!(seen.is_empty(), "vectors of no API: {:?}", seen.keys());
}

/// Takes out what is no API, and asserts that all its versions were there.
fn assert_others(seen: &mut BTreeMap<&'static str, BTreeSet<i16>>) {
    for (name, versions) in [
        ("RequestHeader", RequestHeader::VERSIONS),
        ("ResponseHeader", ResponseHeader::VERSIONS),
        (
            "ConsumerProtocolSubscription",
            ConsumerProtocolSubscription::VERSIONS,
        ),
        (
            "ConsumerProtocolAssignment",
            ConsumerProtocolAssignment::VERSIONS,
        ),
        ("EndTxnMarker", EndTxnMarker::VERSIONS),
        ("ControlRecordTypeSchema", ControlRecordTypeSchema::VERSIONS),
    ] {
        assert_eq!(seen.remove(name), Some(versions.iter().collect()), "{name}");
    }
}

#[test]
fn random_values_in_every_field() {
    assert_complete(all_through(RANDOM.lines().map(Vector::parse)));
    let mut others = all_through(variant("random"));
    assert_others(&mut others);
    assert!(others.is_empty());
}

#[test]
fn defaults_are_those_of_kafka() {
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for Vector {
        name,
        version,
        bytes,
    } in variant("default")
    {
        let codec = Codec::named(name);
        assert_eq!(
            hex(&(codec.default)(version)),
            hex(&bytes),
            "{name} v{version}"
        );
        assert!((codec.is_default)(&bytes, version), "{name} v{version}");
        seen.entry(name).or_default().insert(version);
    }
    assert_others(&mut seen);
    assert_complete(seen);
}

#[test]
fn one_element_in_every_array() {
    let mut seen = all_through(variant("filled"));
    assert_others(&mut seen);
    assert_complete(seen);
}

#[test]
fn nulls_wherever_a_version_allows_them() {
    let nulls: usize = all_through(variant("nulls"))
        .values()
        .map(BTreeSet::len)
        .sum();
    let arrays: usize = all_through(variant("null-arrays"))
        .values()
        .map(BTreeSet::len)
        .sum();
    assert_eq!((nulls, arrays), (136, 74));
}

#[test]
fn unknown_tagged_fields_are_skipped_in_every_struct() {
    let filled: BTreeMap<_, _> = variant("filled")
        .map(
            |Vector {
                 name,
                 version,
                 bytes,
             }| ((name, version), bytes),
        )
        .collect();
    let mut count = 0;
    for Vector {
        name,
        version,
        bytes,
    } in variant("tagged")
    {
        let without = &filled[&(name, version)];
        assert!(bytes.len() > without.len(), "{name} v{version}");
        assert!(
            (Codec::named(name).same)(&bytes, without, version),
            "{name} v{version}"
        );
        count += 1;
    }
    assert_eq!(count, 294);
}

#[test]
fn an_api_is_called_what_its_messages_are_called() {
    macro_rules! check {
        ($($key:ident $request:ident $response:ident,)*) => { $(
            let name = ApiKey::$key.name().expect("it is in the table");
            assert_eq!(format!("{name}Request"), stringify!($request));
            assert_eq!(format!("{name}Response"), stringify!($response));
            assert_eq!(ApiKey::$key, $request::KEY);
        )* };
    }
    klamm::for_each_api!(check);
}
