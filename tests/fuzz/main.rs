//! Texts that nobody would write, for everything that reads what somebody else has written: both splitters, commands of MongoDB, the lockfile,
//! the layouts of folders, files that are no text, and the decoder of records.
//!
//! A target is fed with mutations of its seeds. What it finds in a text is its *shape*; a text of a new shape becomes a
//! seed itself, so that mutations reach what is behind each other. A text that breaks a promise is made as small as it
//! still breaks it, written to `tests/fuzz/found/<target>`, and tried first ever after. So is one that takes longer than
//! half a minute, as it is.
//!
//! `cargo test` tries a few thousand texts of a fixed seed; `ADMMGT_FUZZ_SECONDS=600` tries others for so long.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bytes;
mod commands;
mod corpus;
mod decoder;
mod folders;
mod fuzz;
mod locks;
mod splitters;
