//! Owns what secures the connections of one client: TLS or none, and where tokens come from.
//!
//! Must not know the engine's half of it: authentication is spoken there.

use klamm::config::CommonConfig;
use klamm::{CloseCause, Error, ErrorKind, Host, Job, JobResult, Secret};

use crate::options::TokenSource;
use crate::runtime::Socket;
use crate::shared::run_job;
use crate::tls::{Secured, Tls};

/// What secures the connections of one client.
#[derive(Clone)]
pub(crate) struct Security {
    tls: Option<Tls>,
    token: Option<TokenSource>,
}

impl Security {
    /// What the configuration asks for.
    ///
    /// # Errors
    /// It asks for TLS, and that is not compiled in, or its files cannot be read.
    pub(crate) fn new(
        config: &CommonConfig,
        token: Option<TokenSource>,
        tls: impl FnOnce(&CommonConfig) -> Result<Tls, Error>,
    ) -> Result<Self, Error> {
        let tls = match config.security_protocol.has_tls() {
            true => Some(tls(config)?),
            false => None,
        };
        let wants_token = config.sasl_mechanism == Some(klamm::SaslMechanism::OauthBearer);
        if wants_token && token.is_none() {
            return Err(Error::new(ErrorKind::Config {
                key: "sasl.mechanism".into(),
            })
            .with_detail("OAUTHBEARER needs somebody who gives tokens")
            .with_hint("start the client with `Options::token`"));
        }
        Ok(Self { tls, token })
    }

    /// Does what has to be done before the first word can be said over a new socket.
    pub(crate) async fn secure<S: Socket>(
        &self,
        socket: S,
        host: &Host,
    ) -> Result<Secured<S>, CloseCause> {
        match &self.tls {
            None => Ok(Secured::Plain(socket)),
            Some(tls) => tls.connect(socket, host).await,
        }
    }

    /// Runs a job that the user has a part in, or any other.
    pub(crate) fn run(&self, job: Job) -> JobResult {
        match (job, &self.token) {
            (Job::FetchToken, Some(source)) => JobResult::Token(source().map(Secret)),
            (job @ (Job::FetchToken | Job::Compress { .. } | Job::Prove(_)), _) => run_job(job),
        }
    }
}
