//! The examples are run with `cargo run --example quickstart`, `service` or `two_crates`.
