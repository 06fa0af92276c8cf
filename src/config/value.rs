//! Owns how each type of setting is written in a property file.
//!
//! Must not know any key.

use alloc::string::{String, ToString};

use super::property::Size;
use crate::time::Duration;

/// A type that a property can have.
pub(super) trait Value: Sized {
    /// The type's name in the reference.
    const TYPE: &'static str;
    /// Reads the text of a property, or says what is allowed.
    fn parse(text: &str) -> Result<Self, String>;
    /// Writes it back.
    fn show(&self) -> String;
    /// What is held against the range of a setting, if the type has ranges.
    fn size(&self) -> Option<Size> {
        None
    }
}

impl Value for bool {
    const TYPE: &'static str = "true or false";
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be `true` or `false`".into()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    const TYPE: &'static str = "whole number";
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "must be a whole number, 0 or more".into())
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn size(&self) -> Option<Size> {
        Some(Size::Number(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Value for Option<i32> {
    const TYPE: &'static str = "whole number, or empty for the default";
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| "must be a whole number".into())
    }
    fn show(&self) -> String {
        self.map_or_else(String::new, |number| number.to_string())
    }
}

/// Kafka's properties give times in milliseconds.
impl Value for Duration {
    const TYPE: &'static str = "milliseconds";
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self::from_millis)
            .map_err(|_| "must be a number of milliseconds, 0 or more".into())
    }
    fn show(&self) -> String {
        self.as_millis().to_string()
    }
    /// Part of a millisecond is one.
    fn size(&self) -> Option<Size> {
        let millis = self.as_nanos().div_ceil(1_000_000);
        Some(Size::Number(i64::try_from(millis).unwrap_or(i64::MAX)))
    }
}

impl Value for String {
    const TYPE: &'static str = "text";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
    fn show(&self) -> String {
        self.clone()
    }
    fn size(&self) -> Option<Size> {
        Some(Size::Bytes(i64::try_from(self.len()).unwrap_or(i64::MAX)))
    }
}
