//! What the engine promises, on a real MongoDB: a replica set and a standalone.
//!
//! - the shortest stories are in the conformance suite, which runs on every driver;
//! - `adopt`: histories of other tools;
//! - `everyday`: what people do each day; files of commands, typed documents, what cannot write;
//! - `commands`: what is sent to the server;
//! - `damage`: histories that were changed by hand;
//! - `dropped`: runs that are given up while the server still works for them;
//! - `failing`: a server that steps down, hangs up, and cannot say whether it committed;
//! - `fencing`: who has lost the lease writes nothing more;
//! - `handle`: what a body does through its handle;
//! - `late`: writes of who has lost the lease that come to the server behind those of who has it;
//! - `records`: how records come into the history;
//! - `backfill`: many documents, batch by batch;
//! - `steps`: declared steps and their ways back;
//! - `testkit`: test databases of an application, and claims on them;
//! - `races`: many processes at once, processes that sleep, die, and have wrong clocks.

mod adopt;
mod backfill;
mod commands;
mod damage;
mod dropped;
mod everyday;
mod failing;
mod fencing;
mod handle;
mod holder;
mod late;
mod races;
mod records;
mod steps;
mod testkit;
