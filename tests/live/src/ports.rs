//! Free TCP ports for brokers. Knows no Kafka.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which Linux takes the ports of outgoing connections (from 32768): a broker that comes back must
/// find its port free, and a client that knocks at a dead broker's port must not get that very port as its own.
const RANGE: std::ops::Range<u32> = 10_000..32_000;

static TRIED: AtomicU32 = AtomicU32::new(0);

/// A port on which nobody listens, and which this process has not given out before.
pub(crate) fn free() -> u16 {
    for _ in RANGE {
        // Each process starts somewhere else, so that several can look at the same time.
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let at = process::id().wrapping_mul(7919).wrapping_add(tried) % (RANGE.end - RANGE.start);
        let port = u16::try_from(RANGE.start + at).expect("the range lies within a port's");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {RANGE:?} on 127.0.0.1");
}
