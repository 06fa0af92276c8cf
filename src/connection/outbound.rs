//! Owns the stream of bytes that a connection writes: what was handed to the driver, what the socket has accepted,
//! and what waits because the driver has enough.
//!
//! Must not know where frames begin in it.

use alloc::collections::VecDeque;

use crate::engine::{ConnectionId, Output};
use crate::limits::WRITE_WINDOW;
use crate::wire::Segments;

/// The outgoing side of one connection.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Bytes handed to the driver.
    written: u64,
    /// Bytes that the socket has accepted.
    accepted: u64,
    /// A frame that did not fit into the write window; at most one, since nothing is taken on behind it.
    staged: Option<Segments>,
}

fn length(segments: &Segments) -> u64 {
    segments.len() as u64
}

impl Outbound {
    /// Takes a frame on and says where it ends in the stream.
    pub(super) fn push(
        &mut self,
        conn: ConnectionId,
        frame: Segments,
        actions: &mut VecDeque<Output<()>>,
    ) -> u64 {
        debug_assert!(
            self.staged.is_none(),
            "a frame is taken on behind one that waits"
        );
        let end = self.written.saturating_add(length(&frame));
        self.staged = Some(frame);
        self.pump(conn, actions);
        end
    }

    fn unsent(&self) -> u64 {
        self.written.saturating_sub(self.accepted)
    }

    fn pump(&mut self, conn: ConnectionId, actions: &mut VecDeque<Output<()>>) {
        let unsent = self.unsent();
        // One oversized frame may go alone, or it would never go.
        let fits = |frame: &Segments| {
            unsent == 0 || unsent.saturating_add(length(frame)) <= WRITE_WINDOW as u64
        };
        if let Some(data) = self.staged.take_if(|frame| fits(frame)) {
            self.written = self.written.saturating_add(length(&data));
            actions.push_back(Output::Write { conn, data });
        }
    }

    /// The socket accepted `bytes` more.
    pub(super) fn accept(
        &mut self,
        conn: ConnectionId,
        bytes: u64,
        actions: &mut VecDeque<Output<()>>,
    ) {
        self.accepted = self.accepted.saturating_add(bytes).min(self.written);
        self.pump(conn, actions);
    }

    /// Nothing more will be written; what waited never was.
    pub(super) fn stop(&mut self) {
        self.staged = None;
    }

    /// The connection's last word on how many bytes the socket accepted in all.
    pub(super) fn finish(&mut self, sent: u64) {
        self.staged = None;
        // Credit once given cannot be taken back, and nobody accepts what was not written.
        self.accepted = self.accepted.max(sent).min(self.written);
    }

    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether another frame may be taken on.
    pub(super) fn has_room(&self) -> bool {
        self.staged.is_none() && self.unsent() < WRITE_WINDOW as u64
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.staged.is_none() && self.unsent() == 0
    }
}
