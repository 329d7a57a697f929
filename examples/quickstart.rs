//! How do I bring a database up to date when my application starts?
//!
//! `cargo run --example quickstart` makes `quickstart.db` in the current folder, prints what it will
//! do and what it did; started again, it prints `nothing to do`. Another path can be given as the
//! argument. Kill it in the middle and start it again: it goes on where it was.

use admmgt::prelude::*;

// SQL that stands in a file; it is compiled in, and checked before anything runs.
sql_migration!(
    name = users,
    id = "0001_users",
    description = "Users and their notes",
    up = "sql/0001_users.up.sql",
    down = "sql/0001_users.down.sql"
);

/// The first users, and a note for each.
#[migration(id = "0002_welcome", depends_on = [users])]
fn welcome(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    let mut user = db.prepare("insert into users (email) values (?1)")?;
    let mut note = db.prepare("insert into notes (user_id, body) values (?1, ?2)")?;
    for name in ["Ada", "Grace", "Barbara"] {
        let id = user.insert([format!("{name}@Example.org")])?;
        note.execute(rusqlite::params![id, format!("Welcome, {name}!")])?;
    }
    Ok(())
}

/// Notes are found by their words: a column that is computed from data which is there already.
#[migration(id = "0003_note_length", depends_on = [welcome], down = drop_note_length)]
async fn note_length(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("alter table notes add column length integer not null default 0").await?;
    cx.execute("update notes set length = length(body)").await?;
    Ok(())
}

async fn drop_note_length(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("alter table notes drop column length").await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "quickstart.db".to_owned());
    let migrator = Migrator::new(Sqlite::open(&path)?);

    println!("{}\n", migrator.plan().await?);
    println!("{}\n", migrator.up().await?);
    println!("{}", migrator.status().await?);
    Ok(())
}
