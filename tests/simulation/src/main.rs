//! Runs the simulation by hand: one seed, or a hunt over many.

use std::process::ExitCode;
use std::time::Instant;

use klamm_simulation::{hunt, scenario::Scenario, world};

const USAGE: &str = "usage: klamm-simulation SEED                    run one seed and show its scenario
       klamm-simulation tell SEED               the same, with all that the brokers and applications saw
       klamm-simulation hunt FIRST COUNT            run many; stop at the first that breaks an oracle
       klamm-simulation planted ORACLES COUNT       a bug is planted: one of ORACLES (P4,P5) must catch it within COUNT seeds";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [seed] => seed
            .parse()
            .map_or_else(|_| usage(), |seed| one(seed, false)),
        ["tell", seed] => seed
            .parse()
            .map_or_else(|_| usage(), |seed| one(seed, true)),
        ["hunt", first, count] => match (first.parse(), count.parse()) {
            (Ok(first), Ok(count)) => many(first, count),
            _ => usage(),
        },
        ["planted", oracles, count] => count
            .parse()
            .map_or_else(|_| usage(), |count| planted(oracles, count)),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn one(seed: u64, tell: bool) -> ExitCode {
    let scenario = Scenario::generate(seed);
    println!("{scenario:#?}");
    if tell {
        let (run, lines) = world::run_and_tell(&scenario);
        println!("{}", lines.join("\n"));
        for (at, entry) in &run.history.entries {
            println!("{at} {entry:?}");
        }
    }
    match hunt::try_seed(seed) {
        Ok(run) => {
            println!(
                "seed {seed}: {} events, trace {:016x}, nothing broken",
                run.events, run.trace
            );
            ExitCode::SUCCESS
        }
        Err(catch) => {
            println!("{catch}");
            ExitCode::FAILURE
        }
    }
}

fn many(first: u64, count: u64) -> ExitCode {
    let begun = Instant::now();
    match hunt::hunt(first..first.saturating_add(count)) {
        Ok(events) => {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{count} seeds, {events} events in {seconds:.1} s ({:.0} seeds/s, {:.0} events/s); nothing broken",
                count as f64 / seconds,
                events as f64 / seconds
            );
            ExitCode::SUCCESS
        }
        Err(catch) => {
            println!("{catch}");
            ExitCode::FAILURE
        }
    }
}

/// Only the named oracle counts: that another one, or a panic, stops the bug too proves nothing about it.
fn planted(oracles: &str, count: u64) -> ExitCode {
    let names: Vec<&str> = oracles.split(',').collect();
    match hunt::hunt_by(0..count, |run| hunt::judge_by(run, &names)) {
        Err(catch) => {
            println!("{} with seed {}", catch.violation.oracle, catch.seed);
            if names.contains(&catch.violation.oracle) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(_) => {
            println!("not caught within {count} seeds");
            ExitCode::FAILURE
        }
    }
}
