//! How do I change data, and see how far it is?
//!
//! `cargo run --example data_migration` makes a table of 200,000 people and gives each a first and a last name, in
//! Rust, because SQL alone cannot split names well. All of it is one transaction: killed half-way, it begins again.

use admmgt::prelude::*;
use admmgt::{Event, MigrationId};

const PEOPLE: u64 = 200_000;
const BATCH: u64 = 10_000;

sql_migration!(name = people, id = "0001_people", up = "sql/0001_people.sql");

/// First and last names.
#[migration(id = "0002_names", depends_on = [people])]
async fn names(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("alter table people add column first text").await?;
    cx.execute("alter table people add column last text").await?;
    let mut behind = 0;
    let mut done = 0;
    loop {
        // A batch at a time on the connection's own thread: in between, progress is told and the run can be stopped.
        let last = cx.blocking(move |db: &mut rusqlite::Connection| Ok(split(db, behind)?)).await?;
        let Some((id, count)) = last else { return Ok(()) };
        (behind, done) = (id, done + count);
        cx.progress(done, Some(PEOPLE));
    }
}

/// Splits the names of those with an id above `behind`; the last id, and how many they were.
fn split(db: &rusqlite::Connection, behind: i64) -> rusqlite::Result<Option<(i64, u64)>> {
    let mut batch = db.prepare("select id, name from people where id > ?1 order by id limit ?2")?;
    let mut set = db.prepare("update people set first = ?2, last = ?3 where id = ?1")?;
    let mut rows = batch.query(rusqlite::params![behind, BATCH as i64])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        // "van der Berg" is one last name: everything behind the first word.
        let (first, rest) = name.split_once(' ').unwrap_or((&name, ""));
        set.execute(rusqlite::params![id, first, rest])?;
        last = Some((id, last.map_or(1, |(_, count)| count + 1)));
    }
    Ok(last)
}

fn show(migration: &MigrationId, done: u64, of: u64) {
    let bar: String = (0..40).map(|at| if at * of < done * 40 { '#' } else { '.' }).collect();
    println!("{migration} [{bar}] {done} of {of}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "data_migration.db".to_owned());
    let migrator = Migrator::new(Sqlite::open(&path)?).observe(|event: &Event| {
        if let Event::Progress { migration, done, of: Some(of), .. } = event {
            show(migration, *done, *of);
        }
    });
    println!("{}", migrator.up().await?);
    Ok(())
}
