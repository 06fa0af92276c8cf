//! Klamm's assignors against Java's own, on the same groups: the same result, to the partition.

#[path = "../../assignors/group.rs"]
mod group;
#[path = "../../assignors/history.rs"]
mod history;

use group::{Answered, Group};
use history::{History, Manners, Size};
use klamm::assignor::Assignor;
use klamm_live::java;
use std::{env, fs};

/// The members of each of so many groups come and go for so many generations.
const HISTORIES: u64 = 500;
const GENERATIONS: usize = 6;

const SMALL: Size = Size {
    members: 7,
    topics: 3,
    partitions: 7,
};
const USUAL: Size = Size {
    members: 12,
    topics: 5,
    partitions: 12,
};
const LARGE: Size = Size {
    members: 80,
    topics: 12,
    partitions: 60,
};

fn groups(assignor: Assignor, seeds: std::ops::Range<u64>, size: fn(u64) -> Size) -> Vec<Group> {
    let history = |seed| History::new(assignor, Manners::Good, size(seed), seed);
    seeds
        .map(history)
        .flat_map(|mut history| (0..GENERATIONS).map(move |_| history.next_group()))
        .collect()
}

fn ask_java(groups: &[Group]) -> String {
    let text: String = groups.iter().map(Group::to_text).collect();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Assignors.java");
    java::tool(program, &[], text.as_bytes()).stdout
}

/// Where the result is another, all of it is printed for the first.
fn assert_as_java(assignor: Assignor) {
    let size = |seed| match seed % 20 {
        0 => LARGE,
        1..10 => SMALL,
        _ => USUAL,
    };
    let groups = groups(assignor, 0..HISTORIES, size);
    let answered = group::parse(&ask_java(&groups));
    assert_eq!(answered.len(), groups.len());
    let differs = |answered: &&Answered| answered.group.answer() != answered.answer;
    let different: Vec<&Answered> = answered.iter().filter(differs).collect();
    if let Some(first) = different.iter().min_by_key(|a| a.group.to_text().len()) {
        panic!(
            "{} of {} groups: {:#?}\nJava: {:#?}\nKlamm: {:#?}",
            different.len(),
            groups.len(),
            first.group,
            first.answer,
            first.group.answer()
        );
    }
}

#[test]
fn range_is_javas() {
    assert_as_java(Assignor::Range);
}

#[test]
fn roundrobin_is_javas() {
    assert_as_java(Assignor::RoundRobin);
}

#[test]
fn sticky_is_javas() {
    assert_as_java(Assignor::Sticky);
}

#[test]
fn cooperative_sticky_is_javas() {
    assert_as_java(Assignor::CooperativeSticky);
}

/// Writes the fixtures of the tests that need no Java: with `KLAMM_ASSIGNORS_TO` to the file that it names. Of each history the
/// last group, when most has happened.
#[test]
fn fixtures_are_what_java_says() {
    let of = |assignor: Assignor| {
        let histories = match assignor {
            Assignor::Range => 24,
            Assignor::RoundRobin => 12,
            Assignor::Sticky | Assignor::CooperativeSticky => 48,
        };
        let groups = groups(assignor, 1_000..1_000 + histories, |_| SMALL);
        groups
            .into_iter()
            .skip(GENERATIONS - 1)
            .step_by(GENERATIONS)
    };
    let groups: Vec<Group> = Assignor::ALL.into_iter().flat_map(of).collect();
    let text = ask_java(&groups);
    if let Some(path) = env::var_os("KLAMM_ASSIGNORS_TO") {
        fs::write(path, &text).expect("a file that can be written");
    }
    let fixtures = include_str!("../../fixtures/assignors.txt");
    assert_eq!(text, fixtures);
}
