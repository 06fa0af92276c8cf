//! F1: frames from a stream that is cut anywhere.

use bytes::Bytes;
use klamm::wire::frame::{Admission, Assembler, FrameError};
use klamm::wire::pool::BufferPool;

use crate::Choices;
use crate::memory::measure;

/// What is asked before a frame gets memory.
#[derive(Debug, PartialEq)]
enum Asked {
    Announced(usize),
    Admitted(usize, [u8; 4]),
    Grown(usize, usize),
}

/// Lets in what is no longer than `max`, as long as no more than `most` bytes are asked for.
struct Gate {
    max: usize,
    most: usize,
    asked: Vec<Asked>,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Size(FrameError),
    Room(usize),
}

impl Admission for Gate {
    /// The memory that the frame may take.
    type Ticket = usize;
    type Error = Refused;

    fn limit(&self) -> usize {
        self.max
    }

    fn refuse(&self, error: FrameError) -> Refused {
        Refused::Size(error)
    }

    fn announce(&mut self, size: usize) -> Result<(), Refused> {
        self.asked.push(Asked::Announced(size));
        Ok(())
    }

    fn admit(&mut self, size: usize, first: [u8; 4]) -> Result<usize, Refused> {
        self.asked.push(Asked::Admitted(size, first));
        Ok(0)
    }

    fn grow(&mut self, ticket: &mut usize, size: usize, room: usize) -> Result<(), Refused> {
        assert!(*ticket < room && room <= size, "{ticket} {room} {size}");
        self.asked.push(Asked::Grown(size, room));
        if room > self.most {
            return Err(Refused::Room(room));
        }
        *ticket = room;
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<(Bytes, usize)>,
    error: Option<Refused>,
    asked: Vec<Asked>,
}

fn assemble(
    stream: &[u8],
    (max, most): (usize, usize),
    mut cut: impl FnMut(usize) -> usize,
) -> Outcome {
    let (mut assembler, mut pool) = (Assembler::new(), BufferPool::new(1 << 20));
    let asked = Vec::with_capacity(stream.len() + 1);
    let mut gate = Gate { max, most, asked };
    let (mut frames, mut rest, mut error, mut arrived) = (Vec::new(), stream, None, 0);
    while !rest.is_empty() && error.is_none() {
        let (mut chunk, after) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        rest = after;
        arrived += chunk.len();
        let (before, size) = (chunk, chunk.len());
        while error.is_none() {
            let (fed, usage) = measure(|| assembler.feed(&mut chunk, &mut pool, &mut gate));
            let granted = match gate.asked.last() {
                Some(Asked::Grown(_, room)) => *room,
                Some(Asked::Announced(_) | Asked::Admitted(..)) | None => 0,
            };
            // What the frame was allowed, and the bookkeeping of shared bytes. Never what it claims.
            assert!(
                usage.peak <= 2 * granted + 256,
                "{granted} bytes granted, {usage:?}"
            );
            assert!(
                granted <= (2 * arrived).max(64 << 10),
                "{granted} granted, {arrived} arrived"
            );
            match fed {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(refused) => error = Some(refused),
            }
        }
        assert!(
            error.is_some() || chunk.is_empty(),
            "{} of {size} bytes",
            before.len()
        );
    }
    if let Some(ticket) = assembler.abandon(&mut pool) {
        assert!(
            ticket <= most,
            "an unfinished frame gives back what it held"
        );
    }
    Outcome {
        frames,
        error,
        asked: gate.asked,
    }
}

/// The frames in the plainest words.
fn naive(stream: &[u8], max: usize) -> (Vec<&[u8]>, Option<FrameError>) {
    let (mut frames, mut rest) = (Vec::new(), stream);
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let prefix = *prefix;
        let size = i32::from_be_bytes(prefix);
        if size > 0 && size as usize > max {
            return (frames, Some(FrameError::TooLarge { prefix, max }));
        }
        if size < 4 {
            return (frames, Some(FrameError::TooSmall { prefix }));
        }
        let size = size as usize;
        let Some((frame, after)) = after.split_at_checked(size) else {
            break;
        };
        frames.push(frame);
        rest = after;
    }
    (frames, None)
}

/// F1: three bytes for the largest frame, three for the memory there is, one with the number of cuts, one for each
/// cut, then the stream.
pub fn f1_framer(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits @ (max, most) = (choices.number(3) as usize, choices.number(3) as usize);
    let cuts: Vec<usize> = (0..choices.below(32))
        .map(|_| usize::from(choices.byte()))
        .collect();
    let stream = choices.rest();
    let whole = assemble(stream, limits, |left| left);
    let (frames, error) = naive(stream, max);
    let whole_frames = whole.frames.iter().map(|(frame, _)| &frame[..]);
    match &whole.error {
        Some(Refused::Room(room)) => {
            assert!(*room > most);
            assert!(whole_frames.eq(frames.into_iter().take(whole.frames.len())));
        }
        Some(Refused::Size(refused)) => {
            assert_eq!(Some(*refused), error);
            assert!(whole_frames.eq(frames));
            let text = refused.to_string();
            assert!(!text.contains(char::is_control), "{text}");
        }
        None => {
            assert_eq!(error, None);
            assert!(whole_frames.eq(frames));
        }
    }
    let mut next = cuts.iter().cycle();
    assert_eq!(assemble(stream, limits, |_| 1), whole);
    assert_eq!(
        assemble(stream, limits, |left| next.next().map_or(left, |cut| *cut)),
        whole
    );
}
