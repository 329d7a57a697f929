//! Judges a script before anything runs: what cannot be in a transaction, what would end one, what can simply
//! run again.

#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::io::{self, Read};

use admmgt_core::transactions::{self, Verb, Verbs};
use admmgt_core::{Dialect, Error, Names, Script, ScriptProblem, SqlSource, Statement, TransactionMode};

pub(crate) use self::words::IndexStatement;
use self::words::Words;
use crate::script::{PgSplitter, Statements, copy_and_data};

/// Splits SQL as psql does, and says what is wrong with it before anything runs.
///
/// A text made only of statements that cannot be in a transaction runs without one; a text that is one
/// `BEGIN … COMMIT` loses both; whatever would break the transaction of a migration is refused with its line.
/// It is pure: it never sees a connection.
///
/// ```
/// use admmgt_core::{Dialect, TransactionMode};
/// use admmgt_postgres::PgDialect;
///
/// let dialect = PgDialect::default();
/// let script = dialect.parse("create index concurrently users_email on users(email)", TransactionMode::Auto).unwrap();
/// assert!(!script.in_transaction);
/// assert_eq!(script.notes, ["it runs without a transaction: `CREATE INDEX CONCURRENTLY` cannot be in one"]);
///
/// let sql = "create table users(id bigint primary key);\nvacuum users;";
/// let problems = dialect.parse(sql, TransactionMode::Auto).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "2:1: `VACUUM` cannot run in a transaction (PostgreSQL: \"VACUUM cannot run inside a transaction block\"); \
///      move it to a file of its own, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDialect {
    /// Where names without a schema are: `public.users` is `users` there.
    schema: String,
}

impl Default for PgDialect {
    fn default() -> Self {
        Self::in_schema("public")
    }
}

impl PgDialect {
    /// For bodies whose names without a schema are in this one.
    pub fn in_schema(schema: impl Into<String>) -> Self {
        Self { schema: schema.into() }
    }
}

impl Dialect for PgDialect {
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        transactions::parse(&Judged, sql, mode)
    }

    fn scan(&self, source: &SqlSource, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        transactions::scan(&Judged, source, mode)
    }

    fn statements<'a>(
        &self,
        text: Box<dyn Read + Send + 'a>,
        line: u32,
    ) -> Box<dyn Iterator<Item = io::Result<Statement>> + Send + 'a> {
        transactions::statements(Judged, text, line)
    }

    fn names(&self, statement: &Statement) -> Names {
        Words::of(&statement.text).names(&self.schema)
    }

    fn is_of_session(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).concern_session()
    }

    fn is_setting(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).sets()
    }

    fn is_resumable(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).can_run_again()
    }
}

/// What a statement does to a transaction.
pub(crate) fn verb(statement: &str) -> Verb<'_> {
    Words::of(statement).verb().1
}

/// Whether a statement is the same in a transaction as outside of one.
pub(crate) fn runs_anywhere(statement: &str) -> bool {
    matches!(verb(statement), Verb::Ordinary) && !Words::of(statement).calls()
}

/// Whether a statement concerns the connection: its settings, or what lives as long as it.
pub(crate) fn is_of_session(statement: &str) -> bool {
    Words::of(statement).concern_session()
}

/// Whether the end of a transaction begins the next one: `COMMIT AND CHAIN`.
pub(crate) fn chains(statement: &str) -> bool {
    Words::of(statement).chain()
}

/// Whether a statement may leave something behind that lives as long as its connection, besides settings.
pub(crate) fn leaves_something(statement: &str) -> bool {
    Words::of(statement).concern_session() || Words::of(statement).calls() || Words::of(statement).declares()
}

/// What a statement does to an index, where it is about one by name.
pub(crate) fn index_statement(statement: &str) -> Option<IndexStatement<'_>> {
    Words::of(statement).index()
}

/// A call takes one statement: each is known for what it is, and sent by itself.
pub(crate) fn only_one(text: &str) -> Result<(), Error> {
    // Data may hold anything.
    if !text.contains(';') || copy_and_data(text).is_some() {
        return Ok(());
    }
    let statements: Result<Vec<_>, _> = Statements::new(text).take(2).collect();
    match statements {
        Ok(statements) if statements.len() > 1 => Err(Error::Usage {
            problem: "more than one statement in one call; use `Context::execute_script`".to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(problem) => Err(Error::Script { problems: vec![problem] }),
    }
}

/// What each statement of PostgreSQL is.
#[derive(Debug, Clone, Copy)]
struct Judged;

impl Verbs for Judged {
    type Splitter = PgSplitter;

    fn verb<'a>(&self, statement: &'a str) -> (Cow<'static, str>, Verb<'a>) {
        Words::of(statement).verb()
    }

    fn savepoints_end_by_themselves(&self) -> bool {
        true
    }
}
