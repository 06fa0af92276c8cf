//! Owns the collecting of a recording: every input and command in the order in which they were applied, and every reply
//! and output that came of them.
//!
//! Must not write anywhere: it is fed under the lock. The bytes' format belongs to the engine's crate.

use klamm::recording::{self, Recordable};
use klamm::{Engine, Input, Instant, Output};

/// What was recorded and not yet written.
pub(crate) struct Recorder {
    buffer: Vec<u8>,
}

impl Recorder {
    /// A recording that begins with `header`.
    pub(crate) fn new(header: Vec<u8>) -> Self {
        Self { buffer: header }
    }

    pub(crate) fn input(&mut self, input: &Input<'_>, now: Instant) {
        recording::put_input(input, now, &mut self.buffer);
    }

    pub(crate) fn command<E: Recordable>(&mut self, command: &E::Command<'_>, now: Instant) {
        recording::put_command::<E>(command, now, &mut self.buffer);
    }

    pub(crate) fn reply<E: Recordable>(&mut self, reply: &E::Reply) {
        recording::put_reply::<E>(reply, &mut self.buffer);
    }

    pub(crate) fn output<E: Recordable>(&mut self, output: &Output<<E as Engine>::Event>) {
        recording::put_output::<E>(output, &mut self.buffer);
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}
