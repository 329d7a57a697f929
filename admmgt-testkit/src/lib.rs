#![doc = include_str!("../README.md")]
//!
//! # What is here
//!
//! - [`TestDatabases`] makes databases; [`assert_reversible`], [`assert_idempotent`] and [`assert_data_preserved`] are claims;
//! - [`TestServer`], [`TestDatabase`]: what a backend offers for that; [`MemoryServer`] is the worked example;
//!   [`Schema`] and [`Rows`] are what is compared;
//! - [`Setup`] and [`Step`]: what the suite must be told of a kind of database; `Suite`: the tests;
//! - [`FaultyDriver`]: a driver of which a chosen call fails, is late, or has its answer lost;
//! - [`drivers`]: the chapter on writing one.

#[cfg(doc)]
#[doc = include_str!("../DRIVERS.md")]
pub mod drivers {}

mod assert;
mod databases;
mod faulty;
mod memory;
mod setup;
mod snapshot;
#[cfg(feature = "suite")]
#[allow(clippy::expect_used, reason = "a test panics where a promise is broken")]
mod suite;

pub use async_trait::async_trait;

pub use assert::{
    Preserved, Repeated, assert_data_preserved, assert_idempotent, assert_idempotent_of, assert_reversible,
    assert_reversible_except,
};
pub use databases::{TestDatabase, TestDatabases, TestServer};
pub use faulty::{Fault, FaultyDriver};
pub use memory::{MemoryDatabase, MemoryServer};
pub use setup::{MemorySetup, Setup, Step, sql};
pub use snapshot::{Data, Rows, Schema};
#[cfg(feature = "suite")]
pub use suite::Suite;
