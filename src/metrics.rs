//! Owns the shapes of what a client counts of itself, under Kafka's names where Kafka has one.
//!
//! Must not know who counts: whoever owns a thing adds to it, with plain integers and by the time that the engine was told.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::budget::Category;
use crate::time::Duration;
use crate::wire::ApiKey;

/// How many times took how long, in buckets that double: the first one holds what took no more than a microsecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    count: u64,
    sum: Duration,
    max: Duration,
    buckets: [u64; Self::BUCKETS],
}

impl Histogram {
    /// The last one holds all that took more than half a minute.
    const BUCKETS: usize = 27;

    pub(crate) fn record(&mut self, took: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(took);
        self.max = self.max.max(took);
        let micros = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let place = (u64::BITS - micros.saturating_sub(1).leading_zeros()) as usize;
        if let Some(bucket) = self.buckets.get_mut(place.min(Self::BUCKETS - 1)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How long all of them took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// How long the longest one took.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// How long one took on average; nothing while none was counted.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        (count > 0).then(|| self.sum / count)
    }

    /// How long at the most all but the slowest took: `quantile(0.99)` is true of 99 in 100. It is exact to a factor of 2.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among at most as many as were counted"
        )]
        let rank = (self.count as f64 * quantile.clamp(0.0, 1.0)) as u64;
        let mut seen = 0u64;
        self.buckets().find_map(|(most, count)| {
            seen = seen.saturating_add(count);
            (seen > 0 && seen >= rank).then_some(most.min(self.max))
        })
    }

    /// Of each bucket, how long its longest may have taken, and how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let last = Self::BUCKETS - 1;
        self.buckets.iter().enumerate().map(move |(place, count)| {
            let most = match place {
                place if place == last => Duration::MAX,
                place => Duration::from_micros(1 << place),
            };
            (most, *count)
        })
    }
}

/// One more.
pub(crate) fn count(total: &mut u64) {
    *total = total.saturating_add(1);
}

/// One number of a snapshot, for whoever hands all of them on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Kafka's name of it, where Kafka has one.
    pub name: &'static str,
    /// What it is of, if there are several: such as `("api", "Fetch")`.
    pub label: Option<(&'static str, String)>,
    /// What it says.
    pub doc: &'static str,
    /// The number.
    pub value: MetricValue,
}

/// What a metric's number means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricValue {
    /// How many there were since the client was made: it only grows.
    Counter(u64),
    /// How many there are.
    Gauge(u64),
    /// How long things took.
    Histogram(Box<Histogram>),
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some((name, value)) = &self.label {
            write!(f, "{{{name}=\"{value}\"}}")?;
        }
        match &self.value {
            MetricValue::Counter(number) | MetricValue::Gauge(number) => write!(f, " {number}"),
            MetricValue::Histogram(histogram) => {
                write!(
                    f,
                    " count {} sum {} ms max {} ms",
                    histogram.count,
                    histogram.sum.as_millis(),
                    histogram.max.as_millis()
                )
            }
        }
    }
}

/// Defines a part of a snapshot and its list, from one text.
macro_rules! metrics {
    (
        $(#[$struct_doc:meta])*
        pub struct $name:ident {
            $(#[doc = $doc:literal] $key:literal $field:ident: $kind:ident,)*
            ..
            $($(#[$more_doc:meta])* $more:ident: $more_type:ty,)*
        }
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $(
                #[doc = $doc]
                #[doc = ""]
                #[doc = concat!("`", $key, "`")]
                pub $field: u64,
            )*
            $($(#[$more_doc])* pub $more: $more_type,)*
        }

        impl $name {
            fn own(&self) -> impl Iterator<Item = Metric> {
                [$(Metric {
                    name: $key,
                    label: None,
                    doc: $doc.trim_ascii(),
                    value: MetricValue::$kind(self.$field),
                },)*].into_iter()
            }
        }
    };
}

metrics! {
    /// What both kinds of clients count: connections, requests, memory.
    pub struct ClientMetrics {
        /// Connections that were begun.
        "connection-creation-total" connection_creation_total: Counter,
        /// Connections that have ended, those that never became ready among them.
        "connection-close-total" connection_close_total: Counter,
        /// Connections that ended with an error.
        "connection-failed-total" connection_failed_total: Counter,
        /// Connections over which requests can be sent.
        "connection-count" connection_count: Gauge,
        /// Requests that were given to a connection, without those of its handshake.
        "request-total" request_total: Counter,
        /// Answers that came.
        "response-total" response_total: Counter,
        /// Requests that ended without the answer that they should have had.
        "request-failed-total" request_failed_total: Counter,
        /// Requests that are not answered.
        "requests-in-flight" requests_in_flight: Gauge,
        /// Bytes that the sockets have accepted.
        "outgoing-byte-total" outgoing_byte_total: Counter,
        /// Bytes that have come.
        "incoming-byte-total" incoming_byte_total: Counter,
        /// Answers by which a broker asked for silence (KIP-219).
        "throttle-total" throttle_total: Counter,
        ..
        /// How long requests took from being sent to being answered, by API: `request-latency`. A Fetch takes as long as the
        /// broker waits for records.
        request_latency: Vec<(ApiKey, Histogram)>,
        /// How much memory is held for what.
        memory: MemoryMetrics,
    }
}

/// How much of `memory.budget` is held for what: `memory-used-bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// `memory.budget`: `memory-limit-bytes`.
    pub limit: u64,
    /// What is held, in the order of [`Category::ALL`].
    pub used: [u64; Category::ALL.len()],
}

impl MemoryMetrics {
    /// What is held for this.
    #[must_use]
    pub fn used_for(&self, category: Category) -> u64 {
        self.used.get(category as usize).copied().unwrap_or(0)
    }
}

impl ClientMetrics {
    /// An answer has come.
    pub(crate) fn answered(&mut self, api: ApiKey, took: Duration) {
        count(&mut self.response_total);
        match self.request_latency.iter_mut().find(|(of, _)| *of == api) {
            Some((_, histogram)) => histogram.record(took),
            None => {
                let mut histogram = Histogram::default();
                histogram.record(took);
                self.request_latency.push((api, histogram));
            }
        }
    }

    /// How long requests of this API took, if there were any.
    #[must_use]
    pub fn latency_of(&self, api: ApiKey) -> Option<&Histogram> {
        let found = self.request_latency.iter().find(|(of, _)| *of == api);
        found.map(|(_, histogram)| histogram)
    }

    fn list(&self) -> impl Iterator<Item = Metric> {
        let latencies = self.request_latency.iter().map(|(api, histogram)| Metric {
            name: "request-latency",
            label: Some(("api", api.to_string())),
            doc: "How long requests took from being sent to being answered.",
            value: MetricValue::Histogram(Box::new(histogram.clone())),
        });
        let limit = Metric {
            name: "memory-limit-bytes",
            label: None,
            doc: "`memory.budget`.",
            value: MetricValue::Gauge(self.memory.limit),
        };
        let used = Category::ALL.into_iter().map(|category| Metric {
            name: "memory-used-bytes",
            label: Some(("for", category.name().into())),
            doc: "How much of `memory.budget` is held.",
            value: MetricValue::Gauge(self.memory.used_for(category)),
        });
        self.own().chain(latencies).chain([limit]).chain(used)
    }
}

metrics! {
    /// What a producer counts. A snapshot: see [`ProducerEngine::metrics`](crate::ProducerEngine::metrics).
    pub struct ProducerMetrics {
        /// Records that were accepted.
        "record-append-total" record_append_total: Counter,
        /// Records that were put into a request for the first time.
        "record-send-total" record_send_total: Counter,
        /// Records that were put into a request again.
        "record-retry-total" record_retry_total: Counter,
        /// Records that were delivered, or sent as `acks=0` asks for.
        "record-delivered-total" record_delivered_total: Counter,
        /// Records that are not known to be written: rejected or unknown.
        "record-error-total" record_error_total: Counter,
        /// Those of them that may be written all the same.
        "record-unknown-total" record_unknown_total: Counter,
        /// Records that were accepted and have no outcome yet.
        "records-unresolved" records_unresolved: Gauge,
        /// Batches that were put into a request for the first time.
        "batch-total" batch_total: Counter,
        /// Their bytes, as compressed as they were sent.
        "batch-byte-total" batch_byte_total: Counter,
        /// `buffer.memory`.
        "buffer-total-bytes" buffer_total_bytes: Gauge,
        /// How much of it can be taken now.
        "buffer-available-bytes" buffer_available_bytes: Gauge,
        ..
        /// What every kind of client counts.
        client: ClientMetrics,
    }
}

impl ProducerMetrics {
    /// All numbers, by name.
    pub fn list(&self) -> impl Iterator<Item = Metric> {
        self.own().chain(self.client.list())
    }
}

metrics! {
    /// What a consumer counts. A snapshot: see [`ConsumerEngine::metrics`](crate::ConsumerEngine::metrics).
    pub struct ConsumerMetrics {
        /// Records of the batches that were read to their end.
        "records-consumed-total" records_consumed_total: Counter,
        /// The bytes of those batches, as the brokers sent them.
        "bytes-consumed-total" bytes_consumed_total: Counter,
        /// Batches that were read to their end.
        "batch-total" batch_total: Counter,
        /// Batches that are with the reader.
        "batches-lent" batches_lent: Gauge,
        /// Partitions that are read.
        "assigned-partitions" assigned_partitions: Gauge,
        /// Offsets to the end of the partition that is furthest from it, as far as brokers have said.
        "records-lag-max" records_lag_max: Gauge,
        /// Offsets to the ends of all partitions together.
        "records-lag-sum" records_lag_sum: Gauge,
        /// Rebalances that this member came through.
        "rebalance-total" rebalance_total: Counter,
        ..
        /// How long they took from the first word of one to the listener's answer: `rebalance-latency`.
        rebalance_latency: Histogram,
        /// What every kind of client counts.
        client: ClientMetrics,
    }
}

impl ConsumerMetrics {
    /// All numbers, by name.
    pub fn list(&self) -> impl Iterator<Item = Metric> {
        let rebalances = Metric {
            name: "rebalance-latency",
            label: None,
            doc: "How long rebalances took, from the first word to the listener's answer.",
            value: MetricValue::Histogram(Box::new(self.rebalance_latency.clone())),
        };
        self.own().chain([rebalances]).chain(self.client.list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_tells_count_mean_max_and_quantiles_within_a_factor_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.mean(), histogram.quantile(0.5)), (None, None));
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.mean(), Some(Duration::from_micros(50_500)));
        assert_eq!(histogram.max(), Duration::from_millis(100));
        let median = histogram.quantile(0.5).expect("some were counted");
        assert!((50..100).contains(&median.as_millis()), "{median:?}");
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_takes_no_time_and_what_takes_for_ever_have_buckets() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_nanos(1_001));
        histogram.record(Duration::MAX);
        histogram.record(Duration::MAX);
        let held: Vec<_> = histogram
            .buckets()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            held,
            [
                (Duration::from_micros(1), 1),
                (Duration::from_micros(2), 1),
                (Duration::MAX, 2)
            ]
        );
        assert_eq!(histogram.sum(), Duration::MAX);
    }

    #[test]
    fn a_metric_prints_as_one_line() {
        let mut metrics = ConsumerMetrics {
            records_consumed_total: 7,
            ..ConsumerMetrics::default()
        };
        metrics
            .client
            .answered(ApiKey::FETCH, Duration::from_millis(12));
        let lines: Vec<String> = metrics.list().map(|metric| metric.to_string()).collect();
        assert!(
            lines.contains(&"records-consumed-total 7".to_string()),
            "{lines:?}"
        );
        assert!(
            lines.contains(
                &"request-latency{api=\"Fetch\"} count 1 sum 12 ms max 12 ms".to_string()
            ),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"memory-used-bytes{for=\"fetch\"} 0".to_string()),
            "{lines:?}"
        );
    }
}
