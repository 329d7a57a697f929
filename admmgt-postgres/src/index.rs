//! Indexes that are built beside the work of others: `CONCURRENTLY` leaves an INVALID index where it does not come to its
//! end, and `if not exists` takes that for one.

use admmgt_core::{Error, Outcome, Result, Statement};

use crate::dialect::IndexStatement;
use crate::error::Answer;
use crate::quote;
use crate::session::PgSession;
use crate::wire;

/// An index that a statement names.
#[derive(Debug, Clone)]
struct Index {
    /// As it can be written in SQL.
    name: String,
    valid: bool,
}

/// Runs a statement about an index.
pub(crate) async fn execute(
    session: &mut PgSession,
    statement: &Statement,
    about: IndexStatement<'_>,
) -> Result<Outcome> {
    match about {
        IndexStatement::Create { name, table, concurrently, if_not_exists } => {
            if (concurrently || if_not_exists)
                && let Some(index) = find(session, name, table).await?
                && !index.valid
            {
                take_away(session, &index.name, session.guard.is_none()).await?;
            }
            if !concurrently {
                return send(session, statement).await;
            }
            let done = patiently(session, statement).await;
            if let Err(error) = done {
                return Err(clean_up(session, name, table, error).await);
            }
            done
        }
        IndexStatement::DropConcurrently { .. } => patiently(session, statement).await,
        IndexStatement::ReindexConcurrently => {
            let before = leftovers(session).await?;
            let done = patiently(session, statement).await;
            if done.is_err() && is_usable(&done) {
                for left in leftovers(session).await?.into_iter().filter(|left| !before.contains(left)) {
                    take_away(session, &left, true).await?;
                }
            }
            done
        }
    }
}

/// Before a statement that an earlier process may have run already. `true` where it had come to its end.
pub(crate) async fn resuming(session: &mut PgSession, about: IndexStatement<'_>) -> Result<bool> {
    match about {
        IndexStatement::Create { name, table, .. } => {
            // An INVALID one is taken away when it runs.
            Ok(find(session, name, table).await?.is_some_and(|index| index.valid))
        }
        IndexStatement::DropConcurrently { name } => {
            let query = format!("select to_regclass({}) is null", quote::text(name));
            let row = session.row("looking for the index", query).await?;
            Ok(row.is_some_and(|row| row[0].as_deref() == Some("t")))
        }
        IndexStatement::ReindexConcurrently => {
            for left in leftovers(session).await? {
                take_away(session, &left, true).await?;
            }
            Ok(false)
        }
    }
}

/// The index of that name beside its table, if there is one on it.
async fn find(session: &mut PgSession, name: &str, table: &str) -> Result<Option<Index>> {
    let query = format!(
        "select x.oid::regclass, i.indisvalid from pg_catalog.pg_class t \
         join pg_catalog.pg_class x on x.relnamespace = t.relnamespace \
         join pg_catalog.pg_index i on i.indexrelid = x.oid and i.indrelid = t.oid \
         where t.oid = to_regclass({}) and x.relname = {}",
        quote::text(table),
        quote::text(&quote::folded(name)),
    );
    let row = session.row("looking for the index", query).await?;
    let index = |row: Vec<Option<String>>| {
        let [name, valid] = <[_; 2]>::try_from(row).ok()?;
        Some(Index { name: name?, valid: valid.as_deref() == Some("t") })
    };
    Ok(row.and_then(index))
}

/// What `REINDEX CONCURRENTLY` leaves where it does not come to its end, unless another one is at work on it.
async fn leftovers(session: &mut PgSession) -> Result<Vec<String>> {
    let query = r"select x.oid::regclass from pg_catalog.pg_class x join pg_catalog.pg_index i on i.indexrelid = x.oid
                  where not i.indisvalid and x.relname ~ '_cc(new|old)[0-9]*$'
                    and pg_catalog.pg_has_role(x.relowner, 'USAGE')
                    and not exists (select from pg_catalog.pg_stat_progress_create_index p where p.relid = i.indrelid)";
    let rows = session.rows("looking for the index", query.to_owned()).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

async fn take_away(session: &mut PgSession, name: &str, concurrently: bool) -> Result<()> {
    tracing::info!(index = name, "an INVALID index is dropped, to be built again");
    let how = if concurrently { "concurrently " } else { "" };
    session.run("dropping an INVALID index", format!("drop index {how}if exists {name}")).await
}

/// Without a limit for its locks: giving up would leave an INVALID index, and it holds no lock that others wait behind.
async fn patiently(session: &mut PgSession, statement: &Statement) -> Result<Outcome> {
    if session.settings.shared {
        return send(session, statement).await;
    }
    let row = session.row("reading the lock timeout", "show lock_timeout".to_owned()).await?;
    let found = row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default();
    session.run("setting the lock timeout", "set lock_timeout = 0".to_owned()).await?;
    let done = send(session, statement).await;
    if is_usable(&done) {
        session.run("setting the lock timeout", format!("set lock_timeout = {}", quote::text(&found))).await?;
    }
    done
}

/// After a build that failed, what is left of it goes too.
async fn clean_up(session: &mut PgSession, name: &str, table: &str, error: Error) -> Error {
    if matches!(error, Error::ConnectionLost { .. }) {
        return error;
    }
    let left = match find(session, name, table).await {
        Ok(Some(index)) if !index.valid => take_away(session, &index.name, true).await,
        Ok(_) => return error,
        Err(problem) => Err(problem),
    };
    match (left, error) {
        (Ok(()), error) => error,
        (Err(problem), Error::Database { action, code, error }) => {
            let words = format!("what it left could not be dropped ({problem}): `drop index concurrently {name}`");
            match error.downcast::<Answer>() {
                Ok(answer) => Error::Database { action, code, error: Box::new(answer.and(&words)) },
                Err(error) => Error::Database { action, code, error: format!("{error}; {words}").into() },
            }
        }
        (Err(_), error) => error,
    }
}

async fn send(session: &mut PgSession, statement: &Statement) -> Result<Outcome> {
    match wire::statement(session.wire(), &statement.text).await {
        Ok(rows) => Ok(Outcome::rows(rows)),
        Err(error) => Err(session.refused(&statement.text, &error)),
    }
}

fn is_usable<T>(done: &Result<T>) -> bool {
    !matches!(done, Err(Error::ConnectionLost { .. }))
}
