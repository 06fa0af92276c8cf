//! The tests that every driver of Klamm runs: what the shell asks of a [`Runtime`], and whole clients on real sockets.
//!
//! Owns the bodies, generic over the runtime; a driver's own test file is one line:
//!
//! ```ignore
//! klamm_driver_suite::driver_tests!(smol::block_on, klamm_smol::Smol);
//! ```
//!
//! Must not know any runtime. No body measures time; where one waits, it is for something that must happen.

#![allow(clippy::missing_panics_doc, reason = "these are tests")]

pub mod clients;
pub mod contract;
pub mod groups;
pub mod members;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use klamm_shell::{Duration, Runtime, Timer};

/// How long anything may take before a test gives it up as hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits on a timer of the runtime.
pub async fn sleep<RT: Runtime>(runtime: &RT, duration: Duration) {
    let mut timer = runtime.timer();
    timer.reset(runtime.now() + duration);
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// The future's value, unless it takes longer than [`PATIENCE`].
pub async fn in_time<T>(runtime: &impl Runtime, future: impl Future<Output = T>) -> T {
    match within(runtime, PATIENCE, future).await {
        Some(value) => value,
        None => panic!("nothing happened within {PATIENCE:?}"),
    }
}

/// The future's value, unless it takes longer than `duration`; then the future is dropped.
pub async fn within<T>(
    runtime: &impl Runtime,
    duration: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(runtime, duration));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// One `#[test]` for each body of the suite: `driver_tests!(block_on, runtime)`, where `runtime` is an expression that is
/// evaluated inside `block_on`.
#[macro_export]
macro_rules! driver_tests {
    ($block_on:path, $runtime:expr) => {
        $crate::driver_tests!(@contract, $block_on, $runtime;
            a_literal_address_is_answered_without_asking_anybody
            a_name_of_this_host_has_its_addresses
            a_name_that_does_not_exist_is_an_error
            a_port_without_a_listener_refuses
            an_attempt_to_connect_can_be_given_up
            bytes_go_both_ways_whole_and_in_order
            after_the_shutdown_the_peer_sees_the_end_and_can_still_talk
            a_reset_is_an_error
            a_dropped_socket_is_closed
            the_last_waker_is_the_one_that_is_woken
            a_timer_fires_when_its_instant_has_come_and_not_before
            a_timer_can_be_set_again_to_sooner_and_to_later
            a_timer_set_to_the_past_fires_at_once_and_one_in_the_far_future_never
            tasks_run_beside_each_other_and_blocking_work_beside_them
            the_clocks_go_forward
        );
        $crate::driver_tests!(@clients, $block_on, $runtime;
            records_go_out_and_come_back
            a_restarted_broker_costs_nothing_and_doubles_nothing
            a_future_dropped_at_every_await_point_loses_nothing
            a_client_without_a_broker_can_be_dropped_and_closed_at_once
            a_closed_client_leaves_no_socket
        );
        $crate::driver_tests!(@groups, $block_on, $runtime;
            a_parked_fetch_delays_nothing_of_the_group
            the_end_of_one_groups_socket_is_nothing_to_the_other
            where_every_broker_holds_a_fetch_the_coordinator_is_found_all_the_same
            one_socket_a_broker_and_group_however_many_ask
            a_broker_that_answers_nothing_delays_no_other
            a_close_ends_the_sockets_of_every_group
        );
        $crate::driver_tests!(@members, $block_on, $runtime;
            members_share_a_topic_and_who_stays_takes_over
            a_listener_is_awaited_before_partitions_go
            a_pattern_brings_topics_that_come_to_be
        );
    };
    (@$module:ident, $block_on:path, $runtime:expr; $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                $block_on(async {
                    let runtime = $runtime;
                    $crate::in_time(&runtime, $crate::$module::$name(&runtime)).await;
                });
            }
        )+
    };
}
