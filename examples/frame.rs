//! Prints frames of the Kafka protocol, as a packet capture or a log holds them.
//!
//! ```text
//! cargo run --example frame -- apis
//! cargo run --example frame -- request 001200030000000500026d6500026d023100
//! cargo run --example frame -- response ApiVersions 3 000000050000010000000000
//! ```
//! A frame is hexadecimal digits, with or without its four bytes of size; `-` reads it from standard input. Passwords
//! and what is as good as one are not printed.

use bytes::Bytes;
use klamm::messages::*;
use klamm::wire::header::{ResponseHeader, decode_request_header};
use klamm::wire::header::{request_header_version, response_header_version};
use klamm::wire::{ApiKey, DecodeError, Message, Reader, Request};
use std::io::Read;
use std::process::ExitCode;

const USAGE: &str = "usage: frame apis | frame request HEX | frame response API VERSION HEX";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match arguments[..] {
        ["apis"] => {
            print_apis();
            Ok(())
        }
        ["request", hex] => frame(hex).and_then(print_request),
        ["response", api, version, hex] => frame(hex).and_then(|frame| {
            let version = version
                .parse()
                .map_err(|_| format!("no version: {version}"))?;
            print_response(named(api)?, version, frame)
        }),
        _ => Err(USAGE.to_owned()),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The bytes of a frame without its size.
fn frame(hex: &str) -> Result<Bytes, String> {
    let mut text = hex.to_owned();
    if hex == "-" {
        text.clear();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| format!("standard input: {error}"))?;
    }
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2);
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        byte.ok_or_else(|| "a frame is an even number of hexadecimal digits".to_owned())
    };
    let mut bytes: Bytes = digits
        .chunks(2)
        .map(byte)
        .collect::<Result<Vec<u8>, String>>()?
        .into();
    let size = bytes
        .first_chunk()
        .map(|size| u32::from_be_bytes(*size) as usize);
    if size.is_some_and(|size| size + 4 == bytes.len()) {
        let _size = bytes.split_to(4);
    }
    Ok(bytes)
}

/// The API of a name or a number.
fn named(api: &str) -> Result<ApiKey, String> {
    let known = APIS.iter().map(|known| known.key);
    let mut matching = known.filter(|key| key.name() == Some(api) || key.0.to_string() == api);
    matching
        .next()
        .ok_or_else(|| format!("no API {api}: see `frame apis`"))
}

fn print_apis() {
    println!(
        "{:>3}  {:<28} {:>8}  {:>8}",
        "key", "API", "versions", "flexible"
    );
    for Api {
        key,
        versions,
        flexible_from,
        ..
    } in APIS
    {
        let flexible = flexible_from.map_or("never".to_owned(), |from| format!("{from}+"));
        println!(
            "{:>3}  {:<28} {:>8}  {:>8}",
            key.0,
            key.to_string(),
            versions.to_string(),
            flexible
        );
    }
}

fn print_request(frame: Bytes) -> Result<(), String> {
    let header_version = |key: ApiKey, version: i16| {
        macro_rules! find {
            ($($key:ident $request:ident $response:ident,)*) => {
                match key {
                    $(ApiKey::$key => Some(request_header_version::<$request>(version)),)*
                    _ => None,
                }
            };
        }
        klamm::for_each_api!(find)
    };
    let (header, mut reader) =
        decode_request_header(frame, header_version).map_err(|error| error.to_string())?;
    let (key, version) = (ApiKey(header.request_api_key), header.request_api_version);
    print_header(key, &header);
    macro_rules! body {
        ($($key:ident $request:ident $response:ident,)*) => {
            match key {
                $(ApiKey::$key => print_body::<$request>(&mut reader, version),)*
                _ => Err(format!("no API {}: see `frame apis`", key.0)),
            }
        };
    }
    klamm::for_each_api!(body)
}

fn print_response(key: ApiKey, version: i16, frame: Bytes) -> Result<(), String> {
    fn print<M: Request>(version: i16, frame: Bytes) -> Result<(), String> {
        let mut reader = Reader::new(frame);
        let header = ResponseHeader::decode(&mut reader, response_header_version::<M>(version));
        print_header(M::KEY, &header.map_err(|error| error.to_string())?);
        print_body::<M::Response>(&mut reader, version)
    }
    macro_rules! find {
        ($($key:ident $request:ident $response:ident,)*) => {
            match key {
                $(ApiKey::$key => print::<$request>(version, frame),)*
                _ => Err(format!("no API {}: see `frame apis`", key.0)),
            }
        };
    }
    klamm::for_each_api!(find)
}

fn print_header(key: ApiKey, header: &impl std::fmt::Debug) {
    println!("{key}\n{header:#?}");
}

fn print_body<M: Message>(reader: &mut Reader, version: i16) -> Result<(), String> {
    let message: Result<M, DecodeError> = M::decode(reader, version);
    println!("{:#?}", message.map_err(|error| error.to_string())?);
    match reader.left() {
        0 => Ok(()),
        left => Err(format!(
            "{left} bytes follow the message, from byte {} on",
            reader.at()
        )),
    }
}
