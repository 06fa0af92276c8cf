//! Owns the two clocks that runtimes have in common: those of the operating system.
//!
//! Must not know any runtime; one with a time of its own (a simulation) has clocks of its own.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use klamm::{Instant, UnixMillis};

/// Monotonic time since this process first asked for it.
#[must_use]
pub fn monotonic_clock() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::START + START.get_or_init(std::time::Instant::now).elapsed()
}

/// Milliseconds since 1970.
#[must_use]
pub fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}
