//! Owns the driver's task: it sleeps until the next deadline, and does the chores that need the runtime: it looks names
//! up, gives each connection its task and large jobs their thread.
//!
//! Must not do I/O itself: that is the connections' own.

use std::sync::Arc;
use std::task::{Context, Poll};

use klamm::{Input, Instant};

use crate::after::After;
use crate::answer::Answer;
use crate::connection::Connection;
use crate::role::Role;
use crate::runtime::{Runtime, Timer};
use crate::security::Security;
use crate::shared::Shared;
use crate::state::{Chore, Phase};

/// Deadlines that one poll of the task fires before it lets others run.
const LOOKS_MAX: usize = 16;

/// The task of one client. It ends when the user's last handle is dropped.
pub(crate) struct Driver<RT: Runtime, R: Role> {
    runtime: RT,
    shared: Arc<Shared<R>>,
    security: Security,
    timer: RT::Timer,
    /// What the timer is set to.
    set: Option<Instant>,
}

impl<RT: Runtime, R: Role> Driver<RT, R> {
    /// Starts the task of a client.
    pub(crate) fn start(runtime: RT, shared: Arc<Shared<R>>, security: Security) {
        let timer = runtime.timer();
        let driver = Self {
            runtime: runtime.clone(),
            shared,
            security,
            timer,
            set: None,
        };
        runtime.spawn(driver.run());
    }

    async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..LOOKS_MAX {
            let Some(due) = self.look(cx) else {
                return Poll::Ready(());
            };
            if self.set != due {
                self.set = due;
                if let Some(at) = due {
                    self.timer.reset(at);
                }
            }
            if due.is_none() || self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            self.set = None;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One look at everything: fires what is due, does the chores, and says until when to sleep.
    fn look(&mut self, cx: &Context<'_>) -> Option<Option<Instant>> {
        let now = self.runtime.now();
        let wall = self.shared.read_wall(now);
        let mut after = After::default();
        let mut state = self.shared.lock();
        if state.phase != Phase::Running {
            return None;
        }
        state.drain(&mut after);
        if state.due().is_some_and(|due| due <= now) {
            state.input(Input::Timeout { wall }, now);
            state.role.expire(now, &mut after);
            state.drain(&mut after);
        }
        let chores = state.arm(cx.waker(), &mut after);
        let due = state.due();
        drop(state);
        self.shared.finish(&mut after);
        self.shared.write_recorded();
        for chore in chores {
            self.start_chore(chore);
        }
        Some(due)
    }

    fn start_chore(&self, chore: Chore) {
        let shared = Arc::clone(&self.shared);
        match chore {
            Chore::Resolve { id, host, port } => {
                let answer = Answer::to_lookup(shared, id);
                let runtime = self.runtime.clone();
                self.runtime
                    .spawn(async move { answer.addresses(runtime.resolve(host, port).await) });
            }
            Chore::Open {
                conn,
                host,
                port,
                addr,
            } => {
                let connection =
                    Connection::new(self.runtime.clone(), shared, self.security.clone(), conn);
                self.runtime.spawn(connection.run(host, port, addr));
            }
            Chore::Work { id, job } => {
                let answer = Answer::to_job(shared, id);
                let security = self.security.clone();
                self.runtime
                    .spawn_blocking(move || answer.result(security.run(job)));
            }
        }
    }
}

impl<RT: Runtime, R: Role> Drop for Driver<RT, R> {
    /// The user is gone, or the runtime: nothing will be driven any more.
    fn drop(&mut self) {
        let now = self.runtime.now();
        let mut after = After::default();
        let mut state = self.shared.lock();
        state.stop(now, &mut after);
        drop(state);
        self.shared.finish(&mut after);
        self.shared.write_recorded();
    }
}
