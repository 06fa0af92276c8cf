//! The byte budget, with the heap counted: a compressed stream that expands a thousandfold (as far as its codec can), a
//! reader that never comes, and one that is slow.

use std::collections::BTreeMap;

use bytes::BytesMut;
use klamm::config::{ConsumerConfig, Server};
use klamm::record::compression::{
    Compressor, DecompressBuffer, DecompressError, Decompressor, decompression_memory,
};
use klamm::record::{BatchBuilder, BatchProducer, BatchView, Codec, RecordRef, Records};
use klamm::{
    Assignment, CloseCause, ConnectionId, ConsumerEngine, Duration, Engine, Input, Instant,
    LentBatch, Output, Return, ReturnEnd, Start, UnixMillis,
};
use klamm_cluster::{Cluster, ClusterConfig, ConnectionKey, Output as ClusterOutput};
use klamm_fuzzing::memory::measure;

const BUDGET: usize = 4 << 20;

/// What an engine takes beside its budget: its own tables and queues, whatever the stream holds.
const SLACK: usize = 256 << 10;

const BATCHES: i64 = 500;

/// What one batch expands to.
const EXPANDED: usize = 1 << 20;

/// The codecs, and how many times smaller each makes a batch of zeros at least.
const CODECS: [(Codec, usize); 4] = [
    (Codec::Gzip, 500),
    (Codec::Snappy, 20),
    (Codec::Lz4, 200),
    (Codec::Zstd, 500),
];

/// A consumer and a cluster of one broker, without a network in between.
struct World {
    now: Instant,
    engine: ConsumerEngine,
    cluster: Cluster,
    sockets: BTreeMap<ConnectionId, ConnectionKey>,
    /// What the engine and its reader hold on the heap, and held at the most.
    held: isize,
    peak: isize,
}

impl World {
    fn new(codec: Codec, times: usize) -> Self {
        let mut cluster = Cluster::new(ClusterConfig::with_nodes(1).unrecorded());
        cluster.create_topic("bomb", 1).expect("a new topic");
        let batch = bomb(codec);
        assert!(batch.len() * times < EXPANDED, "{} bytes", batch.len());
        for _ in 0..BATCHES {
            cluster
                .append_batch("bomb", 0, &batch)
                .expect("a whole batch");
        }
        let mut config = ConsumerConfig::default();
        config.common.bootstrap_servers = vec![Server {
            host: "broker-1".into(),
            port: 9092,
        }];
        config.common.memory_budget = BUDGET;
        let engine = ConsumerEngine::new(&config, [7; 32], Instant::START, UnixMillis(0))
            .expect("a valid configuration");
        let mut world = Self {
            now: Instant::START,
            engine,
            cluster,
            sockets: BTreeMap::new(),
            held: 0,
            peak: 0,
        };
        world
            .counted(|engine, now| {
                let (topic, partition, start) = ("bomb", 0, Start::Beginning);
                engine.assign(
                    &[Assignment {
                        topic,
                        partition,
                        start,
                    }],
                    now,
                )
            })
            .expect("a legal assignment");
        world
    }

    /// Whatever the engine or its reader does is counted; what the cluster does is not.
    fn counted<T>(&mut self, act: impl FnOnce(&mut ConsumerEngine, Instant) -> T) -> T {
        let (engine, now) = (&mut self.engine, self.now);
        let (result, usage) = measure(|| act(engine, now));
        self.peak = self
            .peak
            .max(self.held + isize::try_from(usage.peak).expect("a size"));
        self.held += usage.held;
        result
    }

    fn input(&mut self, input: Input<'_>) {
        self.counted(|engine, now| engine.handle(input, now));
    }

    /// Carries out what the engine wants until it is idle, and lets the broker answer.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.counted(|engine, _| engine.poll_output()) {
                Output::Resolve { id, port, .. } => {
                    let result = Ok(vec![([10, 0, 0, 1], port).into()]);
                    self.input(Input::Resolved { id, result });
                }
                Output::Open { conn, .. } => {
                    let key = self.cluster.connect(1, self.now).expect("it runs");
                    self.sockets.insert(conn, key);
                    self.input(Input::Connected { conn });
                }
                Output::Write { conn, data } => {
                    let bytes = data.to_vec();
                    self.cluster.receive(self.sockets[&conn], &bytes, self.now);
                    self.input(Input::Sent {
                        conn,
                        bytes: bytes.len() as u64,
                    });
                }
                Output::Close { conn, .. } => {
                    let (cause, sent) = (CloseCause::Local, 0);
                    self.sockets.remove(&conn);
                    self.input(Input::Closed { conn, cause, sent });
                }
                Output::Work { .. } | Output::Event(_) | Output::Diagnostic(_) => {}
                Output::Idle(wake) => match self.cluster.poll_output() {
                    Some(output) => self.answer(output),
                    None => return wake.map(|wake| wake.at),
                },
            }
        }
    }

    fn answer(&mut self, output: ClusterOutput) {
        let (ClusterOutput::Send { connection, .. } | ClusterOutput::Close { connection }) =
            &output;
        let Some(conn) = self
            .sockets
            .iter()
            .find_map(|(conn, key)| (key == connection).then_some(*conn))
        else {
            return;
        };
        if let ClusterOutput::Send { bytes, .. } = output {
            for data in bytes.to_vec().chunks(64 << 10) {
                self.input(Input::Received { conn, data });
            }
        }
    }

    /// Lets virtual time pass, from one event to the next.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = self.settle();
            let next = [wake, self.cluster.next_deadline()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.cluster.advance(self.now);
            if wake.is_some_and(|at| at <= self.now) {
                self.input(Input::Timeout {
                    wall: UnixMillis(0),
                });
            }
        }
        self.now = end;
        self.cluster.advance(end);
        self.settle();
    }

    fn assert_within_budget(&self, codec: Codec) {
        let most = isize::try_from(BUDGET + SLACK).expect("a size");
        assert!(
            self.peak <= most,
            "{codec:?}: {} bytes at the most, the budget is {BUDGET}",
            self.peak
        );
    }
}

/// One batch of zeros.
fn bomb(codec: Codec) -> bytes::Bytes {
    let value = vec![0; EXPANDED - 64];
    let mut builder = BatchBuilder::new(BytesMut::new(), EXPANDED + 1_024);
    builder
        .try_append(&RecordRef::new(0, None, Some(&value)))
        .expect("it fits");
    let batch = builder.finish().expect("it has a record");
    batch
        .compress(&mut Compressor::new(), codec, None, BytesMut::new())
        .expect("all codecs are compiled in")
        .seal(BatchProducer::None)
}

/// Reads one batch within its allowance. Returns how many records it had.
fn read(lent: &LentBatch) -> (usize, ReturnEnd) {
    let view = BatchView::parse(&lent.bytes).expect("a whole batch");
    let mut area = DecompressBuffer::new();
    let codec = view.header().codec();
    match Decompressor::new().decompress(codec, view.records_area(), &mut area, lent.allowance) {
        Ok(()) => {
            let records = Records::new(view.header(), area.as_slice());
            (
                records.filter(|record| record.is_ok()).count(),
                ReturnEnd::Read,
            )
        }
        Err(DecompressError::Exhausted { needed }) => (0, ReturnEnd::Exhausted { needed }),
        Err(error) => panic!("a sound batch: {error}"),
    }
}

#[test]
fn a_reader_who_never_comes_costs_no_more_than_the_budget() {
    for (codec, times) in CODECS {
        let mut world = World::new(codec, times);
        world.pass(Duration::from_secs(600));
        assert!(
            world.peak > 100_000,
            "something was fetched: {}",
            world.peak
        );
        world.assert_within_budget(codec);
    }
}

#[test]
fn a_slow_reader_of_what_expands_a_thousandfold_stays_within_the_budget_and_gets_all() {
    for (codec, times) in CODECS {
        read_slowly(codec, times);
    }
}

fn read_slowly(codec: Codec, times: usize) {
    let mut world = World::new(codec, times);
    let mut records = 0;
    let mut last = Instant::START;
    while records < usize::try_from(BATCHES).expect("few") {
        world.pass(Duration::from_millis(50));
        assert!(
            world.now < Instant::START + Duration::from_secs(120),
            "{codec:?}: {records} after two minutes: {:?}",
            world.engine.explain("bomb", 0)
        );
        let Some(lent) = world.counted(|engine, now| engine.next_batch(now)) else {
            continue;
        };
        assert!(world.now > last || records == 0);
        last = world.now;
        let (count, end) = world.counted(|_, _| read(&lent));
        records += count;
        let next = if end == ReturnEnd::Read {
            lent.next
        } else {
            lent.start
        };
        let id = lent.id;
        world
            .counted(|engine, now| {
                drop(lent);
                engine.return_batch(Return { id, next, end }, now)
            })
            .expect("it is lent");
    }
    assert_eq!(world.engine.position("bomb", 0), Ok(Some(BATCHES)));
    world.assert_within_budget(codec);
}

/// Bytes that hardly repeat, and that have no entropy to speak of either.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        b"etaoin shrdlu cm"[(state >> 60) as usize]
    };
    (0..length).map(|_| letter()).collect()
}

#[test]
fn decompression_takes_no_more_memory_than_it_says() {
    for (codec, _) in CODECS {
        for length in [100, 60_000, 1 << 20, 3 << 20] {
            for plain in [vec![0; length], text(length)] {
                let mut compressed = BytesMut::new();
                Compressor::new()
                    .compress(codec, None, &plain, &mut compressed)
                    .expect("all codecs are compiled in");
                let most = decompression_memory(codec, length);
                let (done, usage) = measure(|| {
                    let (mut decompressor, mut output) = Default::default();
                    Decompressor::decompress(
                        &mut decompressor,
                        codec,
                        &compressed,
                        &mut output,
                        length,
                    )
                    .map(|()| DecompressBuffer::as_slice(&output).len())
                });
                assert_eq!(done, Ok(length), "{codec:?}");
                assert!(
                    usage.peak <= most,
                    "{codec:?} {length}: {} of {most}",
                    usage.peak
                );
            }
        }
    }
}
