//! Where each target starts: messages and batches that Kafka's own classes have written (`tests/golden`,
//! `tests/fixtures`), in the form in which the target takes them.

use std::sync::LazyLock;

use bytes::BytesMut;
use klamm::ErrorCode;
use klamm::config::{CommonConfig, ConsumerConfig, ProducerConfig};
use klamm::record::Codec;
use klamm::record::compression::Compressor;

use crate::messages::{SUBJECTS, Subject};

const RANDOM: &str = include_str!("../../golden/vectors.txt");
const VARIANTS: &str = include_str!("../../golden/variants.txt");
/// What a broker of Kafka 4.3.1 was asked and has answered, in each version that it advertises (`tests/live/tests/messages.rs`).
const CAPTURED: &str = include_str!("../../../fuzz/captured.txt");
const BATCHES: &str = include_str!("../../fixtures/batches.txt");

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    if text == "-" {
        return Vec::new();
    }
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Name, version and bytes of every message that Kafka's classes have written.
fn vectors() -> impl Iterator<Item = (&'static str, i16, Vec<u8>)> {
    let variants = VARIANTS
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1));
    RANDOM.lines().chain(variants).filter_map(|line| {
        let mut words = line.split(' ');
        let (name, version, bytes) = (words.next()?, words.next()?, words.next()?);
        Some((name, version.parse().ok()?, from_hex(bytes)))
    })
}

fn named(name: &str) -> Option<(&'static Subject, bool)> {
    SUBJECTS.iter().find_map(|subject| {
        let response = name == subject.response;
        (response || name == subject.request).then_some((subject, response))
    })
}

/// Where the bytes are choices: a few hundred inputs of any bytes, the same each time.
pub(crate) fn choices() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..300)
        .map(|number| (0..number).map(|_| byte()).collect())
        .collect()
}

/// Choices for engines: longer ones, in which more happens.
pub(crate) fn stories() -> Vec<Vec<u8>> {
    let choices = choices();
    let story = |at: usize| {
        choices[at..]
            .iter()
            .step_by(40)
            .flatten()
            .copied()
            .collect()
    };
    (0..40).map(story).collect()
}

/// API, version and frame of every message of a real broker, in one direction.
fn captured(direction: &str) -> impl Iterator<Item = (i16, i16, Vec<u8>)> {
    CAPTURED.lines().filter_map(move |line| {
        let mut words = line.strip_prefix(direction)?.trim_start().split(' ');
        let (key, version) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((key, version, from_hex(words.next()?)))
    })
}

/// Response frames behind API and version.
pub(crate) fn responses() -> Vec<Vec<u8>> {
    let seed = |(name, version, body): (&str, i16, Vec<u8>)| {
        let (subject, true) = named(name)? else {
            return None;
        };
        let mut seed = vec![subject.key.0 as u8, version as u8, 0, 0, 0, 7];
        if (subject.response_header)(version) == 1 {
            seed.push(0);
        }
        seed.extend(body);
        Some(seed)
    };
    let real = captured("response")
        .map(|(key, version, frame)| [&[key as u8, version as u8][..], &frame].concat());
    vectors().filter_map(seed).chain(real).collect()
}

/// Request frames.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let seed = |(name, version, body): (&str, i16, Vec<u8>)| {
        let (subject, false) = named(name)? else {
            return None;
        };
        let [k0, k1] = subject.key.0.to_be_bytes();
        let [v0, v1] = version.to_be_bytes();
        let mut seed = vec![k0, k1, v0, v1, 0, 0, 0, 7, 0, 1, b'k'];
        if (subject.request_header)(version) == 2 {
            seed.push(0);
        }
        seed.extend(body);
        Some(seed)
    };
    let real = captured("request").map(|(_, _, frame)| frame);
    vectors().filter_map(seed).chain(real).collect()
}

/// Messages without headers, behind API, version and direction.
#[cfg(feature = "peers")]
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let seed = |(name, version, body): (&str, i16, Vec<u8>)| {
        let (subject, response) = named(name)?;
        let version = version as u8 | if response { 0x80 } else { 0 };
        Some([&[subject.key.0 as u8, version][..], &body].concat())
    };
    vectors().filter_map(seed).collect()
}

/// Messages behind their own version.
pub(crate) fn blobs() -> Vec<Vec<u8>> {
    let seed = |(name, version, body): (&str, i16, Vec<u8>)| {
        let which = match name {
            "ConsumerProtocolSubscription" => 0,
            "ConsumerProtocolAssignment" => 1,
            "EndTxnMarker" => 2,
            "ControlRecordTypeSchema" => 3,
            _ => return None,
        };
        Some([&[which], &version.to_be_bytes()[..], &body].concat())
    };
    let group = |blob: &Vec<u8>| {
        let subscription = blob.strip_prefix(&[0])?;
        Some([&[4, 128], subscription, subscription].concat())
    };
    let mut blobs: Vec<Vec<u8>> = vectors().filter_map(seed).collect();
    blobs.extend(blobs.iter().filter_map(group).collect::<Vec<_>>());
    blobs
}

/// Two frames and what is no frame.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let stream = [&[0, 0, 0, 5][..], b"hello", &[0, 0, 0, 4, 1, 2, 3, 4]].concat();
    [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        &[0x15, 3, 3, 0, 2, 2, 40],
        &[0xff; 8],
        &[],
    ]
    .iter()
    .map(|end| [&[0, 4, 0, 0, 4, 0, 2, 3, 1][..], &stream, end].concat())
    .collect()
}

fn java_batches() -> impl Iterator<Item = Vec<u8>> {
    // A batch is the line after its name.
    BATCHES
        .split("= ")
        .filter_map(|part| Some(from_hex(part.lines().nth(1)?)))
}

/// A few small batches of Java's, of all codecs.
pub(crate) fn plain_batches() -> &'static [Vec<u8>] {
    static BATCHES: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| java_batches().filter(|batch| batch.len() < 300).collect());
    &BATCHES
}

/// Batches of Java's, and choices for batches of our own.
pub(crate) fn batches() -> Vec<Vec<u8>> {
    let small = java_batches().filter(|batch| batch.len() < 4096);
    small
        .flat_map(|batch| {
            (0..4)
                .step_by(3)
                .map(move |mode| [&[mode], &batch[..]].concat())
        })
        .collect()
}

/// What each codec writes, and what Java's have written.
pub(crate) fn compressed() -> Vec<Vec<u8>> {
    let text = b"Someone must have slandered Josef K., for one morning, without having done anything wrong, ".repeat(3);
    let mut seeds = Vec::new();
    for (at, codec) in Codec::ALL[1..].iter().enumerate() {
        let at = at as u8;
        for input in [&b""[..], b"K.", &text, &[0; 2000]] {
            let mut output = BytesMut::new();
            Compressor::new()
                .compress(*codec, None, input, &mut output)
                .expect("anything can be compressed");
            seeds.push([&[at, 0, 16, 0], &output[..]].concat());
            seeds.push([&[at | 0x80, 0, 16, 0], input].concat());
        }
    }
    let java =
        java_batches().filter(|batch| (62..4096).contains(&batch.len()) && batch[22] & 7 != 0);
    seeds.extend(java.map(|batch| [&[(batch[22] & 7) - 1, 1, 0, 0], &batch[61..]].concat()));
    seeds
}

/// Every setting at its default, one by one and all together, and servers.
pub(crate) fn configurations() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for settings in [ProducerConfig::settings(), ConsumerConfig::settings()] {
        let mut all = String::from("# all\nbootstrap.servers=a:9092,[::1]:1\n");
        for setting in settings
            .iter()
            .filter(|setting| !setting.default.is_empty())
        {
            let line = format!("{}={}\n", setting.name, setting.default);
            seeds.push(format!("bootstrap.servers=a:1\n{line}").into_bytes());
            all += &line;
        }
        seeds.push(all.into_bytes());
    }
    let servers = CommonConfig::bootstrap("a:1").map(|config| config.bootstrap_servers);
    seeds.extend(
        servers
            .iter()
            .flatten()
            .map(|server| server.to_string().into_bytes()),
    );
    for servers in [
        "[fe80::1%eth0]:9092, b:65535,",
        "PLAINTEXT://c:9092",
        "ü:0",
        ":1",
        "a:+1",
    ] {
        seeds.push(servers.into());
    }
    seeds
}

/// All known codes in one, and their neighbours.
pub(crate) fn error_codes() -> Vec<Vec<u8>> {
    let all = |by: i16| {
        ErrorCode::KNOWN
            .iter()
            .flat_map(|code| code.0.wrapping_add(by).to_be_bytes())
            .collect()
    };
    vec![all(0), all(1), all(-1), all(1000)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What a broker advertises is what its own answer says; it was never asked to forget a node.
    #[test]
    fn a_real_message_is_there_for_each_api_and_version_that_the_broker_advertises() {
        use klamm::messages::{ApiVersionsRequest, UnregisterBrokerRequest};
        use klamm::wire::Request;
        let (_, version, frame) = captured("response")
            .filter(|(key, ..)| *key == ApiVersionsRequest::KEY.0)
            .last()
            .expect("every broker answers it");
        let (_, answer) =
            klamm::wire::header::decode_response::<ApiVersionsRequest>(frame.into(), version)
                .expect("a real answer");
        let there: BTreeSet<(i16, i16)> = captured("response")
            .map(|(key, version, _)| (key, version))
            .collect();
        let mut missing = Vec::new();
        for api in &answer.api_keys {
            let Some(subject) = SUBJECTS.iter().find(|subject| subject.key.0 == api.api_key) else {
                continue;
            };
            let versions = subject.versions.min.max(api.min_version)
                ..=subject.versions.max.min(api.max_version);
            missing.extend(
                versions
                    .map(|version| (api.api_key, version))
                    .filter(|asked| !there.contains(asked)),
            );
        }
        // Version 4 and later of 24 is what brokers say to each other, and an empty one is never answered.
        missing.retain(|(key, version)| {
            *key != UnregisterBrokerRequest::KEY.0 && !(*key == 24 && *version >= 4)
        });
        assert!(missing.is_empty(), "{missing:?}");
        assert!(there.len() > 150, "{}", there.len());
    }
}
