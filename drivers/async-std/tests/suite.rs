//! The suite of all drivers, on async-std.

klamm_driver_suite::driver_tests!(async_std::task::block_on, klamm_async_std::AsyncStd);
