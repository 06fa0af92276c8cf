//! Owns SCRAM (RFC 5802, RFC 7677) without channel binding, as Kafka's brokers speak it: the client's half.
//!
//! Must not know how messages travel, nor hash a password itself: that is work for elsewhere, handed out as [`ScramProofs`].

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use hmac::digest::Digest;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::{Move, Nonces, SaslError};
use crate::limits::{SCRAM_ITERATIONS, SCRAM_SALT};
use crate::secret::Secret;

/// The hash that a SCRAM mechanism is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// What it takes to prove a password: the salted hash is too much work for the engine's own step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramProofs {
    pub(crate) hash: ScramHash,
    pub(crate) password: Secret<String>,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) auth_message: String,
}

impl ScramProofs {
    /// How many bytes are hashed, roughly: two blocks an iteration.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.iterations)
            .unwrap_or(usize::MAX)
            .saturating_mul(128)
    }

    /// The client's proof and the signature that proves the server (RFC 5802 section 3). The salted password itself
    /// goes nowhere.
    pub(crate) fn work_out(&self) -> (Vec<u8>, Vec<u8>) {
        match self.hash {
            ScramHash::Sha256 => self.with::<Sha256>(),
            ScramHash::Sha512 => self.with::<Sha512>(),
        }
    }

    fn with<H: Digest + EagerHash>(&self) -> (Vec<u8>, Vec<u8>)
    where
        Hmac<H>: Mac + KeyInit + Clone,
    {
        let mut salted = vec![0; <H as Digest>::output_size()];
        // SCRAM asks for SASLprep; Kafka's brokers and clients take the bytes as they are.
        if pbkdf2::pbkdf2::<Hmac<H>>(
            self.password.as_bytes(),
            &self.salt,
            self.iterations,
            &mut salted,
        )
        .is_err()
        {
            return (Vec::new(), Vec::new());
        }
        let client_key = sign::<H>(&salted, b"Client Key");
        let stored_key = H::digest(&client_key);
        let signature = sign::<H>(&stored_key, self.auth_message.as_bytes());
        let proof = client_key
            .iter()
            .zip(&signature)
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = sign::<H>(&salted, b"Server Key");
        let server_signature = sign::<H>(&server_key, self.auth_message.as_bytes());
        (proof, server_signature)
    }
}

/// HMAC takes keys of any length, so that there is always a signature.
fn sign<H: EagerHash>(key: &[u8], message: &[u8]) -> Vec<u8>
where
    Hmac<H>: Mac + KeyInit,
{
    match <Hmac<H> as KeyInit>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(),
    }
}

/// Where the conversation stands.
#[derive(Debug)]
enum Stage {
    /// The broker's nonce, salt and iterations are waited for.
    First {
        nonce: String,
        first_bare: String,
        password: Secret<String>,
    },
    /// The proof is being worked out.
    Proving { without_proof: String },
    /// The proof was said; the broker proves itself.
    Final { server_signature: Secret<Vec<u8>> },
    /// Both are content.
    Done,
}

/// The client's half of one conversation.
#[derive(Debug)]
pub(crate) struct Scram {
    hash: ScramHash,
    stage: Stage,
}

impl Scram {
    /// The first message: who the client is, and a nonce.
    pub(super) fn begin(
        hash: ScramHash,
        username: &str,
        password: Secret<String>,
        nonces: &mut Nonces,
    ) -> (Self, String) {
        Self::begin_with(hash, username, password, nonces.draw())
    }

    fn begin_with(
        hash: ScramHash,
        username: &str,
        password: Secret<String>,
        nonce: String,
    ) -> (Self, String) {
        // RFC 5802 section 5.1: `=` and `,` in a name are escaped.
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={name},r={nonce}");
        // `n`: no channel binding; no authorization identity.
        let message = format!("n,,{first_bare}");
        let stage = Stage::First {
            nonce,
            first_bare,
            password,
        };
        (Self { hash, stage }, message)
    }

    pub(super) fn on_message(&mut self, message: &[u8]) -> Result<Move, SaslError> {
        let message = core::str::from_utf8(message)
            .map_err(|_| SaslError::Malformed("the broker's SCRAM message is not text"))?;
        match core::mem::replace(&mut self.stage, Stage::Done) {
            Stage::First {
                nonce,
                first_bare,
                password,
            } => {
                let server = ServerFirst::parse(message, &nonce)?;
                // `biws` is `n,,` in base64: the header of the first message, repeated.
                let without_proof = format!("c=biws,r={}", server.nonce);
                let proofs = ScramProofs {
                    hash: self.hash,
                    password,
                    salt: server.salt,
                    iterations: server.iterations,
                    auth_message: format!("{first_bare},{message},{without_proof}"),
                };
                self.stage = Stage::Proving { without_proof };
                Ok(Move::Prove(proofs))
            }
            Stage::Final { server_signature } => check_final(message, &server_signature),
            Stage::Proving { .. } | Stage::Done => Err(SaslError::Malformed(
                "the broker sent a SCRAM message that nobody asked for",
            )),
        }
    }

    pub(super) fn on_proofs(&mut self, proof: &[u8], server_signature: Vec<u8>) -> Option<Move> {
        let Stage::Proving { without_proof } = &self.stage else {
            return None;
        };
        let message = format!("{without_proof},p={}", Base64::encode_string(proof));
        self.stage = Stage::Final {
            server_signature: Secret(server_signature),
        };
        Some(Move::Say(Secret(message.into_bytes())))
    }
}

/// The broker's first message (RFC 5802 section 7, `server-first-message`).
struct ServerFirst {
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl ServerFirst {
    fn parse(message: &str, own_nonce: &str) -> Result<Self, SaslError> {
        let mut attributes = message.split(',');
        let mut next = |name: &str, why| {
            attributes
                .next()
                .and_then(|attribute| attribute.strip_prefix(name))
                .ok_or(SaslError::Malformed(why))
        };
        // A mandatory extension (`m=`) stands first, and so is refused here.
        let nonce = next(
            "r=",
            "the broker's SCRAM message does not begin with a nonce",
        )?;
        let salt = next("s=", "there is no salt behind the SCRAM nonce")?;
        let iterations = next("i=", "there is no iteration count behind the SCRAM salt")?;
        for extension in attributes {
            let legal = extension.as_bytes().get(1) == Some(&b'=')
                && extension
                    .bytes()
                    .next()
                    .is_some_and(|name| name.is_ascii_alphabetic());
            if !legal || ["m=", "r=", "s=", "i="].contains(&extension.get(..2).unwrap_or_default())
            {
                return Err(SaslError::Malformed("the SCRAM extensions are not legal"));
            }
        }
        match nonce.strip_prefix(own_nonce) {
            Some(theirs) if !theirs.is_empty() => {}
            // A broker that adds nothing may be replaying an old conversation.
            Some(_) | None => {
                return Err(SaslError::Malformed(
                    "the broker's SCRAM nonce does not extend this client's",
                ));
            }
        }
        let salt = Base64::decode_vec(salt)
            .map_err(|_| SaslError::Malformed("the SCRAM salt is not canonical base64"))?;
        if !SCRAM_SALT.contains(&salt.len()) {
            return Err(SaslError::Malformed(
                "the SCRAM salt has no sensible length",
            ));
        }
        let canonical = !iterations.starts_with(['0', '+']);
        let iterations =
            iterations
                .parse()
                .ok()
                .filter(|_| canonical)
                .ok_or(SaslError::Malformed(
                    "the SCRAM iteration count is no number",
                ))?;
        if !SCRAM_ITERATIONS.contains(&iterations) {
            return Err(SaslError::Iterations(iterations));
        }
        Ok(Self {
            nonce: nonce.into(),
            salt,
            iterations,
        })
    }
}

fn check_final(message: &str, expected: &[u8]) -> Result<Move, SaslError> {
    let first = message.split(',').next().unwrap_or_default();
    if let Some(why) = first.strip_prefix("e=") {
        return Err(SaslError::Refused(why.into()));
    }
    let signature = first.strip_prefix("v=").ok_or(SaslError::Malformed(
        "the broker's last SCRAM message is neither a signature nor an error",
    ))?;
    let signature = Base64::decode_vec(signature)
        .map_err(|_| SaslError::Malformed("the SCRAM signature is not canonical base64"))?;
    if !expected.is_empty() && bool::from(signature.as_slice().ct_eq(expected)) {
        Ok(Move::Finish)
    } else {
        Err(SaslError::ServerSignature)
    }
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
