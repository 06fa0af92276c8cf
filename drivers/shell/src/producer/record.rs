//! Owns how users say what they want written: a record and where it goes.
//!
//! Must not know how it is sent.

use klamm::TopicHandle;
use klamm::record::{HeaderRef, Headers, NO_TIMESTAMP, RecordRef};

/// The topic of a record: its name, or the handle that [`Producer::topic`](crate::Producer::topic) gave, which saves
/// looking the name up for each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// By name.
    Name(&'a str),
    /// By handle.
    Handle(TopicHandle),
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for Target<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<TopicHandle> for Target<'_> {
    fn from(handle: TopicHandle) -> Self {
        Self::Handle(handle)
    }
}

/// A record to be written. It borrows its bytes, which are copied once, into the batch that is sent; so it is `Copy`,
/// and whoever could not have it accepted still has it.
///
/// ```
/// use klamm_shell::NewRecord;
/// let record = NewRecord::to("orders").key(b"customer-7").value(b"{\"amount\": 12}");
/// assert_eq!(record.partition, None);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a record is written when it is sent"]
pub struct NewRecord<'a> {
    /// Where it goes.
    pub topic: Target<'a>,
    /// The partition; `None`: by the key as Java does it, or one after the other without a key.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None`: now.
    pub timestamp: Option<i64>,
    /// The key, or `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value, or `None` for null (a tombstone in a compacted topic).
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

impl<'a> NewRecord<'a> {
    /// A record for this topic (a name or a handle), without key, value and headers.
    pub fn to(topic: impl Into<Target<'a>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Headers::NONE,
        }
    }

    /// With this key.
    pub fn key<K: AsRef<[u8]> + ?Sized>(self, key: &'a K) -> Self {
        let key = Some(key.as_ref());
        Self { key, ..self }
    }

    /// With this value.
    pub fn value<V: AsRef<[u8]> + ?Sized>(self, value: &'a V) -> Self {
        let value = Some(value.as_ref());
        Self { value, ..self }
    }

    /// With these headers.
    pub fn headers(self, headers: &'a [HeaderRef<'a>]) -> Self {
        let headers = Headers::from(headers);
        Self { headers, ..self }
    }

    /// To this partition.
    pub fn partition(self, partition: i32) -> Self {
        let partition = Some(partition);
        Self { partition, ..self }
    }

    /// With this timestamp, in milliseconds since 1970.
    pub fn timestamp(self, timestamp: i64) -> Self {
        let timestamp = Some(timestamp);
        Self { timestamp, ..self }
    }

    /// The record as batches have it.
    pub(crate) fn as_ref(&self) -> RecordRef<'a> {
        RecordRef {
            headers: self.headers,
            ..RecordRef::new(self.timestamp.unwrap_or(NO_TIMESTAMP), self.key, self.value)
        }
    }
}
