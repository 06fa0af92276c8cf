//! Thousands of scenarios, those that once broke something, and the proof that a seed is all that a run depends on.

use std::fs;
use std::path::Path;

use klamm_simulation::{hunt, script};

#[test]
fn two_thousand_seeds_break_nothing() {
    if let Err(catch) = hunt::hunt(0..2_000) {
        panic!("{catch}\n{}", script::write(&catch.shrunk().scenario));
    }
}

/// Each file is a scenario that once broke an oracle, or made one catch a planted bug.
#[test]
fn what_once_broke_something_breaks_nothing_now() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries = fs::read_dir(&directory).expect("the directory is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    for file in files {
        let text = fs::read_to_string(&file).expect("it can be read");
        let scenario = script::read(&text).unwrap_or_else(|e| panic!("{}, {e}", file.display()));
        if let Err(violation) = hunt::try_scenario(&scenario) {
            panic!("{}: {violation}", file.display());
        }
    }
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in 0..20 {
        let trace = || hunt::try_seed(seed).map(|run| (run.trace, run.events));
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
