//! Owns how a request made by hand looks in a recording: every role can send one.
//!
//! Must not know what is asked.

use core::time::Duration;

use ::bytes::Bytes;

use super::{Decoder, Encoder, RecordingError};
use crate::engine::{ConnectionGroup, NodeId, RawRequest};
use crate::wire::ApiKey;

impl Encoder<'_> {
    /// A request made by hand.
    pub fn put_request(&mut self, request: &RawRequest) {
        self.put_i32(i32::from(request.api.0));
        self.put_i32(i32::from(request.version));
        self.put_u8(u8::from(request.flexible));
        self.put_bytes(&request.body);
        self.put_option(request.to, |out, node| out.put_i32(node.0));
        self.put_u8(match request.group {
            ConnectionGroup::Default => 0,
            ConnectionGroup::Coordination => 1,
        });
        self.put_u64(u64::try_from(request.timeout.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Decoder<'_> {
    /// A request made by hand.
    ///
    /// # Errors
    /// It is cut off, or none.
    pub fn get_request(&mut self) -> Result<RawRequest, RecordingError> {
        let small = |from: &mut Self| {
            i16::try_from(from.get_i32()?).map_err(|_| from.error("a number of 16 bits"))
        };
        Ok(RawRequest {
            api: ApiKey(small(self)?),
            version: small(self)?,
            flexible: self.get_u8()? != 0,
            body: Bytes::copy_from_slice(self.get_bytes()?),
            to: self.get_option(|from| from.get_i32().map(NodeId))?,
            group: match self.get_u8()? {
                0 => ConnectionGroup::Default,
                1 => ConnectionGroup::Coordination,
                _ => return Err(self.error("a connection group")),
            },
            timeout: Duration::from_nanos(self.get_u64()?),
        })
    }
}
