//! What an answer of MongoDB means: told apart by its code and its labels, never by its words.

use std::fmt;
use std::time::Duration;

use admmgt_core::{BoxError, Error, sources};
use mongodb::error::{
    CommandError, ErrorKind, InsertManyError, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
    WriteFailure,
};

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
        let is_transient = is_transient_answer(error);
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

/// What may be gone the next time: 112 write conflict, 24 lock timeout, 251 no such transaction, 246 snapshot unavailable,
/// 225 a transaction that took too long to begin, 262 exceeded time limit, 267 a transaction that is being prepared; of a sharded
/// cluster 13388 and 249 a routing that was out of date, 239 a snapshot that is too old, 46 and 117 a chunk that is just being moved.
const TRANSIENT: [i32; 12] = [112, 24, 251, 246, 225, 262, 267, 13388, 249, 239, 46, 117];

/// A transaction that changes too much, or for too long: 257, 388, 290. Done again, it does so again.
const TOO_LARGE: [i32; 3] = [257, 388, 290];

/// The server steps down, shuts down, or is no primary (any more): another is asked next.
const NO_PRIMARY: [i32; 14] = [189, 10107, 13435, 13436, 91, 11600, 11602, 10058, 6, 7, 89, 9001, 133, 134];

/// The code of an answer; of its first failed write, where those failed.
pub(crate) fn code(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(CommandError { code, .. }) => Some(*code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        ErrorKind::InsertMany(InsertManyError { write_errors, write_concern_error, .. }) => {
            let first = write_errors.as_ref().and_then(|errors| errors.first()).map(|error| error.code);
            first.or_else(|| write_concern_error.as_ref().map(|error| error.code))
        }
        ErrorKind::Custom(_) => error.get_custom::<Answer>().and_then(Answer::code),
        _ => None,
    }
}

/// Whether the answer never came, or no server can give one.
pub(crate) fn is_lost(error: &mongodb::error::Error) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::Shutdown
    ) || code(error).is_some_and(|code| NO_PRIMARY.contains(&code))
}

/// Whether a transaction may have been committed, and nobody said so.
pub(crate) fn is_unknown_commit(error: &mongodb::error::Error) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// Whether the server has certainly not committed, after a commit was sent to it: the transaction is to be done again, or is too
/// large.
pub(crate) fn is_not_committed(error: &mongodb::error::Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR) || code(error).is_some_and(|code| TOO_LARGE.contains(&code))
}

/// Whether nothing else was wrong with an insert of many but that some of them are there already.
pub(crate) fn is_taken_only(error: &mongodb::error::Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), write_concern_error: None, .. }) => {
            errors.iter().all(|error| error.code == 11000)
        }
        _ => false,
    }
}

fn is_transient_answer(error: &mongodb::error::Error) -> bool {
    let is = |codes: &[i32]| code(error).is_some_and(|code| codes.contains(&code));
    // The label is on what was too large, too, and does not make it smaller.
    is(&TRANSIENT) || is_lost(error) || error.contains_label(TRANSIENT_TRANSACTION_ERROR) && !is(&TOO_LARGE)
}

/// The codes whose words name what stands in the database's schema, and never a value.
const HARMLESS: [i32; 22] =
    [11, 18, 20, 26, 27, 48, 50, 59, 72, 73, 112, 115, 166, 189, 244, 246, 251, 257, 263, 388, 8000, 10107];

/// An error without the values that its command held.
pub(crate) fn words(error: &mongodb::error::Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => told(error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteError(error)) => told(error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            format!("{}; it is not known to be safe on a majority of the servers", told(error.code, &error.message))
        }
        ErrorKind::InsertMany(InsertManyError { write_errors, write_concern_error, .. }) => {
            match (write_errors.as_ref().and_then(|errors| errors.first()), write_concern_error) {
                (Some(first), _) => told(first.code, &first.message),
                (None, Some(error)) => told(error.code, &error.message),
                (None, None) => "a document could not be inserted".to_owned(),
            }
        }
        ErrorKind::Io(error) => format!("the conversation with the server ended: {error}"),
        ErrorKind::BulkWrite(_) => "a write of several failed".to_owned(),
        ErrorKind::BsonDeserialization(_) | ErrorKind::BsonSerialization(_) => {
            "a document is not of the type that was asked for".to_owned()
        }
        ErrorKind::Transaction { message, .. } | ErrorKind::Internal { message, .. } => without_values(message),
        ErrorKind::Authentication { message, .. }
        | ErrorKind::ServerSelection { message, .. }
        | ErrorKind::ConnectionPoolCleared { message, .. }
        | ErrorKind::DnsResolve { message, .. }
        | ErrorKind::IncompatibleServer { message, .. }
        | ErrorKind::InvalidTlsConfig { message, .. } => message.clone(),
        other => match error.get_custom::<Answer>() {
            Some(answer) => answer.to_string(),
            None => without_values(&other.to_string()),
        },
    }
}

fn told(code: i32, message: &str) -> String {
    let mut words = if HARMLESS.contains(&code) { message.to_owned() } else { without_values(message) };
    words.push_str(&format!(" (code {code})"));
    if let Some(advice) = advice(code) {
        words.push_str("; ");
        words.push_str(advice);
    }
    words
}

/// The key that is there twice, where that is what was wrong.
fn key_in(code: i32, message: &str) -> Option<&str> {
    message.find("dup key:").filter(|_| code == 11000).map(|at| &message[at..])
}

fn detail(error: &mongodb::error::Error) -> Option<String> {
    let found = match error.kind.as_ref() {
        ErrorKind::Command(error) => key_in(error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteError(error)) => key_in(error.code, &error.message),
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => {
            errors.first().and_then(|first| key_in(first.code, &first.message))
        }
        _ => error.get_custom::<Answer>().and_then(Answer::detail),
    };
    found.map(str::to_owned)
}

/// What to do about an answer, where its words do not say.
fn advice(code: i32) -> Option<&'static str> {
    Some(match code {
        11000 => "take away or change the documents that have the same key",
        121 => "the document does not fit the validator of its collection",
        251 | 290 => {
            "an error within the body has ended the transaction, or it took longer than the server allows (a minute): do not \
             swallow errors, and give long work `transaction = \"none\"`, or a backfill"
        }
        13 => "migrate as a user who may (`readWrite` and `dbAdmin` on the database)",
        50 | 262 => "allow more with `Policy::statement_timeout`, if that was the reason",
        61 => "the collection is sharded: name its shard key in the filter",
        26 => "make it first (`createCollection`)",
        67 => {
            "a unique index of a sharded collection begins with the shard key; a collection has one text index; elsewhere its \
             options do not fit one another"
        }
        72 | 263 => "where it runs in a transaction, give the migration `transaction = \"none\"`",
        85 | 86 => {
            "an index of that name or on these keys is there and is another one: replace it (`replaceIndex`), or give it another \
             name"
        }
        257 | 388 => "it is too large for one transaction: change the documents in batches, with a backfill",
        14031 => "the server's disk is full; free some space and start again",
        _ => return None,
    })
}

/// Words with `…` for what stands in quotes, braces and brackets: there values are repeated.
fn without_values(message: &str) -> String {
    let mut words = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((at, open)) = opening(rest) {
        let (before, within) = rest.split_at(at + open.len_utf8());
        words.push_str(before);
        words.push('…');
        let close = match open {
            '{' => '}',
            '[' => ']',
            quote => quote,
        };
        // To the last one: the value may hold some itself.
        let Some(end) = within.rfind(close) else { return words };
        words.push(close);
        rest = &within[end + close.len_utf8()..];
    }
    words.push_str(rest);
    words
}

/// Where the first quote or brace is. An apostrophe within a word is none: `can't`.
fn opening(text: &str) -> Option<(usize, char)> {
    let mut before = ' ';
    text.char_indices().find(|(_, letter)| {
        let opens = matches!(letter, '{' | '[' | '"') || *letter == '\'' && !before.is_alphanumeric();
        before = *letter;
        opens
    })
}

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

/// Whether an error holds the client's own words, which may be a whole document.
pub(crate) fn is_the_clients(error: &BoxError) -> bool {
    sources(&**error).any(|error| error.is::<mongodb::error::Error>())
}

/// Whether everything rolled back may go well the next time.
pub(crate) fn is_transient(error: &BoxError) -> bool {
    sources(&**error).any(|error| match error.downcast_ref::<Error>() {
        Some(Error::Busy { .. }) => true,
        _ => match error.downcast_ref::<Answer>() {
            Some(answer) => answer.is_transient,
            None => error.downcast_ref().is_some_and(is_transient_answer),
        },
    })
}

/// Whether the transaction was too large, so that a smaller one may go well.
pub(crate) fn is_too_large(error: &BoxError) -> bool {
    sources(&**error).any(|error| {
        let client = || error.downcast_ref().and_then(code);
        let code = error.downcast_ref().map_or_else(client, |answer: &Answer| answer.code);
        code.is_some_and(|code| TOO_LARGE.contains(&code))
    })
}

/// An error of a body in words for whoever called: with what is in the way.
pub(crate) fn explain(error: &BoxError) -> String {
    let behind = |error: &(dyn std::error::Error + 'static)| match error.downcast_ref::<Answer>() {
        Some(answer) => answer.detail.clone(),
        None => error.downcast_ref().and_then(detail),
    };
    let detail = sources(&**error).find_map(behind);
    detail.map_or_else(|| describe(error), |detail| format!("{}: {detail}", describe(error)))
}

/// An error of a body in words that may be put on record.
pub(crate) fn describe(error: &BoxError) -> String {
    // What was only being done, and by whom, is said by whoever repeats these words.
    let error = match error.downcast_ref() {
        Some(Error::Database { error, .. }) => error,
        _ => error,
    };
    let text = error.to_string();
    for error in sources(&**error) {
        if let Some(client) = error.downcast_ref() {
            return around(&text, client);
        }
    }
    text
}

/// Words around those of the client.
fn around(text: &str, client: &mongodb::error::Error) -> String {
    let (said, shown) = (client.to_string(), words(client));
    if text.contains(&said) {
        return text.replace(&said, &shown);
    }
    // Where the text does not repeat the client's words as they are, it may repeat a part of them.
    let kind = client.kind.to_string();
    if text.contains(&kind) { text.replace(&kind, &shown) } else { format!("{}: {shown}", without_values(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        for (message, shown) in [
            (
                "E11000 duplicate key error collection: x.c index: _id_ dup key: { a: \"SECRET\" }",
                "E11000 duplicate key error collection: x.c index: _id_ dup key: {…}",
            ),
            ("Failed to parse number 'SECRET' in $convert", "Failed to parse number '…' in $convert"),
            ("it can't be 'SEC'RET' here", "it can't be '…' here"),
            ("plain", "plain"),
            ("open { SECRET", "open {…"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    /// As the server says it, with the whole command.
    #[test]
    fn a_command_that_was_not_allowed_is_not_repeated() {
        let said = "not authorized on shop to execute command { update: \"users\", updates: [ { u: { $set: { token: \"SECRET\" } } } ] }";
        let answer = Answer::replied(13, said).to_string();
        assert!(
            answer.starts_with("not authorized on shop to execute command {…} (code 13); migrate as a user"),
            "{answer}"
        );
    }

    /// F114: as a sharded cluster answers; there is none among the test servers.
    #[test]
    fn what_a_sharded_cluster_refuses_is_told_with_what_to_do() {
        for (code, reply, words) in [
            (
                67,
                "cannot create unique index over { email: 1.0 } with shard key pattern { region: 1.0 }",
                "cannot create unique index over {…} (code 67); a unique index of a sharded collection begins with the shard key",
            ),
            (61, "Query for sharded findAndModify must contain the shard key", "name its shard key in the filter"),
            (290, "Transaction was aborted because it exceeded transactionLifetimeLimitSeconds", "or a backfill"),
            (
                257,
                "Total size of all transaction operations must be less than 16793600",
                "change the documents in batches",
            ),
        ] {
            let answer = Answer::replied(code, reply);
            assert!(answer.to_string().contains(words), "{answer}");
        }
        for (code, reply) in [
            (13388, "sharding status of collection shop.users is not currently known and needs to be recovered"),
            (249, "version mismatch detected for database shop"),
            (117, "Collection shop.users is currently migrating a chunk"),
        ] {
            assert!(is_transient(&Answer::replied(code, reply).into()), "{code}");
        }
    }

    #[test]
    fn what_was_too_large_is_known_and_is_not_gone_the_next_time() {
        for code in TOO_LARGE {
            let error: BoxError = Error::database("running", None, Answer::replied(code, "")).into();
            assert!(is_too_large(&error) && !is_transient(&error), "{code}");
        }
        assert!(!is_too_large(&Answer::replied(112, "").into()) && !is_too_large(&"nothing of the database's".into()));
    }

    #[test]
    fn what_may_be_gone_the_next_time_is_known_by_its_code() {
        assert!(is_transient(&Answer::replied(112, "WriteConflict").into()));
        assert!(!is_transient(&Answer::replied(11000, "E11000").into()));
        assert!(is_transient(&std::io::Error::other(Answer::replied(112, "")).into()));
        assert!(is_transient(&Error::database("running", None, Answer::replied(251, "")).into()));
        assert!(!is_transient(&"nothing of the database's".into()));
    }
}
