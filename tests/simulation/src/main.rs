//! Runs the simulation by hand: one seed, or a hunt over many.

use std::process::ExitCode;
use std::time::Instant;

use klamm_simulation::hunt::Catch;
use klamm_simulation::{hunt, scenario::Scenario, script, shrink, world};

const USAGE: &str = "usage: klamm-simulation SEED                    run one seed and show its scenario
       klamm-simulation tell SEED               the same, with all that the brokers and applications saw
       klamm-simulation hunt FIRST COUNT        run many; the first that breaks an oracle is shrunk to a short file
       klamm-simulation shrink SEED             shrink a seed that breaks an oracle
       klamm-simulation replay FILE             run the scenario of a file
       klamm-simulation figures COUNT           how fast it is on one core
       klamm-simulation planted BUG ORACLES COUNT
           BUG is planted: one of ORACLES (P4,P5) must catch it within COUNT seeds, and in its file of regressions";

/// Where scenarios are kept that once broke something.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");

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
        ["shrink", seed] => seed.parse().map_or_else(|_| usage(), shrink_seed),
        ["replay", file] => replay(file),
        ["figures", count] => count.parse().map_or_else(|_| usage(), figures),
        ["planted", bug, oracles, count] => count
            .parse()
            .map_or_else(|_| usage(), |count| planted(bug, oracles, count)),
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
            keep(&catch);
            ExitCode::FAILURE
        }
    }
}

fn shrink_seed(seed: u64) -> ExitCode {
    match hunt::try_scenario(&Scenario::generate(seed)) {
        Ok(_) => {
            println!("seed {seed} breaks nothing");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            keep(&Catch { seed, violation });
            ExitCode::FAILURE
        }
    }
}

/// Writes a short scenario of a catch into a file that every test run from now on replays.
fn keep(catch: &Catch) {
    let shrunk = catch.shrunk();
    let oracle = catch.violation.oracle;
    let file = format!("{REGRESSIONS}/{oracle}-{}.scenario", catch.seed);
    let text = format!(
        "# Seed {} broke {oracle}; shrunk in {} runs.\n{}",
        catch.seed,
        shrunk.runs,
        script::write(&shrunk.scenario)
    );
    println!("{text}");
    match std::fs::write(&file, text) {
        Ok(()) => println!("kept; replay it with: cargo run -p klamm-simulation -- replay {file}"),
        Err(error) => println!("{file} cannot be written: {error}"),
    }
}

fn replay(file: &str) -> ExitCode {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            println!("{file}: {error}");
            return ExitCode::from(2);
        }
    };
    let scenario = match script::read(&text) {
        Ok(scenario) => scenario,
        Err(error) => {
            println!("{file}, {error}");
            return ExitCode::from(2);
        }
    };
    match hunt::try_scenario(&scenario) {
        Ok(run) => {
            println!("{} events, nothing broken", run.events);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

/// How many scenarios and events one core gets through in a second.
fn figures(count: u64) -> ExitCode {
    let begun = Instant::now();
    let mut events = 0;
    for seed in 0..count {
        events += world::run(&Scenario::generate(seed)).events;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{count} scenarios, {events} events on one core in {seconds:.1} s: {:.0} scenarios/s, {:.0} events/s",
        count as f64 / seconds,
        events as f64 / seconds
    );
    ExitCode::SUCCESS
}

/// Only the named oracle counts: that another one, or a panic, stops the bug too proves nothing about it. The bug's
/// scenario among the regressions is written where there is none yet, or where it does not catch the bug any more.
fn planted(bug: &str, oracles: &str, count: u64) -> ExitCode {
    let names: Vec<&str> = oracles.split(',').collect();
    let Err(catch) = hunt::hunt_by(0..count, |run| hunt::judge_by(run, &names)) else {
        println!("not caught within {count} seeds");
        return ExitCode::FAILURE;
    };
    if !names.contains(&catch.violation.oracle) {
        println!("{catch}");
        return ExitCode::FAILURE;
    }
    let breaks = |scenario: &Scenario| {
        let run = std::panic::catch_unwind(|| world::run(scenario)).ok();
        run.is_some_and(|run| hunt::judge_by(&run, &names).is_err())
    };
    let file = format!("{REGRESSIONS}/planted-{bug}.scenario");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let caught_by_file = script::read(&kept).is_ok_and(|scenario| breaks(&scenario));
    println!("{} with seed {}", catch.violation.oracle, catch.seed);
    if caught_by_file {
        return ExitCode::SUCCESS;
    }
    let shrunk = shrink::shrink(Scenario::generate(catch.seed), breaks);
    let text = format!(
        "# With {bug} planted this breaks {}; shrunk from seed {} in {} runs.\n{}",
        catch.violation.oracle,
        catch.seed,
        shrunk.runs,
        script::write(&shrunk.scenario)
    );
    match std::fs::write(&file, text) {
        Ok(()) => {
            println!("    new: {file}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{file} cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
