//! Nanoseconds a record, in memory, on one core: reading and writing batches, and each codec.
//!
//! ```text
//! cargo run --release -p klamm-benches --bin micro                       # zstd in Rust
//! cargo run --release -p klamm-benches --bin micro --features zstd-c     # zstd in C
//! ```
//!
//! The data: 64 batches of 148 records with JSON-like values of 100 bytes, about 1 MiB, as a fetch brings it. Cases
//! take turns for nine rounds, so that whatever else the machine does hits all of them alike; median and best are
//! printed.

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use klamm::record::compression::{Compressor, DecompressBuffer, Decompressor, is_compiled};
use klamm::record::{BatchBuilder, BatchProducer, Batches, Codec, RecordRef};

const BATCHES: usize = 64;
const RECORDS_A_BATCH: usize = 148;
const RECORDS: usize = BATCHES * RECORDS_A_BATCH;
const VALUE: usize = 100;
const ROUNDS: usize = 9;
const BATCH_LIMIT: usize = 32 * 1024;

struct Case {
    name: String,
    run: Box<dyn FnMut() -> u64>,
}

/// JSON-like values of which lz4 makes about half.
fn values() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..RECORDS)
        .map(|index| {
            let mut text = String::new();
            while text.len() < VALUE {
                let random = next();
                text.push_str(&format!(
                    r#"{{"id":"{random:016x}","seq":{index},"user":"user-{:05}","event":"click","page":"/item/{}"}}"#,
                    random % 100_000,
                    (random >> 40) % 10_000
                ));
            }
            text.truncate(VALUE);
            text.into_bytes()
        })
        .collect()
}

fn timestamp(index: usize) -> i64 {
    1_700_000_000_000 + index as i64 / 16
}

fn build(buffer: BytesMut, values: &[Vec<u8>]) -> Bytes {
    let mut builder = BatchBuilder::new(buffer, BATCH_LIMIT);
    for (index, value) in values.iter().enumerate() {
        builder
            .try_append(&RecordRef::new(timestamp(index), None, Some(value)))
            .expect("there is room");
    }
    let producer = BatchProducer::Idempotent {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
    };
    builder.finish().expect("there are records").seal(producer)
}

/// Every field of every record read, so that nothing of it can be left out.
fn walk(fetched: &[u8], crc: bool) -> u64 {
    let (mut records, mut sum) = (0u64, 0i64);
    for batch in Batches::new(fetched) {
        let batch = batch.expect("complete");
        if crc {
            batch.check_crc().expect("not damaged");
        }
        for record in batch.records().expect("not compressed") {
            let record = record.expect("sound");
            let last = record
                .value
                .and_then(|value| value.last())
                .copied()
                .unwrap_or(0);
            sum = sum
                .wrapping_add(record.offset ^ record.timestamp)
                .wrapping_add(i64::from(last));
            records += 1;
        }
    }
    black_box(sum);
    records
}

fn case(name: impl Into<String>, run: impl FnMut() -> u64 + 'static) -> Case {
    Case {
        name: name.into(),
        run: Box::new(run),
    }
}

fn cases() -> Vec<Case> {
    let values = values();
    let fetched: Vec<u8> = values
        .chunks(RECORDS_A_BATCH)
        .flat_map(|values| build(BytesMut::new(), values))
        .collect();
    let areas: Vec<Vec<u8>> = Batches::new(&fetched)
        .map(|batch| batch.expect("complete").records_area().to_vec())
        .collect();
    let (with, without, owned) = (fetched.clone(), fetched.clone(), fetched);
    let mut cases = vec![
        case("decode: borrowed, with the checksum", move || {
            walk(black_box(&with), true)
        }),
        case("decode: borrowed, without the checksum", move || {
            walk(black_box(&without), false)
        }),
        case("decode: an owned record each", move || {
            own(black_box(&owned))
        }),
        encode_case(values),
    ];
    for codec in Codec::ALL {
        if codec != Codec::None && is_compiled(codec) {
            cases.extend(codec_cases(codec, &areas));
        }
    }
    cases
}

fn own(fetched: &[u8]) -> u64 {
    let mut records = 0;
    for batch in Batches::new(fetched) {
        let batch = batch.expect("complete");
        batch.check_crc().expect("not damaged");
        for record in batch.records().expect("not compressed") {
            black_box(record.expect("sound").to_record());
            records += 1;
        }
    }
    records
}

fn encode_case(values: Vec<Vec<u8>>) -> Case {
    let mut buffers: Vec<BytesMut> = (0..BATCHES)
        .map(|_| BytesMut::with_capacity(BATCH_LIMIT))
        .collect();
    case("encode: into pooled buffers, sealed", move || {
        for values in black_box(&values).chunks(RECORDS_A_BATCH) {
            let buffer = buffers.pop().expect("the pool is large enough");
            let sealed = black_box(build(buffer, values));
            buffers.push(sealed.try_into_mut().expect("nobody else holds it"));
        }
        RECORDS as u64
    })
}

/// Compressing and decompressing the records areas, without the batches around them.
fn codec_cases(codec: Codec, areas: &[Vec<u8>]) -> [Case; 2] {
    let mut compressor = Compressor::new();
    let compressed: Vec<BytesMut> = areas
        .iter()
        .map(|area| {
            let mut output = BytesMut::new();
            compressor
                .compress(codec, None, area, &mut output)
                .expect("a default level");
            output
        })
        .collect();
    let plain: usize = areas.iter().map(Vec::len).sum();
    let ratio = plain as f64 / compressed.iter().map(BytesMut::len).sum::<usize>() as f64;
    let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
    let decompress = move || {
        for input in black_box(&compressed) {
            decompressor
                .decompress(codec, input, &mut buffer, BATCH_LIMIT)
                .expect("sound");
            black_box(buffer.as_slice());
        }
        RECORDS as u64
    };
    let (areas, mut output) = (areas.to_vec(), BytesMut::with_capacity(BATCH_LIMIT));
    let compress = move || {
        for area in black_box(&areas) {
            output.clear();
            compressor
                .compress(codec, None, area, &mut output)
                .expect("a default level");
            black_box(&output);
        }
        RECORDS as u64
    };
    [
        case(format!("{codec}: decompress"), decompress),
        case(format!("{codec}: compress, {ratio:.2} to 1"), compress),
    ]
}

fn main() {
    let mut cases = cases();
    let mut times = vec![Vec::new(); cases.len()];
    let repeats: Vec<usize> = cases
        .iter_mut()
        .map(|case| {
            let start = Instant::now();
            assert_eq!((case.run)(), RECORDS as u64, "{}", case.name);
            ((0.08 / start.elapsed().as_secs_f64()) as usize).clamp(1, 20_000)
        })
        .collect();
    for round in 0..ROUNDS {
        for turn in 0..cases.len() {
            let index = (turn + round * 5) % cases.len();
            let start = Instant::now();
            for _ in 0..repeats[index] {
                black_box((cases[index].run)());
            }
            times[index]
                .push(start.elapsed().as_nanos() as f64 / (repeats[index] * RECORDS) as f64);
        }
    }
    println!("| case | ns a record, median (best) |\n|---|---|");
    for (case, times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!(
            "| {} | {:.1} ({:.1}) |",
            case.name,
            times[ROUNDS / 2],
            times[0]
        );
    }
}
