//! Owns what the settings of security mean together: which protocol, which credentials, and which mix is refused.
//!
//! Must not know how TLS or SASL is spoken.

use alloc::string::String;

use super::CommonConfig;
use super::property::config_error;
use super::value::Value;
use crate::error::Error;
use crate::sasl::{Credentials, SaslMechanism, ScramHash};
use crate::secret::Secret;

/// How a listener is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// In the clear, to whoever answers.
    #[default]
    Plaintext,
    /// In TLS.
    Ssl,
    /// In the clear, with authentication.
    SaslPlaintext,
    /// In TLS, with authentication.
    SaslSsl,
}

impl SecurityProtocol {
    const ALL: [Self; 4] = [
        Self::Plaintext,
        Self::Ssl,
        Self::SaslPlaintext,
        Self::SaslSsl,
    ];

    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether connections are in TLS.
    #[must_use]
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients authenticate.
    #[must_use]
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl Value for SecurityProtocol {
    const TYPE: &'static str = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
    fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "must be `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`".into())
    }
    fn show(&self) -> String {
        self.name().into()
    }
}

impl Value for Option<SaslMechanism> {
    const TYPE: &'static str =
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, or empty for none";
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        SaslMechanism::from_name(text).map(Some).ok_or_else(|| {
            "must be `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`".into()
        })
    }
    fn show(&self) -> String {
        self.map_or_else(String::new, |mechanism| mechanism.name().into())
    }
}

impl Value for Secret<String> {
    const TYPE: &'static str = "text that is shown nowhere";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }
    /// A placeholder of the same length, so that a recording is as long as what it stands for.
    fn show(&self) -> String {
        "*".repeat(self.len())
    }
}

impl CommonConfig {
    /// What this client proves itself with.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let scram = |hash| Credentials::Scram {
            hash,
            username: self.sasl_username.clone(),
            password: self.sasl_password.clone(),
        };
        let mechanism = self
            .sasl_mechanism
            .filter(|_| self.security_protocol.has_sasl())?;
        Some(match mechanism {
            SaslMechanism::Plain => Credentials::Plain {
                username: self.sasl_username.clone(),
                password: self.sasl_password.clone(),
            },
            SaslMechanism::ScramSha256 => scram(ScramHash::Sha256),
            SaslMechanism::ScramSha512 => scram(ScramHash::Sha512),
            SaslMechanism::OauthBearer => Credentials::OauthBearer,
        })
    }

    pub(super) fn check_security(&self) -> Result<(), Error> {
        let protocol = self.security_protocol;
        let Some(mechanism) = self.sasl_mechanism else {
            return match protocol.has_sasl() {
                true => Err(config_error(
                    "sasl.mechanism",
                    alloc::format!("security.protocol={} needs one", protocol.name()),
                )),
                false => Ok(()),
            };
        };
        if !protocol.has_sasl() {
            return Err(config_error(
                "sasl.mechanism",
                alloc::format!(
                    "security.protocol={} does not authenticate",
                    protocol.name()
                ),
            )
            .with_hint("set security.protocol to SASL_SSL or SASL_PLAINTEXT"));
        }
        if mechanism.shows_the_secret() && !protocol.has_tls() && !self.sasl_allow_without_tls {
            return Err(config_error(
                "sasl.mechanism",
                alloc::format!("{mechanism} without TLS shows the secret to everybody on the way"),
            )
            .with_hint("use security.protocol=SASL_SSL or a SCRAM mechanism, or set sasl.allow.without.tls=true"));
        }
        match mechanism {
            SaslMechanism::Plain | SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => {
                // RFC 4616 section 2, RFC 5802 section 5.1: no NUL in either.
                for (key, value) in [
                    ("sasl.username", &self.sasl_username),
                    ("sasl.password", &self.sasl_password.0),
                ] {
                    if value.is_empty() || value.contains('\0') {
                        return Err(config_error(
                            key,
                            alloc::format!("{mechanism} needs one, without NUL characters"),
                        ));
                    }
                }
                Ok(())
            }
            SaslMechanism::OauthBearer => Ok(()),
        }
    }
}
