//! Judges a script before anything runs: what cannot be in a transaction, what would end one, what
//! would silently do nothing.

mod judge;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;

use admmgt_core::{Dialect, Script, ScriptProblem, Statement, TransactionMode};

use self::judge::Judge;
use self::words::Words;
use crate::script::{Split, Statements};

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
///      move it to a file of its own, or write `transaction = \"none\"`",
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

        let mut notes = Vec::new();
        let in_transaction = if mode == TransactionMode::None {
            false
        } else if is_one_transaction(&steps) {
            steps.retain(|step| !matches!(step.verb, Verb::Begin | Verb::Commit));
            notes
                .push("its own BEGIN and COMMIT are dropped: the migration's transaction takes their place".to_owned());
            true
        } else if mode == TransactionMode::Auto && is_only_outside(&steps) {
            notes.push(format!("it runs without a transaction: {} cannot be in one", names_of_outside(&steps)));
            false
        } else {
            true
        };

        let (mut wrong, mut idle) = Judge::new(mode, in_transaction).judge(&steps);
        problems.append(&mut wrong);
        if !problems.is_empty() {
            problems.append(&mut idle);
            problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(problems);
        }
        if !idle.is_empty() {
            steps.retain(|step| !matches!(step.verb, Verb::Idle(_)));
        }
        let mut script = Script::new(steps.iter().map(Step::statement).collect(), in_transaction);
        script.notes = notes;
        script.idle = idle;
        Ok(script)
    }

    fn is_of_session(&self, statement: &Statement) -> bool {
        Words::of(&statement.text).concern_session()
    }
}

/// `BEGIN`, anything that ends no transaction, `COMMIT`. Lines that are refused anyway do not hide
/// it: `sqlite3 .dump` writes `PRAGMA foreign_keys=OFF;` before its `BEGIN`.
fn is_one_transaction(steps: &[Step]) -> bool {
    let mut verbs = steps.iter().map(|step| &step.verb).filter(|verb| !matches!(verb, Verb::Idle(_)));
    matches!((verbs.next(), verbs.next_back()), (Some(Verb::Begin), Some(Verb::Commit)))
        && !verbs.any(|verb| matches!(verb, Verb::Begin | Verb::Commit | Verb::Rollback))
}

fn is_only_outside(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.verb, Verb::Outside(_)))
        && steps.iter().all(|step| matches!(step.verb, Verb::Outside(_) | Verb::Idle(_)))
}

fn names_of_outside(steps: &[Step]) -> String {
    let mut names: Vec<String> = Vec::new();
    for step in steps.iter().filter(|step| matches!(step.verb, Verb::Outside(_))) {
        let name = format!("`{}`", step.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
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
        Statement { text: self.split.text.to_owned(), line: self.split.line }
    }
}
