//! Links Klamm's engines without the standard library.
//!
//! Built for `wasm32v1-none`, a target that has no `std` at all, so that a use of it in Klamm or in what Klamm depends on
//! is an error. Elsewhere this is an ordinary library, so that the workspace builds it and its test runs.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use klamm::config::{ConsumerConfig, ProducerConfig};
use klamm::{
    Assignment, CloseCause, ConsumerEngine, ConsumerEvent, Engine, Error, Input, Instant, Output,
    ProducerEngine, ProducerEvent, Start, UnixMillis,
};

/// What a machine without an operating system brings itself.
#[cfg(target_arch = "wasm32")]
mod machine {
    #[global_allocator]
    static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

    #[panic_handler]
    fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    /// Without a root the linker drops everything unlooked at.
    #[used]
    static ROOT: fn() -> Result<[usize; 2], klamm::Error> = super::drive;
}

/// The bootstrap server of both engines; it answers as no Kafka does.
const SERVER: &str = "localhost:9092";
const SPEECH: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
const ENTROPY: [u8; 32] = [7; 32];
const WALL: UnixMillis = UnixMillis(1_700_000_000_000);

/// Both engines from their first connection to their close, in a world of which the only server speaks HTTP. Returns how
/// many connections each has opened.
///
/// # Errors
/// What the engines say to a wrong configuration.
pub fn drive() -> Result<[usize; 2], Error> {
    let mut now = Instant::START;
    let closing = now + Duration::from_secs(2);

    let mut producer =
        ProducerEngine::new(&ProducerConfig::bootstrap(SERVER)?, ENTROPY, now, WALL)?;
    producer.topic("castle", now)?;
    let by_producer = live(&mut producer, &mut now, closing);
    producer.close(now + Duration::from_secs(1), now);
    let by_producer = by_producer + live(&mut producer, &mut now, Instant::FAR_FUTURE);

    let closing = now + Duration::from_secs(2);
    let mut consumer =
        ConsumerEngine::new(&ConsumerConfig::bootstrap(SERVER)?, ENTROPY, now, WALL)?;
    let castle = Assignment {
        topic: "castle",
        partition: 0,
        start: Start::Beginning,
    };
    consumer.assign(&[castle], now)?;
    let by_consumer = live(&mut consumer, &mut now, closing);
    consumer.close(now + Duration::from_secs(1), now);
    let by_consumer = by_consumer + live(&mut consumer, &mut now, Instant::FAR_FUTURE);
    Ok([by_producer, by_consumer])
}

/// Whether an event is an engine's last one.
trait Last {
    fn is_last(&self) -> bool;
}

impl Last for ProducerEvent {
    fn is_last(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

impl Last for ConsumerEvent {
    fn is_last(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// Does what the engine says until it is closed, wants to sleep beyond `until`, or sleeps for ever.
fn live<E: Engine>(engine: &mut E, now: &mut Instant, until: Instant) -> usize
where
    E::Event: Last,
{
    let mut opened = 0;
    loop {
        match engine.poll_output() {
            Output::Resolve { id, port, .. } => {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
                engine.handle(
                    Input::Resolved {
                        id,
                        result: Ok(vec![address]),
                    },
                    *now,
                );
            }
            Output::Open { conn, .. } => {
                opened += 1;
                engine.handle(Input::Connected { conn }, *now);
            }
            Output::Write { conn, data } => {
                engine.handle(
                    Input::Sent {
                        conn,
                        bytes: data.len() as u64,
                    },
                    *now,
                );
                engine.handle(Input::Received { conn, data: SPEECH }, *now);
            }
            Output::Close { conn, .. } => {
                engine.handle(
                    Input::Closed {
                        conn,
                        cause: CloseCause::Local,
                        sent: 0,
                    },
                    *now,
                );
            }
            Output::Work { id, job } => {
                engine.handle(
                    Input::JobDone {
                        id,
                        result: job.run(),
                    },
                    *now,
                );
            }
            Output::Event(event) if event.is_last() => return opened,
            Output::Event(_) | Output::Diagnostic(_) => {}
            Output::Idle(Some(wake)) if wake.at <= until => {
                *now = wake.at;
                engine.handle(Input::Timeout { wall: WALL }, *now);
            }
            Output::Idle(_) => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_engines_try_again_until_they_are_closed() {
        let opened = super::drive().expect("a valid configuration");
        assert!(
            opened.iter().all(|connections| *connections > 2),
            "{opened:?} connections"
        );
    }
}
