//! Owns the results of longer operations between their end and the future that fetches them.
//!
//! Must not know what the operations do.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use klamm::{Error, ErrorKind, OpId};

use crate::after::After;

/// The operations of one kind that somebody waits for.
pub(crate) struct Ops<T> {
    ops: BTreeMap<OpId, Op<T>>,
    stopped: bool,
}

enum Op<T> {
    Waiting(Option<Waker>),
    Done(T),
}

impl<T> Default for Ops<T> {
    fn default() -> Self {
        Self {
            ops: BTreeMap::new(),
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
