//! Owns the lock: one mutex a client, held for one step at a time and never across an await, and what happens when it
//! opens again.
//!
//! Must not know the runtime, except for its clocks.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use klamm::record::compression::Compressor;
use klamm::{Input, Instant, Job, JobResult, UnixMillis};

use crate::after::After;
use crate::role::Role;
use crate::runtime::Runtime;
use crate::state::{Phase, State};

/// How old the difference between the two clocks may become before it is looked at again, in nanoseconds.
const WALL_OFFSET_AGE_MAX: u64 = 1_000_000_000;

/// The two clocks of a runtime, so that no user's type names the runtime.
pub(crate) struct Clocks {
    pub(crate) now: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) wall: Box<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl Clocks {
    pub(crate) fn of(runtime: &impl Runtime) -> Self {
        let (now, wall) = (runtime.clone(), runtime.clone());
        Self {
            now: Box::new(move || now.now()),
            wall: Box::new(move || wall.wall()),
        }
    }
}

/// What the tasks and the users of one client share.
pub(crate) struct Shared<R: Role> {
    state: Mutex<State<R>>,
    clocks: Clocks,
    /// Wall clock minus monotonic clock in milliseconds, and at which instant that was so: one clock is read a call,
    /// not two.
    wall_offset: AtomicI64,
    wall_seen: AtomicU64,
    /// Where a recording goes. Taken before the lock, so that what is written keeps the order of the steps.
    sink: Option<Mutex<Box<dyn Write + Send>>>,
}

impl<R: Role> Shared<R> {
    pub(crate) fn new(
        state: State<R>,
        clocks: Clocks,
        sink: Option<Box<dyn Write + Send>>,
    ) -> Arc<Self> {
        let shared = Self {
            state: Mutex::new(state),
            clocks,
            wall_offset: AtomicI64::new(0),
            wall_seen: AtomicU64::new(0),
            sink: sink.map(Mutex::new),
        };
        let now = shared.now();
        let _ = shared.read_wall(now);
        Arc::new(shared)
    }

    /// Monotonic time.
    pub(crate) fn now(&self) -> Instant {
        (self.clocks.now)()
    }

    /// The wall clock at `now`: read at most once a second, and carried forward by the monotonic clock between.
    pub(crate) fn wall_at(&self, now: Instant) -> UnixMillis {
        let seen = self.wall_seen.load(Ordering::Relaxed);
        if now.as_nanos().saturating_sub(seen) > WALL_OFFSET_AGE_MAX {
            return self.read_wall(now);
        }
        UnixMillis(self.wall_offset.load(Ordering::Relaxed) + millis(now))
    }

    /// Reads the wall clock.
    pub(crate) fn read_wall(&self, now: Instant) -> UnixMillis {
        let wall = (self.clocks.wall)();
        self.wall_offset
            .store(wall.0 - millis(now), Ordering::Relaxed);
        self.wall_seen.store(now.as_nanos(), Ordering::Relaxed);
        wall
    }

    /// Opens the lock. A panic of a user's code cannot have happened under it, so that a poisoned lock is as good as any.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step under the lock, and what it leaves for afterwards.
    #[inline]
    pub(crate) fn step<T>(&self, f: impl FnOnce(&mut State<R>, &mut After, Instant) -> T) -> T {
        let now = self.now();
        let mut after = After::default();
        let mut state = self.lock();
        let value = f(&mut state, &mut after, now);
        state.end_step(&mut after);
        drop(state);
        self.finish(&mut after);
        value
    }

    /// A fact for the engine, as a step. After the end there is nobody to tell it to.
    pub(crate) fn input(&self, input: Input<'_>) {
        self.step(|state, _, now| {
            if state.phase != Phase::Stopped {
                state.input(input, now);
            }
        });
    }

    /// The user is gone. Nothing is waited for: the driver's task sees it and ends everything.
    pub(crate) fn stop(&self) {
        self.step(|state, _, _| {
            if state.phase == Phase::Running {
                state.phase = Phase::Stopping;
            }
        });
    }

    /// What a step left, now that the lock is open. Jobs end in steps of their own.
    #[inline]
    pub(crate) fn finish(&self, after: &mut After) {
        loop {
            let jobs = after.finish();
            if jobs.is_empty() {
                return;
            }
            for (id, job) in jobs {
                let result = run_job(job);
                let now = self.now();
                let mut state = self.lock();
                state.input(Input::JobDone { id, result }, now);
                state.end_step(after);
            }
        }
    }

    /// Writes what was recorded. Errors end nothing: a client is worth more than its recording.
    pub(crate) fn write_recorded(&self) {
        let Some(sink) = &self.sink else { return };
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = self.lock().take_recorded();
        if !recorded.is_empty()
            && sink
                .write_all(&recorded)
                .and_then(|()| sink.flush())
                .is_err()
        {
            crate::diagnostics::recording_failed();
        }
    }
}

fn millis(now: Instant) -> i64 {
    i64::try_from(now.as_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Runs a job on this thread, which keeps the tools for the next one.
pub(crate) fn run_job(job: Job) -> JobResult {
    thread_local! {
        static COMPRESSOR: RefCell<Compressor> = RefCell::default();
    }
    COMPRESSOR.with_borrow_mut(|compressor| job.run_with(compressor))
}
