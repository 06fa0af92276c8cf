//! Owns property maps: how `name=value` pairs become a configuration, and what an unknown name is answered with.
//!
//! Must not know the meaning of any setting.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::CommonConfig;
use super::nearest::nearest;
use crate::error::{Error, ErrorKind, printable};

/// One row of the table.
pub(super) struct Setting<C> {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) doc: &'static str,
    pub(super) type_name: &'static str,
    pub(super) set: fn(&mut C, &str) -> Result<(), String>,
    pub(super) get: fn(&C) -> String,
}

impl<C> Setting<C> {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// What the reference says of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDescription {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Other names that are accepted (librdkafka's).
    pub aliases: &'static [&'static str],
    /// What it does.
    pub doc: &'static str,
    /// What a value looks like.
    pub type_name: &'static str,
    /// Its default, as it would be written.
    pub default: String,
}

/// A setting and the value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Kafka's name of it.
    pub name: &'static str,
    /// The value in force, as it would be written.
    pub value: String,
    /// Whether that is the default.
    pub is_default: bool,
}

/// Keys that Kafka's clients have and this one does not need, with the reason; they are accepted and do nothing.
const NOT_NEEDED: &[(&str, &str)] = &[
    ("key.serializer", "keys are bytes here"),
    ("value.serializer", "values are bytes here"),
    ("key.deserializer", "keys are bytes here"),
    ("value.deserializer", "values are bytes here"),
    ("retries", "delivery.timeout.ms alone bounds the retries"),
    (
        "client.dns.lookup",
        "all addresses of a name are always tried",
    ),
    (
        "send.buffer.bytes",
        "the operating system sizes its buffers",
    ),
    (
        "receive.buffer.bytes",
        "the operating system sizes its buffers",
    ),
    ("metric.reporters", "metrics are pulled here"),
    ("metrics.num.samples", "metrics are pulled here"),
    ("metrics.sample.window.ms", "metrics are pulled here"),
    ("metrics.recording.level", "metrics are pulled here"),
    ("max.poll.records", "each poll says how many it wants"),
];

/// Keys that Kafka's clients have and this one cannot honour yet: silence would be a lie.
const NOT_YET: &[&str] = &[
    "group.protocol",
    "group.remote.assignor",
    "interceptor.classes",
    "sasl.jaas.config",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.truststore.type",
    "transaction.timeout.ms",
    "transactional.id",
];

/// A configuration whose settings are in tables.
pub(super) trait Configuration: Default + 'static {
    /// The settings of this kind of client alone.
    const OWN: &'static [Setting<Self>];
    /// Those that every kind has.
    fn common(&self) -> &CommonConfig;
    /// The same, to be set.
    fn common_mut(&mut self) -> &mut CommonConfig;
    /// Settings that belong to another kind of client.
    fn of_another_role(name: &str) -> Option<&'static str>;
    /// The checks between settings.
    fn check(&self) -> Result<(), Error>;

    /// Sets `name`; `None` where no table has it.
    fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
        set_in(Self::OWN, self, name, text)
            .or_else(|| set_in(CommonConfig::TABLE, self.common_mut(), name, text))
    }

    /// Every setting, described.
    fn describe() -> Vec<SettingDescription> {
        let mut all = describe_in(CommonConfig::TABLE);
        all.extend(describe_in(Self::OWN));
        all
    }

    /// Every setting, with its value.
    fn effective(&self) -> Vec<EffectiveSetting> {
        let mut all = effective_in(CommonConfig::TABLE, self.common());
        all.extend(effective_in(Self::OWN, self));
        all
    }

    /// Whether a setting is one of this kind of client alone.
    fn has(name: &str) -> bool {
        Self::OWN.iter().any(|setting| setting.is_named(name))
    }
}

/// Finds `name` in one table and sets it.
fn set_in<C>(
    table: &[Setting<C>],
    config: &mut C,
    name: &str,
    text: &str,
) -> Option<Result<(), String>> {
    table
        .iter()
        .find(|setting| setting.is_named(name))
        .map(|setting| (setting.set)(config, text.trim()))
}

/// The rows of one table, described.
fn describe_in<C: Default>(table: &'static [Setting<C>]) -> Vec<SettingDescription> {
    let defaults = C::default();
    table
        .iter()
        .map(|setting| SettingDescription {
            name: setting.name,
            aliases: setting.aliases,
            doc: setting.doc,
            type_name: setting.type_name,
            default: (setting.get)(&defaults),
        })
        .collect()
}

/// The rows of one table, with their values.
fn effective_in<C: Default>(table: &'static [Setting<C>], config: &C) -> Vec<EffectiveSetting> {
    let defaults = C::default();
    table
        .iter()
        .map(|setting| {
            let value = (setting.get)(config);
            let is_default = value == (setting.get)(&defaults);
            EffectiveSetting {
                name: setting.name,
                value,
                is_default,
            }
        })
        .collect()
}

/// Builds a configuration from `name`, `value` pairs; a later pair wins over an earlier one.
pub(super) fn from_properties<'a, C: Configuration>(
    properties: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<C, Error> {
    let mut config = C::default();
    for (name, text) in properties {
        match config.set(name, text) {
            Some(Ok(())) => {}
            Some(Err(why)) => {
                return Err(config_error(name, format!("`{}` {why}", printable(text))));
            }
            None if NOT_NEEDED.iter().any(|(key, _)| *key == name) => {}
            None => return Err(unknown::<C>(name)),
        }
    }
    config.check()?;
    Ok(config)
}

/// An error about the setting `name`.
pub(super) fn config_error(name: &str, detail: impl core::fmt::Display) -> Error {
    Error::new(ErrorKind::Config {
        key: printable(name),
    })
    .with_detail(detail)
}

fn unknown<C: Configuration>(name: &str) -> Error {
    if let Some(role) = C::of_another_role(name) {
        return config_error(name, format!("this is a setting of a {role}"));
    }
    if NOT_YET.contains(&name) {
        return config_error(
            name,
            "Kafka has this setting, but this version cannot honour it yet",
        );
    }
    let error = config_error(name, "there is no such setting");
    let descriptions = C::describe();
    let names: BTreeSet<&str> = descriptions
        .iter()
        .flat_map(|d| core::iter::once(d.name).chain(d.aliases.iter().copied()))
        .collect();
    match nearest(name, names.into_iter()) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error.with_hint(
            "`ProducerConfig::settings` and `ConsumerConfig::settings` list every setting"
                .to_string(),
        ),
    }
}

/// Splits the text of a property file: `name=value` lines, `#` and `!` for comments.
pub(super) fn lines(text: &str) -> Result<Vec<(&str, &str)>, Error> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|line| {
            line.split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()))
                // Java takes `name: value` too: what follows the name may be a password.
                .ok_or_else(|| {
                    let name = line.split([':', ' ', '\t']).next().unwrap_or_default();
                    config_error(name, "a line must read `name=value`")
                })
        })
        .collect()
}

/// Gives a configuration type its public property functions.
macro_rules! property_functions {
    ($name:ident) => {
        impl $name {
            /// Reads a configuration from Kafka's property names; a later pair wins over an earlier one.
            ///
            /// # Errors
            /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the key: unknown (with the nearest name), not allowed, or in
            /// contradiction with another.
            pub fn from_properties<'a>(
                properties: impl IntoIterator<Item = (&'a str, &'a str)>,
            ) -> Result<Self, crate::error::Error> {
                super::property::from_properties(properties)
            }

            /// Reads a configuration from the text of a property file.
            ///
            /// # Errors
            /// As [`from_properties`](Self::from_properties), and for a line that is not `name=value`.
            pub fn from_file_text(text: &str) -> Result<Self, crate::error::Error> {
                Self::from_properties(super::property::lines(text)?)
            }

            /// Every setting of this kind of client, for a reference.
            #[must_use]
            pub fn settings() -> alloc::vec::Vec<super::SettingDescription> {
                <Self as super::property::Configuration>::describe()
            }

            /// Every setting with the value in force.
            #[must_use]
            pub fn effective_config(&self) -> alloc::vec::Vec<super::EffectiveSetting> {
                super::property::Configuration::effective(self)
            }

            /// Checks what must hold between settings; done again wherever a client is made.
            ///
            /// # Errors
            /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the first key that is wrong.
            pub fn validate(&self) -> Result<(), crate::error::Error> {
                super::property::Configuration::check(self)
            }
        }
    };
}
pub(super) use property_functions;
