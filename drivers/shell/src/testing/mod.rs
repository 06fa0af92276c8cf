//! Owns a scripted runtime: virtual time, tasks that run only when they were woken, and sockets that do what a test
//! tells them.
//!
//! Must not know Kafka. A lost wake-up shows here as a world that stands still.

pub(crate) mod town;
pub(crate) mod toy;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use klamm::{Duration, Host, Instant, UnixMillis};

use crate::runtime::{Runtime, Socket, Timer};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a socket does with the next call of a direction.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Hands out these bytes (read), or as many of them as fit.
    Bytes(Vec<u8>),
    /// Accepts up to so many bytes (write).
    Accept(usize),
    /// Is not ready until [`Pipe::go_on`].
    Wait,
    /// Fails.
    Fail(io::ErrorKind),
    /// The end of the stream (read).
    End,
}

/// Both ends of a fake socket.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) reads: VecDeque<Step>,
    pub(crate) writes: VecDeque<Step>,
    /// What was accepted.
    pub(crate) written: Vec<u8>,
    pub(crate) shut: bool,
    pub(crate) dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Default)]
struct World {
    now: u64,
    tasks: Vec<Option<Task>>,
    timers: Vec<Arc<Mutex<TimerState>>>,
    connects: VecDeque<Result<Arc<Mutex<Pipe>>, io::ErrorKind>>,
    connecting: Vec<Waker>,
    names: VecDeque<io::Result<Vec<SocketAddr>>>,
    blocking: VecDeque<Box<dyn FnOnce() + Send>>,
    /// Whether everything connects, and what did.
    open_house: bool,
    accepted: Vec<(SocketAddr, Arc<Mutex<Pipe>>)>,
    polls: usize,
    /// How many calls of lookups and sockets there were.
    calls: usize,
    /// The call that fails.
    failing: Option<(usize, io::ErrorKind)>,
    /// After how many more polls the runtime shuts down.
    polls_left: Option<usize>,
}

impl World {
    /// Counts a call and says whether it fails.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.failing {
            Some((at, kind)) if self.calls == at => Err(kind.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// A handle to the scripted runtime.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

struct TaskWaker {
    id: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.id);
    }
}

/// A waker that only remembers.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The next connection attempt succeeds, with this pipe.
    pub(crate) fn will_connect(&self) -> Arc<Mutex<Pipe>> {
        let pipe = Arc::new(Mutex::new(Pipe::default()));
        self.world().connects.push_back(Ok(Arc::clone(&pipe)));
        self.connect_now();
        pipe
    }

    /// The next connection attempt fails.
    pub(crate) fn will_refuse(&self, kind: io::ErrorKind) {
        self.world().connects.push_back(Err(kind));
        self.connect_now();
    }

    fn connect_now(&self) {
        let wakers = std::mem::take(&mut self.world().connecting);
        for waker in wakers {
            waker.wake();
        }
    }

    /// The next lookup has this result.
    pub(crate) fn will_resolve(&self, result: io::Result<Vec<SocketAddr>>) {
        self.world().names.push_back(result);
    }

    /// From now on every name is found and every connection is accepted.
    pub(crate) fn open_house(&self) {
        self.world().open_house = true;
    }

    /// The connections that were accepted since the last time.
    pub(crate) fn accepted(&self) -> Vec<(SocketAddr, Arc<Mutex<Pipe>>)> {
        std::mem::take(&mut self.world().accepted)
    }

    /// The `at`-th call from now on, of whatever function of the runtime that can fail, fails.
    pub(crate) fn fail_call(&self, at: usize, kind: io::ErrorKind) {
        let mut world = self.world();
        world.failing = Some((world.calls + at, kind));
    }

    /// Whether the call that was to fail has been made.
    pub(crate) fn has_failed(&self) -> bool {
        let world = self.world();
        world.failing.is_some_and(|(at, _)| world.calls >= at)
    }

    /// After so many more polls of tasks the runtime drops all of them where they stand, and runs none any more.
    pub(crate) fn shut_down_after(&self, polls: usize) {
        self.world().polls_left = Some(polls);
    }

    /// Whether it has come to that.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.world().polls_left == Some(0)
    }

    /// Runs every task that was woken, until none is.
    pub(crate) fn settle(&self) {
        for _ in 0..100_000 {
            let Some(id) = self.ready.lock().unwrap().pop_front() else {
                return;
            };
            self.poll_task(id);
        }
        panic!("the tasks never come to rest");
    }

    fn poll_task(&self, id: usize) {
        if self.is_shut_down() {
            self.shut_down();
            return;
        }
        let Some(mut task) = self.world().tasks.get_mut(id).and_then(Option::take) else {
            return;
        };
        {
            let mut world = self.world();
            world.polls += 1;
            world.polls_left = world.polls_left.map(|left| left - 1);
        }
        let waker = Waker::from(Arc::new(TaskWaker {
            id,
            ready: Arc::clone(&self.ready),
        }));
        if task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            self.world().tasks[id] = Some(task);
        }
    }

    /// How often tasks were polled since the last time this was asked.
    pub(crate) fn polls(&self) -> usize {
        std::mem::take(&mut self.world().polls)
    }

    /// Polls every task, though nobody woke it.
    pub(crate) fn wake_all(&self) {
        let tasks = self.world().tasks.len();
        self.ready.lock().unwrap().extend(0..tasks);
        self.settle();
    }

    /// Drops every task where it stands, as a runtime does that shuts down.
    pub(crate) fn shut_down(&self) {
        let tasks = std::mem::take(&mut self.world().tasks);
        drop(tasks);
    }

    /// How many tasks live.
    pub(crate) fn tasks(&self) -> usize {
        self.world().tasks.iter().flatten().count()
    }

    /// Lets time pass, firing timers as they come due.
    pub(crate) fn advance(&self, by: Duration) {
        let end = Instant::from_nanos(self.world().now) + by;
        while let Some(at) = self.next_timer().filter(|at| *at <= end) {
            self.fire(at);
        }
        self.world().now = end.as_nanos();
        self.settle();
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let world = self.world();
        let due = world
            .timers
            .iter()
            .filter_map(|timer| timer.lock().unwrap().at);
        due.min()
    }

    pub(crate) fn fire(&self, at: Instant) {
        let mut wakers = Vec::new();
        {
            let mut world = self.world();
            world.now = world.now.max(at.as_nanos());
            for timer in &world.timers {
                let mut timer = timer.lock().unwrap();
                if timer.at.is_some_and(|due| due <= at) {
                    timer.at = None;
                    timer.fired = true;
                    wakers.extend(timer.waker.take());
                }
            }
        }
        for waker in wakers {
            waker.wake();
        }
        self.settle();
    }

    /// Runs what was given to a thread of its own.
    pub(crate) fn run_blocking(&self) -> usize {
        let work = std::mem::take(&mut self.world().blocking);
        let count = work.len();
        for work in work {
            work();
        }
        self.settle();
        count
    }

    /// Runs the future to its end; time jumps to the next timer whenever nothing else can happen.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let mut future = std::pin::pin!(future);
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return value;
            }
            loop {
                self.settle();
                if flag.take() {
                    break;
                }
                let Some(at) = self.next_timer() else {
                    panic!("the world stands still, and the future is not done");
                };
                self.fire(at);
            }
        }
    }
}

impl Pipe {
    /// Lets the peer say or do something, and wakes the reader.
    pub(crate) fn push_read(pipe: &Mutex<Self>, step: Step) {
        let waker = {
            let mut pipe = pipe.lock().unwrap();
            pipe.reads.push_back(step);
            pipe.reader.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What the socket will do with the next writes.
    pub(crate) fn will_write(pipe: &Mutex<Self>, steps: impl IntoIterator<Item = Step>) {
        pipe.lock().unwrap().writes.extend(steps);
    }

    /// Ends the `Wait` that the writer stands at, and wakes it.
    pub(crate) fn go_on(pipe: &Mutex<Self>) {
        let waker = {
            let mut pipe = pipe.lock().unwrap();
            assert!(matches!(pipe.writes.pop_front(), Some(Step::Wait)));
            pipe.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was written since the last time.
    pub(crate) fn take_written(pipe: &Mutex<Self>) -> Vec<u8> {
        std::mem::take(&mut pipe.lock().unwrap().written)
    }
}

impl Runtime for Fake {
    type Socket = FakeSocket;
    type Timer = FakeTimer;

    async fn resolve(&self, host: Host, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.world().call()?;
        if self.world().open_house {
            // `broker-7` lives at 10.0.0.7.
            let node = host
                .as_str()
                .rsplit('-')
                .next()
                .and_then(|id| id.parse().ok());
            return Ok(vec![SocketAddr::from((
                [10, 0, 0, node.unwrap_or(0)],
                port,
            ))]);
        }
        let answer = self.world().names.pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<FakeSocket> {
        self.world().call()?;
        let socket = |pipe| FakeSocket {
            pipe,
            world: Arc::clone(&self.world),
        };
        std::future::poll_fn(|cx| {
            let mut world = self.world();
            if world.open_house {
                let pipe = Arc::new(Mutex::new(Pipe::default()));
                world.accepted.push((addr, Arc::clone(&pipe)));
                return Poll::Ready(Ok(socket(pipe)));
            }
            match world.connects.pop_front() {
                Some(Ok(pipe)) => Poll::Ready(Ok(socket(pipe))),
                Some(Err(kind)) => Poll::Ready(Err(kind.into())),
                None => {
                    world.connecting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn timer(&self) -> FakeTimer {
        let timer = Arc::new(Mutex::new(TimerState::default()));
        self.world().timers.push(Arc::clone(&timer));
        FakeTimer {
            timer,
            world: Arc::clone(&self.world),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.is_shut_down() {
            return;
        }
        let id = {
            let mut world = self.world();
            world.tasks.push(Some(Box::pin(task)));
            world.tasks.len() - 1
        };
        self.ready.lock().unwrap().push_back(id);
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        if self.is_shut_down() {
            return;
        }
        self.world().blocking.push_back(Box::new(work));
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.world().now)
    }

    fn wall(&self) -> UnixMillis {
        let millis = self.world().now / 1_000_000;
        UnixMillis(1_700_000_000_000 + i64::try_from(millis).unwrap_or(0))
    }
}

/// The near end of a [`Pipe`].
pub(crate) struct FakeSocket {
    pipe: Arc<Mutex<Pipe>>,
    world: Arc<Mutex<World>>,
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        self.pipe.lock().unwrap().dropped = true;
    }
}

impl Socket for FakeSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.world.lock().unwrap().call()?;
        let mut pipe = self.pipe.lock().unwrap();
        match pipe.reads.pop_front() {
            Some(Step::Bytes(bytes)) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
                if n < bytes.len() {
                    pipe.reads.push_front(Step::Bytes(bytes[n..].to_vec()));
                }
                Poll::Ready(Ok(n))
            }
            Some(Step::Fail(kind)) => Poll::Ready(Err(kind.into())),
            Some(Step::End) => {
                pipe.reads.push_front(Step::End);
                Poll::Ready(Ok(0))
            }
            Some(Step::Accept(_)) => panic!("a step for the other direction"),
            Some(Step::Wait) => {
                pipe.reads.push_front(Step::Wait);
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            None => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(bufs.iter().all(|buf| !buf.is_empty()), "an empty slice");
        self.world.lock().unwrap().call()?;
        let mut pipe = self.pipe.lock().unwrap();
        assert!(!pipe.shut, "a write after the shutdown");
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let n = match pipe.writes.pop_front() {
            None => all.len(),
            Some(Step::Accept(n)) => n.min(all.len()),
            Some(Step::Fail(kind)) => {
                // A socket that failed goes on failing.
                pipe.writes.push_front(Step::Fail(kind));
                return Poll::Ready(Err(kind.into()));
            }
            Some(Step::Bytes(_) | Step::End) => panic!("a step for the other direction"),
            Some(Step::Wait) => {
                pipe.writes.push_front(Step::Wait);
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        pipe.written.extend_from_slice(&all[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.lock().unwrap().shut = true;
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct TimerState {
    at: Option<Instant>,
    fired: bool,
    waker: Option<Waker>,
}

/// A timer in virtual time.
pub(crate) struct FakeTimer {
    timer: Arc<Mutex<TimerState>>,
    world: Arc<Mutex<World>>,
}

impl Timer for FakeTimer {
    fn reset(&mut self, at: Instant) {
        let now = Instant::from_nanos(self.world.lock().unwrap().now);
        let mut timer = self.timer.lock().unwrap();
        timer.fired = at <= now;
        timer.at = (at > now).then_some(at);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.lock().unwrap();
        if timer.fired {
            return Poll::Ready(());
        }
        timer.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
