//! How do I build an index without keeping writers out?
//!
//! `DATABASE_URL=postgres://user@localhost/database cargo run --example concurrent_index` fills a table, and builds an
//! index on it while another task goes on writing. `create index concurrently` cannot be in a transaction, so the
//! migration runs without one, by itself; each statement is on record when it has ended. Kill it in the middle, and the
//! next start finds the INVALID index, drops it and builds it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::sqlx;

/// A table of some size.
#[migration(id = "0001_events")]
async fn events(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "create table events as select i as id, md5(i::text) as name from generate_series(1, 300000) as i";
    sqlx::query(sql).execute(db).await?;
    Ok(())
}

// Events are found by their names.
sql_migration!(
    name = events_by_name,
    id = "0002_events_by_name",
    depends_on = [events],
    up = "sql/0002_events_by_name.up.sql",
    down = "sql/0002_events_by_name.down.sql"
);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL=postgres://user@localhost/database")?;
    let database = Postgres::connect(&url)?;
    Migrator::new(database.clone()).migrations(migrations![events]).up().await?;

    let (done, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = tokio::spawn(write(url, Arc::clone(&done), Arc::clone(&longest)));

    let report = Migrator::new(database).migrations(migrations![events, events_by_name]).up().await?;
    println!("{report}");

    done.store(true, Ordering::SeqCst);
    let written = writer.await??;
    let longest = Duration::from_micros(longest.load(Ordering::SeqCst));
    println!("{written} rows were written meanwhile; the longest took {longest:?}");
    Ok(())
}

/// The application goes on.
async fn write(url: String, done: Arc<AtomicBool>, longest: Arc<AtomicU64>) -> Result<u64, sqlx::Error> {
    let pool = sqlx::PgPool::connect(&url).await?;
    let mut written = 0;
    while !done.load(Ordering::SeqCst) {
        let clock = Instant::now();
        sqlx::query("insert into events values (0, 'written meanwhile')").execute(&pool).await?;
        longest.fetch_max(u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
        written += 1;
    }
    Ok(written)
}
