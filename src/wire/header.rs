//! Owns request and response headers, which of them a version takes, and whole frames of one message.
//!
//! Must not know what messages mean.

use super::{
    ApiKey, DecodeError, EncodeError, Message, Reader, Request, Segments, Str, Wire, Writer,
    schema::message,
};
use bytes::Bytes;

message! {
    /// What stands before every request.
    struct RequestHeader: Header { versions: 1..=2, flexible: 2.. } {
        request_api_key: i16,
        request_api_version: i16,
        correlation_id: i32,
        client_id: ClientId = ClientId(Some(Str::EMPTY)),
    }

    /// What stands before every response.
    struct ResponseHeader: Header { versions: 0..=1, flexible: 1.. } {
        correlation_id: i32,
    }
}

/// The client's name in a request header: the only string whose length takes two bytes in flexible versions, too, so
/// that a broker can read the header of a version that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientId(
    /// The name, if the client has one.
    pub Option<Str>,
);

impl Wire for ClientId {
    const SMALLEST: usize = 2;
    const DEPTH: usize = 0;

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        inflexible(
            writer,
            Writer::flexible,
            Writer::set_format,
            Writer::version,
            |writer| self.0.write(writer),
        )
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        inflexible(
            reader,
            Reader::flexible,
            Reader::set_format,
            Reader::version,
            |reader| Option::read(reader).map(Self),
        )
    }
}

/// Does `what` in the encoding of inflexible versions.
fn inflexible<C, R>(
    codec: &mut C,
    flexible: fn(&C) -> bool,
    set: fn(&mut C, i16, bool),
    version: fn(&C) -> i16,
    what: impl FnOnce(&mut C) -> R,
) -> R {
    let (version, flexible) = (version(codec), flexible(codec));
    set(codec, version, false);
    let result = what(codec);
    set(codec, version, flexible);
    result
}

/// The version of the header before a request in `version`.
#[inline]
#[must_use]
pub fn request_header_version<M: Request>(version: i16) -> i16 {
    if M::is_flexible(version) { 2 } else { 1 }
}

/// The version of the header before the response to a request in `version`.
#[inline]
#[must_use]
pub fn response_header_version<M: Request>(version: i16) -> i16 {
    // ApiVersions: the client does not know yet what the broker speaks (KIP-511).
    let always_plain = M::KEY == ApiKey::API_VERSIONS;
    i16::from(M::Response::is_flexible(version) && !always_plain)
}

/// Encodes a whole request frame: size, header and body.
///
/// # Errors
/// The version cannot carry the request.
#[inline]
pub fn encode_request<M: Request>(
    request: &M,
    version: i16,
    correlation_id: i32,
    client_id: Option<&Str>,
    mut writer: Writer,
) -> Result<Segments, EncodeError> {
    writer.begin_frame();
    let header = RequestHeader {
        request_api_key: M::KEY.0,
        request_api_version: version,
        correlation_id,
        client_id: ClientId(client_id.cloned()),
    };
    header.encode(&mut writer, request_header_version::<M>(version))?;
    request.encode(&mut writer, version)?;
    writer.finish_frame()
}

/// Decodes a whole response frame (without its size) to a request `M` that was sent in `version`; gives its
/// correlation id, too.
///
/// # Errors
/// The frame is not such a response, or more than it.
#[inline]
pub fn decode_response<M: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(i32, M::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, response_header_version::<M>(version))?;
    let response = M::Response::decode(&mut reader, version)?;
    reader
        .finish()
        .map_err(|error| error.within(M::Response::NAME))?;
    Ok((header.correlation_id, response))
}

/// The correlation id of a response frame (without its size), of whatever API and version.
///
/// # Errors
/// The frame is shorter than four bytes.
#[inline]
pub fn peek_correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    i32::read(&mut Reader::new(frame.clone()))
        .map_err(|error| error.within("correlation_id").within(ResponseHeader::NAME))
}

/// Decodes the header of a request frame (without its size), as a server does; the reader then stands at the body.
///
/// `header_version` says which header the API's version takes ([`request_header_version`]), or `None` where the server
/// does not know the API or the version: the first form is read then, which every header starts with.
///
/// # Errors
/// The frame does not start with a request header.
pub fn decode_request_header(
    frame: Bytes,
    header_version: impl FnOnce(ApiKey, i16) -> Option<i16>,
) -> Result<(RequestHeader, Reader), DecodeError> {
    let mut reader = Reader::new(frame);
    let mut ahead = reader.clone();
    let version = match (i16::read(&mut ahead), i16::read(&mut ahead)) {
        (Ok(key), Ok(version)) => header_version(ApiKey(key), version).unwrap_or(1),
        (Err(_), _) | (_, Err(_)) => 1,
    };
    let header = RequestHeader::decode(&mut reader, version)?;
    Ok((header, reader))
}

/// Decodes the body of a request in `version`, as a server does: from where [`decode_request_header`] left the reader,
/// to the end of the frame.
///
/// # Errors
/// The bytes are not such a request, or more than it.
#[inline]
pub fn decode_request_body<M: Message>(
    reader: &mut Reader,
    version: i16,
) -> Result<M, DecodeError> {
    let request = M::decode(reader, version)?;
    reader.finish().map_err(|error| error.within(M::NAME))?;
    Ok(request)
}

/// Encodes a whole response frame to a request `M` that came in `version`, as a server does: size, header and body.
///
/// # Errors
/// The version cannot carry the response.
#[inline]
pub fn encode_response<M: Request>(
    response: &M::Response,
    version: i16,
    correlation_id: i32,
    mut writer: Writer,
) -> Result<Segments, EncodeError> {
    writer.begin_frame();
    ResponseHeader { correlation_id }.encode(&mut writer, response_header_version::<M>(version))?;
    response.encode(&mut writer, version)?;
    writer.finish_frame()
}
