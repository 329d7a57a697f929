//! Records as SQL: read, and written with the proof that the lease is ours.

mod insert;
mod rows;

use admmgt_core::stored::{self, FORMATS, HISTORY};
use admmgt_core::{Batch, FORMAT, History, Result};

use self::rows::PgRow;
use crate::lease;
use crate::link::Link;
use crate::tables::{self, RECORDS};

/// What goes into the transaction that is open, or into one message: records and heads, if the lease is still ours.
pub(crate) fn writing(link: &Link, batch: &Batch) -> Result<String> {
    let Some(first) = batch.records.first() else { return Ok("select 1".to_owned()) };
    let table = link.table(HISTORY)?;
    let mut sql = insert::insert(&table, batch, lease::if_held(link, batch.fence, first.seq)?);
    if batch.after() == Some(0) {
        // Not an update: where a publication is for all tables, a table without a key is not updated.
        sql.push_str(&format!("; insert into {} (format, began) values ({FORMAT}, true)", link.table(FORMATS)?));
    }
    Ok(sql)
}

/// A batch is there.
pub(crate) fn wrote(link: &mut Link, batch: &Batch) {
    link.seen = batch.records.last().map(|record| record.seq).or(link.seen);
}

/// Every record, and the heads that stand in the last.
pub(crate) async fn read(link: &mut Link) -> Result<History> {
    let table = if link.is_prepared { None } else { tables::records(link).await? };
    if table.is_none() && !link.is_prepared {
        return Ok(History::default());
    }
    let lacks = |column: &str| table.as_ref().is_some_and(|table| table.lacks(column));
    link.is_prepared = !RECORDS.1.iter().any(|(column, _)| lacks(column));
    let history = link.table(HISTORY)?;
    // One query, so that records and heads are of one moment.
    let columns = stored::COLUMNS.map(|column| match column {
        // An earlier version did not have it; `prepare` will add it.
        lacking if lacks(lacking) => "null",
        "at" => "case when isfinite(at) then round(extract(epoch from at) * 1000)::bigint::text else at::text end",
        other => other,
    });
    let query = format!("select {}, heads from {history} order by seq", columns.join(", "));
    let rows = link.rows("reading the history", query).await.map_err(tables::changed)?;
    let heads = rows.last().and_then(|row| row.last().cloned()).flatten();
    let heads = stored::heads(heads.as_deref())?;
    let records: Vec<_> = rows.into_iter().map(|row| stored::record(&PgRow(row))).collect::<Result<_>>()?;
    let emptied = records.is_empty() && tables::was_emptied(link).await?;
    link.saw(records.last().map_or(0, |record| record.seq));
    stored::read(records, heads, emptied)
}
