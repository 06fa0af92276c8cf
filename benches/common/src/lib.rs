//! What every program of the comparison shares: its flags, the values that it sends, what it used of the machine, and the
//! one line of JSON that it prints. Equal work is what makes the numbers comparable: same values, same flags, same counts.

use nix::sys::resource::{UsageWho, getrusage};
use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

/// The flags of a run: `PROGRAM MODE [--flag value]...`.
#[derive(Clone, Debug)]
pub struct Args {
    /// `produce` or `consume`; a program may have more.
    pub mode: String,
    /// `--variant`: which of its ways the client is used in; empty: its usual one.
    pub variant: String,
    /// `--brokers HOST:PORT`
    pub brokers: String,
    /// `--topic`, which exists.
    pub topic: String,
    /// `--partitions` of that topic; record `i` goes to partition `i % partitions`.
    pub partitions: i32,
    /// `--records` to produce, or to consume from the beginning, in the measured phase.
    pub records: u64,
    /// `--warmup` records to produce before the measured phase.
    pub warmup: u64,
    /// `--size` of a value, in bytes. There are no keys.
    pub size: usize,
    /// `--batch`: `batch.size`, in bytes.
    pub batch: usize,
    /// `--linger`: `linger.ms`.
    pub linger_ms: u64,
    /// `--compression`: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// `--window`: the most records that the application keeps unacknowledged.
    pub window: usize,
    /// `--rate`: records a second, where latency is measured.
    pub rate: u64,
    /// `--seconds` that an idle client is watched.
    pub seconds: u64,
}

impl Args {
    /// Reads the process's arguments.
    ///
    /// # Panics
    /// If there is no mode, a flag is unknown, or a number is none.
    pub fn parse() -> Args {
        let mut words = env::args().skip(1);
        let mode = words.next().expect("the first argument is the mode");
        let mut flags: HashMap<String, String> = HashMap::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .unwrap_or_else(|| panic!("not a flag: {word}"));
            let value = words
                .next()
                .unwrap_or_else(|| panic!("--{name} has no value"));
            flags.insert(name.to_owned(), value);
        }
        let mut text =
            |name: &str, default: &str| flags.remove(name).unwrap_or_else(|| default.to_owned());
        let number = |name: &str, value: String| -> u64 {
            value
                .parse()
                .unwrap_or_else(|_| panic!("--{name} {value}: not a number"))
        };
        let mut count = |name: &str, default: &str| number(name, text(name, default));
        let args = Args {
            partitions: i32::try_from(count("partitions", "3")).expect("--partitions is small"),
            records: count("records", "1000000"),
            warmup: count("warmup", "0"),
            size: count("size", "100") as usize,
            batch: count("batch", "16384") as usize,
            linger_ms: count("linger", "5"),
            window: count("window", "100000") as usize,
            rate: count("rate", "1000"),
            seconds: count("seconds", "20"),
            variant: text("variant", ""),
            brokers: text("brokers", "127.0.0.1:9092"),
            topic: text("topic", "bench"),
            compression: text("compression", "none"),
            mode,
        };
        assert!(flags.is_empty(), "unknown flags: {:?}", flags.keys());
        args
    }
}

/// `count` values of `size` bytes that look like JSON and shrink to about half (lz4): the same ones for every program.
pub fn values(size: usize, count: usize) -> Vec<Vec<u8>> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count)
        .map(|i| {
            let mut text = String::new();
            while text.len() < size {
                let x = next();
                let (user, page) = (x % 100_000, (x >> 40) % 10_000);
                write!(
                    text,
                    r#"{{"id":"{x:016x}","seq":{i},"user":"user-{user:05}","event":"click","page":"/item/{page}"}}"#
                )
                .expect("a string can be written");
            }
            text.truncate(size);
            text.into_bytes()
        })
        .collect()
}

/// What a consumer has seen: enough to tell whether two clients read the same records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How many records.
    pub records: u64,
    /// How many bytes of values.
    pub bytes: u64,
    /// The sum of each value's last byte and each offset.
    pub sum: u64,
}

impl Seen {
    /// Counts one record.
    #[inline]
    pub fn add(&mut self, value: &[u8], offset: i64) {
        self.records += 1;
        self.bytes += value.len() as u64;
        let last = value.last().copied().unwrap_or(0);
        self.sum = self
            .sum
            .wrapping_add(u64::from(last))
            .wrapping_add(offset.cast_unsigned());
    }
}

/// A measured phase: begin it once connected and warmed up.
pub struct Phase {
    began: Instant,
    used: Used,
}

/// Processor time of all threads, in seconds.
struct Used {
    user: f64,
    system: f64,
}

impl Used {
    fn now() -> Used {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process can ask for its own usage");
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Used {
            user: seconds(usage.user_time()),
            system: seconds(usage.system_time()),
        }
    }
}

impl Phase {
    /// Begins now.
    pub fn begin() -> Phase {
        Phase {
            began: Instant::now(),
            used: Used::now(),
        }
    }

    /// Ends now, and prints the line for a run that produced `records`, all acknowledged.
    pub fn produced(self, records: u64) {
        self.print(records, "");
    }

    /// Ends now, and prints the line for a run that consumed.
    pub fn consumed(self, seen: Seen) {
        self.print(
            seen.records,
            &format!(r#","bytes":{},"sum":{}"#, seen.bytes, seen.sum),
        );
    }

    /// Ends now, and prints the line with `more` of JSON in it, each entry after a comma.
    pub fn ended(self, records: u64, more: &str) {
        self.print(records, more);
    }

    fn print(self, records: u64, more: &str) {
        let wall = self.began.elapsed().as_secs_f64();
        let used = Used::now();
        let (user, system) = (used.user - self.used.user, used.system - self.used.system);
        println!(
            r#"{{"records":{records},"wall_s":{wall:.4},"user_s":{user:.4},"sys_s":{system:.4},"cpu_s_per_m":{:.4},"rec_per_s":{:.0},"rss_kb":{}{more}}}"#,
            (user + system) / (records.max(1) as f64 / 1e6),
            records as f64 / wall,
            peak_rss_kb(),
        );
    }
}

/// The median and the last hundredth of some times in microseconds, as JSON that begins with a comma.
pub fn percentiles(name: &str, mut micros: Vec<u64>) -> String {
    micros.sort_unstable();
    let at = |percent: usize| micros[(micros.len() - 1) * percent / 100];
    format!(r#","{name}_p50_us":{},"{name}_p99_us":{}"#, at(50), at(99))
}

/// `ru_maxrss` counts what the parent had before exec; VmHWM does not.
fn peak_rss_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
