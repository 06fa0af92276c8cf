//! Whole frames, as a client and a server write and read them, against bytes written by hand.

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::wire::header::*;
use klamm::wire::pool::BufferPool;
use klamm::wire::{ApiKey, DecodeErrorKind, Message, Reader, Str, Writer};

fn bytes<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::default();
    message
        .encode(&mut writer, version)
        .expect("the version can carry it");
    writer.finish().to_vec()
}

#[test]
fn a_request_frame_is_size_header_and_body() {
    let client = Str::from("me");
    let frame = |version| {
        encode_request(
            &ApiVersionsRequest::default(),
            version,
            5,
            Some(&client),
            Writer::default(),
        )
        .unwrap()
        .to_vec()
    };
    assert_eq!(
        frame(2),
        [0, 0, 0, 12, 0, 18, 0, 2, 0, 0, 0, 5, 0, 2, b'm', b'e']
    );
    // Flexible: the client's name keeps its two-byte length.
    assert_eq!(
        frame(3),
        [
            0, 0, 0, 16, 0, 18, 0, 3, 0, 0, 0, 5, 0, 2, b'm', b'e', 0, 1, 1, 0
        ]
    );
    let nameless = encode_request(
        &ApiVersionsRequest::default(),
        0,
        5,
        None,
        Writer::default(),
    )
    .unwrap();
    assert_eq!(
        nameless.to_vec(),
        [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 5, 255, 255]
    );
}

#[test]
fn a_server_reads_the_header_before_it_knows_the_body() {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        ..Default::default()
    };
    for version in HeartbeatRequest::VERSIONS.iter() {
        let frame = encode_request(&request, version, 77, Some(&"me".into()), Writer::default())
            .unwrap()
            .to_vec();
        let (header, mut reader) =
            decode_request_header(frame[4..].to_vec().into(), |key, version| {
                assert_eq!(key, ApiKey::HEARTBEAT);
                Some(request_header_version::<HeartbeatRequest>(version))
            })
            .unwrap();
        assert_eq!(
            (
                header.request_api_key,
                header.request_api_version,
                header.correlation_id
            ),
            (12, version, 77)
        );
        assert_eq!(header.client_id, ClientId(Some("me".into())));
        assert_eq!(
            decode_request_body::<HeartbeatRequest>(&mut reader, version),
            Ok(request.clone())
        );
    }
    // An API that nobody knows: the first form of the header is the start of every one.
    let unknown = Bytes::from_static(&[3, 232, 0, 9, 0, 0, 0, 1, 255, 255, 0, 1, 2]);
    let (header, reader) = decode_request_header(unknown, |_, _| None).unwrap();
    assert_eq!(
        (header.request_api_key, header.client_id, reader.left()),
        (1_000, ClientId(None), 3)
    );
    assert!(decode_request_header(Bytes::from_static(&[0, 18, 0]), |_, _| None).is_err());
}

#[test]
fn responses_of_api_versions_have_the_plain_header() {
    let response = ApiVersionsResponse::default();
    for version in ApiVersionsRequest::VERSIONS.iter() {
        let frame = encode_response::<ApiVersionsRequest>(&response, version, 9, Writer::default())
            .unwrap()
            .to_vec();
        assert_eq!(frame[4..8], [0, 0, 0, 9]);
        assert_eq!(frame[8..], bytes(&response, version));
        let body: Bytes = frame[4..].to_vec().into();
        assert_eq!(peek_correlation_id(&body), Ok(9));
        assert_eq!(
            decode_response::<ApiVersionsRequest>(body, version),
            Ok((9, response.clone()))
        );
    }
    let frame = encode_response::<HeartbeatRequest>(&Default::default(), 4, 9, Writer::default())
        .unwrap()
        .to_vec();
    assert_eq!(frame, [0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let longer = [&frame[4..], &[1]].concat();
    let refused = decode_response::<HeartbeatRequest>(longer.into(), 4).unwrap_err();
    assert_eq!(refused.kind(), DecodeErrorKind::Trailing { left: 1 });
    assert!(peek_correlation_id(&Bytes::from_static(&[0, 0, 0])).is_err());
}

#[test]
fn records_are_moved_by_reference_out_and_in() {
    let records = Bytes::from(vec![3; 2_000]);
    let partition = PartitionProduceData {
        index: 1,
        records: Some(records.clone()),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: vec![partition.clone(), partition],
        ..Default::default()
    };
    let request = ProduceRequest {
        topic_data: vec![topic],
        ..Default::default()
    };
    let segments = encode_request(&request, 9, 1, None, Writer::default()).unwrap();
    let adopted = segments
        .iter()
        .filter(|piece| piece.as_ptr() == records.as_ptr())
        .count();
    assert_eq!((adopted, segments.iter().len()), (2, 5));
    let size = u32::try_from(segments.len()).unwrap() - 4;
    assert_eq!(segments.as_slice()[0][..4], size.to_be_bytes());

    let partition = FetchPartitionData {
        records: Some(records),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        partitions: vec![partition],
        ..Default::default()
    };
    let response = FetchResponse {
        responses: vec![topic],
        ..Default::default()
    };
    let frame = Bytes::from(bytes(&response, 12));
    let read = FetchResponse::decode(&mut Reader::new(frame.clone()), 12).unwrap();
    let records = read.responses[0].partitions[0].records.as_ref().unwrap();
    let within = frame.as_ptr_range();
    assert!(within.contains(&records.as_ptr()), "a slice of the frame");
}

#[test]
fn a_writer_uses_the_buffer_that_it_was_given() {
    let buffer = BytesMut::with_capacity(5_000);
    let pointer = buffer.as_ptr();
    let frame = encode_request(
        &HeartbeatRequest::default(),
        4,
        1,
        None,
        Writer::new(buffer),
    )
    .unwrap();
    assert_eq!(frame.as_slice()[0].as_ptr(), pointer);
    let mut pool = BufferPool::new(10_000);
    assert!(frame.into_iter().all(|piece| pool.recycle(piece)));
    assert_eq!(pool.held(), 5_000);
}
