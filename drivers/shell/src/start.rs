//! Owns the making of a client: entropy, clocks, engine, lock and driver's task.
//!
//! Must not know what the client is for.

use std::sync::Arc;

use klamm::config::{CommonConfig, EffectiveSetting, IgnoredSetting};
use klamm::recording::{Header, Recordable};
use klamm::{Error, ErrorKind, Instant, UnixMillis};

use crate::driver::Driver;
use crate::options::Options;
use crate::recorder::Recorder;
use crate::role::Role;
use crate::runtime::Runtime;
use crate::security::Security;
use crate::shared::{Clocks, Shared};
use crate::state::State;
use crate::tls::Tls;

/// Makes an engine and starts its task.
pub(crate) fn start<R: Role>(
    runtime: impl Runtime,
    role: R,
    config: &CommonConfig,
    options: Options,
    settings: impl FnOnce() -> Vec<EffectiveSetting>,
    ignored: &[IgnoredSetting],
    make: impl FnOnce([u8; 32], Instant, UnixMillis) -> Result<R::Engine, Error>,
) -> Result<Arc<Shared<R>>, Error> {
    #[cfg(feature = "tls")]
    let tls = |config: &CommonConfig| match options.tls {
        Some(tls) => Ok(Tls::with(tls)),
        None => Tls::new(config),
    };
    #[cfg(not(feature = "tls"))]
    let tls = Tls::new;
    let security = Security::new(config, options.token, tls)?;
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| {
        Error::new(ErrorKind::Misuse).with_detail(format_args!(
            "the operating system gives no entropy: {error}"
        ))
    })?;
    let (now, wall) = (runtime.now(), runtime.wall());
    let engine = make(entropy, now, wall)?;
    let (sink, recorder) = match options.recording {
        None => (None, None),
        Some(sink) => {
            let header = Header {
                role: R::Engine::ROLE.into(),
                properties: settings()
                    .into_iter()
                    .map(|setting| (setting.name.into(), setting.value))
                    .collect(),
                entropy,
                now,
                wall,
            };
            (Some(sink), Some(Recorder::new(header.to_bytes())))
        }
    };
    ignored.iter().for_each(crate::diagnostics::ignored);
    let state = State::new(engine, role, recorder);
    let shared = Shared::new(state, Clocks::of(&runtime), sink);
    Driver::start(runtime, Arc::clone(&shared), security);
    Ok(shared)
}
