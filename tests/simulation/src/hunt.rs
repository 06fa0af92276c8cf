//! Owns the hunt: scenarios run one after the other over a range of seeds, on all cores, until one is broken.
//!
//! Knows no oracle by name.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::oracles::{self, Violation};
use crate::scenario::Scenario;
use crate::shrink::{self, Shrunk};
use crate::world::{self, Run};

/// A seed whose run broke an oracle, or could not be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// What it broke. `L`: it did not get anywhere.
    pub violation: Violation,
}

impl Catch {
    /// A short scenario that breaks the same oracle.
    #[must_use]
    pub fn shrunk(&self) -> Shrunk {
        shrink::shrink(Scenario::generate(self.seed), |scenario| {
            let broken = try_scenario(scenario).err();
            broken.is_some_and(|violation| violation.oracle == self.violation.oracle)
        })
    }
}

impl std::fmt::Display for Catch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "seed {} broke {}\nreplay it with: cargo run -p klamm-simulation -- {}",
            self.seed, self.violation, self.seed
        )
    }
}

/// What a run broke, if anything.
///
/// # Errors
/// The violation; a run that got stuck breaks `L`, liveness, unless an oracle of safety is broken too.
pub fn judge(run: &Run) -> Result<(), Violation> {
    match &run.stuck {
        None => oracles::judge(&run.history),
        Some(stuck) => Err(oracles::judge_unfinished(&run.history)
            .err()
            .unwrap_or(Violation {
                oracle: "L",
                what: format!("at {}: {}", stuck.at, stuck.what),
            })),
    }
}

/// The judgement of some oracles only.
///
/// # Errors
/// The first violation.
pub fn judge_by(run: &Run, names: &[&str]) -> Result<(), Violation> {
    oracles::ORACLES
        .iter()
        .filter(|(name, _)| names.contains(name))
        .try_for_each(|(_, oracle)| oracle(&run.history))
}

/// Runs a scenario. A panic breaks `A1`.
///
/// # Errors
/// What it broke.
pub fn try_scenario(scenario: &Scenario) -> Result<Run, Violation> {
    let run = std::panic::catch_unwind(|| world::run(scenario)).map_err(|_| panicked())?;
    judge(&run).map(|()| run)
}

fn panicked() -> Violation {
    Violation {
        oracle: "A1",
        what: "it panicked".into(),
    }
}

/// Runs one seed.
///
/// # Errors
/// What it broke.
pub fn try_seed(seed: u64) -> Result<Run, Catch> {
    try_seed_by(seed, judge)
}

fn try_seed_by(seed: u64, judge: impl Fn(&Run) -> Result<(), Violation>) -> Result<Run, Catch> {
    let run = world::run(&Scenario::generate(seed));
    match judge(&run) {
        Ok(()) => Ok(run),
        Err(violation) => Err(Catch { seed, violation }),
    }
}

/// Runs all seeds of the range; the first catch ends the hunt. Returns how many events there were in all.
///
/// # Errors
/// The catch with the lowest seed among those found.
pub fn hunt(seeds: Range<u64>) -> Result<u64, Catch> {
    hunt_by(seeds, judge)
}

/// The same with another judge.
///
/// # Errors
/// As [`hunt`].
pub fn hunt_by(
    seeds: Range<u64>,
    judge: impl Fn(&Run) -> Result<(), Violation> + Sync + std::panic::RefUnwindSafe,
) -> Result<u64, Catch> {
    let next = AtomicU64::new(seeds.start);
    let events = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let catches: Mutex<Vec<Catch>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match std::panic::catch_unwind(|| try_seed_by(seed, &judge)) {
                        Ok(Ok(run)) => {
                            events.fetch_add(run.events, Ordering::Relaxed);
                        }
                        Ok(Err(catch)) => {
                            stop.store(true, Ordering::Relaxed);
                            catches.lock().expect("no panic inside").push(catch);
                        }
                        Err(_) => {
                            stop.store(true, Ordering::Relaxed);
                            catches.lock().expect("no panic inside").push(Catch {
                                seed,
                                violation: panicked(),
                            });
                        }
                    }
                }
            });
        }
    });
    let catches = catches.into_inner().expect("no panic inside");
    match catches.into_iter().min_by_key(|catch| catch.seed) {
        Some(catch) => Err(catch),
        None => Ok(events.into_inner()),
    }
}
