//! What the engine promises, on real SQLite files, with real processes.
//!
//! - `first`: the shortest stories, to read first;
//! - `everyday`: order, policies, plans, status, events;
//! - `refusals`: bad input, before anything runs;
//! - `guard`: what a body may not do to its transaction;
//! - `cancel`: runs that are dropped, bodies that panic;
//! - `races`, `crash`: many processes at once, and processes killed at every point;
//! - `regression`: faults that were found once.

mod cancel;
mod crash;
mod everyday;
mod first;
mod guard;
mod races;
mod refusals;
mod regression;
