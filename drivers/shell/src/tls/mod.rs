//! Owns connections that may be in TLS: with the feature `tls` by rustls, without it never.
//!
//! Must not know what is said over them.

#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod stream;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use klamm::CloseCause;

use crate::runtime::Socket;

#[cfg(feature = "tls")]
pub(crate) use config::Tls;
#[cfg(not(feature = "tls"))]
pub(crate) use without::Tls;

/// A socket, in TLS or not.
pub(crate) enum Secured<S> {
    Plain(S),
    #[cfg(feature = "tls")]
    Tls(Box<stream::TlsStream<S>>),
}

impl<S: Socket> Socket for Secured<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_read(cx, buf),
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_write_vectored(cx, bufs),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_write_vectored(cx, bufs),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}

/// What TLS has to say of an error of a socket; `None` for one that is not its own.
pub(crate) fn failure_of(error: &io::Error) -> Option<CloseCause> {
    #[cfg(feature = "tls")]
    return stream::failure_of(error).map(CloseCause::Tls);
    #[cfg(not(feature = "tls"))]
    {
        let _ = error;
        None
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use klamm::config::CommonConfig;
    use klamm::{CloseCause, Error, ErrorKind, Host};

    use super::Secured;
    use crate::runtime::Socket;

    /// There is none.
    #[derive(Clone, Copy)]
    pub(crate) enum Tls {}

    impl Tls {
        pub(crate) fn new(config: &CommonConfig) -> Result<Self, Error> {
            Err(Error::new(ErrorKind::Config {
                key: "security.protocol".into(),
            })
            .with_detail(format_args!(
                "{} needs TLS, which is not compiled in",
                config.security_protocol.name()
            ))
            .with_hint("turn on the feature `tls-ring`, or `tls` and bring a provider"))
        }

        pub(crate) async fn connect<S: Socket>(
            &self,
            _: S,
            _: &Host,
        ) -> Result<Secured<S>, CloseCause> {
            match *self {}
        }
    }
}
