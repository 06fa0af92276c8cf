//! The cluster behind real sockets: answers come, parked requests wake, and all ends when the server is dropped.
#![cfg(feature = "tcp")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use klamm::messages::{FetchPartition, FetchRequest, FetchTopic, MetadataRequest};
use klamm::wire::header::{decode_response, encode_request};
use klamm::wire::{Request, Writer};
use klamm::{ApiKey, Str};
use klamm_cluster::{ClusterConfig, Moment, Server};

fn send<R: Request>(socket: &mut TcpStream, version: i16, request: &R) {
    let writer = Writer::new(BytesMut::new());
    let frame = encode_request(request, version, 1, None, writer).unwrap();
    socket.write_all(&frame.to_vec()).unwrap();
}

fn receive<R: Request>(socket: &mut TcpStream, version: i16) -> R::Response {
    let mut size = [0; 4];
    socket.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut frame).unwrap();
    decode_response::<R>(Bytes::from(frame), version).unwrap().1
}

fn all_topics() -> MetadataRequest {
    MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    }
}

#[test]
fn brokers_are_where_metadata_says() {
    let server = Server::start(ClusterConfig::with_nodes(3)).unwrap();
    let mut socket = TcpStream::connect(server.addresses()[2]).unwrap();
    send(&mut socket, 12, &all_topics());
    let response = receive::<MetadataRequest>(&mut socket, 12);
    let ports: Vec<_> = response.brokers.iter().map(|broker| broker.port).collect();
    let real = server.addresses().iter().map(|at| i32::from(at.port()));
    assert_eq!(ports, real.collect::<Vec<_>>());
}

#[test]
fn a_parked_fetch_is_answered_when_its_time_is_over() {
    let server = Server::start(ClusterConfig::default()).unwrap();
    server.with(|cluster| cluster.create_topic("t", 1)).unwrap();
    let mut socket = TcpStream::connect(server.addresses()[0]).unwrap();
    let request = FetchRequest {
        max_wait_ms: 20,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: Str::from("t"),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    send(&mut socket, 12, &request);
    let response = receive::<FetchRequest>(&mut socket, 12);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 0);
}

#[test]
fn a_stopped_broker_refuses_and_a_started_one_accepts_again() {
    let server = Server::start(ClusterConfig::with_nodes(2)).unwrap();
    let address = server.addresses()[1];
    let mut open = TcpStream::connect(address).unwrap();
    send(&mut open, 12, &all_topics());
    receive::<MetadataRequest>(&mut open, 12);
    server.with(|cluster| cluster.stop_broker(2)).unwrap();
    assert_eq!(open.read(&mut [0; 1]).unwrap(), 0, "the broker closed it");
    let refused = || TcpStream::connect(address).err().map(|error| error.kind());
    while refused() != Some(ErrorKind::ConnectionRefused) {
        std::thread::yield_now();
    }
    server.with(|cluster| cluster.start_broker(2)).unwrap();
    let mut again = loop {
        match TcpStream::connect(address) {
            Ok(socket) => break socket,
            Err(_) => std::thread::yield_now(),
        }
    };
    send(&mut again, 12, &all_topics());
    receive::<MetadataRequest>(&mut again, 12);
}

#[test]
fn a_request_larger_than_what_is_read_ahead_comes_through() {
    let server = Server::start(ClusterConfig::default()).unwrap();
    let mut socket = TcpStream::connect(server.addresses()[0]).unwrap();
    let mut request = all_topics();
    let name = "x".repeat(30_000);
    request.topics = Some(
        (0..100)
            .map(|_| klamm::messages::MetadataRequestTopic {
                name: Some(Str::from(name.as_str())),
                ..Default::default()
            })
            .collect(),
    );
    send(&mut socket, 12, &request);
    let response = receive::<MetadataRequest>(&mut socket, 12);
    assert_eq!(response.topics.len(), 1);
}

#[test]
fn faults_work_over_sockets_and_dropping_the_server_closes_all() {
    let server = Server::start(ClusterConfig::default()).unwrap();
    let mut idle = TcpStream::connect(server.addresses()[0]).unwrap();
    send(&mut idle, 12, &all_topics());
    receive::<MetadataRequest>(&mut idle, 12);
    let mut socket = TcpStream::connect(server.addresses()[0]).unwrap();
    let fault = server.with(|cluster| cluster.on(ApiKey::METADATA).drop_connection(Moment::Before));
    send(&mut socket, 12, &all_topics());
    assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(server.with(|cluster| cluster.fault_hits(fault)), 1);
    drop(server);
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
}
