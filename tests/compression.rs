//! The codecs: what is compressed comes back, within its limit and never beyond, and what is damaged is an error.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    any(feature = "zstd", feature = "zstd-c")
))]

use bytes::BytesMut;
use klamm::record::Codec;
use klamm::record::compression::{
    CompressError, Compressor, DecompressBuffer, DecompressError, Decompressor, default_level,
    is_level, levels,
};

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A generator of numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn compressed(codec: Codec, level: Option<i32>, input: &[u8]) -> Vec<u8> {
    let mut output = BytesMut::new();
    Compressor::new()
        .compress(codec, level, input, &mut output)
        .expect("every input can be compressed");
    output.to_vec()
}

fn decompressed(codec: Codec, input: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut output = DecompressBuffer::new();
    Decompressor::new().decompress(codec, input, &mut output, limit)?;
    assert!(output.as_slice().len() <= limit);
    Ok(output.as_slice().to_vec())
}

/// Inputs of every kind that matters: empty, short, over each block size, incompressible, monotonous, like text.
fn inputs() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut inputs: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"K".to_vec(),
        b"It was late evening when K. arrived.".to_vec(),
    ];
    for length in [
        1000,
        32 * 1024,
        32 * 1024 + 1,
        64 * 1024,
        64 * 1024 + 1,
        300_000,
    ] {
        inputs.push((0..length).map(|_| numbers.below(256) as u8).collect());
        inputs.push(vec![b'x'; length]);
        let mut text = Vec::new();
        while text.len() < length {
            text.extend(
                format!(
                    "{{\"user\":{},\"page\":\"/item/{}\"}}",
                    numbers.below(90),
                    numbers.below(5000)
                )
                .bytes(),
            );
        }
        text.truncate(length);
        inputs.push(text);
    }
    inputs
}

#[test]
fn what_is_compressed_comes_back_with_reused_contexts_and_buffers() {
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    let (mut packed, mut buffer) = (BytesMut::new(), DecompressBuffer::new());
    for input in inputs() {
        for codec in CODECS.into_iter().chain([Codec::None]) {
            packed.clear();
            packed.extend_from_slice(b"what was there stays");
            compressor
                .compress(codec, None, &input, &mut packed)
                .unwrap();
            let packed = packed.strip_prefix(b"what was there stays").unwrap();
            decompressor
                .decompress(codec, packed, &mut buffer, input.len())
                .unwrap();
            assert!(buffer.as_slice() == input, "{codec}, {} bytes", input.len());
        }
    }
}

#[test]
fn the_limit_is_kept_to_the_byte() {
    for input in inputs().into_iter().filter(|input| !input.is_empty()) {
        for codec in CODECS.into_iter().chain([Codec::None]) {
            let packed = compressed(codec, None, &input);
            for limit in [0, 1, input.len() / 2, input.len() - 1] {
                match decompressed(codec, &packed, limit) {
                    Err(DecompressError::Exhausted { needed }) => {
                        assert!(
                            limit < needed && needed <= input.len(),
                            "{codec}: {needed} of {}",
                            input.len()
                        );
                    }
                    other => assert!(limit >= input.len(), "{codec}, limit {limit}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_bomb_stops_at_its_limit() {
    for codec in CODECS {
        let bomb = compressed(codec, None, &vec![0; 8 << 20]);
        let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
        let refused = decompressor.decompress(codec, &bomb, &mut buffer, 100_000);
        assert!(
            matches!(refused, Err(DecompressError::Exhausted { .. })),
            "{codec}: {refused:?}"
        );
        assert!(
            buffer.capacity() <= 100_000,
            "{codec}: {}",
            buffer.capacity()
        );
    }
}

#[test]
fn a_buffer_frees_what_a_large_batch_took() {
    let mut buffer = DecompressBuffer::new();
    let packed = compressed(Codec::Lz4, None, &[0; 500_000]);
    Decompressor::new()
        .decompress(Codec::Lz4, &packed, &mut buffer, 1 << 20)
        .unwrap();
    assert!(buffer.capacity() >= 500_000);
    buffer.shrink_to(1000);
    assert!(buffer.capacity() < 2000 && buffer.as_slice().is_empty());
}

#[test]
fn bytes_cut_off_or_damaged_are_errors_or_other_bytes_without_a_panic() {
    let text = inputs()
        .into_iter()
        .find(|input| input.len() == 1000 && input[0] == b'{')
        .unwrap();
    for codec in CODECS {
        let packed = compressed(codec, None, &text);
        for cut in 0..packed.len() {
            let whole_blocks = codec == Codec::Snappy && (cut == 16 || packed.len() == cut);
            let result = decompressed(codec, &packed[..cut], 1 << 16);
            assert!(
                whole_blocks || result.is_err(),
                "{codec} cut at {cut}: {result:?}"
            );
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                let _ = decompressed(codec, &damaged, 1 << 16);
            }
        }
    }
}

#[test]
fn random_bytes_behind_a_codecs_magic_do_not_panic() {
    let mut numbers = Numbers(42);
    for codec in CODECS {
        let head = compressed(codec, None, b"K");
        for _ in 0..20_000 {
            let mut bytes = head[..numbers.below(head.len()) + 1].to_vec();
            bytes.extend((0..numbers.below(60)).map(|_| numbers.below(256) as u8));
            let _ = decompressed(codec, &bytes, 1 << 16);
        }
    }
}

#[test]
fn levels_are_kafkas_and_others_are_refused() {
    for codec in CODECS {
        let Some(range) = levels(codec) else {
            assert_eq!((codec, default_level(codec)), (Codec::Snappy, None));
            continue;
        };
        let default = default_level(codec).unwrap();
        for level in [default, *range.start(), 1, *range.end()] {
            assert!(is_level(codec, level));
            let packed = compressed(codec, Some(level), b"around and around and around");
            assert_eq!(
                decompressed(codec, &packed, 100).unwrap(),
                b"around and around and around"
            );
        }
        for level in [*range.start() - 1, *range.end() + 1] {
            assert!(!is_level(codec, level));
            let refused = Compressor::new().compress(codec, Some(level), b"", &mut BytesMut::new());
            assert_eq!(
                refused,
                Err(CompressError::InvalidLevel {
                    codec,
                    level,
                    levels: range.clone()
                })
            );
        }
    }
}

#[test]
fn gzip_of_several_members_and_with_every_optional_field_is_read() {
    let member = compressed(Codec::Gzip, None, b"the castle");
    let mut adorned = vec![
        0x1f,
        0x8b,
        8,
        0b0001_1110,
        1,
        2,
        3,
        4,
        0,
        3,
        2,
        0,
        b'e',
        b'x',
    ];
    adorned.extend(b"name\0comment\0hc");
    adorned.extend(&member[10..]);
    let both = [member.clone(), adorned].concat();
    assert_eq!(
        decompressed(Codec::Gzip, &both, 100).unwrap(),
        b"the castlethe castle"
    );
    let mut wrong = member;
    let crc = wrong.len() - 8;
    wrong[crc] ^= 1;
    assert!(matches!(
        decompressed(Codec::Gzip, &wrong, 100),
        Err(DecompressError::Corrupt { .. })
    ));
}

#[test]
fn snappy_is_framed_as_java_does_and_bare_blocks_are_read_too() {
    let packed = compressed(Codec::Snappy, None, &[7; 40_000]);
    assert_eq!(packed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let first = u32::from_be_bytes([packed[16], packed[17], packed[18], packed[19]]) as usize;
    assert_eq!(
        decompressed(Codec::Snappy, &packed[20..20 + first], 1 << 20).unwrap(),
        [7; 32 * 1024]
    );
    let joined = [packed.clone(), packed].concat();
    assert_eq!(
        decompressed(Codec::Snappy, &joined, 1 << 20).unwrap(),
        [7; 80_000]
    );
}

#[test]
fn lz4_is_framed_as_java_does_and_blocks_that_depend_are_refused() {
    let packed = compressed(Codec::Lz4, None, b"the castle hill was hidden");
    assert_eq!(packed[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
    assert_eq!(packed[packed.len() - 4..], [0; 4]);
    let mut dependent = packed.clone();
    dependent[4] = 0x40;
    assert_eq!(
        decompressed(Codec::Lz4, &dependent, 100),
        Err(DecompressError::Corrupt {
            codec: Codec::Lz4,
            reason: "its blocks depend on each other, which Kafka does not allow"
        })
    );
    let mut wrong = packed;
    wrong[6] ^= 1;
    assert!(decompressed(Codec::Lz4, &wrong, 100).is_err());
}

#[test]
fn zstd_windows_dictionaries_and_formats_from_before_the_standard_are_refused() {
    let refused = |frame: &[u8]| match decompressed(Codec::Zstd, frame, 1 << 20) {
        Err(DecompressError::Corrupt {
            codec: Codec::Zstd,
            reason,
        }) => reason,
        other => panic!("{other:?}"),
    };
    // No content size; windows of 8 MiB and of 9.
    let empty = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0];
    assert_eq!(
        decompressed(Codec::Zstd, &empty(13 << 3), 1 << 20).unwrap(),
        []
    );
    assert_eq!(refused(&empty(13 << 3 | 1)), "a window over 8 MiB");
    assert_eq!(
        refused(&[0x28, 0xb5, 0x2f, 0xfd, 1, 0x58, 7, 1, 0, 0]),
        "it needs a dictionary"
    );
    assert_eq!(
        refused(&[0x27, 0xb5, 0x2f, 0xfd, 0, 0x58, 1, 0, 0]),
        "no zstd frame of the standard's format"
    );
}

#[test]
fn zstd_of_several_frames_and_frames_to_skip_is_read() {
    let frame = compressed(Codec::Zstd, None, b"the castle");
    let skip = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    let all = [&skip[..], &frame, &skip, &frame, &frame].concat();
    assert_eq!(
        decompressed(Codec::Zstd, &all, 30).unwrap(),
        b"the castlethe castlethe castle"
    );
    assert!(matches!(
        decompressed(Codec::Zstd, &all, 29),
        Err(DecompressError::Exhausted { needed: 30 })
    ));
}
