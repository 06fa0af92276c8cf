//! Owns the mechanisms of authentication (SASL, RFC 4422) that Kafka's clients have: what is said in which order, and
//! what must be true of the answers.
//!
//! Must not know how the messages travel, nor what happens when one is refused.

mod nonce;
mod scram;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub(crate) use nonce::Nonces;
pub(crate) use scram::Scram;
pub use scram::{ScramHash, ScramProofs};

use crate::secret::Secret;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// Name and password as they are (RFC 4616): only to be had inside TLS.
    Plain,
    /// A proof of the password that does not show it (RFC 7677).
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
    /// A token that somebody else issued (RFC 7628, KIP-255): only to be had inside TLS.
    OauthBearer,
}

impl SaslMechanism {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [
        Self::ScramSha512,
        Self::ScramSha256,
        Self::OauthBearer,
        Self::Plain,
    ];

    /// The name under which it is registered.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// The mechanism of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Whether whoever listens on the way has all that it takes to be this client from then on.
    #[must_use]
    pub const fn shows_the_secret(self) -> bool {
        match self {
            Self::Plain | Self::OauthBearer => true,
            Self::ScramSha256 | Self::ScramSha512 => false,
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who the client is, and how it proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Plain {
        username: String,
        password: Secret<String>,
    },
    Scram {
        hash: ScramHash,
        username: String,
        password: Secret<String>,
    },
    /// The token comes from the user, each time anew.
    OauthBearer,
}

impl Credentials {
    pub(crate) const fn mechanism(&self) -> SaslMechanism {
        match self {
            Self::Plain { .. } => SaslMechanism::Plain,
            Self::Scram { hash, .. } => match hash {
                ScramHash::Sha256 => SaslMechanism::ScramSha256,
                ScramHash::Sha512 => SaslMechanism::ScramSha512,
            },
            Self::OauthBearer => SaslMechanism::OauthBearer,
        }
    }

    /// The first message, or what has to be done before it can be said.
    pub(crate) fn begin(&self, nonces: &mut Nonces) -> (Conversation, Move) {
        match self {
            Self::Plain { username, password } => {
                // RFC 4616 section 2: no authorization identity, name and password.
                let message = format!("\0{username}\0{}", password.0).into_bytes();
                (Conversation::Ends, Move::Say(Secret(message)))
            }
            Self::Scram {
                hash,
                username,
                password,
            } => {
                let (scram, message) = Scram::begin(*hash, username, password.clone(), nonces);
                (
                    Conversation::Scram(scram),
                    Move::Say(Secret(message.into_bytes())),
                )
            }
            Self::OauthBearer => (Conversation::WantsToken, Move::FetchToken),
        }
    }
}

/// What the client does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Says this to the broker.
    Say(Secret<Vec<u8>>),
    /// Has this worked out, elsewhere.
    Prove(ScramProofs),
    /// Asks the user for a token.
    FetchToken,
    /// Nothing: both sides are content.
    Finish,
}

/// Where the conversation of one authentication stands.
#[derive(Debug)]
pub(crate) enum Conversation {
    Scram(Scram),
    /// The user is asked for a token.
    WantsToken,
    /// The token was said; the broker either accepts it without a word or says why not.
    SaidToken,
    /// The broker refused the token; it says so formally after one more message (RFC 7628 section 3.2.3).
    Refused {
        why: String,
    },
    /// All was said; whatever the broker adds means nothing.
    Ends,
}

/// Why the broker, or what stands in its place, cannot be trusted or satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SaslError {
    /// The message breaks the mechanism's rules.
    Malformed(&'static str),
    /// The message asks for more work than is reasonable, or for so little that the password would be exposed.
    Iterations(u32),
    /// The broker does not know the password's verifier: it is not who it pretends to be.
    ServerSignature,
    /// The broker says no, in the mechanism's own words. Not yet made printable.
    Refused(String),
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::Iterations(count) => write!(
                f,
                "the broker asks for {count} iterations of the hash, which is not within {} to {}",
                crate::limits::SCRAM_ITERATIONS.start(),
                crate::limits::SCRAM_ITERATIONS.end()
            ),
            Self::ServerSignature => f.write_str(
                "the broker's signature is wrong: it does not know this user's credentials",
            ),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Conversation {
    /// The broker's next message.
    ///
    /// # Errors
    /// It is not one that may come here.
    pub(crate) fn on_message(&mut self, message: &[u8]) -> Result<Move, SaslError> {
        match self {
            Self::Scram(scram) => scram.on_message(message),
            Self::WantsToken => Err(SaslError::Malformed(
                "the broker spoke before the token was sent",
            )),
            Self::SaidToken if message.is_empty() => Ok(Move::Finish),
            Self::SaidToken => {
                let why = String::from_utf8_lossy(message).into_owned();
                *self = Self::Refused { why };
                Ok(Move::Say(Secret(Vec::from(&b"\x01"[..]))))
            }
            Self::Refused { why } => Err(SaslError::Refused(core::mem::take(why))),
            Self::Ends => Ok(Move::Finish),
        }
    }

    /// What was to be worked out is there.
    pub(crate) fn on_proofs(&mut self, proof: &[u8], server_signature: Vec<u8>) -> Option<Move> {
        match self {
            Self::Scram(scram) => scram.on_proofs(proof, server_signature),
            Self::WantsToken | Self::SaidToken | Self::Refused { .. } | Self::Ends => None,
        }
    }

    /// The user's token is there.
    pub(crate) fn on_token(&mut self, token: &Secret<String>) -> Option<Move> {
        match self {
            Self::WantsToken => {
                *self = Self::SaidToken;
                // RFC 7628 section 3.1, without an authorization identity.
                let message = format!("n,,\x01auth=Bearer {}\x01\x01", token.0);
                Some(Move::Say(Secret(message.into_bytes())))
            }
            Self::Scram(_) | Self::SaidToken | Self::Refused { .. } | Self::Ends => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn nonces() -> Nonces {
        Nonces::new([7; 32])
    }

    #[test]
    fn plain_says_name_and_password_once() {
        let credentials = Credentials::Plain {
            username: "k".into(),
            password: Secret("castle".into()),
        };
        let (mut conversation, first) = credentials.begin(&mut nonces());
        assert_eq!(first, Move::Say(Secret(b"\0k\0castle".to_vec())));
        assert_eq!(conversation.on_message(b""), Ok(Move::Finish));
    }

    #[test]
    fn a_token_is_asked_for_said_and_accepted() {
        let (mut conversation, first) = Credentials::OauthBearer.begin(&mut nonces());
        assert_eq!(first, Move::FetchToken);
        assert!(conversation.on_message(b"").is_err());
        let said = conversation.on_token(&Secret("abc.def".into()));
        let expected = b"n,,\x01auth=Bearer abc.def\x01\x01".to_vec();
        assert_eq!(said, Some(Move::Say(Secret(expected))));
        assert_eq!(conversation.on_message(b""), Ok(Move::Finish));
    }

    #[test]
    fn a_refused_token_ends_with_the_brokers_reason() {
        let (mut conversation, _) = Credentials::OauthBearer.begin(&mut nonces());
        conversation.on_token(&Secret("old".into()));
        let refusal = br#"{"status":"invalid_token"}"#;
        let next = conversation.on_message(refusal);
        assert_eq!(next, Ok(Move::Say(Secret(vec![1]))));
        let why = String::from_utf8(refusal.to_vec()).expect("text");
        assert_eq!(conversation.on_message(b""), Err(SaslError::Refused(why)));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let credentials = Credentials::Scram {
            hash: ScramHash::Sha256,
            username: "k".into(),
            password: Secret("castle".into()),
        };
        let (conversation, first) = credentials.begin(&mut nonces());
        let printed = format!("{credentials:?} {conversation:?} {first:?}");
        assert!(!printed.contains("castle"), "{printed}");
    }

    #[test]
    fn mechanisms_have_their_registered_names() {
        for mechanism in SaslMechanism::ALL {
            assert_eq!(SaslMechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(SaslMechanism::from_name("plain"), None);
    }
}
