//! What the engine promises, on a real PostgreSQL.
//!
//! - `first`: the shortest stories, to read first;
//! - `guard`: what a body may not do to its transaction, and what of its connection is put back;
//! - `races`, `crash`: many processes at once, and processes killed at every point; `pooler`: behind PgBouncer;
//! - `trips`: round trips, counted.

mod crash;
mod first;
mod guard;
mod pooler;
mod races;
mod trips;
