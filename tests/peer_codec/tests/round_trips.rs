//! What Klamm writes, the crate kafka-protocol reads as the same message: both write the same bytes again.
//!
//! The messages are those of Kafka's own classes, and thousands of each that random changes of their bytes make, as far
//! as Klamm reads them: other lengths, nulls, numbers and names than Kafka's generator has thought of.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};
use klamm::wire::{Message, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

const RANDOM: &str = include_str!("../../golden/vectors.txt");
const VARIANTS: &str = include_str!("../../golden/variants.txt");

/// Changed copies made of each vector.
const CHANGED: usize = 200;

/// What became of bytes.
enum Outcome {
    /// Klamm does not read them.
    Refused,
    /// The other crate does not have the version.
    NotTheirs,
    /// Both agree.
    Same,
}

fn compare<O, T>(bytes: Bytes, version: i16) -> Outcome
where
    O: Message,
    T: TheirMessage + Encodable + Decodable,
{
    if !(T::VERSIONS.min..=T::VERSIONS.max).contains(&version) {
        return Outcome::NotTheirs;
    }
    let mut reader = Reader::new(bytes);
    let Ok(message) = O::decode(&mut reader, version) else {
        return Outcome::Refused;
    };
    let mut writer = Writer::new(BytesMut::new());
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("v{version}: {error}"));
    let ours = Bytes::from(writer.finish().to_vec());

    let name = O::NAME;
    let mut left = ours.clone();
    let read = T::decode(&mut left, version)
        .unwrap_or_else(|error| panic!("{name} v{version}: {error}\n{message:?}"));
    assert!(
        left.is_empty(),
        "{name} v{version}: {} bytes left over\n{message:?}",
        left.len()
    );
    let mut theirs = BytesMut::new();
    read.encode(&mut theirs, version)
        .unwrap_or_else(|error| panic!("{name} v{version}: {error}\n{message:?}"));
    assert_eq!(ours, theirs, "{name} v{version}\n{message:?}");
    Outcome::Same
}

/// How one message is compared, and in which versions: those that both crates have.
struct Pair {
    compare: fn(Bytes, i16) -> Outcome,
    versions: RangeInclusive<i16>,
}

fn pair<O, T>() -> Pair
where
    O: Message,
    T: TheirMessage + Encodable + Decodable,
{
    let (ours, theirs) = (O::VERSIONS, T::VERSIONS);
    Pair {
        compare: compare::<O, T>,
        versions: ours.min.max(theirs.min)..=ours.max.min(theirs.max),
    }
}

/// The comparison for every message's name.
fn comparisons() -> BTreeMap<&'static str, Pair> {
    let mut all = BTreeMap::new();
    macro_rules! pair {
        // The other crate does not know Kafka Streams.
        (STREAMS_GROUP_HEARTBEAT $($messages:ident)*) => {};
        (STREAMS_GROUP_DESCRIBE $($messages:ident)*) => {};
        ($key:ident $($message:ident)*) => {
            $(all.insert(stringify!($message), pair::<klamm::messages::$message, kafka_protocol::messages::$message>());)*
        };
    }
    macro_rules! fill {
        ($($key:ident $request:ident $response:ident,)*) => { $(pair!($key $request $response);)* };
    }
    klamm::for_each_api!(fill);
    pair! { EMBEDDED ConsumerProtocolSubscription ConsumerProtocolAssignment EndTxnMarker }
    all.insert(
        "RequestHeader",
        pair::<klamm::wire::header::RequestHeader, kafka_protocol::messages::RequestHeader>(),
    );
    all.insert(
        "ResponseHeader",
        pair::<klamm::wire::header::ResponseHeader, kafka_protocol::messages::ResponseHeader>(),
    );
    all
}

/// A small generator (xorshift): the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn changed(bytes: &[u8], random: &mut Random) -> Bytes {
    let mut changed = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(changed.len());
        match random.below(6) {
            0 => changed[at] = 0,
            1 => changed[at] = 0xff,
            2 => changed[at] = changed[at].wrapping_add(1),
            3 => changed[at] = changed[at].wrapping_sub(1),
            4 => changed.insert(at, 1 << random.below(8)),
            _ => changed[at] = random.below(256) as u8,
        }
    }
    changed.into()
}

#[test]
fn both_crates_write_the_same_bytes() {
    let comparisons = comparisons();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut same = BTreeMap::<&str, BTreeSet<i16>>::new();
    let mut read = 0_usize;
    let variants = VARIANTS
        .lines()
        .map(|line| line.split_once(' ').expect("a variant").1);
    for line in RANDOM.lines().chain(variants) {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {line}")
        };
        let Some(Pair { compare, .. }) = comparisons.get(name) else {
            let lacking = name == "ControlRecordTypeSchema" || name.starts_with("StreamsGroup");
            assert!(lacking, "no comparison for {name}");
            continue;
        };
        let version = version.parse().expect("a version");
        let bytes: Vec<u8> = if hex == "-" {
            Vec::new()
        } else {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
                .collect()
        };
        match compare(bytes.clone().into(), version) {
            Outcome::Same => drop(same.entry(name).or_default().insert(version)),
            Outcome::NotTheirs => continue,
            Outcome::Refused => panic!("{name} v{version}: Kafka's own message is refused"),
        }
        for _ in 0..if bytes.is_empty() { 0 } else { CHANGED } {
            match compare(changed(&bytes, &mut random), version) {
                Outcome::Same => read += 1,
                Outcome::Refused | Outcome::NotTheirs => {}
            }
        }
    }
    let wanted = comparisons
        .iter()
        .map(|(name, pair)| (*name, pair.versions.clone().collect()))
        .collect::<BTreeMap<&str, BTreeSet<i16>>>();
    assert_eq!(same, wanted, "every version that both crates have");
    // A good part of the changed ones can be read.
    println!("{read} changed messages");
    assert!(read > 100_000, "{read}");
}
