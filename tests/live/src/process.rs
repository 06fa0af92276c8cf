//! Runs other programs: to their end, with a deadline, or until they are told to stop. Knows no Kafka.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
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

/// A program that runs until it is told to stop, or dropped, which kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Running {
    /// Starts `command`, and reads what it writes to its standard output.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = Some(collect(child.stderr.take().expect("piped")));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                read.lock().expect("nobody panics with it").push(line);
            }
        });
        Running {
            child,
            lines,
            stderr,
        }
    }

    /// The lines that it wrote so far.
    ///
    /// # Panics
    /// Never: nobody panics while reading them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics with it").clone()
    }

    /// Asks it to end, as an operator does, and waits until it has.
    ///
    /// # Panics
    /// If it has not ended after `limit`.
    pub fn terminate(&mut self, limit: Duration) {
        let id = self.child.id().to_string();
        run(Command::new("kill").arg(id), b"", limit);
        let ended = wait(&mut self.child, limit);
        let stderr = self.stderr.take().map(|reader| reader.join());
        assert!(ended.is_some(), "it does not end: {stderr:?}");
    }

    /// Ends it at once, without a chance to say goodbye.
    ///
    /// # Panics
    /// Never: it is a child of this process.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of this process");
        self.child.wait().expect("a child of this process");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
