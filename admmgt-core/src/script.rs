//! SQL text and the statements a dialect finds in it.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use admmgt_files::large::{LARGE, Slice};

use serde::{Deserialize, Serialize};

use admmgt_files::checksum::SqlHasher;

use crate::{Checksum, TransactionMode};

/// The text of one migration file, or of a string in the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSource {
    pub(crate) file: Cow<'static, str>,
    pub(crate) text: SqlText,
    /// Where this way asks for something else than the migration does.
    pub(crate) transaction: Option<TransactionMode>,
}

/// A text, or where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SqlText {
    Here(Cow<'static, str>),
    /// It is too large to be held.
    File(Arc<Slice>),
}

impl SqlSource {
    /// A large text that stands in a file.
    pub(crate) fn in_file(file: impl Into<Cow<'static, str>>, slice: Slice) -> Self {
        Self { file: file.into(), text: SqlText::File(Arc::new(slice)), transaction: None }
    }

    /// SQL text and the name of the file it stands in, which errors repeat.
    pub fn new(file: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { file: file.into(), text: SqlText::Here(text.into()), transaction: None }
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

    /// The text, as it was written; `None` where it is too large to be held, and stays in its file.
    pub fn text(&self) -> Option<&str> {
        match &self.text {
            SqlText::Here(text) => Some(text),
            SqlText::File(_) => None,
        }
    }

    /// Whether it is read piece by piece rather than as a whole.
    pub fn is_large(&self) -> bool {
        match &self.text {
            SqlText::Here(text) => text.len() as u64 > LARGE,
            SqlText::File(_) => true,
        }
    }

    /// Reads the text from its beginning. A file must still be what it was when the checksum was taken: at
    /// its end that is checked.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match &self.text {
            SqlText::Here(text) => Box::new(text.as_bytes()),
            SqlText::File(slice) => Box::new(Checked::open(slice)?),
        })
    }

    /// The whole text, however large.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read(&self) -> io::Result<Cow<'_, str>> {
        match &self.text {
            SqlText::Here(text) => Ok(Cow::Borrowed(text)),
            SqlText::File(slice) => slice.text().map(Cow::Owned),
        }
    }

    /// The line of its file that it begins in, counted from 1.
    pub fn first_line(&self) -> u32 {
        match &self.text {
            SqlText::Here(_) => 1,
            SqlText::File(slice) => slice.line,
        }
    }

    pub(crate) fn checksum(&self) -> Checksum {
        match &self.text {
            SqlText::Here(text) => Checksum::of_sql(text),
            SqlText::File(slice) => Checksum::computed(slice.checksum.clone()),
        }
    }
}

/// Reads a part of a file and finds out at its end whether it was edited meanwhile.
struct Checked<'a, R> {
    slice: &'a Slice,
    inner: R,
    /// `None` after the end.
    hash: Option<SqlHasher>,
    /// Bytes that are not yet hashed, because they end within a character.
    rest: Vec<u8>,
}

impl<'a> Checked<'a, ()> {
    fn open(slice: &'a Slice) -> io::Result<Checked<'a, impl Read + Send + use<>>> {
        Ok(Checked { slice, inner: slice.open()?, hash: Some(slice.hasher()), rest: Vec::new() })
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let edited = || {
            let file = self.slice.file.display();
            io::Error::new(io::ErrorKind::InvalidData, format!("{file} was edited while it was read; start again"))
        };
        if count == 0 && !into.is_empty() {
            return match self.hash.take() {
                Some(hash) if !self.rest.is_empty() || hash.clone().finish() != self.slice.checksum => Err(edited()),
                _ => Ok(0),
            };
        }
        self.rest.extend_from_slice(&into[..count]);
        let valid = match str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(edited()),
        };
        let whole: Vec<u8> = self.rest.drain(..valid).collect();
        if let (Some(hash), Ok(text)) = (&mut self.hash, str::from_utf8(&whole)) {
            hash.update(text);
        }
        Ok(count)
    }
}

/// One statement, sent to the database on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without the terminator and without comments around it.
    pub text: String,
    /// The line of the file it starts in, counted from 1.
    pub line: u32,
    /// The column of that line in characters, counted from 1.
    pub column: u32,
}

impl Statement {
    /// A statement that stands in no file.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), line: 1, column: 1 }
    }
}

/// A file, split and judged: what will be sent, and whether inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// The statements in order; none where the text is read piece by piece.
    pub statements: Vec<Statement>,
    /// How many statements a text has that is read piece by piece, and which of it are left out.
    pub streamed: Option<Streamed>,
    /// Whether they run inside one transaction.
    pub in_transaction: bool,
    /// What the dialect decided by itself, in words for the plan:
    /// "its own BEGIN and COMMIT are dropped".
    pub notes: Vec<String>,
    /// Statements that would silently do nothing where this script runs, and why. They are not among
    /// [`Script::statements`]; [`crate::Policy::idle`] says whether that is fine.
    pub idle: Vec<ScriptProblem>,
}

/// A text whose statements are read one after the other when they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Streamed {
    /// How many statements run.
    pub count: usize,
    /// Statements of the text that do not run, by the line and column they start at: its own BEGIN and COMMIT,
    /// and those that would do nothing.
    pub left_out: Vec<(u32, u32)>,
}

impl Script {
    /// How many statements run.
    pub fn count(&self) -> usize {
        self.streamed.as_ref().map_or(self.statements.len(), |streamed| streamed.count)
    }

    /// A text whose statements are read when they run.
    pub fn streamed(streamed: Streamed, in_transaction: bool) -> Self {
        Self { streamed: Some(streamed), ..Self::new(Vec::new(), in_transaction) }
    }

    /// The statements, one after the other; `source` is what it was made of.
    pub(crate) fn iter<'a>(
        &'a self,
        source: Option<&'a SqlSource>,
        dialect: &'a dyn Dialect,
    ) -> io::Result<Box<dyn Iterator<Item = io::Result<Cow<'a, Statement>>> + Send + 'a>> {
        let (Some(streamed), Some(source)) = (&self.streamed, source) else {
            return Ok(Box::new(self.statements.iter().map(|statement| Ok(Cow::Borrowed(statement)))));
        };
        let all = dialect.statements(source.open()?, source.first_line());
        let runs = |statement: &io::Result<Statement>| {
            statement.as_ref().map_or(true, |it| !streamed.left_out.contains(&(it.line, it.column)))
        };
        Ok(Box::new(all.filter(runs).map(|statement| statement.map(Cow::Owned))))
    }

    /// Statements that run inside a transaction or not, without notes.
    pub fn new(statements: Vec<Statement>, in_transaction: bool) -> Self {
        Self { statements, streamed: None, in_transaction, notes: Vec::new(), idle: Vec::new() }
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

/// What a statement does to the names in a database, as far as its words tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Names {
    /// Nothing, or nothing that can be told.
    #[default]
    Unknown,
    /// It makes a table or the like of this name, and fails where there is one. Nothing that goes with a table.
    Creates(String),
    /// It takes away what has this name, or renames it.
    Frees(String),
}

/// Splits SQL into statements by the rules of one database. Pure: it never sees a connection.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Splits and judges a text.
    ///
    /// `mode` is what the migration asked for. With [`TransactionMode::Auto`] the dialect decides:
    /// a text made only of statements that cannot run in a transaction runs without one; a text that is one
    /// transaction from its first statement to its last is run in ours, without its own `BEGIN` and `COMMIT`.
    ///
    /// A text may begin with a byte-order mark and end its lines with CRLF: neither counts as an edit, so both must be read
    /// as if they were not there.
    ///
    /// # Errors
    /// Every problem of the text: unterminated quotes and comments, a mix of statements that need
    /// and that cannot have a transaction. Statements that would silently do nothing are no error here: they stand in
    /// [`Script::idle`], and [`crate::Policy`] judges them, as it judges a text without statements.
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>>;

    /// As [`Dialect::parse`], of a text that is too large to be held. It may be read more than once. Default: it is
    /// read as a whole.
    ///
    /// # Errors
    /// As [`Dialect::parse`]; also that the text cannot be read.
    fn scan(&self, source: &SqlSource, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        match source.read() {
            Ok(text) => self.parse(&text, mode),
            Err(error) => Err(vec![ScriptProblem::new(1, 1, format!("it cannot be read: {error}"))]),
        }
    }

    /// All statements of a text, read piece by piece: called where [`Dialect::scan`] says that a script is
    /// streamed. The text begins in line `line` of its file. Default: none.
    fn statements<'a>(
        &self,
        text: Box<dyn Read + Send + 'a>,
        line: u32,
    ) -> Box<dyn Iterator<Item = io::Result<Statement>> + Send + 'a> {
        let _ = (text, line);
        Box::new(std::iter::empty())
    }

    /// What a statement does to the names in the database: to find out that a migration would make what is there
    /// already. Default: it cannot be told.
    fn names(&self, statement: &Statement) -> Names {
        let _ = statement;
        Names::Unknown
    }

    /// A statement without what may be a value, for messages. Default: without comments and what stands in quotes.
    fn redacted(&self, statement: &Statement) -> String {
        crate::redact::redacted(&statement.text)
    }

    /// The text that takes back what a text does, where its statements tell how: for a migration that has no way back of its
    /// own. It runs as if it had been written beside it. Default: SQL does not tell.
    fn way_back(&self, text: &str) -> Option<String> {
        let _ = text;
        None
    }

    /// Whether what a statement does is gone with its connection: a setting, a temporary table. A migration
    /// that did so and was interrupted cannot go on in another connection.
    fn is_of_session(&self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }

    /// Whether a statement only sets what its connection forgets: where a migration goes on behind it, it is run again.
    fn is_setting(&self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }

    /// Whether a statement that was interrupted at whatever point can simply run again, because the session takes
    /// away what it may have left behind ([`Session::resuming`](crate::Session::resuming)): then nobody has to look first.
    fn is_resumable(&self, statement: &Statement) -> bool {
        let _ = statement;
        false
    }
}
