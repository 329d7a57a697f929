//! What the engine promises, on real SQLite files, with real processes.
//!
//! - the shortest stories are in the conformance suite, which runs on every driver;
//! - `everyday`: order, policies, plans, status, events;
//! - `refusals`: bad SQL files and sets, before anything runs;
//! - `places`: files that cannot be used; `damage`: histories that were changed by hand;
//! - `back`: the way back; `adopt`: histories of other tools;
//! - `layouts`: folders as people have them; `large`: files that are not held in memory;
//! - `backfill`: many rows, batch by batch;
//! - `guard`: what a body may not do to its transaction;
//! - `cancel`: runs that are dropped, bodies that panic;
//! - `locked`: others that have the file at the moment that matters;
//! - `races`, `crash`: many processes at once, and processes killed at every point;
//! - `regression`: faults that were found once.

mod adopt;
mod back;
mod backfill;
mod cancel;
mod crash;
mod damage;
mod everyday;
mod guard;
mod large;
mod layouts;
mod locked;
mod places;
mod races;
mod refusals;
mod regression;
