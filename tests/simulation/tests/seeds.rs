//! A thousand scenarios, and the proof that a seed is all that a run depends on.

use klamm_simulation::hunt;

#[test]
fn a_thousand_seeds_break_nothing() {
    if let Err(catch) = hunt::hunt(0..1_000) {
        panic!("{catch}");
    }
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in 0..20 {
        let trace = || hunt::try_seed(seed).map(|run| (run.trace, run.events));
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
