//! F7: the four codecs on hostile bytes, held against second implementations.

use bytes::BytesMut;
use klamm::record::Codec;
use klamm::record::compression::{Compressor, DecompressBuffer, DecompressError, Decompressor};

use crate::Choices;
use crate::memory::measure;
use crate::naive;

/// Memory besides the output, whatever the input: gzip's state; zstd's tables and one of its blocks, whose up to 98,047
/// sequences are decoded before they are carried out.
const fn working_memory(codec: Codec) -> usize {
    match codec {
        Codec::None | Codec::Snappy | Codec::Lz4 => 4 << 10,
        Codec::Gzip => 64 << 10,
        Codec::Zstd => 2 << 20,
    }
}

/// F7: a byte for the codec and what to do, three for the limit, then the input.
pub fn f7_codecs(data: &[u8]) {
    let mut choices = Choices::new(data);
    let what = choices.byte();
    let codec = Codec::ALL[1 + usize::from(what % 4)];
    let limit = (choices.number(3) as usize) % (1 << 18);
    let input = choices.rest();
    if what & 0x80 == 0 {
        decompress(codec, input, limit);
    } else {
        round_trip(codec, input);
    }
}

fn decompress(codec: Codec, input: &[u8], limit: usize) {
    let mut output = DecompressBuffer::new();
    let (result, usage) =
        measure(|| Decompressor::new().decompress(codec, input, &mut output, limit));
    assert!(output.capacity() <= limit, "{codec}");
    // ruzstd keeps a window beside the output: as much again, and grows it by doubling.
    let outputs = if codec == Codec::Zstd { 4 } else { 2 };
    let most = outputs * limit + 8 * input.len() + working_memory(codec);
    assert!(
        usage.peak <= most,
        "{codec}, limit {limit}, input {}: {usage:?}",
        input.len()
    );
    let second = |limit| match codec {
        Codec::None => Some(input.to_vec()),
        Codec::Gzip => naive::gunzip(input, limit),
        Codec::Snappy => naive::unsnappy(input, limit),
        Codec::Lz4 => naive::unlz4(input, limit),
        Codec::Zstd => zstd(input, limit, &output),
    };
    match result {
        Ok(()) => assert_eq!(second(limit).as_deref(), Some(output.as_slice()), "{codec}"),
        Err(DecompressError::Exhausted { needed }) => {
            assert!(needed > limit, "{codec}: {needed} of {limit}");
            assert!(codec == Codec::Zstd || second(limit).is_none(), "{codec}");
        }
        Err(DecompressError::Corrupt {
            codec: said,
            reason,
        }) => {
            assert_eq!(said, codec);
            assert!(!reason.is_empty());
        }
        Err(error) => panic!("{codec}: {error}"),
    }
}

#[cfg(feature = "peers")]
fn zstd(input: &[u8], limit: usize, _: &DecompressBuffer) -> Option<Vec<u8>> {
    naive::unzstd(input, limit)
}

/// Without the C library there is nothing to compare with.
#[cfg(not(feature = "peers"))]
fn zstd(_: &[u8], _: usize, output: &DecompressBuffer) -> Option<Vec<u8>> {
    Some(output.as_slice().to_vec())
}

fn round_trip(codec: Codec, input: &[u8]) {
    let mut compressed = BytesMut::new();
    let done = Compressor::new().compress(codec, None, input, &mut compressed);
    assert_eq!(done, Ok(()), "{codec}");
    let mut output = DecompressBuffer::new();
    let mut decompressor = Decompressor::new();
    let done = decompressor.decompress(codec, &compressed, &mut output, input.len());
    assert_eq!(done, Ok(()), "{codec}");
    assert!(output.as_slice() == input, "{codec}");
    if let Some(less) = input.len().checked_sub(1) {
        let done = decompressor.decompress(codec, &compressed, &mut output, less);
        assert!(
            matches!(done, Err(DecompressError::Exhausted { needed }) if needed > less),
            "{codec}: {done:?}"
        );
    }
    decompress(codec, &compressed, input.len());
}
