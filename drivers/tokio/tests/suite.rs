//! The suite of all drivers, on tokio.

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}

klamm_driver_suite::driver_tests!(block_on, klamm_tokio::Tokio::current());
