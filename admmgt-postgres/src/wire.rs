//! What is sent over the connection: always by the simple protocol, which takes one round trip and which every
//! pooler passes on.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Either, PgConnection, Row};

use crate::script::{copies_from_stdin, copy_and_data};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Runs SQL of ours and drops its rows.
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<u64> {
    let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
    let mut rows = 0;
    while let Some(answer) = answers.try_next().await? {
        if let Either::Left(done) = answer {
            rows += done.rows_affected();
        }
    }
    Ok(rows)
}

/// The rows of SQL of ours, each column as text.
pub(crate) async fn rows(connection: &mut PgConnection, sql: String) -> Result<Vec<Vec<Option<String>>>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(texts).collect()
}

/// The only row, or none.
pub(crate) async fn row(connection: &mut PgConnection, sql: String) -> Result<Option<Vec<Option<String>>>> {
    Ok(rows(connection, sql).await?.into_iter().next())
}

fn texts(row: &PgRow) -> Result<Vec<Option<String>>> {
    (0..row.len()).map(|at| row.try_get_unchecked::<Option<String>, _>(at)).collect()
}

/// Runs one statement of a body: a `copy … from stdin` with its data, or whatever else.
pub(crate) async fn statement(connection: &mut PgConnection, sql: &str) -> Result<u64> {
    if let Some((copy, data)) = copy_and_data(sql) {
        let mut into = connection.copy_in_raw(copy).await?;
        for part in data.as_bytes().chunks(1 << 16) {
            into.send(part).await?;
        }
        return into.finish().await;
    }
    if copies_from_stdin(sql) {
        // The server would wait for data that never come.
        let words = "`copy … from stdin` has no data behind it; use `copy_in_raw` of the connection";
        return Err(sqlx::Error::Protocol(words.to_owned()));
    }
    if copies_to_stdout(sql) {
        let mut out = connection.copy_out_raw(sql).await?;
        while out.try_next().await?.is_some() {}
        return Ok(0);
    }
    run(connection, sql.to_owned()).await
}

/// Ends a connection in peace; the server need not be waited for longer.
pub(crate) async fn say_goodbye(connection: PgConnection) {
    const FAREWELL: Duration = Duration::from_secs(1);
    let _ = tokio::time::timeout(FAREWELL, connection.close()).await;
}

/// `copy … to stdout`: what it prints nobody reads.
fn copies_to_stdout(sql: &str) -> bool {
    crate::script::copies(sql, "to", "stdout")
}
