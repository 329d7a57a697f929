//! What the engine promises, on a real PostgreSQL.
//!
//! - `first`: the shortest stories, to read first;
//! - `guard`: what a body may not do to its transaction, and what of its connection is put back;
//! - `trips`: round trips, counted.

mod first;
mod guard;
mod trips;
