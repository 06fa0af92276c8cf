//! Owns the way from the engine's diagnostics to `tracing`, if that feature is on.
//!
//! Must only be called while the lock is open: a layer may log to Kafka through this very client.

use klamm::config::IgnoredSetting;
use klamm::{Diagnostic, Error};

/// Whether anybody is told: without the feature `tracing` diagnostics are dropped where they appear.
pub(crate) const TOLD: bool = cfg!(feature = "tracing");

/// Tells one diagnostic. Nothing here happens once a record.
#[cfg(feature = "tracing")]
pub(crate) fn tell(diagnostic: &Diagnostic) {
    match diagnostic {
        Diagnostic::Connecting { conn, peer, group } => {
            tracing::debug!(%conn, %peer, %group, "connecting");
        }
        Diagnostic::Ready { conn, peer, group } => {
            tracing::debug!(%conn, %peer, %group, "connected");
        }
        Diagnostic::Disconnected {
            conn,
            peer,
            group,
            error,
        } => match error {
            Some(error) => tracing::warn!(%conn, %peer, %group, %error, "disconnected"),
            None => tracing::debug!(%conn, %peer, %group, "closed, no longer needed"),
        },
        Diagnostic::MetadataUpdated { brokers, topics } => {
            tracing::debug!(brokers, topics, "metadata updated");
        }
        Diagnostic::Retrying { what } => tracing::debug!(what, "retrying"),
        Diagnostic::StaleInput { what } => tracing::debug!(what, "stale input ignored"),
        // `Diagnostic` may get more variants than this crate knows.
        other => tracing::debug!(?other, "diagnostic"),
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn tell(_: &Diagnostic) {}

/// Tells of trouble that is nobody's outcome.
pub(crate) fn trouble(error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, "trouble");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// Tells that a setting does nothing.
pub(crate) fn ignored(setting: &IgnoredSetting) {
    #[cfg(feature = "tracing")]
    tracing::info!(%setting, "setting ignored");
    #[cfg(not(feature = "tracing"))]
    let _ = setting;
}

/// Tells that a recording could not be written.
pub(crate) fn recording_failed() {
    #[cfg(feature = "tracing")]
    tracing::warn!("the recording could not be written");
}
