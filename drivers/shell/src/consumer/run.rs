//! Owns running a handler over what is read: some batches at once, one of a partition, each dealt with only once its handler
//! says so.
//!
//! Must not know how batches come here, nor run anything in a task of its own: what is dropped ends.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use klamm::Error;

use super::batch::{Batch, ConsumerRecord};
use super::{Consumer, Reading};

/// Why [`Consumer::run`] has ended before it was to.
#[derive(Debug)]
pub enum RunError<E> {
    /// Reading failed, and does not go on by itself.
    Reading(Error),
    /// A handler failed.
    Handler(E),
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading(error) => error.fmt(f),
            Self::Handler(error) => write!(f, "the handler failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RunError<E> {}

/// A batch that a handler is busy with. Dropped before that is done, it goes back as if it had not been read.
struct Handling<F> {
    /// `None` once it has gone back.
    batch: Option<Batch>,
    handler: Pin<Box<F>>,
}

impl<F> Drop for Handling<F> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            batch.put_back();
        }
    }
}

impl<F: Future<Output = Result<(), E>>, E> Handling<F> {
    /// Whether the handler is done, and so the batch dealt with.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let done = std::task::ready!(self.handler.as_mut().poll(cx));
        if done.is_ok() {
            drop(self.batch.take());
        }
        Poll::Ready(done)
    }
}

impl Consumer {
    /// Hands what is read to `handler`, the records of one batch at a time, up to `concurrency` of them at once, until `stop`
    /// has come; handlers that are at work then are awaited. Records of a partition are handled one batch after the other, in
    /// their order.
    ///
    /// A batch counts as dealt with when its handler has ended well, and only then: positions, auto-commit and
    /// [`commit`](Self::commit) follow. So nothing is lost whatever ends; what was being handled may come again. Trouble that
    /// passes by itself is waited out; [`explain`](Self::explain) tells of it.
    ///
    /// ```no_run
    /// # async fn example(consumer: &klamm_shell::Consumer, stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
    /// consumer
    ///     .run(8, stop, |letters| async move {
    ///         for letter in letters {
    ///             println!("{}: {:?}", letter.offset, letter.value);
    ///         }
    ///         Ok::<_, std::io::Error>(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Cancel safety: dropped, the handlers at work are dropped where they are, and their batches come again.
    ///
    /// # Errors
    /// A handler failed, or reading did in a way that does not mend itself. The other handlers are dropped, as above.
    pub async fn run<F, E>(
        &self,
        concurrency: usize,
        stop: impl Future<Output = ()>,
        mut handler: impl FnMut(Vec<ConsumerRecord>) -> F,
    ) -> Result<(), RunError<E>>
    where
        F: Future<Output = Result<(), E>>,
    {
        // What `recv` has not handed out of its batch comes here.
        drop(self.current().take());
        let mut stop = pin!(stop);
        let mut stopping = false;
        let mut reading = Reading::new(self, None);
        let mut at_work: Vec<Handling<F>> = Vec::new();
        poll_fn(move |cx| {
            stopping = stopping || stop.as_mut().poll(cx).is_ready();
            loop {
                let mut place = 0;
                while let Some(handling) = at_work.get_mut(place) {
                    match handling.poll(cx) {
                        Poll::Pending => place += 1,
                        Poll::Ready(Ok(())) => drop(at_work.remove(place)),
                        Poll::Ready(Err(error)) => {
                            at_work.clear();
                            return Poll::Ready(Err(RunError::Handler(error)));
                        }
                    }
                }
                if stopping && at_work.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                if stopping || at_work.len() >= concurrency.max(1) {
                    return Poll::Pending;
                }
                match reading.poll_batch(cx) {
                    Poll::Pending | Poll::Ready(None) => return Poll::Pending,
                    Poll::Ready(Some(Err(error))) if error.is_retriable() => {}
                    Poll::Ready(Some(Err(error))) => {
                        at_work.clear();
                        return Poll::Ready(Err(RunError::Reading(error)));
                    }
                    Poll::Ready(Some(Ok(mut batch))) => {
                        let records: Vec<ConsumerRecord> =
                            std::iter::from_fn(|| batch.next_record()).collect();
                        if !records.is_empty() {
                            at_work.push(Handling {
                                batch: Some(batch),
                                handler: Box::pin(handler(records)),
                            });
                        }
                    }
                }
            }
        })
        .await
    }
}
