//! Owns the settings of a client: Kafka's own names, types, defaults and documentation in one table for typed
//! builders and property maps alike, and the checks that hold between them.
//!
//! Must not know how any setting is used.

mod common;
mod consumer;
mod foreign;
mod group_protocol;
mod nearest;
mod origin;
mod producer;
mod property;
mod security;
#[cfg(test)]
mod tests;
mod value;

pub use common::{CommonConfig, Server};
pub use consumer::{ConsumerConfig, IsolationLevel, OffsetReset};
pub use group_protocol::GroupProtocol;
pub use origin::{Origin, Origins};
pub use producer::{Acks, ProducerConfig};
pub use property::{
    EffectiveSetting, ForeignSetting, IgnoredSetting, SettingDescription, foreign_settings,
};
pub use security::SecurityProtocol;

/// Defines a configuration struct, its defaults, its builder methods and its rows in the table, from one text.
macro_rules! settings {
    (
        $(#[$struct_doc:meta])*
        pub struct $name:ident $(with $common:ty)? {
            $(
                $(#[doc = $doc:literal])+
                $key:literal $([$($alias:literal),+])? $field:ident: $type:ty = $default:expr
                    $(, $range:expr)? $(, since $since:literal)?;
            )*
        }
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(
                /// What every kind of client has.
                pub common: $common,
            )?
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Property: `", $key, "`.")]
                pub $field: $type,
            )*
            /// Which of these came from properties, for [`effective_config`](crate::config::ProducerConfig::effective_config).
            pub origins: $crate::config::Origins,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $(common: <$common>::default(),)?
                    $($field: $default,)*
                    origins: $crate::config::Origins::default(),
                }
            }
        }

        impl $name {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $field(mut self, value: impl Into<$type>) -> Self {
                    self.$field = value.into();
                    self.origins.forget($key);
                    self
                }
            )*
        }

        impl $crate::config::property::Table for $name {
            const ROWS: &'static [$crate::config::property::Setting<Self>] = &[
                $($crate::config::property::Setting {
                    name: $key,
                    aliases: &[$($($alias),+)?],
                    doc: concat!($($doc, "\n"),+),
                    type_name: <$type as $crate::config::value::Value>::TYPE,
                    range: $crate::config::property::range(&[$($range)?]),
                    since: $crate::config::property::since(&[$($since)?]),
                    set: |config, text| {
                        config.$field = $crate::config::value::Value::parse(text)?;
                        Ok(())
                    },
                    get: |config| $crate::config::value::Value::show(&config.$field),
                    size: |config| $crate::config::value::Value::size(&config.$field),
                },)*
            ];

            fn origins(&self) -> &$crate::config::Origins {
                &self.origins
            }

            fn origins_mut(&mut self) -> &mut $crate::config::Origins {
                &mut self.origins
            }
        }
    };
}
use settings;
