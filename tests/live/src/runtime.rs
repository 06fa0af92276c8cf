//! Where asynchronous tests run, and how they give up. Knows no Kafka.

use std::time::Duration;

/// Runs `test` on a runtime of its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("threads can be started").block_on(test)
}

/// Awaits `what` for at most `limit`.
///
/// # Panics
/// If it is not so in time.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(limit, future).await;
    done.unwrap_or_else(|_| panic!("after {limit:?} still not so: {what}"))
}
