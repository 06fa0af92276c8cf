//! Owns the settings of a producer.
//!
//! Must not know the producer.

use alloc::string::String;

use super::property::{Configuration, config_error, property_functions};
use super::value::Value;
use super::{CommonConfig, ConsumerConfig, settings};
use crate::error::Error;
use crate::record::Codec;
use crate::record::compression::{is_compiled, is_level, levels};
use crate::time::Duration;

/// Whose confirmation makes a record `Delivered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: the broker answers nothing, and the outcome is `Sent`, a success without a promise.
    None,
    /// The leader's.
    Leader,
    /// That of all in-sync replicas.
    All,
}

impl Acks {
    /// The number that a Produce request carries.
    #[must_use]
    pub const fn as_i16(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl Value for Acks {
    const TYPE: &'static str = "all, 1 or 0";
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" | "-1" => Ok(Self::All),
            "1" => Ok(Self::Leader),
            "0" => Ok(Self::None),
            _ => Err("must be `all`, `1` or `0`".into()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        }
        .into()
    }
}

impl Value for Codec {
    const TYPE: &'static str = "none, gzip, snappy, lz4 or zstd";
    fn parse(text: &str) -> Result<Self, String> {
        Self::from_name(text)
            .ok_or_else(|| "must be `none`, `gzip`, `snappy`, `lz4` or `zstd`".into())
    }
    fn show(&self) -> String {
        self.name().into()
    }
}

settings! {
    /// The settings of a producer.
    pub struct ProducerConfig with CommonConfig {
        /// Whose confirmation makes a record delivered.
        "acks" ["request.required.acks"] acks: Acks = Acks::All;
        /// Whether the broker recognises resent batches, so that a retry writes nothing twice. Needs `acks=all`.
        "enable.idempotence" enable_idempotence: bool = true;
        /// How many batches of a partition may be unanswered at once. With idempotence at most 5, which is how many the broker remembers.
        "max.in.flight.requests.per.connection" ["max.in.flight"] max_in_flight: usize = 5, 1..=i64::MAX;
        /// How long a record waits for others to share its batch with.
        "linger.ms" ["queue.buffering.max.ms"] linger: Duration = Duration::from_millis(5);
        /// The size that a batch is filled up to, in bytes, before compression. 0: every record has a batch of its own.
        "batch.size" batch_size: usize = 16_384;
        /// The largest request, and so the largest record, in bytes before compression.
        "max.request.size" ["message.max.bytes"] max_request_size: usize = 1 << 20, 1_024..=i64::MAX;
        /// The producer's share of `memory.budget`: records accepted and not yet resolved.
        "buffer.memory" buffer_memory: usize = 32 << 20;
        /// How long `send` waits for metadata or memory.
        "max.block.ms" max_block: Duration = Duration::from_secs(60);
        /// From being accepted to the outcome, retries included. Not below `linger.ms` + `request.timeout.ms`.
        "delivery.timeout.ms" ["message.timeout.ms"] delivery_timeout: Duration = Duration::from_secs(120);
        /// How batches are compressed.
        "compression.type" ["compression.codec"] compression: Codec = Codec::None;
        /// The level of gzip, 1 to 9.
        "compression.gzip.level" compression_gzip_level: Option<i32> = None;
        /// The level of lz4, 1 to 17.
        "compression.lz4.level" compression_lz4_level: Option<i32> = None;
        /// The level of zstd, -131072 to 22.
        "compression.zstd.level" compression_zstd_level: Option<i32> = None;
    }
}

impl ProducerConfig {
    /// The defaults for the cluster behind `servers` (`host:port,host:port`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when an entry is not `host:port`.
    pub fn bootstrap(servers: &str) -> Result<Self, Error> {
        Ok(Self {
            common: CommonConfig::bootstrap(servers)?,
            ..Self::default()
        })
    }

    /// The level of the codec in force; `None` for its default.
    #[must_use]
    pub fn compression_level(&self) -> Option<i32> {
        match self.compression {
            Codec::Gzip => self.compression_gzip_level,
            Codec::Lz4 => self.compression_lz4_level,
            Codec::Zstd => self.compression_zstd_level,
            Codec::None | Codec::Snappy => None,
        }
    }
}

property_functions!(ProducerConfig);

impl Configuration for ProducerConfig {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn common_mut(&mut self) -> &mut CommonConfig {
        &mut self.common
    }

    fn of_another_role(name: &str) -> Option<&'static str> {
        ConsumerConfig::has(name).then_some("consumer")
    }

    fn check(&self) -> Result<(), Error> {
        if !is_compiled(self.compression) {
            let codec = self.compression;
            let error = config_error(
                "compression.type",
                format_args!("{codec} is not compiled in"),
            );
            return Err(error.with_hint(alloc::format!(
                "build klamm with its Cargo feature `{codec}`"
            )));
        }
        if self.enable_idempotence && self.acks != Acks::All {
            return Err(config_error("acks", "must be `all` with enable.idempotence=true")
                .with_hint("set acks=all, or enable.idempotence=false and accept that retries may write twice"));
        }
        if self.enable_idempotence && self.max_in_flight > 5 {
            return Err(config_error(
                "max.in.flight.requests.per.connection",
                "at most 5 with enable.idempotence=true: a broker remembers 5 batches",
            ));
        }
        if self.delivery_timeout < self.linger + self.common.request_timeout {
            return Err(config_error(
                "delivery.timeout.ms",
                "must not be below linger.ms + request.timeout.ms",
            ));
        }
        if self.buffer_memory < self.max_request_size {
            return Err(config_error(
                "buffer.memory",
                "must not be below max.request.size",
            ));
        }
        if self.buffer_memory > self.common.memory_budget {
            return Err(config_error(
                "buffer.memory",
                "must not be above memory.budget, of which it is a share",
            ));
        }
        self.check_levels()
    }
}

impl ProducerConfig {
    fn check_levels(&self) -> Result<(), Error> {
        for (key, codec, level) in [
            (
                "compression.gzip.level",
                Codec::Gzip,
                self.compression_gzip_level,
            ),
            (
                "compression.lz4.level",
                Codec::Lz4,
                self.compression_lz4_level,
            ),
            (
                "compression.zstd.level",
                Codec::Zstd,
                self.compression_zstd_level,
            ),
        ] {
            if let (Some(level), Some(all)) = (level, levels(codec))
                && !is_level(codec, level)
            {
                return Err(config_error(
                    key,
                    alloc::format!("must be {} to {}", all.start(), all.end()),
                ));
            }
        }
        Ok(())
    }
}
