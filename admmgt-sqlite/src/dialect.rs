//! Judges a script before anything runs: what cannot be in a transaction, what would end one, what
//! would silently do nothing.

#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::io::{self, Read};

use admmgt_core::transactions::{self, Verb, Verbs};
use admmgt_core::{Dialect, Names, Script, ScriptProblem, SqlSource, Statement, TransactionMode};

use self::words::Words;
use crate::script::{Split, SqliteSplitter};

/// Splits SQL as SQLite does, and says what is wrong with it before anything runs.
///
/// A text made only of statements that cannot be in a transaction runs without one; a text that is
/// one `BEGIN … COMMIT` loses both; whatever would break the transaction of a migration, or would
/// silently do nothing in it, is refused with its line. Savepoints of its own are fine, if they are
/// released. It is pure: it never sees a connection.
///
/// ```
/// use admmgt_core::{Dialect, TransactionMode};
/// use admmgt_sqlite::SqliteDialect;
///
/// let sql = "begin; create table users(id integer primary key); commit;";
/// let script = SqliteDialect.parse(sql, TransactionMode::Auto).unwrap();
/// assert_eq!(script.statements[0].text, "create table users(id integer primary key)");
/// assert!(script.in_transaction);
/// assert_eq!(script.notes, ["its own BEGIN and COMMIT are dropped: the migration's transaction takes their place"]);
///
/// let script = SqliteDialect.parse("vacuum", TransactionMode::Auto).unwrap();
/// assert!(!script.in_transaction);
///
/// let sql = "create table users(id integer primary key);\nvacuum;";
/// let problems = SqliteDialect.parse(sql, TransactionMode::Auto).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "2:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
///      move it to a file of its own, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)",
/// );
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        transactions::parse(self, sql, mode)
    }

    fn scan(&self, source: &SqlSource, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        transactions::scan(self, source, mode)
    }

    fn statements<'a>(
        &self,
        text: Box<dyn Read + Send + 'a>,
        line: u32,
    ) -> Box<dyn Iterator<Item = io::Result<Statement>> + Send + 'a> {
        transactions::statements(*self, text, line)
    }

    fn names(&self, statement: &Statement) -> Names {
        Words::of(&statement.text).names()
    }

    fn is_of_session(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).concern_session()
    }
}

impl Verbs for SqliteDialect {
    type Splitter = SqliteSplitter;

    fn verb<'a>(&self, statement: &'a str) -> (Cow<'static, str>, Verb<'a>) {
        Words::of(statement).verb()
    }

    fn sent<'a>(&self, split: &Split<'a>) -> &'a str {
        split.whole
    }

    fn note(&self, name: &str) -> Option<&'static str> {
        (name == "PRAGMA page_size").then_some(PAGE_SIZE)
    }
}

const PAGE_SIZE: &str = "`PRAGMA page_size` changes nothing in a file that is in WAL mode, as it is unless the driver \
                         keeps its journal (`journal(Journal::Keep)`)";

/// Where a statement can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In a transaction or outside of one, and does the same.
    Anywhere,
    /// At the end of a transaction, which it commits.
    End,
    /// It begins one, cannot be in one, or does something else there.
    Elsewhere,
}

impl Runs {
    pub(crate) fn of(statement: &str) -> Self {
        match Words::of(statement).verb() {
            (_, Verb::Commit) => Self::End,
            // Some settings do nothing in a transaction; an attached database is not journalled with it.
            (_, Verb::Ordinary) if !Words::of(statement).concern_session() => Self::Anywhere,
            _ => Self::Elsewhere,
        }
    }
}
