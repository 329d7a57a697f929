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
            return match without_statement(&error) {
                Some(words) => Error::database(action, Some(i64::from(ffi::SQLITE_ERROR)), words),
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
            ErrorCode::ReadOnly => Error::ReadOnly { what: self.what.to_owned() },
            ErrorCode::NotADatabase => {
                unreachable("it is not a SQLite database, or it is encrypted; it was not changed")
            }
            ErrorCode::DatabaseCorrupt => unreachable("the file is damaged; restore it from a backup"),
            ErrorCode::CannotOpen => unreachable("check that the file and its folder can be read and written"),
            ErrorCode::DiskFull => Error::database(
                format!("{action}: the disk is full; free some space and start again"),
                Some(i64::from(code.extended_code)),
                error,
            ),
            _ => Error::database(action, Some(i64::from(code.extended_code)), error),
        }
    }
}

/// The words of an error that repeats the whole statement (`msg in SQL at offset 7`), without it: its
/// literals may be secrets. `None` for errors of other kinds. The variant has a name only with some
/// features of rusqlite, so it is told by its form.
pub(crate) fn without_statement(error: &rusqlite::Error) -> Option<String> {
    if error.sqlite_error().is_some() {
        return None;
    }
    let text = error.to_string();
    let (start, end) = (text.find(" in ")?, text.rfind(" at offset ")?);
    (start < end).then(|| format!("{}{}", &text[..start], &text[end..]))
}

/// The longest wait that SQLite can be asked for.
pub(crate) fn patience(wait: Duration) -> Duration {
    wait.min(Duration::from_millis(i32::MAX as u64))
}
