//! What an answer of SQLite means.

use std::time::Duration;

use admmgt_core::Error;
use rusqlite::{ErrorCode, ffi};

/// Where an answer came from: enough to say what to do about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The database, for people.
    pub(crate) what: &'a str,
    /// How long SQLite waited for locks before it answered.
    pub(crate) patience: Duration,
}

impl Asked<'_> {
    /// The error of an answer, told apart by SQLite's code, never by its words.
    pub(crate) fn failed(self, action: &str, error: rusqlite::Error) -> Error {
        let Some(code) = error.sqlite_error().cloned() else {
            return match without_literals(&error) {
                Some(words) => Error::database(action, Some(ffi::SQLITE_ERROR.to_string()), words),
                None => Error::database(action, None, error),
            };
        };
        let unreachable = |problem: &str| Error::Unreachable {
            what: self.what.to_owned(),
            problem: format!("{problem} (SQLite says: {error})"),
        };
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy { waited: self.patience },
            ErrorCode::ReadOnly if code.extended_code == ffi::SQLITE_READONLY_DIRECTORY => unreachable(
                "SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its \
                 folder, or keep another connection open, or use `Journal::Keep`",
            ),
            ErrorCode::ReadOnly => read_only(self.what),
            ErrorCode::NotADatabase => {
                unreachable("it is not a SQLite database, or it is encrypted; it was not changed")
            }
            ErrorCode::DatabaseCorrupt => unreachable("the file is damaged; restore it from a backup"),
            ErrorCode::CannotOpen => unreachable("check that the file and its folder can be read and written"),
            ErrorCode::DiskFull => Error::database(
                format!("{action}: the disk is full; free some space and start again"),
                Some(code.extended_code.to_string()),
                error,
            ),
            _ => match without_literals(&error) {
                Some(words) => Error::database(action, Some(code.extended_code.to_string()), words),
                None => Error::database(action, Some(code.extended_code.to_string()), error),
            },
        }
    }
}

/// The words of an error that repeats what may be a secret, without it: the whole statement, or a
/// literal that SQLite did not expect. `None` for errors that may be shown as they are.
pub(crate) fn without_literals(error: &rusqlite::Error) -> Option<String> {
    let text = error.to_string();
    // The variant has a name only with some features of rusqlite, so it is told by its form:
    // `… in <statement> at offset 7`.
    let shown = match (error.sqlite_error(), text.find(" in "), text.rfind(" at offset ")) {
        (None, Some(start), Some(end)) if start < end => format!("{}{}", &text[..start], &text[end..]),
        _ => text.clone(),
    };
    let shown =
        without_token(&shown, "near \"").or_else(|| without_token(&shown, "unrecognized token: \"")).unwrap_or(shown);
    let shown = match shown.split_once(CHECK) {
        Some((before, expression)) => format!("{before}{CHECK}{}", without_texts(expression)),
        None => shown,
    };
    (shown != text).then_some(shown)
}

/// What SQLite says of a constraint without a name: then follows its expression.
const CHECK: &str = "CHECK constraint failed: ";

/// An expression with `…` for each text in it.
fn without_texts(expression: &str) -> String {
    let parts = expression.split('\'').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part } else { "'…'" }).collect()
}

/// The words with `…` for a token in quotes; `None` where there is none, or it is not a literal.
fn without_token(words: &str, before: &str) -> Option<String> {
    let start = words.find(before)? + before.len();
    let token = &words[start..];
    let is_literal = token.starts_with(|first: char| matches!(first, '\'' | '"' | 'x' | 'X') || first.is_ascii_digit());
    // A token that never ends has no quote after it.
    let end = token.rfind('"').filter(|end| *end > 0).unwrap_or(token.len());
    is_literal.then(|| format!("{}…{}", &words[..start], &token[end..]))
}

/// Something may only be read.
pub(crate) fn read_only(what: impl Into<String>) -> Error {
    let advice = "Check the permissions of the file and its folder, and read-only settings".to_owned();
    Error::ReadOnly { what: what.into(), advice }
}

/// The longest wait that SQLite can be asked for.
pub(crate) fn patience(wait: Duration) -> Duration {
    wait.min(Duration::from_millis(i32::MAX as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn literals_are_never_repeated() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("create table users(id integer, password text); create table guarded(a check(a <> 'SECRET'))")
            .unwrap();
        for sql in [
            "update users set password 'SECRET'",
            "update users set password = 'SECRET",
            "update users set passwort = 'SECRET'",
            "insert into users values (1 'SECRET')",
            "select 1 \"SECRET\" \"SECRET\" from users",
            "insert into users values (x'SECRET')",
            "update users set id = 1 0xSECRET",
            "insert into guarded values ('SECRET')",
        ] {
            let error = db.prepare(sql).and_then(|mut statement| statement.execute([])).unwrap_err();
            let words = without_literals(&error).unwrap_or_else(|| error.to_string());
            assert!(!words.contains("SECRET"), "{sql}: {words}");
            let told = Asked { what: "", patience: Duration::ZERO }.failed("running", error).to_string();
            assert!(!told.contains("SECRET"), "{sql}: {told}");
        }
        let plain = db.prepare("select * from nowhere").unwrap_err();
        assert!(Asked { what: "", patience: Duration::ZERO }.failed("running", plain).to_string().contains("nowhere"));
    }
}
