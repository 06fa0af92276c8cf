//! Owns the memory of where each value of a configuration came from.
//!
//! Must not know any value's meaning.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::property::IgnoredSetting;
use crate::collections::VecMap;

/// Where the value of a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A property, under this name: the setting's own, or one of its aliases.
    Property(&'static str),
    /// A line of a property file, counted from 1.
    Line(usize),
    /// The program: a builder's method, or the field itself.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Property(name) => write!(f, "property {name}"),
            Self::Line(number) => write!(f, "line {number}"),
            Self::Code => f.write_str("code"),
        }
    }
}

/// Which properties a configuration was read from. It changes nothing of what the configuration means: all are equal.
#[derive(Clone, Default)]
pub struct Origins {
    /// By the setting's own name: what was read, and how it is shown.
    read: VecMap<&'static str, (Origin, String)>,
    ignored: Vec<IgnoredSetting>,
}

impl Origins {
    pub(super) fn note(&mut self, setting: &'static str, origin: Origin, shown: String) {
        self.read.insert(setting, (origin, shown));
    }

    pub(super) fn forget(&mut self, setting: &'static str) {
        self.read.remove(&setting);
    }

    pub(super) fn ignore(&mut self, setting: IgnoredSetting) {
        self.ignored.push(setting);
    }

    pub(super) fn ignored(&self) -> &[IgnoredSetting] {
        &self.ignored
    }

    /// Where the value that is shown as `shown` came from. What differs from what was read was set since.
    pub(super) fn of(&self, setting: &str, shown: &str, is_default: bool) -> Origin {
        match self.read.get(&setting) {
            Some((origin, read)) if read == shown => *origin,
            Some(_) => Origin::Code,
            None if is_default => Origin::Default,
            None => Origin::Code,
        }
    }
}

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").finish_non_exhaustive()
    }
}
