//! F5: what Klamm reads and writes, the crate kafka-protocol reads as the same message.
//!
//! The other crate reserves memory by the counts that it reads, so it is shown only what Klamm has written.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};
use klamm::wire::{Message, Reader, Writer};

fn compare<O, T>(bytes: Bytes, version: i16)
where
    O: Message,
    T: TheirMessage + Encodable + Decodable,
{
    if !(T::VERSIONS.min..=T::VERSIONS.max).contains(&version) {
        return;
    }
    let Ok(message) = O::decode(&mut Reader::new(bytes), version) else {
        return;
    };
    let mut writer = Writer::new(BytesMut::new());
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("v{version}: {error}"));
    let ours = Bytes::from(writer.finish().to_vec());
    let (name, mut left, mut theirs) = (O::NAME, ours.clone(), BytesMut::new());
    let read = T::decode(&mut left, version)
        .unwrap_or_else(|error| panic!("{name} v{version}: {error}\n{message:?}"));
    assert!(
        left.is_empty(),
        "{name} v{version}: {} bytes left over\n{message:?}",
        left.len()
    );
    read.encode(&mut theirs, version)
        .unwrap_or_else(|error| panic!("{name} v{version}: {error}\n{message:?}"));
    assert_eq!(ours, theirs, "{name} v{version}\n{message:?}");
}

type Comparison = fn(Bytes, i16);

/// By the API's number and whether it is the response.
static COMPARISONS: LazyLock<BTreeMap<(i16, bool), Comparison>> = LazyLock::new(|| {
    let mut all = BTreeMap::<_, Comparison>::new();
    macro_rules! pair {
        // The other crate does not know Kafka Streams.
        (STREAMS_GROUP_HEARTBEAT $($messages:ident)*) => {};
        (STREAMS_GROUP_DESCRIBE $($messages:ident)*) => {};
        ($key:ident $request:ident $response:ident) => {
            let key = klamm::ApiKey::$key.0;
            all.insert(
                (key, false),
                compare::<klamm::messages::$request, kafka_protocol::messages::$request>,
            );
            all.insert(
                (key, true),
                compare::<klamm::messages::$response, kafka_protocol::messages::$response>,
            );
        };
    }
    macro_rules! fill {
        ($($key:ident $request:ident $response:ident,)*) => { $(pair!($key $request $response);)* };
    }
    klamm::for_each_api!(fill);
    all
});

/// F5: a byte for the API, one for the version and for which of its two messages, then the message without header.
pub fn f5_peer_codec(data: &[u8]) {
    let [key, version, body @ ..] = data else {
        return;
    };
    if let Some(compare) = COMPARISONS.get(&(i16::from(*key), version & 0x80 != 0)) {
        compare(Bytes::copy_from_slice(body), i16::from(version & 0x7f));
    }
}
