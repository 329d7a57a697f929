//! What compile time and run time must agree on.
//!
//! A migration's checksum is computed by a macro while rustc runs, or by the library while the
//! application starts. Both must come to the same answer, so the answer is written once, here,
//! with nothing but `std` and `sha2` below it.
//!
//! ```text
//! bytes of a file ──text──▶ &str ──checksum──▶ "v1:sha256:…"      (large: without holding the file)
//! name of a migration ──name──▶ accepted, or a problem that says what to change
//! two ids ──order──▶ which comes first
//! admmgt.lock ──lockfile──▶ name of a migration to checksum and dependencies, and back
//! ```

pub mod checksum;
pub mod large;
pub mod layout;
pub mod lockfile;
pub mod name;
pub mod order;
pub mod text;
