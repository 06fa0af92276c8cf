//! The suite of all drivers, on smol.

klamm_driver_suite::driver_tests!(smol::block_on, klamm_smol::Smol);
