//! What a migration's text can say.

use std::fmt;

use admmgt::{Dialect, Names, Script, ScriptProblem, Statement, TransactionMode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};

pub(super) type Object = Map<String, Value>;

/// The name of a document: no part of a path.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(String);

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` cannot be the name of a document; write up to 200 letters, digits, `_`, `-` and `.`, which is not the first"
        ))
    }
}

/// One command.
#[derive(Debug)]
pub(super) enum Command {
    Create(Name, Object),
    Replace(Name, Object),
    Merge(Name, Object),
    Delete(Name),
    Rename(Name, Name),
}

/// A command as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a command: `{\"create\": NAME, \"document\": {…}}` or the like")]
struct Written {
    create: Option<Name>,
    replace: Option<Name>,
    merge: Option<Name>,
    delete: Option<Name>,
    rename: Option<Name>,
    document: Option<Object>,
    to: Option<Name>,
}

impl Command {
    /// The one command of a statement.
    pub(super) fn read(text: &str) -> Result<Self, ScriptProblem> {
        Self::in_piece(START, text)
    }

    /// The one command of a piece of a text that begins there.
    fn in_piece(place: Place, piece: &str) -> Result<Self, ScriptProblem> {
        let written = serde_json::from_str(piece).map_err(|error| problem(place, piece, &error))?;
        Self::of(written).ok_or_else(|| place.problem(FORMS))
    }

    fn of(written: Written) -> Option<Self> {
        let Written { create, replace, merge, delete, rename, document, to } = written;
        match (create, replace, merge, delete, rename, document, to) {
            (Some(name), None, None, None, None, Some(document), None) => Some(Self::Create(name, document)),
            (None, Some(name), None, None, None, Some(document), None) => Some(Self::Replace(name, document)),
            (None, None, Some(name), None, None, Some(fields), None) => Some(Self::Merge(name, fields)),
            (None, None, None, Some(name), None, None, None) => Some(Self::Delete(name)),
            (None, None, None, None, Some(name), None, Some(to)) => Some(Self::Rename(name, to)),
            _ => None,
        }
    }
}

const FORMS: &str =
    "this is no command; write `create`, `replace` or `merge` with a `document`, `delete` alone, or `rename` with `to`";

/// Without the document, which is values.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(Name(name), _) => write!(f, "create {name}"),
            Self::Replace(Name(name), _) => write!(f, "replace {name}"),
            Self::Merge(Name(name), _) => write!(f, "merge {name}"),
            Self::Delete(Name(name)) => write!(f, "delete {name}"),
            Self::Rename(Name(name), Name(to)) => write!(f, "rename {name} to {to}"),
        }
    }
}

/// Where something stands in a text.
#[derive(Debug, Clone, Copy)]
struct Place {
    line: u32,
    column: u32,
}

const START: Place = Place { line: 1, column: 1 };

impl Place {
    /// Where it goes on behind a part of the text.
    fn behind(self, part: &str) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match part.rsplit_once('\n') {
            None => Self { column: self.column.saturating_add(count(part.chars().count())), ..self },
            Some((lines, last)) => Self {
                line: self.line.saturating_add(count(lines.matches('\n').count() + 1)),
                column: count(last.chars().count() + 1),
            },
        }
    }

    fn statement(self, text: &str) -> Statement {
        Statement { text: text.to_owned(), line: self.line, column: self.column }
    }

    fn problem(self, message: impl Into<String>) -> ScriptProblem {
        ScriptProblem::new(self.line, self.column, message)
    }
}

/// One JSON object behind the other.
#[derive(Debug)]
pub(super) struct Commands;

impl Dialect for Commands {
    fn parse(&self, text: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        // What an editor may put before the first letter, and at the ends of lines.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let (mut statements, mut problems) = (Vec::new(), Vec::new());
        for (place, piece) in Pieces::of(&text) {
            match piece.and_then(|piece| Command::in_piece(place, piece).map(|_| place.statement(piece))) {
                Ok(statement) => statements.push(statement),
                Err(problem) => problems.push(problem),
            }
        }
        // What cannot be had is told by the engine, which knows that there are no transactions.
        if problems.is_empty() { Ok(Script::new(statements, mode == TransactionMode::Required)) } else { Err(problems) }
    }

    fn names(&self, statement: &Statement) -> Names {
        match Command::read(&statement.text) {
            Ok(Command::Create(name, _)) => Names::Creates(name.0),
            Ok(Command::Delete(name) | Command::Rename(name, _)) => Names::Frees(name.0),
            _ => Names::Unknown,
        }
    }

    fn redacted(&self, statement: &Statement) -> String {
        Command::read(&statement.text).map_or_else(|_| "…".to_owned(), |command| command.to_string())
    }

    /// What is there afterwards does not depend on how often it ran, and nothing is left half-way.
    fn is_resumable(&self, statement: &Statement) -> bool {
        matches!(Command::read(&statement.text), Ok(Command::Replace(..) | Command::Merge(..)))
    }
}

/// The JSON values of a text, each with where it begins.
struct Pieces<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text, place: START }
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        (self.place, self.rest) = (self.place.behind(passed), rest);
        passed
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (Place, Result<&'a str, ScriptProblem>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip(self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\n', '\r']).len());
        let place = self.place;
        let mut values = Deserializer::from_str(self.rest).into_iter::<IgnoredAny>();
        let found = values.next()?;
        let end = values.byte_offset();
        Some((
            place,
            found.map(|_| self.skip(end)).map_err(|error| {
                let problem = problem(place, self.rest, &error);
                // The next one that begins a line is read again: all problems are told at once.
                self.skip(self.rest.find("\n{").map_or(self.rest.len(), |end| end + 1));
                problem
            }),
        ))
    }
}

/// What is wrong with a piece that begins there, and where.
fn problem(place: Place, piece: &str, error: &serde_json::Error) -> ScriptProblem {
    if error.is_eof() {
        return place.problem("this command never ends; close what is open in it, a text or a bracket");
    }
    let line = piece.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = piece.floor_char_boundary(line + error.column().saturating_sub(1));
    place.behind(&piece[..at]).problem(words(error))
}

/// The words of an error, without where it is and without the value that was found.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    match text.rsplit_once(", expected ") {
        Some((found, wanted)) if found.starts_with("invalid ") => format!("this is something else; write {wanted}"),
        _ if error.is_syntax() => format!("this is no JSON: {text}; write one object behind the other"),
        _ => text.to_owned(),
    }
}
