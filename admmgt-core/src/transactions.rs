//! What the statements of a script do to transactions, and what is wrong with that: the same for all databases
//! that speak SQL.
//!
//! A backend says by [`Verbs`] what each statement is; [`parse`] and [`scan`] make a [`Script`] of a text, and
//! are the body of its [`Dialect`](crate::Dialect).

mod judge;
mod shape;

use std::borrow::Cow;
use std::io::{self, Read};

use self::judge::Judge;
use self::shape::Shape;
use crate::TransactionMode;
use crate::script::{Script, ScriptProblem, SqlSource, Statement, Streamed};
use crate::split::{Pieces, Split, Splitter, Statements};

/// What a statement does to a transaction, or a transaction to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb<'a> {
    /// It begins one.
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// It takes one back.
    Rollback,
    /// It makes a savepoint of this name.
    Savepoint(Cow<'a, str>),
    /// It ends the savepoint of this name.
    Release(Cow<'a, str>),
    /// It takes back what came after the savepoint of this name.
    RollbackTo(Cow<'a, str>),
    /// It cannot be in one, and how the database says so.
    Outside(&'static str),
    /// It is a command of a shell that changes nothing, in words.
    OfTheShell(String),
    /// It silently does nothing in the transaction of a migration, and what to do.
    Idle(&'static str),
    /// It must not run at all, and what to write instead.
    Refused(String),
    /// It does the same in one and outside.
    Ordinary,
}

/// What each statement of a dialect is.
pub trait Verbs {
    /// Where statements end.
    type Splitter: Splitter + Default;

    /// What messages call a statement (`VACUUM`, `PRAGMA journal_mode`), and what it does.
    fn verb<'a>(&self, statement: &'a str) -> (Cow<'static, str>, Verb<'a>);

    /// Whether a savepoint need not be released: it ends with its transaction. Default: one that stays open is refused.
    fn savepoints_end_by_themselves(&self) -> bool {
        false
    }

    /// What is sent of a statement. Default: its text alone, without comments around it.
    fn sent<'a>(&self, split: &Split<'a>) -> &'a str {
        split.text
    }

    /// Something more to say of a script with a statement of such a name. Default: nothing.
    fn note(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }
}

/// A statement, and what it does to a transaction.
#[derive(Debug)]
struct Step<'a> {
    split: Split<'a>,
    name: Cow<'static, str>,
    verb: Verb<'a>,
}

impl<'a> Step<'a> {
    fn new(split: Split<'a>, verbs: &impl Verbs) -> Self {
        let (name, verb) = verbs.verb(split.text);
        Self { split, name, verb }
    }

    fn statement(&self, verbs: &impl Verbs) -> Statement {
        let Split { line, column, .. } = self.split;
        Statement { text: verbs.sent(&self.split).to_owned(), line, column }
    }

    fn does_nothing(&self, mode: TransactionMode) -> bool {
        match self.verb {
            Verb::Idle(_) => mode != TransactionMode::None,
            Verb::OfTheShell(_) => true,
            _ => false,
        }
    }
}

/// Splits and judges a text.
///
/// # Errors
/// Every problem of the text, in order. Behind something that never ends nothing is judged: what follows it
/// could be anything.
pub fn parse<V: Verbs>(verbs: &V, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
    let mut steps = Vec::new();
    let mut problems = Vec::new();
    let mut statements = Statements::<V::Splitter>::new(sql);
    for split in &mut statements {
        keep(split, &mut problems, |split| steps.push(Step::new(split, verbs)));
    }
    if statements.is_broken() {
        return Err(problems);
    }
    let mut shape = Shape::default();
    steps.iter().for_each(|step| shape.add(step, verbs));
    let form = shape.form(mode);
    let mut judge = Judge::new(mode, form.in_transaction, verbs.savepoints_end_by_themselves());
    steps.retain(|step| !form.drops(step));
    steps.iter().for_each(|step| judge.step(step));
    let idle = judged(judge, problems)?;
    steps.retain(|step| !step.does_nothing(mode));
    let statements = steps.iter().map(|step| step.statement(verbs)).collect();
    Ok(Script { notes: form.notes, idle, ..Script::new(statements, form.in_transaction) })
}

/// Splits and judges a text piece by piece, in two passes: what it is as a whole decides about its parts.
///
/// # Errors
/// As [`parse`]; also that the text cannot be read.
pub fn scan<V: Verbs>(verbs: &V, source: &SqlSource, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
    let mut problems = Vec::new();
    let mut shape = Shape::default();
    let is_broken = each::<V::Splitter>(source, |split| {
        keep(split, &mut problems, |split| shape.add(&Step::new(split, verbs), verbs));
    })?;
    if is_broken {
        return Err(problems);
    }
    let form = shape.form(mode);
    let mut judge = Judge::new(mode, form.in_transaction, verbs.savepoints_end_by_themselves());
    let mut streamed = Streamed::default();
    each::<V::Splitter>(source, |split| {
        keep(split, &mut Vec::new(), |split| {
            let step = Step::new(split, verbs);
            if !form.drops(&step) {
                judge.step(&step);
            }
            if form.drops(&step) || step.does_nothing(mode) {
                streamed.left_out.push((split.line, split.column));
            } else {
                streamed.count += 1;
            }
        });
    })?;
    let idle = judged(judge, problems)?;
    Ok(Script { notes: form.notes, idle, ..Script::streamed(streamed, form.in_transaction) })
}

/// All statements of a text that begins in line `line` of its file, read piece by piece: for
/// [`Dialect::statements`](crate::Dialect::statements).
pub fn statements<'a, V: Verbs + Send + 'a>(
    verbs: V,
    text: Box<dyn Read + Send + 'a>,
    line: u32,
) -> Box<dyn Iterator<Item = io::Result<Statement>> + Send + 'a>
where
    V::Splitter: Send + 'a,
{
    let mut pieces = Pieces::<_, V::Splitter>::new(text, line);
    Box::new(std::iter::from_fn(move || match pieces.next() {
        Ok(None) => None,
        Ok(Some(Ok(split))) => Some(Ok(Step::new(split, &verbs).statement(&verbs))),
        Ok(Some(Err(problem))) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem.to_string()))),
        Err(error) => Some(Err(error)),
    }))
}

/// All statements of a large text; whether it broke off.
fn each<S: Splitter + Default>(
    source: &SqlSource,
    mut found: impl FnMut(Result<Split<'_>, ScriptProblem>),
) -> Result<bool, Vec<ScriptProblem>> {
    let unreadable = |error: io::Error| vec![ScriptProblem::new(1, 1, format!("it cannot be read: {error}"))];
    let mut pieces = Pieces::<_, S>::new(source.open().map_err(unreadable)?, source.first_line());
    while let Some(split) = pieces.next().map_err(unreadable)? {
        found(split);
    }
    Ok(pieces.is_broken())
}

fn keep<'a>(split: Result<Split<'a>, ScriptProblem>, problems: &mut Vec<ScriptProblem>, found: impl FnOnce(Split<'a>)) {
    match split {
        Ok(split) => found(split),
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
