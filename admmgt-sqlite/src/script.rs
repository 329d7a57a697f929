//! Finds the statements of a SQL text by SQLite's own lexical rules.
//!
//! The tokens are those of SQLite's `tokenize.c`, as far as they matter here; where a statement
//! ends is decided by the states of `sqlite3_complete` (`complete.c`): at a `;`, and in a
//! `create trigger` at the `;` after `; end`.

use std::borrow::Cow;

use admmgt_core::split::{self, Found, Splitter};

pub use admmgt_core::split::Split;

/// The statements of a text. A command of the sqlite3 shell is a problem, but the text goes on behind it.
pub type Statements<'a> = split::Statements<'a, SqliteSplitter>;

/// As [`Statements`], of a text that is read piece by piece.
///
/// ```
/// use admmgt_sqlite::script::Pieces;
///
/// let mut pieces = Pieces::new("create table a(x); vacuum".as_bytes(), 1);
/// let mut found = Vec::new();
/// while let Some(split) = pieces.next()? {
///     found.push(split.unwrap().text.to_owned());
/// }
/// assert_eq!(found, ["create table a(x)", "vacuum"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type Pieces<R> = split::Pieces<R, SqliteSplitter>;

/// Where a statement ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteSplitter;

impl Splitter for SqliteSplitter {
    fn next(&mut self, text: &str, from: usize) -> (Found, usize) {
        let mut state = State::Start;
        let (mut at, mut start, mut end) = (from, from, from);
        let cut = |start, end, before, terminated| Found::Statement { start, end, before, terminated };
        let broken = |start, words: &'static str| Found::Problem { start, words: Cow::Borrowed(words), broken: true };
        loop {
            let token = Token::at(text, at);
            at = token.end;
            if token.kind == Kind::Space {
                continue;
            }
            if let Kind::Broken(words) = token.kind {
                return (broken(token.start, words), at);
            }
            if state == State::Start {
                start = token.start;
                if token.text(text) == "." && text[at..].starts_with(|c: char| c.is_ascii_alphabetic()) {
                    return shell_command(text, start);
                }
            }
            let found = match (state, token.kind) {
                (State::Start, Kind::End) => Found::Nothing,
                (State::TriggerBody | State::TriggerPause, Kind::End) => broken(start, TRIGGER),
                (_, Kind::End) => cut(start, end, token.start, false),
                (State::Start, Kind::Semicolon) => {
                    end = token.end;
                    continue;
                }
                (State::TriggerBody | State::TriggerPause, Kind::Semicolon) => {
                    (state, end) = (State::TriggerPause, token.end);
                    continue;
                }
                (_, Kind::Semicolon) => cut(start, end, token.start, true),
                _ => {
                    (state, end) = (state.after(token, text), token.end);
                    continue;
                }
            };
            return (found, at);
        }
    }
}

/// Takes the whole line, as the shell does. What only changes how the shell prints is a statement that does
/// nothing.
fn shell_command(text: &str, start: usize) -> (Found, usize) {
    let at = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let line = &text[start..at];
    let name = line.split_whitespace().next().unwrap_or(".").trim_end_matches(';');
    if OF_THE_SHELL_ALONE.contains(&name) {
        let end = start + line.trim_end().len();
        return (Found::Statement { start, end, before: end, terminated: at < text.len() }, at);
    }
    let instead = match name {
        ".read" => "put the SQL of that file here, or make it a migration of its own",
        ".import" => "write the rows as `insert` statements, or read them in a migration written in Rust",
        ".open" => "write `attach` for a second database",
        ".exit" | ".quit" => "delete this line and what follows it",
        _ => "delete this line",
    };
    let words = format!("`{name}` is a command of the sqlite3 shell, not SQL; {instead}");
    (Found::Problem { start, words: Cow::Owned(words), broken: false }, at)
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

#[cfg(test)]
mod tests;
