//! What the brokers of F15 have really said of records: a client may call delivered only what some answer, changed on its
//! way or not, could have meant, and only where it was asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use klamm::messages::{ProduceRequest, ProduceResponse};
use klamm::wire::header::{decode_request_header, decode_response, request_header_version};
use klamm::wire::{Message, Request};
use klamm::{ApiKey, ConnectionId, ErrorCode};

/// A question that awaits its answer.
struct Question {
    correlation_id: [u8; 4],
    /// The version of a Produce, and the partitions that it writes to.
    produce: Option<(i16, BTreeSet<i32>)>,
}

/// One connection, as the client sees it.
#[derive(Default)]
struct Stream {
    questions: VecDeque<Question>,
    received: Vec<u8>,
}

/// All connections, and what was acknowledged over them.
#[derive(Default)]
pub(crate) struct Acknowledgements {
    streams: BTreeMap<ConnectionId, Stream>,
    /// How many answers could mean that a batch for a partition of that number is in the log.
    granted: BTreeMap<i32, u64>,
}

fn produce(frame: &[u8]) -> Option<(i16, ProduceRequest)> {
    let of = |key, version| {
        (key == ApiKey::PRODUCE).then(|| request_header_version::<ProduceRequest>(version))
    };
    let frame = Bytes::copy_from_slice(frame.get(4..)?);
    let (header, mut reader) = decode_request_header(frame, of).ok()?;
    let version = header.request_api_version;
    (header.request_api_key == ProduceRequest::KEY.0).then_some(())?;
    Some((version, ProduceRequest::decode(&mut reader, version).ok()?))
}

impl Acknowledgements {
    /// The client asks, with a whole frame.
    pub(crate) fn asked(&mut self, conn: ConnectionId, correlation_id: [u8; 4], frame: &[u8]) {
        let produce = produce(frame);
        if produce
            .as_ref()
            .is_some_and(|(_, request)| request.acks == 0)
        {
            return;
        }
        let produce = produce.map(|(version, request)| {
            let topics = request.topic_data.iter();
            let partitions = topics.flat_map(|topic| &topic.partition_data);
            (
                version,
                partitions.map(|partition| partition.index).collect(),
            )
        });
        let stream = self.streams.entry(conn).or_default();
        stream.questions.push_back(Question {
            correlation_id,
            produce,
        });
    }

    /// Bytes reach the client.
    pub(crate) fn received(&mut self, conn: ConnectionId, bytes: &[u8]) {
        let stream = self.streams.entry(conn).or_default();
        stream.received.extend_from_slice(bytes);
        while let Some(size) = stream.received.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes(*size) as usize;
            if stream.received.len() < end {
                return;
            }
            let frame: Vec<u8> = stream.received.drain(..end).skip(4).collect();
            let Some(question) = stream.questions.pop_front() else {
                return;
            };
            let (Some((version, asked)), Some(correlation_id)) =
                (question.produce, frame.first_chunk::<4>())
            else {
                continue;
            };
            if *correlation_id != question.correlation_id {
                continue;
            }
            if let Ok((_, response)) = decode_response::<ProduceRequest>(frame.into(), version) {
                grant(&mut self.granted, &asked, &response);
            }
        }
    }

    /// No more of one delivery than were acknowledged, whatever their topic was called on the way.
    pub(crate) fn assert_cover(&self, acknowledged: &BTreeMap<i32, u64>) {
        for (partition, count) in acknowledged {
            let granted = self.granted.get(partition).copied().unwrap_or(0);
            assert!(
                *count <= granted,
                "{count} batches of partitions {partition} were called delivered, {granted} acknowledged"
            );
        }
    }
}

fn grant(granted: &mut BTreeMap<i32, u64>, asked: &BTreeSet<i32>, response: &ProduceResponse) {
    let topics = response.responses.iter();
    for partition in topics.flat_map(|topic| &topic.partition_responses) {
        let code = ErrorCode(partition.error_code);
        let good = code.is_none() || code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER;
        if good && asked.contains(&partition.index) {
            *granted.entry(partition.index).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::wire::Writer;
    use klamm::wire::header::encode_request;

    /// A client that is told nothing and says that something was delivered is caught.
    #[test]
    #[should_panic(expected = "1 batches of partitions 2 were called delivered, 0 acknowledged")]
    fn what_nobody_acknowledged_was_not_delivered() {
        let request = ProduceRequest {
            acks: -1,
            ..Default::default()
        };
        let frame =
            encode_request(&request, 9, 7, None, Writer::default()).expect("it can be said");
        let mut acknowledgements = Acknowledgements::default();
        let conn = ConnectionId(1);
        acknowledgements.asked(conn, 7_i32.to_be_bytes(), &frame.to_vec());
        acknowledgements.received(conn, &[0, 0, 0, 4, 0, 0, 0, 7]);
        acknowledgements.assert_cover(&BTreeMap::from([(2, 1)]));
    }
}
