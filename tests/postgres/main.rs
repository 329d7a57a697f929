//! What the engine promises, on a real PostgreSQL.
//!
//! - `first`: the shortest stories, to read first;
//! - `guard`: what a body may not do to its transaction, and what of its connection is put back;
//! - `indexes`: `CONCURRENTLY`, and what it leaves;
//! - `scripts`: SQL files as people have them;
//! - `environment`: servers that refuse, end, are busy or too old; `roles`: who may do what;
//! - `races`, `crash`: many processes at once, and processes killed at every point; `pooler`: behind PgBouncer;
//! - `trips`: round trips, counted.

mod crash;
mod environment;
mod first;
mod guard;
mod indexes;
mod pooler;
mod races;
mod roles;
mod scripts;
mod trips;
