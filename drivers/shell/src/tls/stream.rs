//! Owns one TLS connection over a socket: rustls turns bytes into bytes, and this moves them.
//!
//! Must not know whom it trusts.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use klamm::TlsFailure;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error};

use crate::runtime::Socket;

/// A TLS connection over a socket. The one task that polls it polls reading as well as writing, so that reading can
/// see to it that what was encrypted gets out.
pub(crate) struct TlsStream<S> {
    tls: ClientConnection,
    socket: S,
    /// Whether the peer's half of the socket has ended.
    ended: bool,
}

/// The socket as rustls sees it: one that would block instead of waiting.
struct Now<'a, 'b, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'b>,
}

fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: Socket> Read for Now<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        blocking(self.socket.poll_read(self.cx, buf))
    }
}

impl<S: Socket> Write for Now<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(self.socket.poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl<S: Socket> TlsStream<S> {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        socket: S,
    ) -> Result<Self, Error> {
        Ok(Self {
            tls: ClientConnection::new(config, name)?,
            socket,
            ended: false,
        })
    }

    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_flush(cx))?;
            if !self.tls.is_handshaking() {
                break;
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_flush(cx)
    }

    /// Writes what is encrypted.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut now = Now {
                socket: &mut self.socket,
                cx,
            };
            match self.tls.write_tls(&mut now) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if is_blocked(&error) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is encrypted, once, and decrypts it. 0 bytes are the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut now = Now {
            socket: &mut self.socket,
            cx,
        };
        let bytes = match self.tls.read_tls(&mut now) {
            Ok(bytes) => bytes,
            Err(error) if is_blocked(&error) => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        self.ended |= bytes == 0;
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that tells the peer why: it is of no more use than one attempt.
            let _ = self.poll_flush(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(bytes))
    }
}

impl<S: Socket> Socket for TlsStream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // Nobody else writes while nothing new is to be written. A failure shows when something is.
        let _ = self.poll_flush(cx);
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if is_blocked(&error) && !self.ended => {}
                // The frames have lengths of their own: an end without a goodbye is as good as one with it.
                Err(error)
                    if is_blocked(&error) || error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Poll::Ready(Ok(0));
                }
                result => return Poll::Ready(result),
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    /// Accepts only what can be encrypted at once: from there on any of it may get out.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let bytes = self.tls.writer().write_vectored(bufs)?;
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes)),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }
}

/// What an error says of the TLS connection; `None` for one of the socket's own.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the errors of rustls are many, and become more"
)]
pub(super) fn failure_of(error: &io::Error) -> Option<TlsFailure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            _ => TlsFailure::Untrusted,
        },
        Error::InvalidMessage(_) => TlsFailure::NotTls,
        Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            TlsFailure::Incompatible
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure,
        ) => TlsFailure::Refused,
        _ => TlsFailure::Other,
    })
}
