//! The transaction of one migration, in two round trips beyond the body's own; where SQL follows, in one.
//!
//! ```text
//! begin; savepoint admmgt_…                                                              1
//! the body: its statements; its own `connection.begin()` makes a savepoint
//! release admmgt_…; settings; records, if the lease is ours; commit; begin; savepoint …  2
//! ```
//!
//! The savepoint is the guard: a body that ended the transaction took it away, and the message stops at its release. The
//! transaction that the last message begins is the next migration's; where none follows, or one that needs another
//! beginning, it is rolled back with the next message. (Something has to be begun: `sqlx` counts one level, and taking
//! that off sends a rollback.)

use admmgt_core::{Atomicity, Batch, Error, Origin, Result};
use sqlx::Connection;

use crate::depth;
use crate::error::{Marked, code};
use crate::hygiene::{ALL_LITTER, LITTER};
use crate::link::{Guard, Link};
use crate::records;
use crate::wire;

const FORGOTTEN: &str = "it began a transaction on its connection (`connection.begin()`) and neither committed nor dropped \
                         it, so what it did in there would be committed without a word; end it in the body";

/// What a transaction of ours begins with.
pub(crate) fn beginning(link: &Link) -> String {
    if link.settings.shared {
        // The proof of the lease reads what the heartbeat writes.
        return format!("begin isolation level read committed{}", link.settings.locally(&link.facts));
    }
    "begin".to_owned()
}

pub(crate) async fn begin(link: &mut Link, origin: Origin) -> Result<()> {
    link.littering = false;
    // Code has to know first that the history has not moved.
    if origin == Origin::Sql && !link.littered && link.next.is_some() {
        link.guard = link.next.take();
        return Ok(());
    }
    // What an earlier body prepared may return other columns by now.
    if origin == Origin::Code && link.connection.cached_statements_size() > 0 {
        let cleared = link.wire().clear_cached_statements().await;
        cleared.map_err(|error| link.failed("beginning a transaction", &error))?;
    }
    let guard = Guard::new();
    let mut sql = format!("{}; savepoint {}", beginning(link), guard.savepoint);
    if link.littered {
        // If this is rolled back it is all there again, so it counts with the commit.
        sql = format!("{sql}; {LITTER}");
    }
    if let (Origin::Code, Some(seen)) = (origin, link.seen) {
        sql.push_str(&still_last(link, seen)?);
    }
    match depth::begin(link.wire(), sql).await {
        Ok(()) => {
            link.guard = Some(guard);
            Ok(())
        }
        Err(error) => {
            let failed = link.failed("beginning a transaction", &error);
            link.give_up().await;
            Err(failed)
        }
    }
}

/// Fails where the last record is another one. Code can do what no rollback takes back.
fn still_last(link: &Link, seen: u64) -> Result<String> {
    let history = link.table(admmgt_core::stored::HISTORY)?;
    Ok(format!(
        "; select (case when coalesce((select max(seq) from {history}), 0) = {seen} then '1' else '{}' end)::int",
        Marked::HistoryMoved.text()
    ))
}

/// What one body of several has set is not for the next.
pub(crate) async fn between_bodies(link: &mut Link) -> Result<()> {
    if depth::depth(&link.connection) > 1 {
        return Err(Error::database("ending a migration", None, FORGOTTEN));
    }
    let mut sql = link.settings.restoring(&link.facts);
    if link.settings.shared {
        sql.push_str(&link.settings.locally(&link.facts));
    }
    if link.littering {
        sql = format!("{sql}; {LITTER}");
    }
    link.run("cleaning up after a migration", sql).await
}

pub(crate) async fn commit(link: &mut Link, batch: &Batch) -> Result<Atomicity> {
    let guard = link.guard.take().ok_or_else(nothing_begun)?;
    if depth::depth(&link.connection) > 1 {
        let forgotten = Error::database("committing", None, FORGOTTEN);
        return not_committed(link, guard, forgotten).await;
    }
    let next = Guard::new();
    let litter = if link.settings.shared && link.littering { ALL_LITTER } else { "" };
    let sql = format!(
        "release savepoint {}; {litter}; {}; {}; commit; {}; savepoint {}",
        guard.savepoint,
        link.settings.restoring(&link.facts),
        records::writing(link, batch)?,
        beginning(link),
        next.savepoint
    );
    let error = match wire::run(&mut link.connection, sql).await {
        Ok(_) => {
            link.next = Some(next);
            link.littered = std::mem::take(&mut link.littering);
            records::wrote(link, batch);
            return Ok(Atomicity::Kept);
        }
        Err(error) => error,
    };
    let failed = link.failed("committing", &error);
    if code(&error) == "25P02" {
        // An error was swallowed. Before that, the body may have ended our transaction and begun one of its own.
        return not_committed(link, guard, failed).await;
    }
    if !matches!(failed, Error::ConnectionLost { .. } | Error::LeaseLost { .. }) {
        link.give_up().await;
    }
    if is_broken(&error) { Ok(Atomicity::Broken) } else { Err(failed) }
}

/// Rolls back what is not fit to be committed; whether that took everything back, the guard tells.
async fn not_committed(link: &mut Link, guard: Guard, why: Error) -> Result<Atomicity> {
    link.guard = Some(guard);
    match rollback(link).await? {
        Atomicity::Broken => Ok(Atomicity::Broken),
        Atomicity::Kept => Err(why),
    }
}

pub(crate) async fn rollback(link: &mut Link) -> Result<Atomicity> {
    let guard = link.guard.take().ok_or_else(nothing_begun)?;
    link.littered |= std::mem::take(&mut link.littering);
    while depth::depth(&link.connection) > 1 {
        // Its savepoint is inside of the guard's, and may be gone already.
        depth::leave(&mut link.connection);
        let _ = link.connection.ping().await;
    }
    let sql = format!("rollback to savepoint {}; rollback; begin", guard.savepoint);
    match wire::run(&mut link.connection, sql).await {
        Ok(_) => {
            depth::leave(&mut link.connection);
            Ok(Atomicity::Kept)
        }
        Err(error) if is_broken(&error) => {
            link.give_up().await;
            Ok(Atomicity::Broken)
        }
        Err(error) => Err(link.failed("rolling back", &error)),
    }
}

/// The guard is gone: 25P01, no transaction is open; 3B001, there is no such savepoint.
fn is_broken(error: &sqlx::Error) -> bool {
    matches!(code(error), "25P01" | "3B001")
}

fn nothing_begun() -> Error {
    Error::Usage { problem: "no transaction was begun in this session".to_owned() }
}
