//! What the engine promises, on a real PostgreSQL.
//!
//! - `first`: the shortest stories, to read first.

mod first;
