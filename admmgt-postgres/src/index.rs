//! Indexes that are built beside the work of others: `CONCURRENTLY` leaves an INVALID index where it does not come to its
//! end, and `if not exists` takes that for one.

use admmgt_core::{Error, Outcome, Result, Statement};

use crate::dialect::IndexStatement;
use crate::error::Answer;
use crate::link::Link;
use crate::quote;
use crate::wire;

/// An index that a statement names.
#[derive(Debug, Clone)]
struct Index {
    /// As it can be written in SQL.
    name: String,
    valid: bool,
    unique: bool,
    /// Another session builds on its table, or keeps others from it.
    busy: bool,
}

/// Runs a statement about an index.
pub(crate) async fn execute(link: &mut Link, statement: &Statement, about: IndexStatement<'_>) -> Result<Outcome> {
    match about {
        IndexStatement::Create { name, table, concurrently, if_not_exists, .. } => {
            if concurrently || if_not_exists {
                let found = find(link, name, table).await?.filter(|index| !index.valid);
                if let Some(index) = found {
                    take_away(link, &index).await?;
                }
            }
            if !concurrently {
                return send(link, statement).await;
            }
            let done = patiently(link, statement).await;
            if let Err(error) = done {
                return Err(clean_up(link, name, table, error).await);
            }
            done
        }
        IndexStatement::DropConcurrently { .. } => patiently(link, statement).await,
        IndexStatement::ReindexConcurrently => {
            let before = leftovers(link).await?;
            let done = patiently(link, statement).await;
            if done.is_err() && is_usable(&done) {
                for left in leftovers(link).await?.into_iter().filter(|left| !before.contains(left)) {
                    drop_index(link, &left).await?;
                }
            }
            done
        }
    }
}

/// Before a statement that an earlier process may have run already. `true` where it had come to its end.
pub(crate) async fn resuming(link: &mut Link, about: IndexStatement<'_>, may_have_ended: bool) -> Result<bool> {
    match about {
        IndexStatement::Create { .. } | IndexStatement::DropConcurrently { .. } if !may_have_ended => Ok(false),
        IndexStatement::Create { name, table, unique, .. } => {
            // An INVALID one is taken away when it runs.
            let found = find(link, name, table).await?;
            Ok(found.is_some_and(|index| index.valid && index.unique == unique))
        }
        IndexStatement::DropConcurrently { name } => {
            let query = format!("select to_regclass({}) is null", quote::text(name));
            let row = link.row("looking for the index", query).await?;
            Ok(row.is_some_and(|row| row[0].as_deref() == Some("t")))
        }
        IndexStatement::ReindexConcurrently => {
            for left in leftovers(link).await? {
                drop_index(link, &left).await?;
            }
            Ok(false)
        }
    }
}

/// The index of that name on its table. One of a partitioned table is not looked for: it is INVALID by design until all
/// partitions have theirs.
async fn find(link: &mut Link, name: &str, table: &str) -> Result<Option<Index>> {
    // A build holds such a lock on the table to its end; everybody may see that, and not everybody what it does.
    let query = format!(
        "select x.oid::regclass, i.indisvalid, i.indisunique, exists (select from pg_catalog.pg_locks l \
             join pg_catalog.pg_stat_activity a on a.pid = l.pid \
             where l.relation = t.oid and l.granted and l.pid <> pg_backend_pid() \
             and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database()) \
             and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'AccessExclusiveLock') \
             and coalesce(a.backend_type, '') not like 'autovacuum%') \
         from pg_catalog.pg_class t \
         join pg_catalog.pg_class x on x.relnamespace = t.relnamespace and x.relkind = 'i' \
         join pg_catalog.pg_index i on i.indexrelid = x.oid and i.indrelid = t.oid \
         where t.oid = to_regclass({}) and x.relname = {}",
        quote::text(table),
        quote::text(&quote::folded(name)),
    );
    let row = link.row("looking for the index", query).await?;
    let index = |row: Vec<Option<String>>| {
        let [name, valid, unique, busy] = <[_; 4]>::try_from(row).ok()?;
        let is = |answer: Option<String>| answer.as_deref() == Some("t");
        Some(Index { name: name?, valid: is(valid), unique: is(unique), busy: is(busy) })
    };
    Ok(row.and_then(index))
}

/// What `REINDEX CONCURRENTLY` leaves where it does not come to its end, unless somebody is at work on its table.
async fn leftovers(link: &mut Link) -> Result<Vec<String>> {
    let query = r"select x.oid::regclass from pg_catalog.pg_class x join pg_catalog.pg_index i on i.indexrelid = x.oid
                  where not i.indisvalid and x.relkind = 'i' and x.relname ~ '_cc(new|old)[0-9]*$'
                    and pg_catalog.pg_has_role(x.relowner, 'USAGE')
                    and not exists (select from pg_catalog.pg_locks l where l.relation = i.indrelid and l.pid <> pg_backend_pid()
                                    and l.granted and l.mode = 'ShareUpdateExclusiveLock')";
    let rows = link.rows("looking for the index", query.to_owned()).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Takes away what an interrupted build has left; not what another session may still be building.
async fn take_away(link: &mut Link, index: &Index) -> Result<()> {
    if index.busy {
        let words = format!(
            "the index {} is INVALID, and another session is at work on its table: it may be building it. Wait for that, or \
             drop the index by hand",
            index.name
        );
        return Err(Error::database("building an index", None, words));
    }
    drop_index(link, &index.name).await
}

async fn drop_index(link: &mut Link, name: &str) -> Result<()> {
    tracing::info!(index = name, "an INVALID index is dropped, to be built again");
    let how = if link.is_in_transaction() { "" } else { "concurrently " };
    link.run("dropping an INVALID index", format!("drop index {how}if exists {name}")).await
}

/// Without a limit for its locks: giving up would leave an INVALID index, and it holds no lock that others wait behind.
async fn patiently(link: &mut Link, statement: &Statement) -> Result<Outcome> {
    if !link.settled {
        return send(link, statement).await;
    }
    let row = link.row("reading the lock timeout", "show lock_timeout".to_owned()).await?;
    let found = row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default();
    link.run("setting the lock timeout", "set lock_timeout = 0".to_owned()).await?;
    let done = send(link, statement).await;
    if is_usable(&done) {
        link.run("setting the lock timeout", format!("set lock_timeout = {}", quote::text(&found))).await?;
    }
    done
}

/// After a build that failed, what is left of it goes too.
async fn clean_up(link: &mut Link, name: &str, table: &str, error: Error) -> Error {
    match &error {
        Error::ConnectionLost { .. } => return error,
        // Something of that name was there before: that is not what is left of this one.
        Error::Database { code: Some(code), .. } if code == "42P07" => return error,
        _ => {}
    }
    let left = match find(link, name, table).await {
        Ok(Some(index)) if !index.valid => take_away(link, &index).await,
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

async fn send(link: &mut Link, statement: &Statement) -> Result<Outcome> {
    match wire::statement(link.wire(), &statement.text).await {
        Ok(rows) => Ok(Outcome::rows(rows)),
        Err(error) => Err(link.refused(&statement.text, &error)),
    }
}

fn is_usable<T>(done: &Result<T>) -> bool {
    !matches!(done, Err(Error::ConnectionLost { .. }))
}
