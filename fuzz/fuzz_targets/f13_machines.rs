#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| klamm_fuzzing::f13_machines(data));
