//! Owns property maps: how `name=value` pairs become a configuration, and what an unknown name is answered with.
//!
//! Must not know the meaning of any setting.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use super::CommonConfig;
use super::foreign::{FOREIGN, Foreign, Treatment};
use super::nearest::nearest;
use super::origin::{Origin, Origins};
use crate::error::{Error, ErrorKind, printable};

/// One row of the table.
pub(super) struct Setting<C> {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) doc: &'static str,
    pub(super) type_name: &'static str,
    /// Which numbers are allowed; of a text, which lengths.
    pub(super) range: Option<Range>,
    /// The version of this crate in which it came.
    pub(super) since: &'static str,
    pub(super) set: fn(&mut C, &str) -> Result<(), String>,
    pub(super) get: fn(&C) -> String,
    pub(super) size: fn(&C) -> Option<Size>,
}

/// What is held against a setting's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A number, or milliseconds.
    Number(i64),
    /// The length of a text.
    Bytes(i64),
}

/// The least and the most that a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    least: i64,
    most: i64,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, i64::MAX) => write!(f, "at least {least}"),
            (0, most) => write!(f, "at most {most}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// The range that a row of the table may have.
pub(super) const fn range(given: &[RangeInclusive<i64>]) -> Option<Range> {
    match given.first() {
        Some(range) => Some(Range {
            least: *range.start(),
            most: *range.end(),
        }),
        None => None,
    }
}

/// The version in which a row of the table came: the first one, unless it says another.
pub(super) const fn since(given: &[&'static str]) -> &'static str {
    match given.first() {
        Some(since) => since,
        None => "0.1.0",
    }
}

impl<C> Setting<C> {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// The name by which a property called this setting.
    fn spelling(&self, name: &str) -> &'static str {
        let alias = self.aliases.iter().find(|alias| **alias == name);
        alias.copied().unwrap_or(self.name)
    }

    fn check_range(&self, config: &C) -> Result<(), Error> {
        let (Some(range), Some(size)) = (self.range, (self.size)(config)) else {
            return Ok(());
        };
        let (size, unit) = match size {
            Size::Number(number) => (number, ""),
            Size::Bytes(length) => (length, " bytes long"),
        };
        if (range.least..=range.most).contains(&size) {
            return Ok(());
        }
        Err(config_error(
            self.name,
            format_args!("{size}{unit}, and it must be {range}"),
        ))
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
    /// Which numbers are allowed, or how many bytes of text; `None` where the type says it all.
    pub range: Option<String>,
    /// Its default, as it would be written.
    pub default: String,
    /// The version of this crate in which it came.
    pub since: &'static str,
}

/// A setting and the value in force. It prints as a line of a property file, with its origin as a comment would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Kafka's name of it.
    pub name: &'static str,
    /// The value in force, as it would be written; asterisks for a secret.
    pub value: String,
    /// Whether that is the default.
    pub is_default: bool,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for EffectiveSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = printable(&self.value);
        write!(f, "{}={value} ({})", self.name, self.origin)
    }
}

/// A property that was accepted and does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredSetting {
    /// Its name.
    pub name: String,
    /// Why it is not needed.
    pub reason: &'static str,
}

impl fmt::Display for IgnoredSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does nothing: {}", self.name, self.reason)
    }
}

/// What becomes of a setting that only Kafka's other clients have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignSetting {
    /// Its name; with a `*`, all that fit.
    pub name: &'static str,
    /// The values that are accepted: `None` for any, none for a setting that is refused.
    pub accepted: Option<&'static [&'static str]>,
    /// Why it is not needed, or what to do instead.
    pub reason: &'static str,
}

/// Every setting that Kafka's other clients have and this one does not, for a reference.
#[must_use]
pub fn foreign_settings() -> Vec<ForeignSetting> {
    let rows = FOREIGN.iter().map(|foreign| {
        let (accepted, reason) = match foreign.treatment {
            Treatment::NotNeeded(reason) => (None, reason),
            Treatment::Only(values, reason) => (Some(values), reason),
            Treatment::NotYet(instead) => (Some::<&[&str]>(&[]), instead),
        };
        ForeignSetting {
            name: foreign.name,
            accepted,
            reason,
        }
    });
    rows.collect()
}

/// What has rows in a table.
pub(super) trait Table: Default + 'static {
    /// The settings of this struct.
    const ROWS: &'static [Setting<Self>];
    /// Where their values came from.
    fn origins(&self) -> &Origins;
    /// The same, to be noted.
    fn origins_mut(&mut self) -> &mut Origins;

    /// Sets `name` to `text`, which was read from `line` of a file; `None` where no row has that name.
    fn read(&mut self, name: &str, text: &str, line: Option<usize>) -> Option<Result<(), String>> {
        let setting = Self::ROWS.iter().find(|setting| setting.is_named(name))?;
        let origin = line.map_or(Origin::Property(setting.spelling(name)), Origin::Line);
        Some((setting.set)(self, text.trim()).map(|()| {
            let shown = (setting.get)(self);
            self.origins_mut().note(setting.name, origin, shown);
        }))
    }

    /// Every row, described.
    fn describe_rows() -> impl Iterator<Item = SettingDescription> {
        let defaults = Self::default();
        Self::ROWS.iter().map(move |setting| SettingDescription {
            name: setting.name,
            aliases: setting.aliases,
            doc: setting.doc,
            type_name: setting.type_name,
            range: setting.range.map(|range| match (setting.size)(&defaults) {
                Some(Size::Bytes(_)) => format!("{range} bytes"),
                Some(Size::Number(_)) | None => range.to_string(),
            }),
            default: (setting.get)(&defaults),
            since: setting.since,
        })
    }

    /// Every row, with the value in force.
    fn effective_rows(&self) -> impl Iterator<Item = EffectiveSetting> {
        let defaults = Self::default();
        Self::ROWS.iter().map(move |setting| {
            let value = (setting.get)(self);
            let is_default = value == (setting.get)(&defaults);
            EffectiveSetting {
                name: setting.name,
                origin: self.origins().of(setting.name, &value, is_default),
                value,
                is_default,
            }
        })
    }

    /// Whether every value is in its row's range.
    fn check_ranges(&self) -> Result<(), Error> {
        Self::ROWS
            .iter()
            .try_for_each(|setting| setting.check_range(self))
    }
}

/// A configuration: a table of its own, and that of what every kind of client has.
pub(super) trait Configuration: Table {
    /// What every kind has.
    fn common(&self) -> &CommonConfig;
    /// The same, to be set.
    fn common_mut(&mut self) -> &mut CommonConfig;
    /// Settings that belong to another kind of client.
    fn of_another_role(name: &str) -> Option<&'static str>;
    /// What must hold between settings.
    fn check(&self) -> Result<(), Error>;

    /// Every setting, described.
    fn describe() -> Vec<SettingDescription> {
        CommonConfig::describe_rows()
            .chain(Self::describe_rows())
            .collect()
    }

    /// Every setting, with its value.
    fn effective(&self) -> Vec<EffectiveSetting> {
        self.common()
            .effective_rows()
            .chain(self.effective_rows())
            .collect()
    }

    /// Whether a setting is one of this kind of client alone.
    fn has(name: &str) -> bool {
        Self::ROWS.iter().any(|setting| setting.is_named(name))
    }

    /// Every value by itself, then what must hold between them.
    fn check_all(&self) -> Result<(), Error> {
        self.common().check_ranges()?;
        self.check_ranges()?;
        self.common().check()?;
        self.check()
    }
}

/// One property, as somebody wrote it.
pub(super) struct Property<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// The line of the file, counted from 1.
    pub(super) line: Option<usize>,
}

/// Builds a configuration from properties; a later one wins over an earlier one.
pub(super) fn from_properties<'a, C: Configuration>(
    properties: impl IntoIterator<Item = Property<'a>>,
) -> Result<C, Error> {
    let mut config = C::default();
    for Property { name, text, line } in properties {
        let read = config
            .read(name, text, line)
            .or_else(|| config.common_mut().read(name, text, line));
        let done = match read {
            Some(Ok(())) => Ok(()),
            // Of a list, why may name the one that is wrong.
            Some(Err(why)) if why.starts_with('`') => Err(config_error(name, why)),
            Some(Err(why)) => Err(config_error(name, format!("`{}` {why}", printable(text)))),
            None => unknown::<C>(name, text).map(|ignored| config.origins_mut().ignore(ignored)),
        };
        done.map_err(|error| match line {
            Some(line) => error.in_line(line),
            None => error,
        })?;
    }
    config.check_all()?;
    Ok(config)
}

/// An error about the setting `name`.
pub(super) fn config_error(name: &str, detail: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Config {
        key: printable(name),
    })
    .with_detail(detail)
}

/// What becomes of a property that no table of `C` has.
fn unknown<C: Configuration>(name: &str, text: &str) -> Result<IgnoredSetting, Error> {
    if let Some(role) = C::of_another_role(name) {
        return Err(config_error(name, format!("this is a setting of a {role}")));
    }
    let Some(foreign) = Foreign::find(name) else {
        return Err(no_such_setting::<C>(name));
    };
    let ignored = |reason| {
        Ok(IgnoredSetting {
            name: name.into(),
            reason,
        })
    };
    match foreign.treatment {
        Treatment::NotNeeded(reason) => ignored(reason),
        Treatment::Only(values, reason) => {
            let fits = |value: &&str| value.eq_ignore_ascii_case(text.trim());
            if values.iter().any(fits) {
                return ignored(reason);
            }
            let detail = format!("this version can only have it `{}`", values.join("` or `"));
            Err(config_error(name, detail).with_hint(reason))
        }
        Treatment::NotYet(instead) => {
            let error = config_error(
                name,
                "Kafka has this setting, but this version cannot honour it yet",
            );
            Err(match instead {
                "" => error,
                instead => error.with_hint(instead),
            })
        }
    }
}

fn no_such_setting<C: Configuration>(name: &str) -> Error {
    let error = config_error(name, "there is no such setting");
    let descriptions = C::describe();
    let names = descriptions
        .iter()
        .flat_map(|d| core::iter::once(d.name).chain(d.aliases.iter().copied()));
    match nearest(name, names) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error.with_hint(
            "`ProducerConfig::settings` and `ConsumerConfig::settings` list every setting"
                .to_string(),
        ),
    }
}

/// Splits the text of a property file: `name=value` lines, `#` and `!` for comments.
pub(super) fn lines(text: &str) -> Result<Vec<Property<'_>>, Error> {
    text.lines()
        .map(str::trim)
        .zip(1..)
        .filter(|(line, _)| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|(line, number)| {
            let (name, text) = line.split_once('=').ok_or_else(|| {
                // Java takes `name: value` too: what follows the name may be a password.
                let name = line.split([':', ' ', '\t']).next().unwrap_or_default();
                config_error(name, "a line must read `name=value`").in_line(number)
            })?;
            Ok(Property {
                name: name.trim(),
                text: text.trim(),
                line: Some(number),
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
            /// What Kafka's other clients have and this one does not need is accepted; [`ignored`](Self::ignored) lists it.
            ///
            /// # Errors
            /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the key: unknown (with the nearest name), not allowed, or in
            /// contradiction with another.
            pub fn from_properties<'a>(
                properties: impl IntoIterator<Item = (&'a str, &'a str)>,
            ) -> Result<Self, crate::error::Error> {
                let properties = properties.into_iter();
                super::property::from_properties(properties.map(|(name, text)| {
                    super::property::Property {
                        name,
                        text,
                        line: None,
                    }
                }))
            }

            /// Reads a configuration from the text of a property file.
            ///
            /// # Errors
            /// As [`from_properties`](Self::from_properties), and for a line that is not `name=value`.
            pub fn from_file_text(text: &str) -> Result<Self, crate::error::Error> {
                super::property::from_properties(super::property::lines(text)?)
            }

            /// Every setting of this kind of client, for a reference.
            #[must_use]
            pub fn settings() -> alloc::vec::Vec<super::SettingDescription> {
                <Self as super::property::Configuration>::describe()
            }

            /// The properties that were accepted and do nothing, each with the reason.
            #[must_use]
            pub fn ignored(&self) -> &[super::IgnoredSetting] {
                self.origins.ignored()
            }

            /// Every setting with the value in force and where it came from. Secrets are asterisks.
            #[must_use]
            pub fn effective_config(&self) -> alloc::vec::Vec<super::EffectiveSetting> {
                super::property::Configuration::effective(self)
            }

            /// Checks what must hold between settings; done again wherever a client is made.
            ///
            /// # Errors
            /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the first key that is wrong.
            pub fn validate(&self) -> Result<(), crate::error::Error> {
                super::property::Configuration::check_all(self)
            }
        }
    };
}
pub(super) use property_functions;
