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
    match answer(&arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(arguments: &[&str]) -> Result<String, String> {
    match *arguments {
        ["apis"] => Ok(apis()),
        ["request", hex] => request(frame(hex)?),
        ["response", api, version, hex] => {
            let number = version.parse();
            let number = number.map_err(|_| format!("no version: {version}"))?;
            response(named(api)?, number, frame(hex)?)
        }
        _ => Err(USAGE.to_owned()),
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

fn apis() -> String {
    let line = |key: &str, name: &str, versions: &str, flexible: &str| {
        format!("{key:>3}  {name:<28} {versions:>8}  {flexible:>8}\n")
    };
    let mut text = line("key", "API", "versions", "flexible");
    for api in APIS {
        let flexible = api
            .flexible_from
            .map_or("never".to_owned(), |from| format!("{from}+"));
        let (key, versions) = (api.key.0.to_string(), api.versions.to_string());
        text += &line(&key, &api.key.to_string(), &versions, &flexible);
    }
    text
}

fn request(frame: Bytes) -> Result<String, String> {
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
    macro_rules! find {
        ($($key:ident $request:ident $response:ident,)*) => {
            match key {
                $(ApiKey::$key => body::<$request>(&mut reader, version),)*
                _ => Err(format!("no API {}: see `frame apis`", key.0)),
            }
        };
    }
    let body = klamm::for_each_api!(find)?;
    Ok(format!("{key}\n{header:#?}\n{body}"))
}

fn response(key: ApiKey, version: i16, frame: Bytes) -> Result<String, String> {
    fn read<M: Request>(version: i16, frame: Bytes) -> Result<String, String> {
        let mut reader = Reader::new(frame);
        let header = ResponseHeader::decode(&mut reader, response_header_version::<M>(version));
        let header = header.map_err(|error| error.to_string())?;
        let body = body::<M::Response>(&mut reader, version)?;
        Ok(format!("{}\n{header:#?}\n{body}", M::KEY))
    }
    macro_rules! find {
        ($($key:ident $request:ident $response:ident,)*) => {
            match key {
                $(ApiKey::$key => read::<$request>(version, frame),)*
                _ => Err(format!("no API {}: see `frame apis`", key.0)),
            }
        };
    }
    klamm::for_each_api!(find)
}

fn body<M: Message>(reader: &mut Reader, version: i16) -> Result<String, String> {
    let message: Result<M, DecodeError> = M::decode(reader, version);
    let message = message.map_err(|error| error.to_string())?;
    match reader.left() {
        0 => Ok(format!("{message:#?}\n")),
        left => Err(format!(
            "{message:#?}\n{left} bytes follow the message, from byte {} on",
            reader.at()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::wire::Writer;
    use klamm::wire::header::encode_request;

    fn shown(words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        answer(&words).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        answer(&words).expect_err("refused")
    }

    #[test]
    fn requests_and_responses_are_shown_field_by_field() {
        let request = shown("request 001200030000000500026d6500026d023100");
        for part in [
            "ApiVersions",
            "correlation_id: 5",
            "client_software_name: \"m\"",
        ] {
            assert!(request.contains(part), "{part} in {request}");
        }
        let response = shown("response ApiVersions 3 000000050000010000000000");
        assert!(response.contains("throttle_time_ms: 0"), "{response}");
        // With its size, and by the API's number.
        let sized = shown("response 18 3 0000000c000000050000010000000000");
        assert_eq!(sized, response);
    }

    #[test]
    fn a_password_is_not_shown() {
        let request = SaslAuthenticateRequest {
            auth_bytes: Bytes::from_static(b"\0k\0hunter2").into(),
        };
        let frame = encode_request(&request, 2, 7, None, Writer::default()).expect("a frame");
        let hex: String = frame
            .to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let shown = shown(&format!("request {hex}"));
        assert!(
            shown.contains("(secret)") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_frame_is_told() {
        assert_eq!(refused("what"), USAGE);
        assert!(refused("request 001").contains("hexadecimal"));
        assert!(refused("request 0012").contains("RequestHeader"));
        assert!(refused("response Nothing 0 00").contains("no API Nothing"));
        assert!(
            refused("response ApiVersions 3 00000005000001000000000077").contains("1 bytes follow")
        );
        assert!(shown("apis").lines().count() == 72);
    }
}
