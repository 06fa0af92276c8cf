//! The byte budget: fetches, frames that are held, and what batches decompress to.

use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use crate::budget::Category;
use crate::config::ConsumerConfig;
use crate::consumer::{ReturnEnd, Start};
use crate::time::Duration;

const BUDGET: usize = 4 << 20;
/// What is left of it for fetching: an eighth is kept for control traffic, of the rest a quarter for decompression.
const SHARE: usize = (BUDGET - BUDGET / 8) / 4 * 3;

fn tight() -> ConsumerConfig {
    let mut config = config();
    config.common = config.common.memory_budget(BUDGET);
    config
}

fn fetching(world: &World) -> usize {
    world.consumer.memory_used(Category::Fetch)
}

#[test]
fn memory_is_taken_before_a_fetch_is_sent_and_given_back_with_the_last_batch() {
    let mut world = World::reading(&[0]);
    let reserved = fetching(&world);
    let fetch = world.fetch_at(0);
    assert!(reserved >= usize::try_from(fetch.request.max_bytes).unwrap());
    assert_eq!(fetch.request.max_bytes, 1 << 20);
    let large = sized_batch(0, 10, 90_000);
    fetch.answer(
        &mut world,
        11,
        vec![data(0, &[large.clone(), sized_batch(10, 1, 5)])],
    );
    // Nothing is asked for meanwhile: more than half a response waits.
    let held = fetching(&world);
    assert!((large.len()..large.len() + 1_000).contains(&held), "{held}");
    let first = world.lend().unwrap();
    let next = fetching(&world) - held;
    assert!(next > 1 << 20, "the next fetch is under way");
    world.give_back(&first);
    assert_eq!(fetching(&world), held + next);
    let second = world.lend().unwrap();
    world.give_back(&second);
    assert_eq!(fetching(&world), next);
}

#[test]
fn a_stale_batch_holds_its_memory_until_it_comes_back() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[sized_batch(0, 10, 90_000)])]);
    let lent = world.lend().unwrap();
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    world.assign(&[], Start::Beginning);
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    assert!(fetching(&world) >= lent.bytes.len());
    world.give_back(&lent);
    assert_eq!(fetching(&world), 0);
}

#[test]
fn a_reader_who_never_comes_stops_all_fetching_within_the_budget() {
    let mut world = World::new(&tight());
    world.assign(&[0, 1, 2, 3], Start::Offset(0));
    let mut offsets = [0_i64; 4];
    for round in 0..100 {
        assert!(fetching(&world) <= SHARE, "{round}: {}", fetching(&world));
        let Some(asked) = world.asked.front().cloned() else {
            break;
        };
        let fetch = world.fetch_at(asked.node);
        let wants = fetch.request.max_bytes;
        let partitions: Vec<i32> = (0..4)
            .filter(|partition| partition % 2 == asked.node)
            .collect();
        let served = partitions.iter().copied().find(|partition| {
            world.status(*partition) == "InFlight" || world.status(*partition) == "Buffered"
        });
        let Some(partition) = served.filter(|partition| {
            world.consumer.explain(T, *partition).unwrap().fetch_offset
                == Some(offsets[*partition as usize])
        }) else {
            break;
        };
        let size = usize::try_from(wants).unwrap() / 10 - 100;
        let at = &mut offsets[usize::try_from(partition).unwrap()];
        let full = sized_batch(*at, 10, size);
        *at += 10;
        fetch.answer(&mut world, 11, vec![data(partition, &[full])]);
        if world.asked.iter().all(|asked| asked.node != 0) && world.is_silent() {
            break;
        }
    }
    assert!(fetching(&world) <= SHARE);
    let used = fetching(&world);
    world.pass(Duration::from_secs(3_600));
    assert!(fetching(&world) <= used.max(SHARE));
    // And when the reader comes, everything goes on.
    assert!(!world.read_all().is_empty());
    assert!(!world.is_silent());
}

/// The smallest budget that there can be.
fn tiny() -> ConsumerConfig {
    let mut config = config();
    config.common = config.common.memory_budget(1_usize << 20);
    config
}

#[test]
fn a_tiny_budget_is_shared_among_the_brokers_so_that_none_waits_for_another_one_s_long_poll() {
    let mut world = World::new(&tiny());
    world.assign(&[0, 1], Start::Offset(0));
    let at = |node: i32| usize::try_from(node).unwrap();
    let mut served = [0_usize; 2];
    for round in 0..20 {
        let fetches = [world.fetch_at(0), world.fetch_at(1)];
        let [first, second] = fetches;
        // Whoever answers first gets no more than his part again.
        let (early, late) = match round % 2 {
            0 => (first, second),
            _ => (second, first),
        };
        for fetch in [early, late] {
            served[at(fetch.asked.node)] += 1;
            fetch.answer(&mut world, 0, vec![]);
        }
    }
    assert_eq!(served, [20, 20]);
}

#[test]
fn with_memory_for_one_fetch_only_the_brokers_take_turns() {
    let mut world = World::new(&tiny());
    world.assign(&[0, 1], Start::Offset(0));
    // A batch that the reader holds leaves room for one fetch.
    let large = sized_batch(0, 1, 300_000);
    world
        .fetch_at(0)
        .answer(&mut world, 0, vec![data(0, &[large])]);
    let held = world.lend().unwrap();
    let large = sized_batch(0, 1, 290_000);
    world
        .fetch_at(1)
        .answer(&mut world, 0, vec![data(1, &[large])]);
    let other = world.lend().unwrap();
    let mut turns = Vec::new();
    for _ in 0..6 {
        let asked = world.asked.front().cloned().unwrap();
        turns.push(asked.node);
        world.fetch_at(asked.node).answer(&mut world, 0, vec![]);
    }
    let node_0 = turns.iter().filter(|node| **node == 0).count();
    assert!((2..=4).contains(&node_0), "{turns:?}");
    drop((held, other));
}

#[test]
fn a_compressed_batch_is_lent_with_an_allowance_and_again_with_more() {
    let mut world = World::reading(&[0]);
    let batch = compressed(&sized_batch(0, 1, 20_000));
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(
            0,
            &[batch.clone(), compressed(&sized_batch(1, 1, 20_000))],
        )],
    );
    let lent = world.lend().unwrap();
    let area = batch.len() - 61;
    assert_eq!(lent.allowance, 4 * area);
    assert_eq!(
        world.consumer.memory_used(Category::Decompressed),
        lent.allowance
    );
    world.give_back_at(&lent, 0, ReturnEnd::Exhausted { needed: 10 * area });
    assert_eq!(world.consumer.memory_used(Category::Decompressed), 0);
    let again = world.lend().unwrap();
    assert_eq!((again.start, again.allowance), (0, 10 * area));
    world.give_back(&again);
    // The next one is not lent in vain first.
    let next = world.lend().unwrap();
    assert_eq!((next.start, next.allowance), (1, 10 * area));
    world.give_back(&next);
    assert_eq!(world.told(), ["ready"]);
}

#[test]
fn a_reader_who_only_says_that_it_was_not_enough_gets_more_each_time() {
    let mut world = World::reading(&[0]);
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, &[compressed(&sized_batch(0, 1, 100))])],
    );
    let mut last = 0;
    for _ in 0..3 {
        let lent = world.lend().unwrap();
        assert!(lent.allowance > last);
        last = lent.allowance;
        world.give_back_at(&lent, 0, ReturnEnd::Exhausted { needed: 1 });
    }
}

#[test]
fn a_batch_that_was_exhausted_after_its_last_record_is_done_with() {
    let mut world = World::reading(&[0]);
    let two = [compressed(&batch(0, 2)), compressed(&batch(2, 1))];
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &two)]);
    let first = world.lend().unwrap();
    world.give_back_at(&first, first.next, ReturnEnd::Exhausted { needed: 1 << 30 });
    let second = world.lend().unwrap();
    assert_eq!((second.start, second.next), (2, 3));
    assert_eq!(world.told(), ["ready"]);
}

#[test]
fn a_batch_for_which_there_can_never_be_room_is_an_error_that_a_seek_skips() {
    let mut world = World::new(&tight());
    world.assign(&[0], Start::Offset(0));
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, &[compressed(&batch(0, 1)), batch(1, 1)])],
    );
    let lent = world.lend().unwrap();
    world.give_back_at(&lent, 0, ReturnEnd::Exhausted { needed: 1 << 30 });
    assert_eq!(
        world.told(),
        [
            "ready",
            "castle-0: the batch at offset 0 needs at least 1073741824 bytes, more than it may have"
        ]
    );
    let hint = world.consumer.explain(T, 0).unwrap().error.unwrap();
    assert!(hint.hint().unwrap().contains("memory.budget"));
    world
        .consumer
        .seek(T, 0, Start::Offset(1), world.now)
        .unwrap();
    world.drain();
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(1, 1)])]);
    assert_eq!(world.read_all(), [(0, 1)]);
}

#[test]
fn a_batch_waits_for_memory_that_others_hold_and_is_lent_when_they_return_it() {
    let mut world = World::new(&tight());
    world.assign(&[0, 2], Start::Offset(0));
    let area = 200_000;
    let large = || compressed(&sized_batch(0, 1, area));
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, &[large()]), data(2, &[large()])],
    );
    let first = world.lend().unwrap();
    world.give_back_at(&first, 0, ReturnEnd::Exhausted { needed: 2_000_000 });
    let (a, b) = (world.lend(), world.lend());
    let first = a.or(b).unwrap();
    let waiting = if first.partition == 0 { 2 } else { 0 };
    assert!(world.lend().is_none());
    assert_eq!(world.status(waiting), "AwaitingMemory");
    world.give_back(&first);
    let second = world.lend().unwrap();
    assert_eq!(second.partition, waiting);
}

#[test]
fn a_batch_that_comes_back_without_freeing_its_frame_may_be_what_others_wait_for() {
    let mut world = World::new(&tight());
    world.assign(&[0, 1, 2], Start::Offset(0));
    // A partition that is paused holds memory that nobody reads.
    let buffered = sized_batch(0, 1, SHARE / 3);
    world
        .fetch_at(1)
        .answer(&mut world, 0, vec![data(1, &[buffered])]);
    world.consumer.pause(T, 1, world.now).unwrap();
    let (small, large) = (batch(0, 1), compressed(&sized_batch(0, 1, 200_000)));
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[small]), data(2, &[large])]);
    let (a, b) = (world.lend().unwrap(), world.lend().unwrap());
    let (small, large) = if a.partition == 0 { (a, b) } else { (b, a) };
    let needed = 2_600_000;
    world.give_back_at(&large, 0, ReturnEnd::Exhausted { needed });
    assert!(world.lend().is_none());
    assert_eq!(world.status(2), "AwaitingMemory");
    // What was under way brings nothing, and nothing more is asked for before there is memory.
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    assert!(world.is_silent());
    world.give_back(&small);
    assert_eq!(
        world.lend().map(|lent| lent.partition),
        Some(2),
        "{:?}",
        world.told()
    );
}

#[test]
fn a_batch_larger_than_the_limits_still_moves() {
    let mut world = World::new(
        &config()
            .max_partition_fetch_bytes(1_000_usize)
            .fetch_max_bytes(1_000_usize),
    );
    world.assign(&[0], Start::Offset(0));
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.request.max_bytes, 1_000);
    fetch.answer(&mut world, 11, vec![data(0, &[sized_batch(0, 1, 500_000)])]);
    assert_eq!(world.read_all(), [(0, 0)]);
}

#[test]
fn a_response_for_which_nothing_was_reserved_is_fetched_again_with_all_that_it_takes() {
    let mut world = World::new(
        &tight()
            .max_partition_fetch_bytes(1_000_usize)
            .fetch_max_bytes(1_000_usize),
    );
    world.assign(&[0], Start::Offset(0));
    // More than the budget has beside what control traffic keeps.
    let huge = sized_batch(0, 1, BUDGET);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[huge])]);
    for _ in 0..3 {
        world.pass(Duration::from_secs(2));
        if world.asked.is_empty() {
            break;
        }
        world
            .fetch_at(0)
            .answer(&mut world, 11, vec![data(0, &[sized_batch(0, 1, BUDGET)])]);
    }
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("castle-0: the batch at offset 0 needs at least 4194"),
        "{told:?}"
    );
    assert_eq!(world.status(0), "Blocked");
    assert_eq!(fetching(&world), 0);
}

#[test]
fn a_batch_that_an_old_broker_cut_is_asked_for_in_its_size() {
    let mut world = World::reading(&[0]);
    let large = sized_batch(0, 1, 2 << 20);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[large.slice(..1 << 20)])]);
    let fetch = world.fetch_at(0);
    let asked = fetch.request.topics[0].partitions[0].partition_max_bytes;
    assert_eq!(usize::try_from(asked).unwrap(), large.len());
    assert!(usize::try_from(fetch.request.max_bytes).unwrap() >= large.len());
    fetch.answer(&mut world, 11, vec![data(0, &[large])]);
    assert_eq!(world.read_all(), [(0, 0)]);
}
