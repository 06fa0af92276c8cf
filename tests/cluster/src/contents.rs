//! Owns looking into batches, also compressed ones, without ever holding more than a bound of what is in them.
//!
//! Must not know why somebody looks.

use klamm::record::compression::{DecompressBuffer, DecompressError, Decompressor};
use klamm::record::{BatchView, Codec, Records};

/// What is larger than this when it is decompressed is not looked into.
const LIMIT: usize = 16 << 20;
/// What is kept between two looks.
const KEPT: usize = 1 << 20;

/// The memory that decompression takes, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    decompressor: Decompressor,
    buffer: DecompressBuffer,
}

impl Contents {
    /// The records of a batch; nothing if there is too much of them.
    pub(crate) fn records<'a>(
        &'a mut self,
        batch: &BatchView<'a>,
    ) -> Result<Option<Records<'a>>, DecompressError> {
        let (header, area) = (batch.header(), batch.records_area());
        let codec = header.codec();
        if codec == Codec::None {
            return Ok(Some(Records::new(header, area)));
        }
        self.buffer.shrink_to(KEPT);
        let decompressed = self
            .decompressor
            .decompress(codec, area, &mut self.buffer, LIMIT);
        match decompressed {
            Ok(()) => Ok(Some(Records::new(header, self.buffer.as_slice()))),
            Err(DecompressError::Exhausted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
