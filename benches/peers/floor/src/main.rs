//! The practical minimum on a machine: one blocking thread, Produce v3 and Fetch v4 frames written by hand for a broker that
//! leads everything. No metadata, no retries, no idempotence, no timers: what is left is the kernel and the format.

use klamm_peer_common::{Args, Phase, Seen, values};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// As many as an idempotent producer may have.
const IN_FLIGHT: usize = 5;
const BATCH_HEADER: usize = 61;

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

struct Connection {
    socket: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Connection {
    fn open(args: &Args) -> Connection {
        let socket = TcpStream::connect(&args.brokers).expect("the broker is there");
        socket.set_nodelay(true).expect("a TCP socket");
        Connection {
            socket,
            request: Vec::with_capacity(4 << 20),
            response: Vec::new(),
        }
    }

    fn begin(&mut self, api: i16, version: i16) {
        self.request.clear();
        self.request.extend([0; 4]);
        self.request.extend(api.to_be_bytes());
        self.request.extend(version.to_be_bytes());
        self.request.extend(0_i32.to_be_bytes());
        self.string("floor");
    }

    fn string(&mut self, value: &str) {
        self.request.extend((value.len() as i16).to_be_bytes());
        self.request.extend(value.as_bytes());
    }

    fn ints(&mut self, values: &[i32]) {
        for value in values {
            self.request.extend(value.to_be_bytes());
        }
    }

    fn send(&mut self) {
        let length = (self.request.len() - 4) as i32;
        self.request[..4].copy_from_slice(&length.to_be_bytes());
        self.socket
            .write_all(&self.request)
            .expect("the broker reads");
    }

    fn receive(&mut self) -> Cursor<'_> {
        let mut length = [0; 4];
        self.socket
            .read_exact(&mut length)
            .expect("the broker answers");
        let length = u32::from_be_bytes(length) as usize;
        if self.response.len() < length {
            self.response.resize(length, 0);
        }
        let bytes = &mut self.response[..length];
        self.socket.read_exact(bytes).expect("a whole answer");
        Cursor { bytes, at: 4 }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        self.at += length;
        &self.bytes[self.at - length..self.at]
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn string(&mut self) {
        let length = self.i16() as usize;
        self.take(length);
    }

    #[inline(always)]
    fn varint(&mut self) -> i64 {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
            }
            shift += 7;
        }
    }
}

fn consume(args: &Args) {
    let mut connection = Connection::open(args);
    let mut next = vec![0_i64; args.partitions as usize];
    let mut seen = Seen::default();
    let phase = Phase::begin();
    while seen.records < args.records {
        connection.begin(1, 4);
        connection.ints(&[-1, 500, 1, 50 << 20]);
        connection.request.push(0);
        connection.ints(&[1]);
        connection.string(&args.topic);
        connection.ints(&[args.partitions]);
        for (partition, offset) in next.iter().enumerate() {
            connection.request.extend((partition as i32).to_be_bytes());
            connection.request.extend(offset.to_be_bytes());
            connection.request.extend((1_i32 << 20).to_be_bytes());
        }
        connection.send();
        let mut answer = connection.receive();
        answer.i32();
        for _ in 0..answer.i32() {
            answer.string();
            for _ in 0..answer.i32() {
                let partition = answer.i32() as usize;
                assert_eq!(answer.i16(), 0, "error of a fetch");
                answer.take(16);
                let aborted = answer.i32().max(0) as usize;
                answer.take(16 * aborted);
                let length = answer.i32().max(0) as usize;
                walk(answer.take(length), &mut next[partition], &mut seen);
            }
        }
    }
    phase.consumed(seen);
}

/// Checks every batch and reads every field of every record.
fn walk(records: &[u8], next: &mut i64, seen: &mut Seen) {
    let mut at = 0;
    while at + BATCH_HEADER <= records.len() {
        let mut batch = Cursor { bytes: records, at };
        let base = batch.i64();
        let stop = at + 12 + batch.i32() as usize;
        if stop > records.len() {
            break; // cut at the byte limit
        }
        batch.take(5);
        assert_eq!(
            batch.i32().cast_unsigned(),
            crc(&records[at + 21..stop]),
            "CRC of a batch"
        );
        batch.take(2);
        let last = batch.i32();
        batch.take(30);
        let count = batch.i32();
        batch.bytes = &records[..stop];
        for _ in 0..count {
            batch.varint();
            batch.take(1);
            batch.varint();
            let offset = base + batch.varint();
            let key = batch.varint().max(0) as usize;
            batch.take(key);
            let length = batch.varint().max(0) as usize;
            let value = batch.take(length);
            assert_eq!(batch.varint(), 0, "no headers");
            seen.add(value, offset);
        }
        *next = base + i64::from(last) + 1;
        at = stop;
    }
}

fn produce(args: &Args) {
    let mut connection = Connection::open(args);
    let values = values(args.size, 4096);
    send_all(args, &mut connection, &values, args.warmup);
    let phase = Phase::begin();
    send_all(args, &mut connection, &values, args.records);
    phase.produced(args.records);
}

fn send_all(args: &Args, connection: &mut Connection, values: &[Vec<u8>], records: u64) {
    let partitions = args.partitions as usize;
    let per_batch = (args.batch.min(1_000_000) / (args.size + 12)).max(1);
    let (mut sent, mut in_flight) = (0_u64, 0);
    while sent < records {
        // One request holds one batch for every partition, as a sender with full batches has it.
        connection.begin(0, 3);
        connection.request.extend((-1_i16).to_be_bytes());
        connection.request.extend((-1_i16).to_be_bytes());
        connection.ints(&[30_000, 1]);
        connection.string(&args.topic);
        let mut counts = Vec::with_capacity(partitions);
        for _ in 0..partitions {
            let count = (records - sent).min(per_batch as u64);
            if count > 0 {
                counts.push(count as usize);
                sent += count;
            }
        }
        connection.ints(&[counts.len() as i32]);
        for (partition, count) in counts.iter().enumerate() {
            connection.ints(&[partition as i32]);
            batch(
                &mut connection.request,
                values,
                sent as usize + partition,
                *count,
            );
        }
        if in_flight == IN_FLIGHT {
            acknowledged(connection);
            in_flight -= 1;
        }
        connection.send();
        in_flight += 1;
    }
    for _ in 0..in_flight {
        acknowledged(connection);
    }
}

fn acknowledged(connection: &mut Connection) {
    let mut answer = connection.receive();
    for _ in 0..answer.i32() {
        answer.string();
        for _ in 0..answer.i32() {
            answer.i32();
            assert_eq!(answer.i16(), 0, "error of a produce");
            answer.take(16);
        }
    }
}

/// A batch of `count` values, from the one at `first` on, with its length before it.
fn batch(out: &mut Vec<u8>, values: &[Vec<u8>], first: usize, count: usize) {
    let start = out.len() + 4;
    out.extend([0; 4 + 12]);
    out.extend((-1_i32).to_be_bytes());
    out.push(2);
    out.extend([0; 4]);
    out.extend(0_i16.to_be_bytes());
    out.extend((count as i32 - 1).to_be_bytes());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as i64;
    out.extend(now.to_be_bytes());
    out.extend(now.to_be_bytes());
    out.extend([0xff; 14]);
    out.extend((count as i32).to_be_bytes());
    for i in 0..count {
        let value = &values[(first + i) % values.len()];
        put_varint(out, 4 + width(i) + width(value.len()) + value.len());
        out.extend([0, 0]);
        put_varint(out, i);
        out.push(1);
        put_varint(out, value.len());
        out.extend_from_slice(value);
        out.push(0);
    }
    let length = (out.len() - start) as i32;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
    out[start + 8..start + 12].copy_from_slice(&(length - 12).to_be_bytes());
    let sum = crc(&out[start + 21..]);
    out[start + 17..start + 21].copy_from_slice(&sum.to_be_bytes());
}

/// Zigzag of what is never negative.
fn put_varint(out: &mut Vec<u8>, value: usize) {
    let mut rest = value << 1;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn width(value: usize) -> usize {
    (70 - ((value << 1 | 1) as u64).leading_zeros() as usize) / 7
}

fn main() {
    let args = Args::parse();
    match args.mode.as_str() {
        "produce" => produce(&args),
        "consume" => consume(&args),
        other => panic!("no such mode: {other}"),
    }
}
