//! Owns putting frames together from whatever chunks a socket yields: the one place where the bytes of a connection
//! become frames again, for a client, a server, a test or a fuzz target.
//!
//! Must not know what is in a frame but for its first four bytes, which tell whose it is (a response's correlation id,
//! a request's API and version). Whether a frame may come and its memory may grow,
//! an [`Admission`] decides.

use super::pool::BufferPool;
use bytes::{Bytes, BytesMut};
use core::{fmt, mem};

/// The size of a frame and the first four bytes of it.
const PREFIX: usize = 8;

/// The part of the prefix that is the size.
const SIZE: usize = 4;

/// What a frame's memory grows by at first; it doubles from there.
const STEP: usize = 64 << 10;

/// Who decides what frames may come and how much memory they may have.
pub trait Admission {
    /// What an admitted frame holds, such as bytes of a budget. It lives and ends with the frame.
    type Ticket;
    /// Why a frame is not taken. The connection must be closed then: what follows cannot be understood.
    type Error;

    /// The largest frame that may begin now, in bytes.
    fn limit(&self) -> usize;

    /// The error for a size that no frame can have.
    fn refuse(&self, error: FrameError) -> Self::Error;

    /// A frame of `size` bytes is announced, and nothing more of it is known.
    ///
    /// # Errors
    /// No frame may come now.
    fn announce(&mut self, size: usize) -> Result<(), Self::Error>;

    /// The frame begins with these four bytes.
    ///
    /// # Errors
    /// This frame may not come now.
    fn admit(&mut self, size: usize, first: [u8; 4]) -> Result<Self::Ticket, Self::Error>;

    /// The frame of `size` bytes is about to have memory for `room` of them; asked before the memory is. What is asked
    /// depends on nothing but the frame, so that the same bytes in other chunks are answered the same.
    ///
    /// # Errors
    /// There is no room for the frame. What the ticket holds comes back by [`Assembler::abandon`].
    fn grow(
        &mut self,
        ticket: &mut Self::Ticket,
        size: usize,
        room: usize,
    ) -> Result<(), Self::Error>;
}

/// The admission of all frames up to a size, for who counts no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpTo(pub usize);

impl Admission for UpTo {
    type Ticket = ();
    type Error = FrameError;

    fn limit(&self) -> usize {
        self.0
    }

    fn refuse(&self, error: FrameError) -> FrameError {
        error
    }

    fn announce(&mut self, _: usize) -> Result<(), FrameError> {
        Ok(())
    }

    fn admit(&mut self, _: usize, _: [u8; 4]) -> Result<(), FrameError> {
        Ok(())
    }

    fn grow(&mut self, _: &mut (), _: usize, _: usize) -> Result<(), FrameError> {
        Ok(())
    }
}

/// Puts frames together; `T` is the [`Ticket`](Admission::Ticket) of a frame that is arriving.
///
/// The memory of a frame grows as its bytes arrive, in steps: it is at most 64 KiB or twice what has arrived (or what
/// a pooled buffer brings along), whatever size the frame claims.
#[derive(Debug)]
pub struct Assembler<T> {
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// The size and the first four bytes are arriving.
    Prefix { bytes: [u8; PREFIX], filled: usize },
    /// The rest is arriving.
    Body(Body<T>),
}

#[derive(Debug)]
struct Body<T> {
    /// The whole frame, without its size.
    size: usize,
    /// Its first four bytes, which go into the buffer when there is room.
    first: [u8; PREFIX - SIZE],
    /// What has arrived of it.
    buffer: BytesMut,
    /// How far the buffer may be filled; 0 until the admission has agreed to some.
    room: usize,
    ticket: T,
}

/// A size that no frame can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The size is below zero, or too small for what each frame begins with.
    TooSmall {
        /// The four bytes of the size.
        prefix: [u8; 4],
    },
    /// The frame is larger than allowed.
    TooLarge {
        /// The four bytes of the size.
        prefix: [u8; 4],
        /// The largest size allowed, in bytes.
        max: usize,
    },
}

impl FrameError {
    /// The four bytes that stood where a size should.
    #[must_use]
    pub fn prefix(&self) -> [u8; 4] {
        match *self {
            Self::TooSmall { prefix } | Self::TooLarge { prefix, .. } => prefix,
        }
    }

    /// What speaks here, if the bytes give away that it is not Kafka.
    #[must_use]
    pub fn looks_like(&self) -> Option<&'static str> {
        match self.prefix() {
            [b'H', b'T', b'T', b'P'] => Some("an HTTP server"),
            [b'S', b'S', b'H', b'-'] => Some("an SSH server"),
            // A record of a TLS alert (21) or handshake (22), version 3.x.
            [0x15 | 0x16, 0x03, 0x00..=0x04, _] => {
                Some("a TLS listener, to which this client spoke in plain text")
            }
            prefix if prefix.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                Some("a protocol of text")
            }
            _ => None,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix();
        let size = i32::from_be_bytes(prefix);
        if let Some(looks_like) = self.looks_like() {
            let shown = prefix.escape_ascii();
            return write!(
                f,
                "what answers looks like {looks_like} (first bytes: {shown})"
            );
        }
        match self {
            Self::TooSmall { .. } => {
                write!(
                    f,
                    "a frame of {size} bytes, which has no room for a correlation id"
                )
            }
            Self::TooLarge { max, .. } => {
                write!(f, "a frame of {size} bytes, at most {max} allowed")
            }
        }
    }
}

impl core::error::Error for FrameError {}

impl<T> Default for Assembler<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Assembler<T> {
    /// An assembler at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Prefix {
                bytes: [0; PREFIX],
                filled: 0,
            },
        }
    }

    /// Takes bytes from the front of `data`, up to the end of one frame, and gives that frame without its size.
    /// `None` says that all of `data` was taken, and more is needed: so call it until then.
    ///
    /// # Errors
    /// The size is impossible, or the admission refused. Nothing more can be read then; [`abandon`](Self::abandon)
    /// gives back what is held.
    pub fn feed<A: Admission<Ticket = T>>(
        &mut self,
        data: &mut &[u8],
        pool: &mut BufferPool,
        admission: &mut A,
    ) -> Result<Option<(Bytes, T)>, A::Error> {
        loop {
            match &mut self.state {
                State::Prefix { bytes, filled } => {
                    if !fill_prefix(bytes, filled, data, admission)? {
                        return Ok(None);
                    }
                    self.state = State::Body(Body::begin(*bytes, pool, admission)?);
                }
                State::Body(body) => {
                    if !body.fill(data, admission)? {
                        return Ok(None);
                    }
                    return Ok(match mem::take(self).state {
                        State::Body(body) => Some((body.buffer.freeze(), body.ticket)),
                        State::Prefix { .. } => None,
                    });
                }
            }
        }
    }

    /// Drops what is held of an unfinished frame, gives its buffer back to the pool and its ticket to the caller.
    pub fn abandon(&mut self, pool: &mut BufferPool) -> Option<T> {
        match mem::take(self).state {
            State::Prefix { .. } => None,
            State::Body(body) => {
                pool.put(body.buffer);
                Some(body.ticket)
            }
        }
    }
}

/// Takes bytes of the prefix; says whether it is complete.
fn fill_prefix<A: Admission>(
    bytes: &mut [u8; PREFIX],
    filled: &mut usize,
    data: &mut &[u8],
    admission: &mut A,
) -> Result<bool, A::Error> {
    while let ([byte, rest @ ..], Some(place)) = (*data, bytes.get_mut(*filled)) {
        *place = *byte;
        *data = rest;
        *filled = filled.saturating_add(1);
        if *filled == SIZE {
            let size = checked_size(bytes, admission)?;
            admission.announce(size)?;
        }
    }
    #[cfg(planted = "B43")]
    if *filled < SIZE {
        *filled = 0;
    }
    Ok(*filled == PREFIX)
}

fn checked_size<A: Admission>(bytes: &[u8; PREFIX], admission: &A) -> Result<usize, A::Error> {
    let [a, b, c, d, ..] = *bytes;
    let prefix = [a, b, c, d];
    let max = admission.limit();
    match usize::try_from(i32::from_be_bytes(prefix)) {
        Ok(size) if size > max => Err(admission.refuse(FrameError::TooLarge { prefix, max })),
        Ok(size) if size >= PREFIX - SIZE => Ok(size),
        Ok(_) | Err(_) => Err(admission.refuse(FrameError::TooSmall { prefix })),
    }
}

impl<T> Body<T> {
    fn begin<A: Admission<Ticket = T>>(
        prefix: [u8; PREFIX],
        pool: &mut BufferPool,
        admission: &mut A,
    ) -> Result<Self, A::Error> {
        let [a, b, c, d, first @ ..] = prefix;
        // Above zero: it has been checked.
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let ticket = admission.admit(size, first)?;
        Ok(Self {
            size,
            first,
            buffer: pool.take(size),
            room: 0,
            ticket,
        })
    }

    /// Takes bytes of the frame; says whether it is complete.
    fn fill<A: Admission<Ticket = T>>(
        &mut self,
        data: &mut &[u8],
        admission: &mut A,
    ) -> Result<bool, A::Error> {
        if self.room == 0 {
            self.grow(admission)?;
            self.buffer.extend_from_slice(&self.first);
        }
        while self.buffer.len() < self.size && !data.is_empty() {
            if self.buffer.len() >= self.room {
                self.grow(admission)?;
            }
            let free = self.room.saturating_sub(self.buffer.len());
            let (now, later) = data.split_at_checked(free).unwrap_or((data, &[]));
            self.buffer.extend_from_slice(now);
            *data = later;
        }
        Ok(self.buffer.len() >= self.size)
    }

    fn grow<A: Admission<Ticket = T>>(&mut self, admission: &mut A) -> Result<(), A::Error> {
        let room = self.room.saturating_mul(2).max(STEP).min(self.size);
        admission.grow(&mut self.ticket, self.size, room)?;
        self.room = room;
        if self.buffer.capacity() < room {
            // `reserve` would round up beyond what was agreed to.
            let mut larger = BytesMut::with_capacity(room);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{vec, vec::Vec};

    fn frames(assembler: &mut Assembler<()>, mut data: &[u8], pool: &mut BufferPool) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some((frame, ())) = assembler.feed(&mut data, pool, &mut UpTo(1 << 20)).unwrap() {
            frames.push(frame);
        }
        assert!(data.is_empty());
        frames
    }

    fn stream(bodies: &[Vec<u8>]) -> Vec<u8> {
        bodies
            .iter()
            .flat_map(|body| [&(body.len() as u32).to_be_bytes(), &body[..]].concat())
            .collect()
    }

    fn bodies() -> Vec<Vec<u8>> {
        let sizes = [4, 5, 7, 8, 9, 300, 4, 4095, 4096, 9_000, 200_000];
        sizes
            .iter()
            .map(|&size| (0..size).map(|i| (i * 7 + size) as u8).collect())
            .collect()
    }

    #[test]
    fn any_two_cuts_give_the_same_frames() {
        let (bodies, mut pool) = (bodies()[..6].to_vec(), BufferPool::new(1 << 20));
        let stream = stream(&bodies);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut assembler = Assembler::new();
                let mut got = frames(&mut assembler, &stream[..first], &mut pool);
                got.extend(frames(&mut assembler, &stream[first..second], &mut pool));
                got.extend(frames(&mut assembler, &stream[second..], &mut pool));
                assert_eq!(got, bodies, "cut at {first} and {second}");
                assert_eq!(assembler.abandon(&mut pool), None);
            }
        }
    }

    #[test]
    fn chunks_of_any_one_size_give_the_same_frames() {
        let (bodies, mut pool) = (bodies(), BufferPool::new(1 << 20));
        let stream = stream(&bodies);
        for size in (1..70).chain([1000, 4096, 5000, stream.len()]) {
            let mut assembler = Assembler::new();
            let mut got = Vec::new();
            for chunk in stream.chunks(size) {
                got.extend(frames(&mut assembler, chunk, &mut pool));
            }
            assert_eq!(got, bodies, "chunks of {size}");
            for frame in got {
                pool.recycle(frame);
            }
        }
    }

    /// Writes down what it is asked, and refuses what it is told to.
    #[derive(Default)]
    struct Asked {
        refuse_room: Option<usize>,
        asked: Vec<(usize, usize)>,
    }

    impl Admission for Asked {
        type Ticket = [u8; 4];
        type Error = &'static str;

        fn limit(&self) -> usize {
            100 << 20
        }

        fn refuse(&self, _: FrameError) -> &'static str {
            "size"
        }

        fn announce(&mut self, size: usize) -> Result<(), &'static str> {
            self.asked.push((size, 0));
            if size == 13 { Err("announced") } else { Ok(()) }
        }

        fn admit(&mut self, _: usize, first: [u8; 4]) -> Result<[u8; 4], &'static str> {
            if first == *b"nope" {
                Err("admitted")
            } else {
                Ok(first)
            }
        }

        fn grow(&mut self, _: &mut [u8; 4], size: usize, room: usize) -> Result<(), &'static str> {
            self.asked.push((size, room));
            if self.refuse_room.is_some_and(|most| room > most) {
                return Err("room");
            }
            Ok(())
        }
    }

    #[test]
    fn room_is_asked_for_in_the_same_steps_whatever_the_chunks() {
        let stream = stream(&[vec![1; 300_000], vec![2; 100], vec![3; 70_000]]);
        let expected = [
            (300_000, 0),
            (300_000, 65_536),
            (300_000, 131_072),
            (300_000, 262_144),
            (300_000, 300_000),
            (100, 0),
            (100, 100),
            (70_000, 0),
            (70_000, 65_536),
            (70_000, 70_000),
        ];
        for size in [1, 3, 7, 4096, 65_536, stream.len()] {
            let (mut asked, mut pool) = (Asked::default(), BufferPool::new(0));
            let mut assembler = Assembler::new();
            for mut chunk in stream.chunks(size) {
                while let Some((frame, first)) =
                    assembler.feed(&mut chunk, &mut pool, &mut asked).unwrap()
                {
                    assert_eq!(frame[..4], first, "the ticket comes with its frame");
                }
            }
            assert_eq!(asked.asked, expected, "chunks of {size}");
        }
    }

    #[test]
    fn a_frame_is_refused_as_soon_as_it_can_be_and_its_ticket_comes_back() {
        let feed = |mut data: &[u8], refuse_room| {
            let mut pool = BufferPool::new(1 << 20);
            let mut assembler = Assembler::new();
            let mut asked = Asked {
                refuse_room,
                ..Asked::default()
            };
            let refused = assembler.feed(&mut data, &mut pool, &mut asked);
            (refused.unwrap_err(), assembler.abandon(&mut pool))
        };
        assert_eq!(feed(&[0, 0, 0, 3], None), ("size", None));
        assert_eq!(feed(&[0, 0, 0, 13], None), ("announced", None));
        assert_eq!(feed(b"\0\0\0\x0enope", None), ("admitted", None));
        assert_eq!(feed(b"\0\0\0\x0ecome", Some(0)), ("room", Some(*b"come")));
        let long = [&100_000_u32.to_be_bytes()[..], &[7; 70_000]].concat();
        assert_eq!(feed(&long, Some(65_536)), ("room", Some([7; 4])));
    }

    #[test]
    fn memory_follows_what_arrived_not_what_is_claimed() {
        let mut pool = BufferPool::new(1 << 20);
        let mut assembler = Assembler::new();
        let most = &mut UpTo(100 << 20);
        let mut data = &(100_u32 << 20).to_be_bytes()[..];
        assert_eq!(assembler.feed(&mut data, &mut pool, most), Ok(None));
        for arrived in (1..200).map(|n| n * 1_000) {
            let mut data = &[1; 1_000][..];
            assert_eq!(assembler.feed(&mut data, &mut pool, most), Ok(None));
            let State::Body(Body { buffer, .. }) = &assembler.state else {
                panic!("within a frame")
            };
            assert_eq!(buffer.len(), arrived);
            assert!(
                buffer.capacity() <= (2 * arrived).max(STEP),
                "{} for {arrived}",
                buffer.capacity()
            );
        }
        assert_eq!(assembler.abandon(&mut pool), Some(()));
        assert!(pool.held() >= 199_000);
        assert_eq!(
            frames(&mut assembler, &[0, 0, 0, 4, 9, 8, 7, 6], &mut pool),
            [&[9, 8, 7, 6][..]]
        );
    }

    #[test]
    fn memory_beyond_what_was_agreed_to_is_not_taken() {
        for size in [100, 65_536, 70_000, 130_000, 300_000] {
            let mut assembler = Assembler::new();
            let data = stream(&[vec![1; size]]);
            let (last, most) = data.split_last().unwrap();
            assert!(frames(&mut assembler, most, &mut BufferPool::new(0)).is_empty());
            let State::Body(Body { buffer, .. }) = &assembler.state else {
                panic!("within a frame")
            };
            assert_eq!(buffer.capacity(), size);
            frames(&mut assembler, &[*last], &mut BufferPool::new(0));
        }
    }

    #[test]
    fn a_large_frame_takes_a_pooled_buffer_and_a_small_one_does_not() {
        let mut pool = BufferPool::new(1 << 20);
        pool.put(BytesMut::with_capacity(100_000));
        let mut assembler = Assembler::new();
        let small = frames(&mut assembler, &stream(&[vec![1; 100]]), &mut pool);
        assert_eq!(pool.held(), 100_000);
        let large = frames(&mut assembler, &stream(&[vec![2; 50_000]]), &mut pool);
        assert_eq!(pool.held(), 0);
        assert_eq!((small[0].len(), large[0].len()), (100, 50_000));
        assert!(large.into_iter().all(|frame| pool.recycle(frame)));
        assert_eq!(pool.held(), 100_000, "the whole capacity comes back");
    }

    #[test]
    fn impossible_sizes_say_what_they_look_like() {
        let error = |prefix: &[u8; 4], max| {
            Assembler::new()
                .feed(&mut &prefix[..], &mut BufferPool::new(0), &mut UpTo(max))
                .unwrap_err()
        };
        for (prefix, text) in [
            (
                &[0xff; 4],
                "a frame of -1 bytes, which has no room for a correlation id",
            ),
            (
                &[0, 0, 0, 3],
                "a frame of 3 bytes, which has no room for a correlation id",
            ),
            (&[0, 0, 0, 101], "a frame of 101 bytes, at most 100 allowed"),
            (
                b"HTTP",
                "what answers looks like an HTTP server (first bytes: HTTP)",
            ),
            (
                b"SSH-",
                "what answers looks like an SSH server (first bytes: SSH-)",
            ),
            (
                b"220 ",
                "what answers looks like a protocol of text (first bytes: 220 )",
            ),
            (
                &[0x15, 3, 3, 0],
                "what answers looks like a TLS listener, to which this client spoke in plain text (first bytes: \\x15\\x03\\x03\\x00)",
            ),
        ] {
            assert_eq!(error(prefix, 100).to_string(), text);
        }
        assert_eq!(
            error(&[0, 0, 0, 101], 100),
            FrameError::TooLarge {
                prefix: [0, 0, 0, 101],
                max: 100
            }
        );
    }

    #[test]
    fn the_largest_allowed_frame_is_taken_and_limits_may_change() {
        let (mut assembler, mut pool) = (Assembler::new(), BufferPool::new(0));
        let data = stream(&[vec![1; 100], vec![1; 101]]);
        let mut data = &data[..];
        let (frame, ()) = assembler
            .feed(&mut data, &mut pool, &mut UpTo(100))
            .unwrap()
            .unwrap();
        assert_eq!(frame.len(), 100);
        let mut again = data;
        let refused = Assembler::new().feed(&mut again, &mut pool, &mut UpTo(100));
        assert!(matches!(
            refused,
            Err(FrameError::TooLarge { max: 100, .. })
        ));
        let taken = assembler.feed(&mut data, &mut pool, &mut UpTo(101));
        assert_eq!(taken.unwrap().unwrap().0.len(), 101);
    }
}
