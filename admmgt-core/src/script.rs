//! SQL text and the statements a dialect finds in it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TransactionMode;

/// The text of one migration file, or of a string in the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSource {
    pub(crate) file: Cow<'static, str>,
    pub(crate) text: Cow<'static, str>,
    /// Where this way asks for something else than the migration does.
    pub(crate) transaction: Option<TransactionMode>,
}

impl SqlSource {
    /// SQL text and the name of the file it stands in, which errors repeat.
    pub fn new(file: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { file: file.into(), text: text.into(), transaction: None }
    }

    /// This way runs so, whatever the migration says: one of the two may hold a `VACUUM`.
    pub fn transaction(mut self, mode: TransactionMode) -> Self {
        self.transaction = Some(mode);
        self
    }

    /// The file, for messages: `sql/views.up.sql`.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One statement, sent to the database on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the terminator and without comments around it.
    pub text: String,
    /// The line of the file it starts in, counted from 1.
    pub line: u32,
}

impl Statement {
    /// A statement that stands in no file.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), line: 1 }
    }
}

/// A file, split and judged: what will be sent, and whether inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// The statements in order.
    pub statements: Vec<Statement>,
    /// Whether they run inside one transaction.
    pub in_transaction: bool,
    /// What the dialect decided by itself, in words for the plan:
    /// "its own BEGIN and COMMIT are dropped".
    pub notes: Vec<String>,
    /// Statements that would silently do nothing where this script runs, and why. They are not among
    /// [`Script::statements`]; [`crate::Policy::idle`] says whether that is fine.
    pub idle: Vec<ScriptProblem>,
}

impl Script {
    /// Statements that run inside a transaction or not, without notes.
    pub fn new(statements: Vec<Statement>, in_transaction: bool) -> Self {
        Self { statements, in_transaction, notes: Vec::new(), idle: Vec::new() }
    }
}

/// What is wrong in a file, found before anything ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScriptProblem {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What is wrong and what to write instead: "`VACUUM` cannot run in a transaction …".
    pub message: String,
}

impl ScriptProblem {
    /// A problem at a place, in words that end with what to do.
    pub fn new(line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { line, column, message: message.into() }
    }
}

impl fmt::Display for ScriptProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Splits SQL into statements by the rules of one database. Pure: it never sees a connection.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Splits and judges a text.
    ///
    /// `mode` is what the migration asked for. With [`TransactionMode::Auto`] the dialect decides:
    /// a text made only of statements that cannot run in a transaction runs without one; a text
    /// that is one `BEGIN … COMMIT` loses both, because the executor opens the transaction.
    ///
    /// # Errors
    /// Every problem of the text: unterminated quotes and comments, a mix of statements that need
    /// and that cannot have a transaction; with these, statements that would silently do nothing. A text
    /// without statements is not an error here; [`crate::Policy`] judges it.
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>>;

    /// Whether what a statement does is gone with its connection: a setting, a temporary table. A migration
    /// that did so and was interrupted cannot go on in another connection.
    fn is_of_session(&self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }
}
