//! What a migration failed with: [`Failure`].

use std::fmt;

use crate::report::Report;
use crate::{BoxError, Direction, MigrationId, Statement};

/// A migration that failed, and what had been done before.
#[non_exhaustive]
pub struct Failure {
    /// Which.
    pub migration: MigrationId,
    /// Which way it went.
    pub direction: Direction,
    /// The statement that failed, where the body is SQL.
    pub statement: Option<FailedStatement>,
    /// What the whole run did.
    pub report: Report,
    /// What the body or the database said, in words that may be shown.
    pub message: String,
    /// The error itself, to downcast. Its own words may hold whole statements.
    pub error: BoxError,
    /// Its own words, and those of what is behind it, may be shown.
    pub(crate) shown: bool,
}

impl fmt::Debug for Failure {
    /// Without the error itself, whose words may hold whole statements and rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Failure");
        shown
            .field("migration", &self.migration)
            .field("direction", &self.direction)
            .field("statement", &self.statement);
        shown.field("report", &self.report).field("message", &self.message);
        shown.finish_non_exhaustive()
    }
}

/// Where in a SQL body a failure happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStatement {
    /// Its number, counted from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// The file.
    pub file: String,
    /// The line it starts in, counted from 1.
    pub line: u32,
    /// Its first words, without what stands in quotes.
    pub excerpt: String,
    /// It can simply run again, and the next run goes on with it by itself.
    pub resumes: bool,
}

impl FailedStatement {
    /// `shown` is the statement without what may be a value.
    pub(crate) fn new(number: u32, of: u32, file: &str, statement: &Statement, shown: &str) -> Self {
        // Behind a `;` stands what belongs to it and may be data.
        let shown = shown.split(';').next().unwrap_or_default();
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut excerpt: String = words.chars().take(80).collect();
        if excerpt.len() < words.len() {
            excerpt.push('…');
        }
        Self { number, of, file: file.to_owned(), line: statement.line, excerpt, resumes: false }
    }

    pub(crate) fn resumes(mut self, yes: bool) -> Self {
        self.resumes = yes;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}) failed", self.migration, self.direction)?;
        if let Some(FailedStatement { number, of, file, line, excerpt, .. }) = &self.statement {
            write!(f, " at {file}:{line}, statement {number} of {of} (`{excerpt}`)")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source().filter(|_| self.shown)
    }
}
