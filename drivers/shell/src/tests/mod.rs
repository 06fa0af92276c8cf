//! Owns the driver's own transcripts, on the scripted runtime and the toy engine.
//!
//! Must not know Kafka.

mod clients;
mod consumers;
mod running;
mod security;

use std::io;
use std::sync::{Arc, Mutex};

use klamm::recording::{Recording, ReplayError, replay};
use klamm::{CloseCause, CloseMode, Duration, UnixMillis};

use crate::testing::toy::{PATIENCE, Told, Toy, ToyClient, Wish};
use crate::testing::{Fake, Pipe, Step};

/// A client with an open connection, of which everything so far was told.
fn connected() -> (Fake, ToyClient, Arc<Mutex<Pipe>>) {
    let fake = Fake::default();
    let pipe = fake.will_connect();
    let client = ToyClient::start(&fake);
    client.connect(&fake);
    assert_eq!(client.told(), [Told::Resolved(true), Told::Connected]);
    (fake, client, pipe)
}

#[test]
fn a_question_goes_out_and_its_answer_comes_back() {
    let (fake, client, pipe) = connected();
    client.wish(Wish::Ask(vec![b"pi", b"ng"]));
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"ping");
    assert_eq!(client.told(), [Told::Sent(4)]);
    Pipe::push_read(&pipe, Step::Bytes(b"!".to_vec()));
    fake.settle();
    assert_eq!(client.told(), [Told::Answer(b'!')]);
}

#[test]
fn what_the_socket_takes_in_pieces_is_written_whole_and_in_order() {
    let (fake, client, pipe) = connected();
    Pipe::will_write(
        &pipe,
        [
            Step::Accept(1),
            Step::Wait,
            Step::Accept(2),
            Step::Accept(3),
            Step::Wait,
        ],
    );
    client.wish(Wish::Ask(vec![b"ab", b"cd"]));
    client.wish(Wish::Ask(vec![b"efg"]));
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"a");
    client.wish(Wish::Ask(vec![b"hi"]));
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"");
    Pipe::go_on(&pipe);
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"bcdef");
    Pipe::go_on(&pipe);
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"ghi");
    let credit: u64 = client
        .told()
        .iter()
        .map(|told| {
            let Told::Sent(bytes) = told else {
                panic!("{told:?}");
            };
            *bytes
        })
        .sum();
    assert_eq!(credit, 9);
}

#[test]
fn what_comes_in_pieces_or_in_heaps_is_read_whole() {
    let (fake, client, pipe) = connected();
    for byte in b"one" {
        Pipe::push_read(&pipe, Step::Bytes(vec![*byte]));
    }
    fake.settle();
    let heap: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    Pipe::push_read(&pipe, Step::Bytes(heap.clone()));
    fake.settle();
    let answers: Vec<u8> = client
        .told()
        .iter()
        .map(|told| {
            let Told::Answer(byte) = told else {
                panic!("{told:?}");
            };
            *byte
        })
        .collect();
    assert_eq!(answers, [b"one".as_slice(), &heap].concat());
}

#[test]
fn a_busy_connection_lets_others_run_and_still_reads_everything() {
    let (fake, client, pipe) = connected();
    for _ in 0..200 {
        pipe.lock().unwrap().reads.push_back(Step::Bytes(vec![7]));
    }
    fake.polls();
    Pipe::push_read(&pipe, Step::Bytes(vec![8]));
    fake.settle();
    assert_eq!(client.told().len(), 201);
    assert!(fake.polls() > 4, "one poll must not do everything");
}

#[test]
fn waking_without_a_reason_changes_nothing() {
    let (fake, client, pipe) = connected();
    Pipe::will_write(&pipe, [Step::Accept(1), Step::Wait]);
    client.wish(Wish::Ask(vec![b"pi", b"ng"]));
    for _ in 0..3 {
        fake.wake_all();
    }
    assert_eq!(Pipe::take_written(&pipe), b"p");
    Pipe::go_on(&pipe);
    for _ in 0..3 {
        fake.wake_all();
    }
    assert_eq!(Pipe::take_written(&pipe), b"ing");
    Pipe::push_read(&pipe, Step::Bytes(b"!".to_vec()));
    for _ in 0..3 {
        fake.wake_all();
    }
    assert_eq!(client.told().last(), Some(&Told::Answer(b'!')));
    assert_eq!(client.told(), []);
}

#[test]
fn a_name_that_cannot_be_looked_up_is_told() {
    let fake = Fake::default();
    let client = ToyClient::start(&fake);
    for result in [
        Err(io::ErrorKind::NotFound.into()),
        Err(io::ErrorKind::TimedOut.into()),
        Ok(Vec::new()),
    ] {
        fake.will_resolve(result);
        client.wish(Wish::Connect);
        fake.settle();
        assert_eq!(client.told(), [Told::Resolved(false)]);
    }
}

#[test]
fn a_refused_connection_is_closed_once() {
    let fake = Fake::default();
    let client = ToyClient::start(&fake);
    for (kind, cause) in [
        (io::ErrorKind::ConnectionRefused, CloseCause::Refused),
        (io::ErrorKind::TimedOut, CloseCause::TimedOut),
        (io::ErrorKind::HostUnreachable, CloseCause::Unreachable),
        (io::ErrorKind::PermissionDenied, CloseCause::Other),
    ] {
        fake.will_refuse(kind);
        client.connect(&fake);
        assert_eq!(
            client.told(),
            [Told::Resolved(true), Told::Closed(cause, 0)]
        );
    }
    assert_eq!(fake.tasks(), 1, "only the driver's task is left");
}

#[test]
fn an_error_of_the_socket_closes_it_with_what_was_sent() {
    for (step, cause) in [
        (
            Step::Fail(io::ErrorKind::ConnectionReset),
            CloseCause::Reset,
        ),
        (Step::End, CloseCause::EndOfStream),
    ] {
        let (fake, client, pipe) = connected();
        Pipe::will_write(&pipe, [Step::Accept(3), Step::Wait]);
        client.wish(Wish::Ask(vec![b"pi", b"ng"]));
        fake.settle();
        assert_eq!(client.told(), [Told::Sent(3)]);
        Pipe::push_read(&pipe, step);
        fake.settle();
        assert_eq!(client.told(), [Told::Closed(cause, 3)]);
        assert!(pipe.lock().unwrap().dropped);
        assert_eq!(fake.tasks(), 1);
    }
}

#[test]
fn the_last_words_of_a_peer_that_went_are_read() {
    let (fake, client, pipe) = connected();
    {
        let mut pipe = pipe.lock().unwrap();
        pipe.writes.push_back(Step::Fail(io::ErrorKind::BrokenPipe));
        pipe.reads.push_back(Step::Bytes(b"why".to_vec()));
    }
    client.wish(Wish::Ask(vec![b"ping"]));
    fake.settle();
    assert_eq!(
        client.told(),
        [
            Told::Answer(b'w'),
            Told::Answer(b'h'),
            Told::Answer(b'y'),
            Told::Closed(CloseCause::Reset, 0)
        ]
    );
}

#[test]
fn a_flush_writes_what_is_queued_and_an_abort_does_not() {
    let (fake, client, pipe) = connected();
    Pipe::will_write(&pipe, [Step::Wait]);
    client.wish(Wish::Ask(vec![b"ping"]));
    client.wish(Wish::Close(CloseMode::Flush));
    fake.settle();
    assert_eq!(client.told(), []);
    Pipe::go_on(&pipe);
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"ping");
    assert!(pipe.lock().unwrap().shut);
    assert_eq!(
        client.told(),
        [Told::Sent(4), Told::Closed(CloseCause::Local, 4)]
    );

    let pipe = fake.will_connect();
    client.connect(&fake);
    Pipe::will_write(&pipe, [Step::Wait]);
    client.wish(Wish::Ask(vec![b"ping"]));
    client.wish(Wish::Close(CloseMode::Flush));
    fake.settle();
    client.told();
    client.wish(Wish::Close(CloseMode::Abort));
    fake.settle();
    assert_eq!(Pipe::take_written(&pipe), b"");
    assert_eq!(client.told(), [Told::Closed(CloseCause::Local, 0)]);
}

#[test]
fn an_attempt_to_connect_can_be_given_up() {
    let fake = Fake::default();
    let client = ToyClient::start(&fake);
    client.connect(&fake);
    assert_eq!(client.told(), [Told::Resolved(true)]);
    client.wish(Wish::Close(CloseMode::Abort));
    fake.settle();
    assert_eq!(client.told(), [Told::Closed(CloseCause::Local, 0)]);
    assert_eq!(fake.tasks(), 1);
}

#[test]
fn idle_costs_nothing() {
    let (fake, client, _pipe) = connected();
    fake.polls();
    fake.advance(Duration::from_secs(3600));
    assert_eq!(fake.polls(), 0);
    assert_eq!(client.told(), []);
}

#[test]
fn a_deadline_is_kept_to_the_nanosecond() {
    let (fake, client, pipe) = connected();
    client.wish(Wish::AskLater(b"a", Duration::from_millis(5)));
    fake.advance(Duration::from_nanos(4_999_999));
    assert_eq!(Pipe::take_written(&pipe), b"");
    fake.advance(Duration::from_nanos(1));
    assert_eq!(Pipe::take_written(&pipe), b"a");
    client.told();
    fake.advance(PATIENCE);
    assert_eq!(client.told(), [Told::TimedOut]);
}

#[test]
fn the_driver_is_woken_for_a_sooner_deadline_and_for_no_other() {
    let (fake, client, pipe) = connected();
    client.wish(Wish::AskLater(b"a", Duration::from_millis(10)));
    fake.settle();
    fake.polls();
    client.wish(Wish::AskLater(b"b", Duration::from_millis(20)));
    fake.settle();
    assert_eq!(fake.polls(), 0, "a later deadline wakes nobody");
    fake.advance(Duration::from_millis(10));
    assert_eq!(Pipe::take_written(&pipe), b"a");
    fake.advance(Duration::from_millis(10));
    assert_eq!(Pipe::take_written(&pipe), b"b");
}

#[test]
fn a_small_job_runs_at_once_and_a_large_one_on_a_thread() {
    let (fake, client, _pipe) = connected();
    client.wish(Wish::Work(100));
    assert_eq!(client.told(), [Told::Worked]);
    client.wish(Wish::Work(1 << 20));
    fake.settle();
    assert_eq!(client.told(), []);
    assert_eq!(fake.run_blocking(), 1);
    assert_eq!(client.told(), [Told::Worked]);
}

#[test]
fn a_dropped_client_leaves_nothing_behind() {
    let (fake, client, pipe) = connected();
    Pipe::will_write(&pipe, [Step::Wait]);
    client.wish(Wish::Ask(vec![b"ping"]));
    client.wish(Wish::Work(1 << 20));
    fake.settle();
    drop(client);
    fake.settle();
    assert!(pipe.lock().unwrap().dropped);
    assert_eq!(fake.tasks(), 0);
    fake.run_blocking();
}

#[test]
fn a_client_dropped_while_it_looks_up_and_connects_leaves_nothing_behind() {
    let fake = Fake::default();
    let client = ToyClient::start(&fake);
    client.wish(Wish::Connect);
    fake.settle();
    drop(client);
    fake.settle();
    fake.will_resolve(Ok(Vec::new()));
    fake.wake_all();
    assert!(
        fake.tasks() <= 1,
        "only the lookup, which cannot be given up"
    );

    let fake = Fake::default();
    let client = ToyClient::start(&fake);
    client.connect(&fake);
    drop(client);
    fake.settle();
    assert_eq!(fake.tasks(), 0);
}

#[test]
fn a_runtime_that_shuts_down_tells_everybody() {
    let (fake, client, pipe) = connected();
    client.wish(Wish::Ask(vec![b"ping"]));
    fake.settle();
    client.told();
    fake.shut_down();
    assert!(pipe.lock().unwrap().dropped);
    while let Some(told) = fake.block_on(client.next()) {
        assert!(matches!(told, Told::Closed(..)), "{told:?}");
    }
    client.wish(Wish::Ask(vec![b"ping"]));
}

#[test]
fn a_future_dropped_at_its_await_loses_nothing() {
    let (fake, client, pipe) = connected();
    client.wish(Wish::Ask(vec![b"ping"]));
    fake.settle();
    client.told();
    for polls in 0..3 {
        let mut next = Box::pin(client.next());
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        for _ in 0..polls {
            assert!(next.as_mut().poll(&mut cx).is_pending());
        }
        drop(next);
        Pipe::push_read(&pipe, Step::Bytes(vec![polls]));
        assert_eq!(fake.block_on(client.next()), Some(Told::Answer(polls)));
    }
}

/// A sink that can be looked into.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recording_replays_byte_for_byte_and_an_altered_one_does_not() {
    let header = klamm::recording::Header {
        role: "toy".into(),
        properties: Vec::new(),
        entropy: [0; 32],
        now: klamm::Instant::START,
        wall: UnixMillis(0),
    };
    let sink = Sink(Arc::new(Mutex::new(header.to_bytes())));
    let fake = Fake::default();
    let pipe = fake.will_connect();
    let client = ToyClient::start_recorded(&fake, Some(Box::new(sink.clone())));
    client.connect(&fake);
    client.wish(Wish::Ask(vec![b"pi", b"ng"]));
    Pipe::push_read(&pipe, Step::Bytes(b"A".to_vec()));
    fake.settle();
    fake.advance(Duration::from_secs(2));
    client.shared.write_recorded();

    let bytes = sink.0.lock().unwrap().clone();
    let recording = Recording::parse(&bytes).expect("a recording");
    let replayed = replay(&mut Toy::default(), recording.entries()).expect("the same outputs");
    assert!(replayed.inputs >= 4 && replayed.commands == 2 && replayed.outputs > 6);

    let answer = bytes
        .iter()
        .rposition(|byte| *byte == b'A')
        .expect("the answer");
    // The event says `Answer(65)`; the byte itself is only in the input.
    let mut altered = bytes.clone();
    altered[answer] = b'B';
    let recording = Recording::parse(&altered).expect("a recording");
    let error = replay(&mut Toy::default(), recording.entries()).expect_err("a difference");
    assert!(matches!(error, ReplayError::Difference(_)), "{error}");
}
