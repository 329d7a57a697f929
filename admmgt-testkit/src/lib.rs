//! Tests for those who use admmgt, and for those who write a driver for it.
//!
//! **Whoever writes a driver** gets the conformance suite (feature `suite`): ten lines of [`Setup`], and every promise of
//! the engine is tried on it, with real processes that race and are killed.
//!
//! - [`Setup`] and [`Step`]: what the suite must be told of a kind of database; `Suite`: the tests;
//! - [`FaultyDriver`]: a driver of which a chosen call fails, hangs, or has its answer lost.

mod faulty;
mod setup;
#[cfg(feature = "suite")]
#[allow(clippy::expect_used, reason = "a test panics where a promise is broken")]
mod suite;

pub use async_trait::async_trait;

pub use faulty::{Fault, FaultyDriver};
pub use setup::{Setup, Step, sql};
#[cfg(feature = "suite")]
pub use suite::Suite;
