//! What the engine promises, on a real PostgreSQL.
//!
//! - the shortest stories are in the conformance suite, which runs on every driver;
//! - `guard`: what a body may not do to its transaction, and what of its connection is put back;
//! - `backfill`: many rows, batch by batch;
//! - `indexes`: `CONCURRENTLY`, and what it leaves;
//! - `sources`: sets that are wrong, or not what was applied;
//! - `scripts`: SQL files as people have them;
//! - `unreachable`: servers that refuse, start or are too old; `environment`: those that end, are busy or full; `roles`:
//!   who may do what;
//! - `standby`: a server that follows another and takes over;
//! - `damage`: histories that were changed by hand; `adopt`: histories of other tools;
//! - `races`, `crash`: many processes at once, and processes killed at every point; `pooler`: behind PgBouncer;
//! - `test_databases`: fresh databases for an application's tests;
//! - `trips`: round trips, counted.

mod adopt;
mod backfill;
mod crash;
mod damage;
mod environment;
mod guard;
mod indexes;
mod pooler;
mod races;
mod roles;
mod scripts;
mod sources;
mod standby;
mod test_databases;
mod trips;
mod unreachable;
