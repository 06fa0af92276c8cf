//! Owns values that no log may ever show.
//!
//! Must not know whose secrets they are.

use core::fmt;
use core::ops::Deref;

/// A password, a key, a token, or as good as one: never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(
    /// The secret itself.
    pub T,
);

impl<T> fmt::Debug for Secret<T> {
    /// Says nothing of the value, not even its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<T> Deref for Secret<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self(value)
    }
}
