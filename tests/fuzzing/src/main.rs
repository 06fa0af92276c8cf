//! A plain fuzzer, and the tool for the corpora.
//!
//! ```text
//! cargo run --release -p klamm-fuzzing -- check [TARGET..]               known inputs, changed; the same ones each time
//! cargo run --release -p klamm-fuzzing -- hunt SEED SECONDS [TARGET..]   others, for so long
//! cargo run --release -p klamm-fuzzing -- one TARGET HEX                 one input
//! cargo run --release -p klamm-fuzzing -- hostile [NAME]                 brokers that lie about sizes, and the memory that takes
//! cargo run --release -p klamm-fuzzing -- unpack [TARGET..]              corpora and seeds to where `cargo fuzz` looks for them
//! cargo run --release -p klamm-fuzzing -- pack [TARGET..]                what `cargo fuzz cmin` has left, to the committed file
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use klamm_fuzzing::{Corpus, TARGETS, Target, hostile};

/// The longest input that changes grow.
const LONGEST: usize = 4096;
/// The longest input that `pack` keeps.
const LONGEST_PACKED: usize = 2048;

/// A small generator (xorshift): the same changes for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // A state of zero would stay zero.
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed.wrapping_mul(2).wrapping_add(1)))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 2, 0x40];
        match self.below(3) {
            0 => EDGES[self.below(8)],
            _ => self.below(256) as u8,
        }
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 << random.below(5) {
        let at = random.below(input.len() + 1);
        let length = random.below(9).min(input.len() - at);
        match random.below(10) {
            0 => input.insert(at, random.byte()),
            1 => drop(input.drain(at..at + length)),
            2 => input.truncate(at),
            3 => {
                let piece = input[at..at + length].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
            5 => {
                for byte in &mut input[at..at + length] {
                    *byte = if length.is_multiple_of(2) { 0 } else { 0xff };
                }
            }
            6 if at < input.len() => input[at] = input[at].wrapping_add(1),
            7 if at < input.len() => input[at] = input[at].wrapping_sub(1),
            8 if at < input.len() => input[at] ^= 1 << random.below(8),
            _ if at < input.len() => input[at] = random.byte(),
            _ => input.push(random.byte()),
        }
    }
    input.truncate(LONGEST);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs one input; a panic has been printed when this says no.
fn survives(target: &Target, input: &[u8]) -> bool {
    let survived = catch_unwind(AssertUnwindSafe(|| (target.body)(input))).is_ok();
    if !survived {
        eprintln!("\nFAILED: klamm-fuzzing one {} {}", target.name, hex(input));
    }
    survived
}

/// When a target has been tried enough.
enum Enough {
    /// After its own number of cases.
    Cases,
    After(Duration),
}

fn fuzz(target: &Target, seed: u64, enough: &Enough, corpus: &Corpus) -> bool {
    let (began, mut random, mut count) = (Instant::now(), Random::new(seed), 0_u64);
    let inputs: Vec<&Vec<u8>> = corpus.0.iter().collect();
    for input in &inputs {
        if !survives(target, input) {
            return false;
        }
    }
    let empty = Vec::new();
    let mut slowest = Duration::ZERO;
    let more = |count: u64| match enough {
        Enough::Cases => count < target.cases,
        Enough::After(time) => began.elapsed() < *time,
    };
    while more(count) {
        let any = |random: &mut Random| {
            inputs
                .get(random.below(inputs.len()))
                .map_or(&empty, |input| *input)
        };
        let mut input = any(&mut random).clone();
        if input.is_empty() || random.below(32) == 0 {
            input = (0..random.below(512)).map(|_| random.byte()).collect();
        }
        change(&mut input, any(&mut random), &mut random);
        let started = Instant::now();
        if !survives(target, &input) {
            return false;
        }
        slowest = slowest.max(started.elapsed());
        count += 1;
    }
    println!(
        "{:16} {} known, {count} changed, the slowest took {slowest:?}",
        target.name,
        inputs.len()
    );
    true
}

/// Runs all of them, also after one has failed.
fn run(targets: &[&Target], seed: u64, enough: &Enough) -> Result<(), String> {
    println!("seed {seed}");
    let mut failed = Vec::new();
    for target in targets {
        let corpus = Corpus::all(target).map_err(|error| error.to_string())?;
        if !fuzz(target, seed, enough, &corpus) {
            failed.push(target.name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {failed:?}")),
    }
}

/// Each hostile broker in a process of its own: the peak of one must not hide that of another.
fn hostile_all() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut failed = Vec::new();
    for scenario in hostile::SCENARIOS {
        let run = std::process::Command::new(&program)
            .args(["hostile", scenario.name])
            .status();
        if !run.is_ok_and(|status| status.success()) {
            failed.push(scenario.name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {failed:?}")),
    }
}

fn hostile_one(name: &str) -> Result<(), String> {
    let scenario = hostile::SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .ok_or("no such hostile broker")?;
    let report = hostile::run(*scenario);
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let gauge: Vec<String> = report
        .gauge
        .iter()
        .map(|(category, most)| format!("{category} {:.1}", mib(*most)))
        .collect();
    let resident = hostile::peak_resident();
    println!(
        "{name:22} resident {} MiB (at most {}); sent {:.0} MiB over {} connections at once; {} MiB",
        resident.map_or("?".to_owned(), |bytes| format!("{:.1}", mib(bytes))),
        (hostile::BUDGET + hostile::BESIDE) >> 20,
        mib(report.sent),
        report.connections,
        gauge.join(", "),
    );
    if let Some(error) = report
        .told
        .iter()
        .find(|error| error.contains(scenario.told))
    {
        println!("{:22} {error}", "");
    } else {
        return Err(format!(
            "nobody was told of {:?}, but of {:#?}",
            scenario.told, report.told
        ));
    }
    match resident {
        Some(bytes) if bytes > hostile::BUDGET + hostile::BESIDE => {
            Err("too much memory".to_owned())
        }
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let chosen = |names: &[&str]| -> Vec<&Target> {
        TARGETS
            .iter()
            .filter(|target| names.is_empty() || names.contains(&target.name))
            .collect()
    };
    let done = match &words[..] {
        ["check", names @ ..] => run(&chosen(names), 0, &Enough::Cases),
        ["hunt", seed, seconds, names @ ..] => match (seed.parse(), seconds.parse()) {
            (Ok(seed), Ok(seconds)) => {
                let enough = Enough::After(Duration::from_secs(seconds));
                run(&chosen(names), seed, &enough)
            }
            _ => Err("hunt SEED SECONDS [TARGET..]".to_owned()),
        },
        ["one", name, digits] => {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default();
            let input: Vec<u8> = (0..digits.len() / 2).map(|at| byte(2 * at)).collect();
            chosen(&[name])
                .into_iter()
                .for_each(|target| (target.body)(&input));
            Ok(())
        }
        ["hostile"] => hostile_all(),
        ["hostile", name] => hostile_one(name),
        ["unpack", names @ ..] => chosen(names)
            .into_iter()
            .try_for_each(|target| Corpus::all(target)?.unpack(target))
            .map_err(|error| error.to_string()),
        ["pack", names @ ..] => chosen(names)
            .into_iter()
            .try_for_each(|target| {
                let mut corpus = Corpus::pack(target)?;
                corpus.0.retain(|input| input.len() <= LONGEST_PACKED);
                corpus.commit(target)
            })
            .map_err(|error| error.to_string()),
        _ => Err(
            "check [TARGET..] | hostile [NAME] | hunt SEED SECONDS [TARGET..] | one TARGET HEX | unpack [TARGET..] | pack [TARGET..]"
                .to_owned(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
