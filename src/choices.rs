//! Owns decisions read from any bytes, for models: what is left when they are used up is always the first choice.
//!
//! Must not know what is decided.

/// A finite source of decisions.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    /// Decisions from `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// Whether all bytes are used up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been used.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number of eight bytes or fewer.
    pub fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = if bound <= 256 {
            u64::from(self.byte())
        } else {
            self.number(4)
        };
        (drawn % bound as u64) as usize
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of several.
    pub fn one_of<'b, T>(&mut self, several: &'b [T]) -> &'b T {
        &several[self.below(several.len())]
    }

    /// A number as hostile ones are chosen: the edges of its type, small ones, or any.
    pub fn edgy(&mut self, bits: u32) -> i64 {
        let any = |number: u64| (number << (64 - bits)) as i64 >> (64 - bits);
        match self.byte() {
            0..=99 => i64::from(self.byte() % 8),
            100..=139 => -1,
            140..=169 => any(1 << (bits - 1)),
            170..=199 => any((1 << (bits - 1)) - 1),
            _ => {
                let number = self.number(bits as usize / 8);
                any(number)
            }
        }
    }

    /// The next bytes, at most `most` of them.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        bytes
    }
}
