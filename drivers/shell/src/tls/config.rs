//! Owns how TLS is set up: whom it trusts, what it shows, by whose cryptography.
//!
//! Must not know a connection.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use klamm::config::CommonConfig;
use klamm::{CloseCause, Error, ErrorKind, Host, TlsFailure};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::Secured;
use super::stream::{TlsStream, failure_of};
use crate::runtime::Socket;

/// TLS as one client speaks it.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// With a configuration that the user made.
    pub(crate) const fn with(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }

    /// As the `ssl.` properties say: TLS 1.2 or 1.3, and the broker must show a certificate for its own name.
    ///
    /// # Errors
    /// There is no cryptography, or a file is not what it should be.
    pub(crate) fn new(config: &CommonConfig) -> Result<Self, Error> {
        let provider = provider()?;
        let roots = Arc::new(roots(&config.ssl_ca_location)?);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| wrong("ssl.ca.location", &error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("security.protocol", &error))?
            .with_webpki_verifier(verifier);
        let certificate = config.ssl_certificate_location.as_str();
        let client = if certificate.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = certificates("ssl.certificate.location", certificate)?;
            let key = match config.ssl_key_location.as_str() {
                "" => certificate,
                key => key,
            };
            let key = read("ssl.key.location", key).and_then(|pem| {
                PrivateKeyDer::from_pem_slice(&pem)
                    .map_err(|error| wrong("ssl.key.location", &format_args!("{key}: {error}")))
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| wrong("ssl.certificate.location", &error))?
        };
        Ok(Self(Arc::new(client)))
    }

    /// The handshake over a new socket. The broker must be `host`.
    pub(crate) async fn connect<S: Socket>(
        &self,
        socket: S,
        host: &Host,
    ) -> Result<Secured<S>, CloseCause> {
        let name = ServerName::try_from(host.as_str().to_owned())
            .map_err(|_| CloseCause::Tls(TlsFailure::WrongName))?;
        let mut stream = TlsStream::new(Arc::clone(&self.0), name, socket)
            .map_err(|_| CloseCause::Tls(TlsFailure::Other))?;
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(Secured::Tls(Box::new(stream))),
            Err(error) => Err(match failure_of(&error) {
                Some(failure) => CloseCause::Tls(failure),
                // What a listener without TLS does with the first bytes.
                None if ENDS.contains(&error.kind()) => CloseCause::Tls(TlsFailure::Ended),
                None => crate::connection::cause_of(&error),
            }),
        }
    }
}

const ENDS: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];

fn wrong(key: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config { key: key.into() }).with_detail(why)
}

/// The provider that the process has chosen, or the one that the features of this crate bring.
fn provider() -> Result<Arc<CryptoProvider>, Error> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Ok(Arc::clone(provider));
    }
    #[cfg(feature = "tls-ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "tls-ring"))]
    Err(wrong(
        "security.protocol",
        &"rustls has no provider of cryptography",
    )
    .with_hint(
        "install one for the process (CryptoProvider::install_default), give `Options::tls`, or turn on the feature `tls-ring`",
    ))
}

fn read(key: &str, path: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| wrong(key, &format_args!("{path}: {error}")))
}

fn certificates(key: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(
            key,
            &format_args!("{path}: there is no PEM certificate in it"),
        )
        .with_hint(
            "a keystore of Java's (JKS, PKCS12) can be turned into PEM by openssl or keytool",
        )),
        Err(error) => Err(wrong(key, &format_args!("{path}: {error}"))),
    }
}

fn roots(location: &str) -> Result<RootCertStore, Error> {
    let key = "ssl.ca.location";
    let mut roots = RootCertStore::empty();
    if location.is_empty() {
        // Of some of the host's, a few may be of a kind that is not understood; all of them would be an error.
        let found = rustls_native_certs::load_native_certs();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            return Err(wrong(key, &"this host trusts no certificate authority")
                .with_hint("name a file of PEM certificates"));
        }
        return Ok(roots);
    }
    for certificate in certificates(key, location)? {
        roots
            .add(certificate)
            .map_err(|error| wrong(key, &format_args!("{location}: {error}")))?;
    }
    Ok(roots)
}
