//! Owns ranges of message versions. Knows no message.

use core::{
    fmt,
    ops::{Bound, RangeBounds},
};

/// The versions of a message (or of a field) from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The lowest version.
    pub min: i16,
    /// The highest version; `i16::MAX` where the range is open.
    pub max: i16,
}

impl VersionRange {
    /// All that there are.
    pub const ANY: Self = Self::new(0, i16::MAX);

    /// From `min` to `max`, both included.
    #[must_use]
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` is one of them.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions that are in both, if any is.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self::new(self.min.max(other.min), self.max.min(other.max));
        (both.min <= both.max).then_some(both)
    }

    /// The versions from the lowest to the highest.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> + use<> {
        self.min..=self.max
    }

    /// The range that Rust's own notation says: `3..`, `..=14`, `3..=7`, `..`.
    pub fn from_bounds(bounds: impl RangeBounds<i16>) -> Self {
        let min = match bounds.start_bound() {
            Bound::Included(&min) => min,
            Bound::Excluded(&min) => min.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let max = match bounds.end_bound() {
            Bound::Included(&max) => max,
            Bound::Excluded(&max) => max.saturating_sub(1),
            Bound::Unbounded => i16::MAX,
        };
        Self { min, max }
    }
}

/// As Kafka's schemas write it: `0-5`, `7+`, or one number.
impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { min, max } if min == max => write!(f, "{min}"),
            Self { min, max: i16::MAX } => write!(f, "{min}+"),
            Self { min, max } => write!(f, "{min}-{max}"),
        }
    }
}
