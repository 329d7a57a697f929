//! What an answer of SQLite means.

use std::time::Duration;

use admmgt_core::{BoxError, Error, sources};
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
    let shown = redacted(&text, error.sqlite_error().is_none());
    (shown != text).then_some(shown)
}

/// The same of its words, or of words around them.
fn redacted(text: &str, may_hold_the_statement: bool) -> String {
    // The variant has a name only with some features of rusqlite, so it is told by its form:
    // `… in <statement> at offset 7`.
    let shown = match (text.find(" in "), text.rfind(" at offset ")) {
        (Some(start), Some(end)) if may_hold_the_statement && start < end => {
            format!("{}{}", &text[..start], &text[end..])
        }
        _ => text.to_owned(),
    };
    let shown =
        without_token(&shown, "near \"").or_else(|| without_token(&shown, "unrecognized token: \"")).unwrap_or(shown);
    match shown.split_once(CHECK) {
        Some((before, expression)) => format!("{before}{CHECK}{}", without_texts(expression)),
        None => shown,
    }
}

/// An error of a body in words that may be put on record.
pub(crate) fn describe(error: &BoxError) -> String {
    let text = error.to_string();
    let client = sources(&**error).find_map(<dyn std::error::Error>::downcast_ref::<rusqlite::Error>);
    match client.map(|client| (client, without_literals(client))) {
        Some((client, Some(words))) => text.replace(&client.to_string(), &words),
        Some((_, None)) => text,
        // An error that stands for the client's leads only to what is behind it.
        None if is_the_clients(error) => redacted(&text, true),
        None => text,
    }
}

/// Whether an error holds the client's own words, which may be a whole statement.
pub(crate) fn is_the_clients(error: &BoxError) -> bool {
    sources(&**error).any(|error| error.is::<rusqlite::Error>() || error.is::<ffi::Error>())
}

/// Whether everything rolled back may go well the next time.
pub(crate) fn is_transient(error: &BoxError) -> bool {
    sources(&**error).any(|error| {
        let client = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
        let code = client.or_else(|| error.downcast_ref().map(|error: &ffi::Error| error.code));
        matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            || matches!(error.downcast_ref(), Some(Error::Busy { .. }))
    })
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

    #[test]
    fn what_may_be_gone_the_next_time_is_found_behind_other_errors() {
        let client = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(is_transient(&client(ffi::SQLITE_BUSY).into()));
        assert!(is_transient(&std::io::Error::other(client(ffi::SQLITE_LOCKED)).into()));
        // As an error does that stands for the client's.
        assert!(is_transient(&ffi::Error::new(ffi::SQLITE_BUSY).into()));
        assert!(is_transient(&std::io::Error::other(Error::Busy { waited: Duration::ZERO }).into()));
        assert!(!is_transient(&client(ffi::SQLITE_CONSTRAINT).into()));
        assert!(!is_transient(&"nothing of the database's".into()));
    }
}
