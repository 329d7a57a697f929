//! How do I move over from sqlx, with databases that sqlx has migrated already?
//!
//! The folder of SQL files stays as it is. What sqlx recorded is read once and counted in; its own table is left
//! alone. A database that sqlx never saw just runs everything.
//!
//! `cargo run --example from_sqlx` plays it through on `from_sqlx.db`.

use admmgt::ForeignHistory;
use admmgt::prelude::*;

// The folder that `sqlx::migrate!("./migrations")` read.
migrations_dir!("from_sqlx", backend = "sqlite");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "from_sqlx.db".to_owned());
    as_sqlx_left_it(&path)?;

    let migrator = Migrator::new(Sqlite::open(&path)?)
        .migrations(Migrations::registered().filter(|meta| meta.location.file.starts_with("from_sqlx/")));
    // At each start: nothing is counted in twice, and a database without sqlx has nothing to count in.
    for history in migrator.foreign().await? {
        let ForeignHistory { tool, .. } = &history;
        let tool = tool.clone();
        println!("counted in {} of what {tool} applied", migrator.adopt(history).await?);
    }
    println!("{}", migrator.up().await?);
    println!("{}", migrator.status().await?);
    Ok(())
}

/// The first of the files, applied by sqlx: its table holds the SHA-384 of each file, which is compared.
fn as_sqlx_left_it(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    use sha2::Digest;
    let users = include_str!("from_sqlx/20240101000000_users.sql");
    let db = rusqlite::Connection::open(path)?;
    let there = "select count(*) from sqlite_schema where name = '_sqlx_migrations'";
    if db.query_row(there, [], |row| row.get::<_, i64>(0))? > 0 {
        return Ok(());
    }
    db.execute_batch(users)?;
    db.execute_batch(
        "create table _sqlx_migrations (
             version bigint primary key,
             description text not null,
             installed_on timestamp not null default current_timestamp,
             success boolean not null,
             checksum blob not null,
             execution_time bigint not null
         )",
    )?;
    db.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (?1, ?2, ?3, ?4, ?5)",
        rusqlite::params![20240101000000_i64, "users", true, &sha2::Sha384::digest(users)[..], 1000],
    )?;
    Ok(())
}
