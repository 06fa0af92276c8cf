//! Owns what the loop must know of the half that users hold: who is told the engine's events, and who waits until when.
//!
//! Must not know sockets or tasks.

use klamm::recording::Recordable;
use klamm::{Engine, Instant};

use crate::after::After;

/// What stands between an engine and its users. All of it is guarded by the engine's lock.
pub(crate) trait Role: Send + Sized + 'static {
    /// The engine that this role is about.
    type Engine: Recordable + Send + 'static;

    /// Takes an event of the engine. Whom it concerns is woken through `after`.
    fn on_event(&mut self, event: <Self::Engine as Engine>::Event, after: &mut After);

    /// Until when the first of the users' waits lasts.
    fn deadline(&self) -> Option<Instant>;

    /// Wakes those whose wait ended at or before `now`.
    fn expire(&mut self, now: Instant, after: &mut After);

    /// The last words to the engine: everything that was accepted gets its outcome now.
    fn close(now: Instant) -> <Self::Engine as Engine>::Command<'static>;

    /// There will be no more events: everybody who still waits is told so.
    fn on_stopped(&mut self, after: &mut After);
}
