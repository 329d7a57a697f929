//! The batches of a table's rows, and how far they have come.

use admmgt_core::{
    BatchEnd, Batches, BoxError, Checkpoint, CheckpointKey, Context, Error, Result, Rows, Token, async_trait,
};

use crate::hygiene::AS_OURSELVES;
use crate::lease;
use crate::link::Link;
use crate::quote;
use crate::tables::{self, Wanted};

/// The rows of a table in the order of its key. A key is SQL: a literal without a type for each column, which takes the type
/// of what it is compared with.
#[derive(Debug)]
pub(crate) struct PgRows(pub(crate) Rows);

#[async_trait]
impl Batches for PgRows {
    async fn next(&mut self, cx: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        let link = link(cx)?;
        if after.is_none() {
            self.check(link).await?;
        }
        let key = self.quoted();
        if let Some(row) = look(link, self.0.nth(&key, after, count)).await? {
            return Ok(end(row).map(|(end, _)| BatchEnd::new(end, count)));
        }
        let last = look(link, self.0.last(&key, after)).await?;
        Ok(last.and_then(end).map(|(end, rows)| BatchEnd::new(end, rows)))
    }

    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError> {
        Ok(cx.execute(self.0.update(after, end)).await?.rows_affected)
    }

    /// As the server has it from the last `analyze`; nothing is counted for it.
    async fn estimate(&mut self, cx: &mut Context) -> Result<Option<u64>, BoxError> {
        let sql = format!(
            "select reltuples::bigint from pg_catalog.pg_class where oid = pg_catalog.to_regclass({}) and reltuples > 0",
            quote::text(&self.0.table)
        );
        let found = link(cx)?.row("estimating the rows", sql).await;
        Ok(found.ok().flatten().and_then(|row| row.into_iter().next()?).and_then(|count| count.parse().ok()))
    }
}

impl PgRows {
    fn quoted(&self) -> String {
        let quoted = |column: &String| format!("pg_catalog.quote_literal(({column})::text)");
        let columns: Vec<String> = self.0.key.iter().map(quoted).collect();
        columns.join(" || ', ' || ")
    }

    async fn check(&self, link: &mut Link) -> Result<()> {
        match look(link, self.0.keyless()).await? {
            None => Ok(()),
            Some(_) => Err(self.0.keyless_error()),
        }
    }
}

async fn look(link: &mut Link, sql: String) -> Result<Option<Vec<Option<String>>>> {
    link.row("looking for the end of a batch", sql).await
}

/// The key, and how many rows there are where that was asked for.
fn end(row: Vec<Option<String>>) -> Option<(String, u64)> {
    let mut values = row.into_iter();
    let key = values.next()??;
    Some((key, values.next().flatten().and_then(|count| count.parse().ok()).unwrap_or_default()))
}

fn link(cx: &mut Context) -> Result<&mut Link> {
    cx.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("sqlx::PgConnection"))
}

const TABLE: &str = "_admmgt_checkpoint";

const WANTED: Wanted = (
    TABLE,
    &[
        // Of the migration and its backfill.
        ("name", "text primary key"),
        ("begun", "bigint"),
        ("last_key", "text"),
        ("seen", "bigint"),
        ("changed", "bigint"),
        ("ended", "boolean"),
    ],
);

/// How far a backfill has come.
pub(crate) async fn checkpoint(link: &mut Link, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
    tables::create(link, &[WANTED]).await?;
    let (table, name) = (link.table(TABLE)?, quote::text(&key.to_string()));
    let query = format!("select begun, seen, changed, ended, last_key from {table} where name = {name}");
    let Some(row) = link.row("reading a checkpoint", query).await? else { return Ok(None) };
    let stored = || {
        let [begun, seen, changed, ended, last] = <[_; 5]>::try_from(row).ok()?;
        let count = |text: Option<String>| text?.parse().ok();
        Some(Checkpoint::stored(count(begun)?, last, count(seen)?, count(changed)?, ended.as_deref() == Some("t")))
    };
    let place = format!("the row of `{key}` in `{TABLE}`");
    stored().map(Some).ok_or_else(|| Error::corrupt(place, "a count in it is none; restore it from a backup"))
}

/// Saves it, in the transaction that is open or with one message, if the lease is still ours.
pub(crate) async fn save(
    link: &mut Link,
    key: &CheckpointKey,
    checkpoint: &Checkpoint,
    fence: Option<Token>,
) -> Result<()> {
    let Checkpoint { begun, after, seen, changed, ended, .. } = checkpoint;
    let sql = format!(
        "{AS_OURSELVES}; insert into {table} (name, begun, last_key, seen, changed, ended) \
         values ({name}, {begun}, {after}, {seen}, {changed}, {ended}) \
         on conflict (name) do update set begun = excluded.begun, last_key = excluded.last_key, seen = excluded.seen, \
         changed = excluded.changed, ended = excluded.ended",
        table = link.table(TABLE)?,
        name = quote::text(&key.to_string()),
        begun = lease::if_held(link, fence, *begun)?,
        after = quote::optional(after.as_deref()),
    );
    link.run("saving a checkpoint", sql).await
}
