//! Owns shrinking: from a scenario that breaks an oracle to a short one that breaks the same.
//!
//! Knows what a scenario is made of, not what breaks. A step counts only if the same oracle is broken again, so that one failure is not
//! mistaken for another.

use klamm::Duration;

use crate::scenario::Scenario;

/// How many runs shrinking may take.
pub const RUNS_MAX: usize = 3_000;

/// A shrunk scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The shortest found.
    pub scenario: Scenario,
    /// How many runs it took.
    pub runs: usize,
}

/// Makes `scenario` shorter as long as `fails` says that it still fails.
pub fn shrink(scenario: Scenario, fails: impl FnMut(&Scenario) -> bool) -> Shrunk {
    let mut shrinker = Shrinker {
        best: scenario,
        runs: 0,
        fails,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.drop_fault_classes();
        shrinker.drop_parts();
        shrinker.make_smaller();
        shrinker.round_times();
        if shrinker.best == before || shrinker.runs >= RUNS_MAX {
            return Shrunk {
                scenario: shrinker.best,
                runs: shrinker.runs,
            };
        }
    }
}

struct Shrinker<F> {
    best: Scenario,
    runs: usize,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Shrinker<F> {
    /// Tries one change; keeps it if the scenario still fails.
    fn try_change(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        if changed == self.best || self.runs >= RUNS_MAX || !is_sound(&changed) {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&changed);
        if fails {
            self.best = changed;
        }
        fails
    }

    fn drop_fault_classes(&mut self) {
        let faults = self.best.faults.iter();
        let mut classes: Vec<_> = faults
            .map(|fault| std::mem::discriminant(&fault.kind))
            .collect();
        classes.dedup();
        for class in classes {
            self.try_change(|scenario| {
                let faults = &mut scenario.faults;
                faults.retain(|fault| std::mem::discriminant(&fault.kind) != class);
            });
        }
    }

    /// Leaves out what can be: halves of a list first, then its single parts.
    fn drop_parts(&mut self) {
        self.drop_from(|scenario| &mut scenario.consumers);
        self.drop_from(|scenario| &mut scenario.members);
        self.drop_from(|scenario| &mut scenario.faults);
        self.drop_from(|scenario| &mut scenario.producers);
        for index in 0..self.best.producers.len() {
            self.drop_from(|scenario| &mut scenario.producers[index].sends);
        }
        self.drop_from(|scenario| &mut scenario.topics);
    }

    fn drop_from<T>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>) {
        let mut size = list(&mut self.best).len();
        while size > 0 {
            let mut start = 0;
            while start < list(&mut self.best).len() {
                let dropped = self.try_change(|scenario| {
                    let list = list(scenario);
                    let end = (start + size).min(list.len());
                    list.drain(start..end);
                });
                if !dropped {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    fn make_smaller(&mut self) {
        self.try_change(|scenario| scenario.seed = 0);
        while self.try_change(|scenario| scenario.brokers -= 1) {}
        self.try_change(|scenario| scenario.replication = 1);
        self.try_change(|scenario| scenario.replication_delay = Duration::ZERO);
        self.try_change(|scenario| scenario.network.piece_max = 65_536);
        self.try_change(|scenario| {
            scenario.network.delay_min = Duration::from_millis(1);
            scenario.network.delay_max = Duration::from_millis(1);
        });
        for index in 0..self.best.members.len() {
            self.try_change(|s| s.members[index].goes = None);
            self.try_change(|s| s.members[index].instance = None);
            self.try_change(|s| s.members[index].listener = None);
            self.try_change(|s| s.members[index].per_batch = Duration::ZERO);
        }
        for index in 0..self.best.topics.len() {
            while self.try_change(|scenario| scenario.topics[index].partitions -= 1) {}
        }
        for index in 0..self.best.producers.len() {
            self.try_change(|s| s.producers[index].compression = klamm::record::Codec::None);
            self.try_change(|s| s.producers[index].linger = Duration::ZERO);
            self.try_change(|s| s.producers[index].batch_size = 16_384);
            self.try_change(|s| s.producers[index].buffer_memory = 1 << 20);
            while self.try_change(|s| s.producers[index].max_in_flight -= 1) {}
            for send in 0..self.best.producers[index].sends.len() {
                let halve = |s: &mut Scenario| s.producers[index].sends[send].records /= 2;
                while self.try_change(halve) {}
                while self.try_change(|s| s.producers[index].sends[send].records -= 1) {}
                self.try_change(|s| s.producers[index].sends[send].size = 40);
            }
        }
    }

    /// Times that are easy to read: whole seconds, or milliseconds, or nothing at all.
    fn round_times(&mut self) {
        // The first unit is longer than any time: at once, that is.
        for unit in [u128::MAX, 1_000_000_000, 100_000_000, 1_000_000] {
            for index in 0..self.best.faults.len() {
                self.try_change(|s| s.faults[index].at = round(s.faults[index].at, unit));
            }
            for index in 0..self.best.members.len() {
                self.try_change(|s| s.members[index].joins = round(s.members[index].joins, unit));
                self.try_change(|s| {
                    let goes = &mut s.members[index].goes;
                    *goes = goes.map(|(at, going)| (round(at, unit), going));
                });
            }
            for index in 0..self.best.producers.len() {
                for send in 0..self.best.producers[index].sends.len() {
                    self.try_change(|s| {
                        let at = &mut s.producers[index].sends[send].at;
                        *at = round(*at, unit);
                    });
                }
            }
        }
    }
}

fn round(duration: Duration, unit: u128) -> Duration {
    let nanos = duration.as_nanos() / unit * unit;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Whether what the parts speak of is there.
fn is_sound(scenario: &Scenario) -> bool {
    use crate::scenario::FaultKind;
    let exists = |place: &crate::history::Place| {
        let mut topics = scenario.topics.iter();
        topics.any(|topic| topic.name == place.topic && place.partition < topic.partitions)
    };
    let broker_exists = |broker: i32| broker <= i32::from(scenario.brokers);
    let faults = scenario.faults.iter().all(|fault| match &fault.kind {
        FaultKind::Reset { broker }
        | FaultKind::Stop { broker, .. }
        | FaultKind::Freeze { broker, .. }
        | FaultKind::BlackHole { broker, .. } => broker_exists(*broker),
        FaultKind::MoveLeader { place } => exists(place),
        FaultKind::ProduceError { .. } | FaultKind::ProduceDropped { .. } => true,
    });
    let mut sends = scenario
        .producers
        .iter()
        .flat_map(|producer| &producer.sends);
    let replicas = u16::try_from(scenario.replication).unwrap_or(u16::MAX);
    scenario.brokers >= 1
        && replicas <= scenario.brokers
        && scenario.topics.iter().all(|topic| topic.partitions >= 1)
        && scenario
            .producers
            .iter()
            .all(|producer| producer.max_in_flight >= 1)
        && faults
        && sends.all(|send| send.records >= 1 && exists(&send.place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::FaultKind;

    #[test]
    fn what_does_not_matter_is_left_out() {
        // Whatever has a reset fails, in this test.
        let resets = |scenario: &Scenario| {
            let mut faults = scenario.faults.iter();
            faults.any(|fault| matches!(fault.kind, FaultKind::Reset { .. }))
        };
        let failing = (0..).map(Scenario::generate).find(resets);
        let shrunk = shrink(failing.expect("one comes up"), resets);
        let scenario = shrunk.scenario;
        assert_eq!(scenario.faults.len(), 1);
        assert_eq!(scenario.faults[0].at, Duration::ZERO);
        assert!(scenario.producers.is_empty() && scenario.consumers.is_empty());
        assert!(scenario.topics.is_empty());
        assert_eq!(scenario.seed, 0);
    }

    #[test]
    fn nothing_is_left_that_speaks_of_what_is_gone() {
        for seed in 0..20 {
            let mut count = 0;
            shrink(Scenario::generate(seed), |scenario| {
                count += 1;
                assert!(is_sound(scenario));
                count % 3 == 0
            });
        }
    }
}
