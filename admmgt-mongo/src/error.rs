//! What an answer of MongoDB means: told apart by its code and its labels, never by its words.

use std::fmt;
use std::time::Duration;

use admmgt_core::Error;
use mongodb::error::ErrorKind;

mod behind;
mod codes;
mod words;

pub(crate) use self::behind::{describe, explain, is_the_clients, is_too_large, is_transient};
use self::codes::TRANSIENT;
pub(crate) use self::codes::{code, has_collided, is_lost, is_not_committed, is_unknown_commit};
pub(crate) use self::words::words;
use self::words::{detail, key_in, told};

/// What the server said, in words that may be shown: without the values that a command held.
///
/// It stands in [`Error::Database`] and in [`Failure`](admmgt_core::Failure) where a command of a JSON migration, or one of
/// admmgt's own, failed. A body in Rust has the error of [`mongodb`] itself; only where a reply to
/// [`MongoSession::run_command`](crate::MongoSession::run_command) was fine and told of a write that failed, there is one of these
/// in it: `error.get_custom::<Answer>()`.
///
/// ```
/// use admmgt_mongo::Answer;
///
/// fn is_taken(failure: &admmgt_core::Failure) -> bool {
///     failure.error.downcast_ref::<Answer>().is_some_and(|answer| answer.code() == Some(11000))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    words: String,
    /// What is in the way; told to whoever called, and never put on record.
    detail: Option<String>,
    code: Option<i32>,
    is_transient: bool,
}

impl Answer {
    /// Its code, as listed in the server's `error_codes.yml`: 11000.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Which documents or values are in the way, where the server or a step has found that out. It holds what stands in the
    /// database.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    pub(crate) fn of(error: &mongodb::error::Error) -> Self {
        let is_transient = codes::is_transient(error);
        Self { words: words(error), detail: detail(error), code: code(error), is_transient }
    }

    /// What a step has found out by itself.
    pub(crate) fn found(words: String, detail: String) -> Self {
        Self { words, detail: Some(detail), code: None, is_transient: false }
    }

    /// As the error of what was being done.
    pub(crate) fn while_doing(self, action: &str) -> Error {
        Error::database(action, self.code.map(|code| code.to_string()), self)
    }

    /// What a reply says in itself: a write of several can fail in a reply that is `ok`.
    pub(crate) fn replied(code: i32, message: &str) -> Self {
        let (words, detail) = (told(code, message), key_in(code, message).map(str::to_owned));
        Self { words, detail, code: Some(code), is_transient: TRANSIENT.contains(&code) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Answer {}

/// Whose answer it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The database, for people.
    pub(crate) what: &'a str,
}

impl Asked<'_> {
    /// The error of an answer to a command of ours.
    pub(crate) fn failed(self, action: &str, error: &mongodb::error::Error) -> Error {
        let (what, said) = (self.what.to_owned(), words(error));
        match (error.kind.as_ref(), code(error)) {
            (ErrorKind::Authentication { .. }, _) | (_, Some(18)) => Error::Rejected { what, problem: said },
            (
                ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. } | ErrorKind::InvalidTlsConfig { .. },
                _,
            ) => {
                let problem = format!("{said}; check host and port, and whether the server runs and has a primary");
                Error::Unreachable { what, problem }
            }
            // Outside of a transaction the server tries such a write again by itself, and mostly has its way.
            (_, Some(112)) => Error::Busy { waited: Duration::ZERO },
            (_, Some(13)) => Error::NotAllowed { action: action.to_owned(), problem: said },
            _ if is_lost(error) => Error::ConnectionLost { what, problem: said },
            _ => Answer::of(error).while_doing(action),
        }
    }

    pub(crate) fn read_only(self) -> Error {
        let advice =
            "It is a secondary: connect to the whole replica set (`replicaSet=…`, without `directConnection`), or to \
                      its primary"
                .to_owned();
        Error::ReadOnly { what: self.what.to_owned(), advice }
    }
}
