//! Owns what a client can be given beside its configuration: what no property file can hold.
//!
//! Must not know how any of it is used.

use std::io::Write;
use std::sync::Arc;

/// Gives a token for OAUTHBEARER, or says why there is none.
pub(crate) type TokenSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What a client gets beside its configuration. Empty, it changes nothing.
///
/// ```
/// use klamm_shell::Options;
///
/// let options = Options::new().token(|| std::env::var("KAFKA_TOKEN").map_err(|error| error.to_string()));
/// ```
#[derive(Default)]
pub struct Options {
    pub(crate) recording: Option<Box<dyn Write + Send>>,
    pub(crate) token: Option<TokenSource>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

impl Options {
    /// Nothing beside the configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that happens to the engine is recorded into `sink`, for a replay. It costs several times the CPU, and
    /// the recording holds all records, but no password and no token.
    #[must_use]
    pub fn record(mut self, sink: impl Write + Send + 'static) -> Self {
        self.recording = Some(Box::new(sink));
        self
    }

    /// `sasl.mechanism=OAUTHBEARER` asks `source` for a token, once for each connection and each renewal of its session.
    ///
    /// It is called on a thread of the runtime's that may be kept busy, and has as long as the connection's setup has
    /// (`socket.connection.setup.timeout.ms`). What it says in an error may be shown to anybody.
    #[must_use]
    pub fn token(
        mut self,
        source: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.token = Some(Arc::new(source));
        self
    }

    /// Connections in TLS (`security.protocol`) use this configuration, with whatever provider, roots and certificates it
    /// has, instead of one made of the `ssl.` properties.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }
}
