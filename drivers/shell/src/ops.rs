//! Owns longer operations: how one is begun and awaited, and its result between its end and the future that fetches it.
//!
//! Must not know what the operations do.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use klamm::collections::VecMap;
use klamm::{Engine, Error, ErrorKind, OpId};

use crate::after::After;
use crate::role::Role;
use crate::shared::Shared;
use crate::state::Phase;

/// A role of which longer operations can be asked.
pub(crate) trait Operator: Role {
    /// The operation that this reply says has begun.
    ///
    /// # Errors
    /// It was refused.
    fn begun(reply: <Self::Engine as Engine>::Reply) -> Result<OpId, Error>;

    /// Nobody waits for the operation any more.
    fn detach(op: OpId) -> <Self::Engine as Engine>::Command<'static>;
}

/// Begins one longer operation, and waits for its end.
///
/// Cancel safety: dropped, the operation is detached: whether it goes on is the engine's to say.
///
/// # Errors
/// It was refused, or the client ended first.
pub(crate) async fn operation<R: Operator, T>(
    shared: &Shared<R>,
    command: <R::Engine as Engine>::Command<'_>,
    ops: fn(&mut R) -> &mut Ops<T>,
) -> Result<T, Error> {
    let op = shared.step(|state, _, now| {
        if state.phase != Phase::Running {
            return Err(Error::new(ErrorKind::Closed));
        }
        let op = R::begun(state.command(command, now))?;
        ops(&mut state.role).begin(op);
        Ok(op)
    })?;
    let operation = Operation { shared, op, ops };
    poll_fn(|cx| shared.step(|state, after, _| ops(&mut state.role).poll(operation.op, cx, after)))
        .await
}

/// A longer operation while somebody waits for it.
struct Operation<'a, R: Operator, T> {
    shared: &'a Shared<R>,
    op: OpId,
    ops: fn(&mut R) -> &mut Ops<T>,
}

impl<R: Operator, T> Drop for Operation<'_, R, T> {
    fn drop(&mut self) {
        let op = self.op;
        self.shared.step(|state, after, now| {
            if (self.ops)(&mut state.role).forget(op, after) {
                let _ = state.command(R::detach(op), now);
            }
        });
    }
}

/// The operations of one kind that somebody waits for.
pub(crate) struct Ops<T> {
    ops: VecMap<OpId, Op<T>>,
    stopped: bool,
}

enum Op<T> {
    Waiting(Option<Waker>),
    Done(T),
}

impl<T> Default for Ops<T> {
    fn default() -> Self {
        Self {
            ops: VecMap::new(),
            stopped: false,
        }
    }
}

impl<T> Ops<T> {
    /// Somebody waits for this one.
    pub(crate) fn begin(&mut self, id: OpId) {
        self.ops.insert(id, Op::Waiting(None));
    }

    /// It has ended. If nobody waits for it any more, the result is dropped.
    pub(crate) fn done(&mut self, id: OpId, result: T, after: &mut After) {
        if let Some(op) = self.ops.get_mut(&id)
            && let Op::Waiting(waker) = std::mem::replace(op, Op::Done(result))
        {
            after.wake(waker);
        }
    }

    /// The result, once.
    ///
    /// # Errors
    /// The client ended first.
    pub(crate) fn poll(
        &mut self,
        id: OpId,
        cx: &Context<'_>,
        after: &mut After,
    ) -> Poll<Result<T, Error>> {
        match self.ops.remove(&id) {
            Some(Op::Done(result)) => Poll::Ready(Ok(result)),
            Some(Op::Waiting(mut waker)) if !self.stopped => {
                after.replace(&mut waker, cx.waker());
                self.ops.insert(id, Op::Waiting(waker));
                Poll::Pending
            }
            Some(Op::Waiting(_)) | None => Poll::Ready(Err(Error::new(ErrorKind::Closed))),
        }
    }

    /// Nobody waits for it any more. Answers whether it was still under way.
    pub(crate) fn forget(&mut self, id: OpId, after: &mut After) -> bool {
        match self.ops.remove(&id) {
            Some(Op::Waiting(waker)) => {
                after.forget(waker);
                true
            }
            Some(Op::Done(_)) | None => false,
        }
    }

    /// Nothing will end any more.
    pub(crate) fn stop(&mut self, after: &mut After) {
        self.stopped = true;
        for op in self.ops.values_mut() {
            if let Op::Waiting(waker) = op {
                after.wake(waker.take());
            }
        }
    }
}
