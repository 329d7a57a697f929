//! One statement on a connection.

use admmgt_core::{Error, Result};
use rusqlite::Connection;

use crate::script::Statements;

/// Runs one statement and reads its rows to the end.
pub(crate) fn run(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = db.prepare(sql)?;
    if statement.parameter_count() > 0 {
        // SQLite would take NULL for each.
        return Err(rusqlite::Error::InvalidParameterCount(0, statement.parameter_count()));
    }
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

/// Whether a statement may make or end a savepoint.
pub(crate) fn names_savepoint(sql: &str) -> bool {
    const WORD: &[u8] = b"savepoint";
    sql.as_bytes().windows(WORD.len()).any(|word| word.eq_ignore_ascii_case(WORD))
}

/// A call takes one statement: SQLite would compile the first of several and drop the others silently.
pub(crate) fn only_one(sql: &str) -> Result<()> {
    if !sql.contains(';') {
        return Ok(());
    }
    let statements: Result<Vec<_>, _> = Statements::new(sql).take(2).collect();
    match statements {
        Ok(statements) if statements.len() > 1 => Err(Error::Usage {
            problem: "more than one statement in one call; use `Context::execute_script`".to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(problem) => Err(Error::Script { problems: vec![problem] }),
    }
}
