//! Runs another program to its end, with a deadline. Knows no Kafka.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// What it wrote to its standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
}

impl Finished {
    /// The lines of the standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// Runs `command` with `stdin` and returns its standard output.
///
/// # Panics
/// If it cannot be started, fails, or has not ended after `limit`; the message holds what it said.
pub fn run(command: &mut Command, stdin: &[u8], limit: Duration) -> Finished {
    let finished = run_to_end(command, stdin, limit);
    assert!(
        finished.status.success(),
        "{command:?} failed ({})\n--- standard output\n{}\n--- standard error\n{}",
        finished.status,
        tail(&finished.stdout),
        tail(&finished.stderr)
    );
    finished
}

/// Runs `command` with `stdin`, and leaves it to the caller whether its failure is one.
///
/// # Panics
/// If it cannot be started or has not ended after `limit`.
pub fn run_to_end(command: &mut Command, stdin: &[u8], limit: Duration) -> Finished {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let mut input = child.stdin.take().expect("piped");
    let stdin = stdin.to_vec();
    // A program that ends before it has read everything closes the pipe: its status says whether that is wrong.
    let writer = thread::spawn(move || drop(input.write_all(&stdin)));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    let status = wait(&mut child, limit);
    writer.join().expect("the writer does not panic");
    let (stdout, stderr) = (
        stdout.join().expect("the reader does not panic"),
        stderr.join().expect("the reader does not panic"),
    );
    let Some(status) = status else {
        panic!(
            "{command:?} has not ended after {limit:?}\n--- standard output\n{}\n--- standard error\n{}",
            tail(&stdout),
            tail(&stderr)
        );
    };
    Finished {
        status,
        stdout,
        stderr,
    }
}

/// How it ended, or nothing if it had to be killed after `limit`.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            return Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of this process");
            child.wait().expect("a child of this process");
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The last forty lines: what is said last is what matters.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Asks `done` again and again until it says `Some`.
///
/// # Panics
/// After `limit`, with `what` was awaited.
pub fn until<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "after {limit:?} still not so: {what}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
