//! Owns the numbers that bound the engine's work and memory, each with its reason.
//!
//! Must not know who enforces them.

/// The largest frame that is accepted once a connection is ready: what brokers themselves accept.
pub(crate) const FRAME_MAX: usize = 100 << 20;

/// The largest frame before that: brokers cap receives before authentication at 512 KiB too.
pub(crate) const FRAME_MAX_HANDSHAKE: usize = 512 << 10;

/// Unsent bytes that a connection hands to the driver at the most (one oversized frame excepted),
/// so that a driver never waits to enqueue.
pub(crate) const WRITE_WINDOW: usize = 2 << 20;

/// Steps of one settle: a step that needs more has a loop in it. Each input causes a handful.
pub(crate) const SETTLE_STEPS_MAX: usize = 100_000;

/// Brokers that metadata may name: a hostile answer must not fill the memory with them.
pub(crate) const BROKERS_MAX: usize = 10_000;

/// Partitions over all topics that metadata may name, for the same reason.
pub(crate) const PARTITIONS_MAX: usize = 1_000_000;

/// How long a close may wait for its last bytes to be accepted before it is an abort.
pub(crate) const FLUSH_TIMEOUT: crate::time::Duration = crate::time::Duration::from_secs(5);

/// Unused buffers that an engine keeps, at the most.
pub(crate) const BUFFER_POOL_MAX: usize = 16 << 20;

/// How long metadata may fail before the client starts from its bootstrap servers again (KIP-1102).
pub(crate) const REBOOTSTRAP_AFTER: crate::time::Duration = crate::time::Duration::from_secs(300);

/// How long a request that any broker may answer waits for one connection attempt before another broker is tried, too.
pub(crate) const CONNECT_PATIENCE: crate::time::Duration = crate::time::Duration::from_secs(1);

/// How long an operation of the user may take (`default.api.timeout.ms` of other clients).
pub(crate) const OPERATION_TIMEOUT: crate::time::Duration = crate::time::Duration::from_secs(60);

/// How often a SCRAM password may be hashed, at the least (RFC 7677 section 4) and at the most: brokers create
/// credentials of up to 16,384 iterations, and a hostile one shall not keep a thread busy.
pub(crate) const SCRAM_ITERATIONS: core::ops::RangeInclusive<u32> = 4_096..=65_536;

/// How long the salt of a SCRAM credential may be, in bytes.
pub(crate) const SCRAM_SALT: core::ops::RangeInclusive<usize> = 8..=1_024;
