//! Draws a recording as a timeline, in one page without outside parts: sockets as lanes, requests as bars, rebalances and
//! stalls marked. Point at a bar to read what it is.
//!
//! ```text
//! cargo run --release --example quickstart -- --record run
//! cargo run --release --example trace -- run.consumer run.html
//! cargo run --example trace -- --demo docs/trace.svg          # a small run of its own, with a rebalance and a stall
//! ```

mod demo;
mod draw;
mod timeline;

use std::error::Error;

use klamm::recording::Recording;

use crate::draw::{page, picture};
use crate::timeline::Timeline;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (recording, to) =
        match words.as_slice() {
            ["--demo", to] => (demo::record()?, *to),
            [file, to] => (std::fs::read(file)?, *to),
            _ => return Err(
                "usage: trace RECORDING FILE.html | trace RECORDING FILE.svg | trace --demo FILE"
                    .into(),
            ),
        };
    let timeline = Timeline::of(&Recording::parse(&recording)?)?;
    let drawn = match to.ends_with(".svg") {
        true => picture(&timeline),
        false => page(&timeline),
    };
    std::fs::write(to, drawn)?;
    println!(
        "{to}: {} requests on {} lanes, {} marks",
        timeline.requests().count(),
        timeline.lanes.len(),
        timeline.marks.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_a_rebalance_and_a_stall_is_drawn_with_both() {
        let recording = demo::record().expect("a run");
        let timeline = Timeline::of(&Recording::parse(&recording).expect("a recording"));
        let timeline = timeline.expect("a timeline");
        let page = page(&timeline);
        for part in [
            "<!doctype html>",
            "broker 1, default",
            "coordination",
            "Fetch",
            "ListOffsets",
            "OffsetCommit",
            "partitions",
            "rebalance: assigned",
            "rebalance: revoked",
            "stall",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        // One file, no script, nothing from elsewhere, no payload.
        for outside in [
            "<script",
            "href=",
            "src=",
            "@import",
            "http://",
            "https://",
            "payload of",
        ] {
            let known = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!known.contains(outside), "{outside} in {page}");
        }
        let open = page.matches("<g").count();
        assert_eq!(open, page.matches("</g>").count());
    }

    #[test]
    fn what_is_no_recording_is_told() {
        let error = Recording::parse(b"klammheimlich").expect_err("refused");
        assert!(error.to_string().contains("recording"), "{error}");
    }
}
