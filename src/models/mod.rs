//! Owns the list of naive models that state machines are held against: each takes any bytes as decisions, does to both
//! what they say, and panics where the machine and its model differ.
//!
//! For property tests and fuzzing alone: public with the feature `models`, outside semver. Must not know how the machines
//! work, and must not be needed by anything else.

mod timers;

pub use crate::choices::Choices;

/// The queue of deadlines against a list that is searched.
pub fn timers(data: &[u8]) {
    timers::hold(data);
}

/// The requests in flight on a connection against two lists.
pub fn in_flight(data: &[u8]) {
    crate::connection::hold_in_flight(data);
}

/// What is known of a cluster, through any sequence of answers: epochs and topics that never go back, an id that
/// is one topic's alone, no broker that nobody could reach.
pub fn metadata(data: &[u8]) {
    crate::cluster::hold_metadata(data);
}

/// A fetch session against a broker that remembers in the naive way; gives how many requests were incremental.
pub fn fetch_session(data: &[u8]) -> u32 {
    crate::consumer::hold_fetch_session(data)
}

/// The sequence numbers of a partition against a list of those given out.
pub fn sequences(data: &[u8]) {
    crate::producer::hold_sequences(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, proptest};
    use proptest::test_runner::RngSeed;

    fn config() -> ProptestConfig {
        ProptestConfig {
            rng_seed: RngSeed::Fixed(1922),
            failure_persistence: None,
            ..ProptestConfig::with_cases(500)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn deadlines_are_those_of_a_list(data in vec(any::<u8>(), 0..400)) {
            timers(&data);
        }

        #[test]
        fn what_is_in_flight_is_what_a_list_says(data in vec(any::<u8>(), 0..400)) {
            in_flight(&data);
        }

        #[test]
        fn what_is_known_of_a_cluster_never_goes_back(data in vec(any::<u8>(), 0..1_000)) {
            metadata(&data);
        }

        #[test]
        fn a_broker_remembers_exactly_what_its_session_wants(data in vec(any::<u8>(), 0..1_000)) {
            fetch_session(&data);
        }

        #[test]
        fn sequences_have_no_gap_that_was_not_told(data in vec(any::<u8>(), 0..400)) {
            sequences(&data);
        }
    }

    #[test]
    fn the_model_of_a_session_sees_incremental_requests() {
        let data: Vec<u8> = (0..4_000_u32)
            .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8)
            .collect();
        assert!(fetch_session(&data) > 20);
    }
}
