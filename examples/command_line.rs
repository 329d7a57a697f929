//! How do I give my own program the commands `up`, `down`, `status` …?
//!
//! One line: the words, the output and the exit codes are those of `admmgt`, and the migrations are the ones that
//! this program registers, functions among them.
//!
//! `cargo run --example command_line -- status`, then `up`, `history`, `down`, `--help`.

use admmgt::prelude::*;

/// Readers and what they read.
#[migration(id = "0001_readers", down = drop_readers)]
async fn readers(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("create table readers (id integer primary key, name text not null)").await?;
    Ok(())
}

async fn drop_readers(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("drop table readers").await?;
    Ok(())
}

/// Who reads most: made anew whenever this function changes.
#[migration(id = "most", repeatable = true, depends_on = [readers], down = drop_most)]
async fn most(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("drop view if exists most").await?;
    cx.execute("create view most as select name from readers order by id").await?;
    Ok(())
}

async fn drop_most(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("drop view most").await?;
    Ok(())
}

fn main() -> std::process::ExitCode {
    let path = std::env::var("DATABASE").unwrap_or_else(|_| "command_line.db".to_owned());
    match Sqlite::open(path) {
        Ok(database) => admmgt_cli::run(Migrator::new(database)),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::from(2)
        }
    }
}
