//! Finds the statements of a SQL text by SQLite's own lexical rules.
//!
//! The tokens are those of SQLite's `tokenize.c`, as far as they matter here; where a statement
//! ends is decided by the states of `sqlite3_complete` (`complete.c`): at a `;`, and in a
//! `create trigger` at the `;` after `; end`.

mod pieces;

use admmgt_core::ScriptProblem;

pub use self::pieces::Pieces;

/// One statement, as a slice of the text it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// From its first token to its last: no terminator, no comments around it.
    pub text: &'a str,
    /// From its first token up to its `;`, or to the end of the text: what SQLite keeps of some statements in the
    /// schema, space and comments before the `;` included.
    pub whole: &'a str,
    /// The line of its first token, counted from 1; lines end at `\n`.
    pub line: u32,
    /// The column of its first token in characters, counted from 1.
    pub column: u32,
    /// Whether its `;` was there. Only the last statement of a text may lack it; whoever reads a
    /// text in pieces keeps that one, and what follows it, for the next piece.
    pub terminated: bool,
}

/// The statements of a text in order, found one by one in a single pass that allocates nothing.
///
/// After a quote, comment or trigger that never ends comes nothing more: what follows it could be
/// anything. A command of the sqlite3 shell is a problem too, but the text goes on behind it.
#[derive(Debug, Clone)]
pub struct Statements<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    broken: bool,
}

impl<'a> Statements<'a> {
    /// The statements of a text; a byte-order mark before it is skipped and takes no column.
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, at: 0, place: Place { at: 0, line: 1, column: 1 }, broken: false }
    }

    /// Whether the text broke off: something in it never ends, and what follows was not looked at.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Where the statement that starts here ends, if there is one.
    fn find(&mut self) -> Result<Option<Split<'a>>, ScriptProblem> {
        let mut state = State::Start;
        let mut start = self.at;
        let mut end = self.at;
        loop {
            let token = Token::at(self.text, self.at);
            self.at = token.end;
            if token.kind == Kind::Space {
                continue;
            }
            if let Kind::Broken(words) = token.kind {
                return Err(self.stop(token.start, words));
            }
            if state == State::Start {
                start = token.start;
                if token.text(self.text) == "." && self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
                    return self.shell_command(start).map(Some);
                }
            }
            match (state, token.kind) {
                (State::Start, Kind::End) => return Ok(None),
                (State::TriggerBody | State::TriggerPause, Kind::End) => return Err(self.stop(start, TRIGGER)),
                (_, Kind::End) => return Ok(Some(self.cut(start, end, token.start, false))),
                (State::Start, Kind::Semicolon) => {}
                (State::TriggerBody | State::TriggerPause, Kind::Semicolon) => state = State::TriggerPause,
                (_, Kind::Semicolon) => return Ok(Some(self.cut(start, end, token.start, true))),
                _ => state = state.after(token, self.text),
            }
            end = token.end;
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn cut(&mut self, start: usize, end: usize, before: usize, terminated: bool) -> Split<'a> {
        self.place.advance(self.text, start);
        let (text, whole) = (&self.text[start..end], &self.text[start..before]);
        Split { text, whole, line: self.place.line, column: self.place.column, terminated }
    }

    fn problem(&mut self, start: usize, message: impl Into<String>) -> ScriptProblem {
        self.place.advance(self.text, start);
        ScriptProblem::new(self.place.line, self.place.column, message)
    }

    fn stop(&mut self, start: usize, words: &str) -> ScriptProblem {
        self.at = self.text.len();
        self.broken = true;
        self.problem(start, words)
    }

    /// Takes the whole line, as the shell does. What only changes how the shell prints is a statement that does
    /// nothing.
    fn shell_command(&mut self, start: usize) -> Result<Split<'a>, ScriptProblem> {
        self.at = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        let name = self.text[start..self.at].split_whitespace().next().unwrap_or(".").trim_end_matches(';');
        if OF_THE_SHELL_ALONE.contains(&name) {
            let end = start + self.text[start..self.at].trim_end().len();
            return Ok(self.cut(start, end, end, self.at < self.text.len()));
        }
        let instead = match name {
            ".read" => "put the SQL of that file here, or make it a migration of its own",
            ".import" => "write the rows as `insert` statements, or read them in a migration written in Rust",
            ".open" => "write `attach` for a second database",
            ".exit" | ".quit" => "delete this line and what follows it",
            _ => "delete this line",
        };
        Err(self.problem(start, format!("`{name}` is a command of the sqlite3 shell, not SQL; {instead}")))
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Result<Split<'a>, ScriptProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}

/// Commands of the shell that change nothing in a database, and not what the shell does to it.
const OF_THE_SHELL_ALONE: [&str; 28] = [
    ".bail",
    ".changes",
    ".databases",
    ".dbinfo",
    ".echo",
    ".eqp",
    ".explain",
    ".header",
    ".headers",
    ".help",
    ".indexes",
    ".indices",
    ".log",
    ".mode",
    ".nullvalue",
    ".once",
    ".output",
    ".print",
    ".progress",
    ".prompt",
    ".schema",
    ".separator",
    ".show",
    ".stats",
    ".tables",
    ".timeout",
    ".timer",
    ".width",
];

const TRIGGER: &str =
    "this `create trigger` never ends; close its body with `end;` after the `;` of its last statement";

/// The states of `sqlite3_complete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first token of a statement.
    Start,
    /// In a statement that ends at the next `;`.
    Plain,
    /// After `explain`, which `create trigger` may still follow.
    Explain,
    /// After `create`, perhaps with `temp`.
    Create,
    /// In a trigger, where a `;` ends one statement of its body.
    TriggerBody,
    /// After a `;` in a trigger, where `end` may follow.
    TriggerPause,
    /// After `; end` in a trigger, where `;` ends all of it.
    TriggerEnd,
}

impl State {
    /// The state after a token that is neither space nor `;`.
    fn after(self, token: Token, text: &str) -> Self {
        let is = |keyword: &str| token.kind == Kind::Word && token.text(text).eq_ignore_ascii_case(keyword);
        match self {
            Self::Plain => Self::Plain,
            Self::Start if is("explain") => Self::Explain,
            Self::Start | Self::Explain if is("create") => Self::Create,
            Self::Explain if !["explain", "temp", "temporary", "trigger", "end"].into_iter().any(is) => Self::Explain,
            Self::Create if is("temp") || is("temporary") => Self::Create,
            Self::Create if is("trigger") => Self::TriggerBody,
            Self::Start | Self::Explain | Self::Create => Self::Plain,
            Self::TriggerPause if is("end") => Self::TriggerEnd,
            Self::TriggerBody | Self::TriggerPause | Self::TriggerEnd => Self::TriggerBody,
        }
    }
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a token is, as far as statements and their first words need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// White space, a comment, a byte-order mark.
    Space,
    /// `;`.
    Semicolon,
    /// A keyword, a bare name, a number.
    Word,
    /// A string or a name in any of the four kinds of quotes.
    Quoted,
    /// Any other character.
    Sign,
    /// Something that never ends or cannot be read, in words.
    Broken(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// The token that starts at a byte.
    #[inline]
    pub(crate) fn at(text: &str, start: usize) -> Self {
        let bytes = text.as_bytes();
        let rest = &bytes[start..];
        let Some(&first) = rest.first() else {
            return Self { kind: Kind::End, start, end: start };
        };
        let one = |kind| Self { kind, start, end: start + 1 };
        let many = |kind, length| Self { kind, start, end: start + length };
        match first {
            0xef if rest.starts_with(b"\xef\xbb\xbf") => many(Kind::Space, 3),
            _ if is_word(first) => many(Kind::Word, length_while(rest, is_word)),
            // SQLite takes a vertical tab as space only after other space, and refuses it elsewhere.
            b' ' | b'\t'..=b'\r' => many(Kind::Space, length_while(rest, |byte| matches!(byte, b' ' | b'\t'..=b'\r'))),
            b';' => one(Kind::Semicolon),
            b'\'' | b'"' | b'`' => quoted(rest, start, first),
            b'[' => quoted(rest, start, b']'),
            b'-' if rest.get(1) == Some(&b'-') => line_comment(rest, start),
            b'/' if rest.get(1) == Some(&b'*') => block_comment(rest, start),
            0 => one(Kind::Broken(NUL)),
            _ => one(Kind::Sign),
        }
    }

    /// Its text.
    pub(crate) fn text(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

const NUL: &str = "a NUL byte stands here, where SQLite would stop reading; remove it";

/// SQLite's `IdChar`: what keywords, bare names and numbers are made of.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

fn length_while(bytes: &[u8], matches: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !matches(*byte)).unwrap_or(bytes.len())
}

fn quoted(rest: &[u8], start: usize, close: u8) -> Token {
    let mut length = 1;
    while let Some(found) = rest[length..].iter().position(|byte| *byte == close || *byte == 0) {
        length += found + 1;
        if rest[length - 1] == 0 {
            return nul(start + length - 1);
        }
        // Written twice, a quote stands for itself; a bracket has no such way.
        if close == b']' || rest.get(length) != Some(&close) {
            return Token { kind: Kind::Quoted, start, end: start + length };
        }
        length += 1;
    }
    let words = match close {
        b'\'' => "this string never ends; close it with `'`, and write a `'` inside it twice: `''`",
        b'"' => "this quoted name never ends; close it with `\"`",
        b']' => "this name in brackets never ends; close it with `]`",
        _ => "this quoted name never ends; close it with a backtick",
    };
    Token { kind: Kind::Broken(words), start, end: start + rest.len() }
}

fn line_comment(rest: &[u8], start: usize) -> Token {
    let length = length_while(rest, |byte| byte != b'\n' && byte != 0);
    match rest.get(length) {
        Some(0) => nul(start + length),
        _ => Token { kind: Kind::Space, start, end: start + length },
    }
}

fn block_comment(rest: &[u8], start: usize) -> Token {
    let mut length = 2;
    while let Some(found) = rest[length..].iter().position(|byte| *byte == b'*' || *byte == 0) {
        length += found + 1;
        if rest[length - 1] == 0 {
            return nul(start + length - 1);
        }
        if rest.get(length) == Some(&b'/') {
            return Token { kind: Kind::Space, start, end: start + length + 1 };
        }
    }
    // SQLite takes it as a comment to the end of the text, which nobody can have meant.
    let words = "this comment never ends; close it with `*/`";
    Token { kind: Kind::Broken(words), start, end: start + rest.len() }
}

fn nul(at: usize) -> Token {
    Token { kind: Kind::Broken(NUL), start: at, end: at + 1 }
}

/// The line and column of a byte. Only moves forwards, so that a text is counted once however many
/// statements stand in one line of it.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    line: u32,
    column: u32,
}

impl Place {
    fn advance(&mut self, text: &str, to: usize) {
        let passed = &text.as_bytes()[self.at..to];
        let newlines = passed.iter().filter(|byte| **byte == b'\n').count();
        if newlines > 0 {
            self.line = self.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
            self.column = 1;
        }
        let last_line = passed.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let characters = text[self.at + last_line..to].chars().count();
        self.column = self.column.saturating_add(u32::try_from(characters).unwrap_or(u32::MAX));
        self.at = to;
    }
}

#[cfg(test)]
mod tests;
