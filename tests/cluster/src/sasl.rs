//! Owns authentication, the broker's half (KIP-43, KIP-152, KIP-368): who may speak, which mechanism was chosen, and
//! when a session ends.
//!
//! Must not know any other API. It shares no code with the client that it judges.

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use hmac::digest::Digest;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use klamm::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use klamm::{ApiKey, Duration, ErrorCode, Instant, SaslMechanism, ScramHash, Secret, Str};
use sha2::{Sha256, Sha512};

use crate::cluster::Cluster;
use crate::connection::{Call, ConnectionKey};
use crate::dispatch::Handled;

/// What clients must prove before a broker listens to them.
#[derive(Clone, Debug)]
pub struct SaslConfig {
    /// `sasl.enabled.mechanisms`.
    pub mechanisms: Vec<SaslMechanism>,
    /// Names and passwords, for PLAIN and SCRAM.
    pub users: Vec<(String, String)>,
    /// Tokens that are good, for OAUTHBEARER.
    pub tokens: Vec<String>,
    /// How often SCRAM hashes a password.
    pub iterations: u32,
    /// `connections.max.reauth.ms`: a connection that speaks on after this without a renewal is closed.
    pub session_lifetime: Option<Duration>,
}

impl SaslConfig {
    /// All mechanisms, for one user.
    #[must_use]
    pub fn for_user(name: &str, password: &str) -> Self {
        Self {
            mechanisms: SaslMechanism::ALL.to_vec(),
            users: vec![(name.to_owned(), password.to_owned())],
            tokens: Vec::new(),
            iterations: 4_096,
            session_lifetime: None,
        }
    }

    fn password(&self, name: &str) -> Option<&str> {
        let user = self.users.iter().find(|(user, _)| user == name);
        user.map(|(_, password)| password.as_str())
    }
}

/// Where a connection stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Authentication {
    /// Nothing was proven.
    #[default]
    Nobody,
    /// A mechanism was chosen.
    Chosen(SaslMechanism),
    /// The client's SCRAM proof is due.
    Challenged(Box<Challenge>),
    /// The token was refused; the client acknowledges it.
    TokenRefused,
    /// The client is known, until then.
    Known { until: Option<Instant> },
}

/// What the client's proof is held against.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    hash: ScramHash,
    password: String,
    salt: Vec<u8>,
    nonce: String,
    /// Of the signed messages, the first two.
    so_far: String,
}

/// What a broker says to a token.
enum Verdict {
    /// More is to come.
    Challenge(Authentication, Vec<u8>),
    /// The client is who it says it is.
    Known(Vec<u8>),
    /// It is not, or breaks the mechanism's rules.
    Refused(&'static str),
}

impl Cluster {
    /// Why a request may not be served now, if it may not.
    pub(crate) fn unauthenticated(&self, key: ConnectionKey, api: ApiKey) -> Option<&'static str> {
        self.config.sasl.as_ref()?;
        if [
            ApiKey::API_VERSIONS,
            ApiKey::SASL_HANDSHAKE,
            ApiKey::SASL_AUTHENTICATE,
        ]
        .contains(&api)
        {
            return None;
        }
        match &self.connections.get(&key)?.authentication {
            Authentication::Known { until } if until.is_some_and(|until| until <= self.now) => {
                Some("the session is over and was not renewed")
            }
            Authentication::Known { .. } => None,
            Authentication::Nobody
            | Authentication::Chosen(_)
            | Authentication::Challenged(_)
            | Authentication::TokenRefused => Some("the client has not authenticated"),
        }
    }

    pub(crate) fn serve_sasl_handshake(
        &mut self,
        mut call: Call,
        request: SaslHandshakeRequest,
    ) -> Option<Handled> {
        let offered = self.config.sasl.as_ref().map(|sasl| &sasl.mechanisms);
        let chosen = SaslMechanism::from_name(&request.mechanism)
            .filter(|chosen| offered.is_some_and(|offered| offered.contains(chosen)));
        let error = match (Self::top_fault(&mut call), offered, chosen) {
            (Some(injected), _, _) => injected,
            (None, None, _) => ErrorCode::ILLEGAL_SASL_STATE,
            (None, Some(_), None) => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            (None, Some(_), Some(_)) => ErrorCode::NONE,
        };
        let response = SaslHandshakeResponse {
            error_code: error.0,
            mechanisms: offered
                .into_iter()
                .flatten()
                .map(|mechanism| Str::from_static(mechanism.name()))
                .collect(),
        };
        let outcome = self.answer::<SaslHandshakeRequest>(&call, &response);
        if let (Some(chosen), Some(connection)) =
            (chosen, self.connections.get_mut(&call.connection))
        {
            connection.authentication = Authentication::Chosen(chosen);
        }
        Some((call, outcome))
    }

    pub(crate) fn serve_sasl_authenticate(
        &mut self,
        mut call: Call,
        request: SaslAuthenticateRequest,
    ) -> Option<Handled> {
        let now = self.now;
        let nonce = format!("server{}at{}", call.connection.0, call.correlation_id);
        let injected = Self::top_fault(&mut call);
        let connection = self.connections.get_mut(&call.connection)?;
        let before = std::mem::take(&mut connection.authentication);
        let sasl = self.config.sasl.as_ref();
        let lifetime = sasl.and_then(|sasl| sasl.session_lifetime);
        let verdict = match (sasl, injected) {
            (_, Some(_)) => Verdict::Refused("a fault"),
            (Some(sasl), None) => judge(sasl, before, &request.auth_bytes, &nonce),
            (None, None) => Verdict::Refused("this listener does not authenticate"),
        };
        let mut response = SaslAuthenticateResponse {
            error_message: None,
            ..SaslAuthenticateResponse::default()
        };
        match verdict {
            Verdict::Challenge(next, said) => {
                connection.authentication = next;
                response.auth_bytes = Secret(Bytes::from(said));
            }
            Verdict::Known(said) => {
                let until = lifetime.map(|lifetime| now + lifetime);
                connection.authentication = Authentication::Known { until };
                response.auth_bytes = Secret(Bytes::from(said));
                let millis = lifetime.map_or(0, |lifetime| lifetime.as_millis());
                if call.version >= 1 {
                    response.session_lifetime_ms = i64::try_from(millis).unwrap_or(i64::MAX);
                }
            }
            Verdict::Refused(why) => {
                let code = injected.unwrap_or(match sasl {
                    None => ErrorCode::ILLEGAL_SASL_STATE,
                    Some(_) => ErrorCode::SASL_AUTHENTICATION_FAILED,
                });
                response.error_code = code.0;
                response.error_message = Some(Str::from_static(why));
            }
        }
        let outcome = self.answer::<SaslAuthenticateRequest>(&call, &response);
        Some((call, outcome))
    }
}

fn judge(sasl: &SaslConfig, before: Authentication, said: &[u8], nonce: &str) -> Verdict {
    let text = std::str::from_utf8(said).unwrap_or_default();
    match before {
        Authentication::Chosen(SaslMechanism::Plain) => {
            let mut parts = text.split('\0').skip(1);
            let (name, password) = (parts.next(), parts.next());
            let known = name.and_then(|name| sasl.password(name));
            match known.is_some() && known == password {
                true => Verdict::Known(Vec::new()),
                false => Verdict::Refused("Authentication failed: Invalid username or password"),
            }
        }
        Authentication::Chosen(SaslMechanism::ScramSha256) => {
            challenge(sasl, ScramHash::Sha256, text, nonce)
        }
        Authentication::Chosen(SaslMechanism::ScramSha512) => {
            challenge(sasl, ScramHash::Sha512, text, nonce)
        }
        Authentication::Challenged(challenge) => match challenge.check(sasl.iterations, text) {
            Some(said) => Verdict::Known(said),
            None => Verdict::Refused(SCRAM_REFUSED),
        },
        Authentication::Chosen(SaslMechanism::OauthBearer) => {
            let token = text
                .strip_prefix("n,,\x01auth=Bearer ")
                .and_then(|rest| rest.strip_suffix("\x01\x01"));
            match token.is_some_and(|token| sasl.tokens.iter().any(|good| good == token)) {
                true => Verdict::Known(Vec::new()),
                false => Verdict::Challenge(
                    Authentication::TokenRefused,
                    br#"{"status":"invalid_token"}"#.to_vec(),
                ),
            }
        }
        Authentication::TokenRefused => Verdict::Refused("{\"status\":\"invalid_token\"}"),
        Authentication::Chosen(_) | Authentication::Nobody | Authentication::Known { .. } => {
            Verdict::Refused("no mechanism was chosen")
        }
    }
}

const SCRAM_REFUSED: &str = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM";

fn challenge(sasl: &SaslConfig, hash: ScramHash, first: &str, nonce: &str) -> Verdict {
    match begin(sasl, hash, first, nonce) {
        Some((challenge, said)) => {
            let next = Authentication::Challenged(Box::new(challenge));
            Verdict::Challenge(next, said.into_bytes())
        }
        None => Verdict::Refused(SCRAM_REFUSED),
    }
}

fn begin(
    sasl: &SaslConfig,
    hash: ScramHash,
    first: &str,
    nonce: &str,
) -> Option<(Challenge, String)> {
    let bare = first.strip_prefix("n,,")?;
    let (name, client_nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
    let name = name.replace("=2C", ",").replace("=3D", "=");
    let password = sasl.password(&name)?.to_owned();
    let salt = format!("salt of {name}").into_bytes();
    let nonce = format!("{client_nonce}{nonce}");
    let said = format!(
        "r={nonce},s={},i={}",
        Base64::encode_string(&salt),
        sasl.iterations
    );
    let challenge = Challenge {
        hash,
        password,
        salt,
        so_far: format!("{bare},{said}"),
        nonce,
    };
    Some((challenge, said))
}

impl Challenge {
    fn check(&self, iterations: u32, last: &str) -> Option<Vec<u8>> {
        match self.hash {
            ScramHash::Sha256 => self.check_with::<Sha256>(iterations, last),
            ScramHash::Sha512 => self.check_with::<Sha512>(iterations, last),
        }
    }

    /// RFC 5802 section 3, from the stored key's side: the client key comes out of the proof.
    fn check_with<H: Digest + EagerHash>(&self, iterations: u32, last: &str) -> Option<Vec<u8>>
    where
        Hmac<H>: Mac + KeyInit + Clone,
    {
        let (without_proof, proof) = last.split_once(",p=")?;
        if without_proof != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let proof = Base64::decode_vec(proof).ok()?;
        let mut salted = vec![0; <H as Digest>::output_size()];
        pbkdf2::pbkdf2::<Hmac<H>>(
            self.password.as_bytes(),
            &self.salt,
            iterations,
            &mut salted,
        )
        .ok()?;
        let signed = format!("{},{without_proof}", self.so_far);
        let stored_key = H::digest(&mac::<H>(&salted, "Client Key")?);
        let signature = mac::<H>(&stored_key, &signed)?;
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if proof.len() != signature.len() || H::digest(&client_key) != stored_key {
            return None;
        }
        let server_key = mac::<H>(&salted, "Server Key")?;
        let signature = Base64::encode_string(&mac::<H>(&server_key, &signed)?);
        Some(format!("v={signature}").into_bytes())
    }
}

fn mac<H: EagerHash>(key: &[u8], message: &str) -> Option<Vec<u8>>
where
    Hmac<H>: Mac + KeyInit,
{
    let mut mac = <Hmac<H> as KeyInit>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}
