//! Judges a script before anything runs: what cannot be in a transaction, what would end one, what
//! would silently do nothing.

mod judge;
mod shape;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::io::{self, Read};

use admmgt_core::{Dialect, Names, Script, ScriptProblem, SqlSource, Statement, Streamed, TransactionMode};

use self::judge::Judge;
use self::shape::Shape;
use self::words::Words;
use crate::script::{Pieces, Split, Statements};

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
    /// Splits and judges a text.
    ///
    /// # Errors
    /// Every problem of the text, in order. Behind a quote, a comment or a trigger that never ends
    /// nothing is judged: what follows it could be anything.
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        let mut steps = Vec::new();
        let mut problems = Vec::new();
        let mut statements = Statements::new(sql);
        for split in &mut statements {
            match split {
                Ok(split) => steps.push(Step::new(split)),
                Err(problem) => problems.push(problem),
            }
        }
        if statements.is_broken() {
            return Err(problems);
        }

        let mut shape = Shape::default();
        steps.iter().for_each(|step| shape.add(step));
        let form = shape.form(mode);
        let mut judge = Judge::new(mode, form.in_transaction);
        steps.retain(|step| !form.drops(step));
        steps.iter().for_each(|step| judge.step(step));
        let idle = judged(judge, problems)?;
        steps.retain(|step| !does_nothing(step, mode));
        let mut script = Script::new(steps.iter().map(Step::statement).collect(), form.in_transaction);
        (script.notes, script.idle) = (form.notes, idle);
        Ok(script)
    }

    /// Splits and judges a text piece by piece, in two passes: what it is as a whole decides about its parts.
    fn scan(&self, source: &SqlSource, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        let mut problems = Vec::new();
        let mut shape = Shape::default();
        if each(source, |split| keep(split, &mut problems, |step| shape.add(step)))? {
            return Err(problems);
        }
        let form = shape.form(mode);
        let mut judge = Judge::new(mode, form.in_transaction);
        let mut streamed = Streamed::default();
        each(source, |split| {
            keep(split, &mut Vec::new(), |step| {
                if !form.drops(step) {
                    judge.step(step);
                }
                if form.drops(step) || does_nothing(step, mode) {
                    streamed.left_out.push((step.split.line, step.split.column));
                } else {
                    streamed.count += 1;
                }
            });
        })?;
        let idle = judged(judge, problems)?;
        let mut script = Script::streamed(streamed, form.in_transaction);
        (script.notes, script.idle) = (form.notes, idle);
        Ok(script)
    }

    fn statements<'a>(
        &self,
        text: Box<dyn Read + Send + 'a>,
        line: u32,
    ) -> Box<dyn Iterator<Item = io::Result<Statement>> + Send + 'a> {
        let mut pieces = Pieces::new(text, line);
        Box::new(std::iter::from_fn(move || match pieces.next() {
            Ok(None) => None,
            Ok(Some(Ok(split))) => Some(Ok(Step::new(split).statement())),
            Ok(Some(Err(problem))) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem.to_string()))),
            Err(error) => Some(Err(error)),
        }))
    }

    fn names(&self, statement: &Statement) -> Names {
        Words::of(&statement.text).names()
    }

    fn is_of_session(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).concern_session()
    }
}

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

/// All statements of a large text; whether it broke off.
fn each(
    source: &SqlSource,
    mut found: impl FnMut(Result<Split<'_>, ScriptProblem>),
) -> Result<bool, Vec<ScriptProblem>> {
    let unreadable = |error: io::Error| vec![ScriptProblem::new(1, 1, format!("it cannot be read: {error}"))];
    let mut pieces = Pieces::new(source.open().map_err(unreadable)?, source.first_line());
    while let Some(split) = pieces.next().map_err(unreadable)? {
        found(split);
    }
    Ok(pieces.is_broken())
}

fn keep(split: Result<Split<'_>, ScriptProblem>, problems: &mut Vec<ScriptProblem>, found: impl FnOnce(&Step<'_>)) {
    match split {
        Ok(split) => found(&Step::new(split)),
        Err(problem) => problems.push(problem),
    }
}

/// What would do nothing, if nothing is wrong; else all that is, with these.
fn judged(judge: Judge, mut problems: Vec<ScriptProblem>) -> Result<Vec<ScriptProblem>, Vec<ScriptProblem>> {
    let (mut wrong, mut idle) = judge.finish();
    problems.append(&mut wrong);
    if problems.is_empty() {
        return Ok(idle);
    }
    problems.append(&mut idle);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(problems)
}

fn does_nothing(step: &Step<'_>, mode: TransactionMode) -> bool {
    match step.verb {
        Verb::Idle(_) => mode != TransactionMode::None,
        Verb::OfTheShell => true,
        _ => false,
    }
}

/// A statement, and what it does to a transaction.
#[derive(Debug)]
struct Step<'a> {
    split: Split<'a>,
    /// What messages call it: `VACUUM`, `PRAGMA journal_mode`.
    name: Cow<'static, str>,
    verb: Verb<'a>,
}

#[derive(Debug)]
enum Verb<'a> {
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    Rollback,
    Savepoint(Cow<'a, str>),
    Release(Cow<'a, str>),
    RollbackTo(Cow<'a, str>),
    /// It cannot be in a transaction, and how SQLite says so.
    Outside(&'static str),
    /// A command of the sqlite3 shell that changes nothing.
    OfTheShell,
    /// It silently does nothing in the transaction of a migration, and what to do.
    Idle(&'static str),
    Ordinary,
}

impl<'a> Step<'a> {
    fn new(split: Split<'a>) -> Self {
        let (name, verb) = Words::of(split.text).verb();
        Self { split, name, verb }
    }

    fn statement(&self) -> Statement {
        Statement { text: self.split.whole.to_owned(), line: self.split.line, column: self.split.column }
    }
}
