//! Owns what a leader checks of the records of a Produce before it appends them (Kafka's `LogValidator`).
//!
//! Must not know logs or producers' states.

use bytes::Bytes;
use klamm::ErrorCode;
use klamm::record::{BatchError, BatchHeader, BatchView, Codec, Records};

use crate::config::TopicConfig;
use crate::contents::Contents;

/// The first version of Produce that may carry zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// Who refuses records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The broker, before it looks at any log.
    Broker,
    /// The partition's log, which then tells where it starts.
    Log,
}

/// Why records are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) by: By,
    pub(crate) error: ErrorCode,
    pub(crate) message: String,
    /// The records that are to blame, by their number in the batch (KIP-467).
    pub(crate) records: Vec<(i32, String)>,
}

impl Invalid {
    /// What the broker refuses.
    pub(crate) fn request(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            by: By::Broker,
            error,
            message: message.into(),
            records: Vec::new(),
        }
    }

    /// What the log refuses. It does not tell where it starts with the errors of Kafka's `appendToLocalLog` that have
    /// a case of their own.
    pub(crate) fn log(error: ErrorCode, message: impl Into<String>) -> Self {
        let silent = matches!(
            error,
            ErrorCode::CORRUPT_MESSAGE
                | ErrorCode::MESSAGE_TOO_LARGE
                | ErrorCode::NOT_LEADER_OR_FOLLOWER
                | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::UNKNOWN_TOPIC_ID
                | ErrorCode::KAFKA_STORAGE_ERROR
        );
        Self {
            by: if silent { By::Broker } else { By::Log },
            ..Self::request(error, message)
        }
    }

    fn record(message: impl Into<String>) -> Self {
        Self::log(ErrorCode::INVALID_RECORD, message)
    }
}

/// The one batch that a Produce of `version` carries for a partition, if a leader may append it.
pub(crate) fn validate(
    records: Option<&Bytes>,
    version: i16,
    config: &TopicConfig,
    contents: &mut Contents,
) -> Result<BatchHeader, Invalid> {
    let records = records.filter(|records| !records.is_empty());
    let records = records.ok_or_else(not_one_batch)?;
    let batch = BatchView::parse(records).map_err(|error| unreadable(&error))?;
    let header = *batch.header();
    if header.magic < 2 {
        return Err(old_format());
    }
    if batch.as_bytes().len() < records.len() {
        return Err(not_one_batch());
    }
    if header.codec() == Codec::Zstd && version < ZSTD_FROM {
        return Err(Invalid::request(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "Produce requests below version 7 may not carry ZStandard",
        ));
    }
    if header.base_offset != 0 {
        return Err(Invalid::record("the base offset of a batch should be 0"));
    }
    if records.len() > config.max_message_bytes {
        return Err(Invalid::log(
            ErrorCode::MESSAGE_TOO_LARGE,
            format!(
                "the record batch of {} bytes exceeds max.message.bytes, {}",
                records.len(),
                config.max_message_bytes
            ),
        ));
    }
    batch
        .check_crc()
        .map_err(|error| Invalid::log(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
    check_header(&header)?;
    let records = contents
        .records(&batch)
        .map_err(|error| Invalid::log(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()))?;
    if let Some(records) = records {
        check_records(records, config)?;
    }
    Ok(header)
}

fn not_one_batch() -> Invalid {
    let message = "Produce requests must have exactly one record batch per partition";
    Invalid::request(ErrorCode::INVALID_RECORD, message)
}

/// A format before v2, whether it could be read or not.
fn old_format() -> Invalid {
    let message = "Produce requests may only carry batches of magic 2";
    Invalid::request(ErrorCode::INVALID_RECORD, message)
}

fn unreadable(error: &BatchError) -> Invalid {
    match error {
        BatchError::Incomplete { .. } => not_one_batch(),
        BatchError::UnsupportedMagic { magic: 0 | 1, .. } => old_format(),
        BatchError::InvalidField { .. } => Invalid::record(error.to_string()),
        BatchError::UnknownCodec { .. } => {
            Invalid::log(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string())
        }
        BatchError::InvalidLength { .. }
        | BatchError::UnsupportedMagic { .. }
        | BatchError::CrcMismatch { .. }
        | BatchError::InvalidControlRecord { .. }
        | BatchError::Compressed { .. }
        | _ => Invalid::request(ErrorCode::CORRUPT_MESSAGE, error.to_string()),
    }
}

fn check_header(header: &BatchHeader) -> Result<(), Invalid> {
    let offsets = i64::from(header.last_offset_delta) + 1;
    if header.records_count <= 0 || i64::from(header.records_count) != offsets {
        return Err(Invalid::record(format!(
            "the batch states {} records and {offsets} offsets",
            header.records_count
        )));
    }
    if header.is_control() {
        return Err(Invalid::record("clients may not write control records"));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        return Err(Invalid::record(format!(
            "sequence {} of producer {} is below zero",
            header.base_sequence, header.producer_id
        )));
    }
    Ok(())
}

fn check_records(records: Records<'_>, config: &TopicConfig) -> Result<(), Invalid> {
    let mut keyless = Vec::new();
    for (index, record) in (0_i32..).zip(records) {
        let record = record.map_err(|error| Invalid::record(error.to_string()))?;
        if record.offset != i64::from(index) {
            return Err(Invalid::record(format!(
                "record {index} has the offset delta {}",
                record.offset
            )));
        }
        if config.compacted && record.key.is_none() {
            let message = "a compacted topic does not take records without key";
            keyless.push((index, String::from(message)));
        }
    }
    if keyless.is_empty() {
        return Ok(());
    }
    Err(Invalid {
        records: keyless,
        ..Invalid::record("one or more records have been rejected")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use klamm::record::compression::Compressor;
    use klamm::record::{BatchBuilder, BatchProducer, RecordRef, rewrite};

    fn batch(keys: &[Option<&[u8]>]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BytesMut::new(), 10_000);
        for key in keys {
            let record = RecordRef::new(5, *key, Some(b"value"));
            builder.try_append(&record).unwrap();
        }
        builder.finish().unwrap().seal(BatchProducer::None).to_vec()
    }

    fn refusal(bytes: Vec<u8>, config: &TopicConfig) -> Option<ErrorCode> {
        let bytes = Bytes::from(bytes);
        validate(Some(&bytes), 13, config, &mut Contents::default())
            .err()
            .map(|e| e.error)
    }

    #[test]
    fn a_batch_as_a_client_builds_it_is_valid() {
        let bytes = batch(&[None, Some(b"k")]);
        assert_eq!(refusal(bytes, &TopicConfig::default()), None);
    }

    #[test]
    fn one_wrong_bit_is_corruption() {
        let mut bytes = batch(&[None]);
        *bytes.last_mut().unwrap() ^= 1;
        let error = refusal(bytes, &TopicConfig::default());
        assert_eq!(error, Some(ErrorCode::CORRUPT_MESSAGE));
    }

    #[test]
    fn compressed_records_are_looked_into() {
        let config = TopicConfig {
            compacted: true,
            ..TopicConfig::default()
        };
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(BytesMut::new(), 10_000);
            let record = RecordRef::new(5, None, Some(b"value"));
            builder.try_append(&record).unwrap();
            let unsealed = builder.finish().unwrap();
            let sealed = if codec == Codec::None {
                unsealed.seal(BatchProducer::None)
            } else {
                let compressed =
                    unsealed.compress(&mut Compressor::new(), codec, None, BytesMut::new());
                compressed.unwrap().seal(BatchProducer::None)
            };
            let error = refusal(sealed.to_vec(), &config);
            assert_eq!(error, Some(ErrorCode::INVALID_RECORD), "{codec}");
        }
    }

    #[test]
    fn no_batch_or_two_are_invalid() {
        let config = TopicConfig::default();
        assert!(validate(None, 13, &config, &mut Contents::default()).is_err());
        let two = [batch(&[None]), batch(&[None])].concat();
        assert_eq!(refusal(two, &config), Some(ErrorCode::INVALID_RECORD));
        assert_eq!(refusal(vec![], &config), Some(ErrorCode::INVALID_RECORD));
    }

    #[test]
    fn a_batch_over_the_limit_is_too_large() {
        let bytes = batch(&[None]);
        let config = TopicConfig {
            max_message_bytes: bytes.len() - 1,
            ..TopicConfig::default()
        };
        assert_eq!(refusal(bytes, &config), Some(ErrorCode::MESSAGE_TOO_LARGE));
    }

    #[test]
    fn offsets_are_the_brokers_business() {
        let mut bytes = batch(&[None]);
        rewrite::assign_offsets(&mut bytes, 5, -1).unwrap();
        let error = refusal(bytes, &TopicConfig::default());
        assert_eq!(error, Some(ErrorCode::INVALID_RECORD));
    }

    #[test]
    fn a_compacted_topic_names_the_records_without_key() {
        let config = TopicConfig {
            compacted: true,
            ..TopicConfig::default()
        };
        let bytes = Bytes::from(batch(&[Some(b"a"), None, Some(b"c"), None]));
        let invalid = validate(Some(&bytes), 13, &config, &mut Contents::default()).unwrap_err();
        let blamed: Vec<_> = invalid.records.iter().map(|(index, _)| *index).collect();
        assert_eq!(
            (invalid.error, blamed),
            (ErrorCode::INVALID_RECORD, vec![1, 3])
        );
    }
}
