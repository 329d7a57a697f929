//! What an answer of PostgreSQL means: told apart by its SQLSTATE, never by its words.

use std::fmt;
use std::time::Duration;

use admmgt_core::{BoxError, Error, sources};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

/// What the server said, in words that may be shown: without the values that a statement held. Which row is in the way is
/// told by [`Answer::detail`] alone, so that nothing that repeats the words puts it on record.
///
/// It stands in [`Error::Database`] and in [`Failure`](admmgt_core::Failure) where a statement of a SQL migration, or
/// one of admmgt's own, failed. A body in Rust has the error of `sqlx` itself.
///
/// ```
/// use admmgt_postgres::Answer;
///
/// fn is_taken(failure: &admmgt_core::Failure) -> bool {
///     failure.error.downcast_ref::<Answer>().is_some_and(|answer| answer.code() == Some("23505"))
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    words: String,
    detail: Option<String>,
    code: Option<String>,
    constraint: Option<String>,
}

impl Answer {
    /// Its SQLSTATE, as listed in appendix A of the PostgreSQL documentation: `23505`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The constraint that was violated, by its name.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// Which row is in the way, of 23503 and 23505: `Key (email)=(ada@example.com) already exists.`
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let answer = answer(error);
        Self {
            words: words(error),
            detail: answer.and_then(detail).map(str::to_owned),
            code: answer.map(|answer| answer.code().to_owned()),
            constraint: answer.and_then(PgDatabaseError::constraint).map(str::to_owned),
        }
    }

    /// The same, and in which line of the statement, where the server says so.
    pub(crate) fn within(error: &sqlx::Error, statement: &str) -> Self {
        let mut all = Self::of(error);
        if let Some(PgErrorPosition::Original(position)) = answer(error).and_then(PgDatabaseError::position) {
            let before = statement.chars().take(position.saturating_sub(1));
            let line = 1 + before.filter(|character| *character == '\n').count();
            if line > 1 {
                all.words.push_str(&format!(", in line {line} of the statement"));
            }
        }
        all
    }

    /// With something to do about it.
    pub(crate) fn and(mut self, advice: &str) -> Self {
        self.words.push_str("; ");
        self.words.push_str(advice);
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

// Without the detail, which is a value.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, detail: _, code, constraint } = self;
        let mut shown = f.debug_struct("Answer");
        shown.field("words", words).field("code", code).field("constraint", constraint).finish_non_exhaustive()
    }
}

impl std::error::Error for Answer {}

/// The server's answer in an error of the client, where it is one.
pub(crate) fn answer(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

/// The server's answer in any error, also where another stands for the client's and leads only to what is behind it.
fn answer_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a PgDatabaseError> {
    if let Some(client) = error.downcast_ref() {
        return answer(client);
    }
    let bare = error.downcast_ref::<Box<dyn sqlx::error::DatabaseError>>();
    bare.and_then(|bare| bare.try_downcast_ref()).or_else(|| error.downcast_ref())
}

/// Whether an error holds the client's own words, which may be a whole row.
pub(crate) fn is_the_clients(error: &BoxError) -> bool {
    sources(&**error).any(|error| error.is::<Answer>() || error.is::<sqlx::Error>() || answer_in(error).is_some())
}

/// The SQLSTATE of an error; empty where the server did not answer.
pub(crate) fn code(error: &sqlx::Error) -> &str {
    answer(error).map_or("", PgDatabaseError::code)
}

/// Whether the connection is of no use any more.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => true,
        // A fatal answer is the last one of its connection. (Class 08 alone can be of a foreign server's.)
        _ => {
            let severity = answer(error).map(PgDatabaseError::severity);
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
        }
    }
}

/// An error without the values that its statement held.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match (answer(error), error) {
        (Some(answer), _) => answered(answer),
        (None, sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".to_owned()
        }
        (None, sqlx::Error::Io(error)) => error.to_string(),
        (None, other) => other.to_string(),
    }
}

fn answered(answer: &PgDatabaseError) -> String {
    let (code, message) = (answer.code(), answer.message());
    let mut text = match code {
        // Data exceptions and a syntax error repeat what they did not like.
        _ if (code.starts_with("22") || code == "42601") && message.contains(OTHER_QUOTES) => {
            // In another language, what stands where is not known.
            "a value or the syntax is not right".to_owned()
        }
        _ if code.starts_with("22") => without_quoted(message, |_| true),
        "42601" => without_quoted(message, is_literal),
        _ => message.to_owned(),
    };
    text.push_str(&format!(" (SQLSTATE {code})"));
    if let Some(advice) = advice(code) {
        text.push_str("; ");
        text.push_str(advice);
    }
    text
}

/// Which row is in the way, where that is what one has to know.
fn detail(answer: &PgDatabaseError) -> Option<&str> {
    answer.detail().filter(|_| matches!(answer.code(), "23505" | "23503"))
}

/// What to do about an answer, where its words do not say.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "55P04" => "a new value of an enum can be used after its commit only: add it in a migration of its own",
        "57014" => "allow more with `Policy::statement_timeout`, if that was the reason",
        "55P03" => {
            "another transaction has the lock; find it in `pg_stat_activity`, or wait longer with `Policy::lock_timeout`"
        }
        "53100" => "the server's disk is full; free some space and start again",
        "25P02" => "the body went on after an error of the database, and nothing it did afterwards could be done",
        _ => return None,
    })
}

/// How the server's translations quote.
const OTHER_QUOTES: [char; 8] = ['«', '»', '„', '“', '”', '‘', '’', '‚'];

fn is_literal(token: &str) -> bool {
    token.starts_with(|first: char| matches!(first, '\'' | '$') || first.is_ascii_digit())
        || token.starts_with(['E', 'e', 'U', 'u', 'B', 'b', 'X', 'x', 'N', 'n']) && token.contains('\'')
}

/// Words with `…` for what stands in double quotes and is not to be shown.
fn without_quoted(words: &str, hidden: impl Fn(&str) -> bool) -> String {
    // From the first quote to the last: the value may hold quotes itself.
    match (words.find('"'), words.rfind('"')) {
        (Some(first), Some(last)) if first < last && hidden(&words[first + 1..last]) => {
            format!("{}\"…\"{}", &words[..first], &words[last + 1..])
        }
        _ => words.to_owned(),
    }
}

/// Whose answer it was: enough to say what to do about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The database, for people.
    pub(crate) what: &'a str,
    /// How long the server waited for locks before it answered.
    pub(crate) patience: Duration,
}

impl Asked<'_> {
    /// The error of an answer to SQL of ours.
    pub(crate) fn failed(self, action: &str, error: &sqlx::Error) -> Error {
        if is_lost(error) {
            return self.lost(error);
        }
        match code(error) {
            "55P03" => Error::Busy { waited: self.patience },
            "25006" => self.read_only(),
            "42501" => Error::NotAllowed {
                action: action.to_owned(),
                problem: format!("{}; {}", words(error), crate::place::GRANTS),
            },
            "23505" if answer(error).and_then(PgDatabaseError::table) == Some(admmgt_core::stored::HISTORY) => {
                Error::HistoryMoved { problem: "a record with the next number is there already".to_owned() }
            }
            _ => match marked(error) {
                Some(Marked::LeaseLost) => Error::LeaseLost {
                    problem: "this connection does not have it any more: it was handed back by hand, by \
                              `pg_advisory_unlock_all()`, or its row has a newer token"
                        .to_owned(),
                },
                Some(Marked::HistoryMoved) => {
                    Error::HistoryMoved { problem: "somebody else has written records since it was read".to_owned() }
                }
                None => {
                    let answer = Answer::of(error);
                    Error::database(action, answer.code.clone(), answer)
                }
            },
        }
    }

    pub(crate) fn lost(self, error: &sqlx::Error) -> Error {
        Error::ConnectionLost { what: self.what.to_owned(), problem: words(error) }
    }

    pub(crate) fn read_only(self) -> Error {
        let advice = "It is a standby, or `default_transaction_read_only` is set; connect to the primary, or look at \
                      `show default_transaction_read_only`"
            .to_owned();
        Error::ReadOnly { what: self.what.to_owned(), advice }
    }

    /// Why there is no connection.
    pub(crate) fn unconnected(self, error: &sqlx::Error) -> Error {
        let (what, said) = (self.what.to_owned(), words(error));
        let unreachable =
            |advice: &str| Error::Unreachable { what: what.clone(), problem: format!("{said}; {advice}") };
        match error {
            sqlx::Error::Io(error) => match error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    unreachable("nothing listens there; check host and port, and whether the server runs")
                }
                std::io::ErrorKind::NotFound => {
                    unreachable("there is no such socket; check the path, and whether the server runs")
                }
                std::io::ErrorKind::PermissionDenied => unreachable("the socket may not be used by this user"),
                _ if said.contains("lookup") => unreachable("the name of the host cannot be resolved; check it"),
                _ => unreachable("the server ended the conversation; look at its log"),
            },
            sqlx::Error::Tls(_) => unreachable(
                "the connection cannot be encrypted; check `sslmode` and the certificates, and that the \
                 feature `tls-rustls` is on",
            ),
            _ => match code(error) {
                "28P01" | "28000" | "42501" => Error::Rejected { what, problem: said },
                "3D000" => unreachable("create the database first"),
                "53300" => Error::Crowded { what, problem: said },
                "57P03" => unreachable("the server starts, stops or recovers"),
                "08P01" => Error::Rejected { what, problem: said },
                _ => Error::Unreachable { what, problem: said },
            },
        }
    }
}

/// Whether another try may find the server ready.
pub(crate) fn is_worth_another_try(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    match error {
        sqlx::Error::Io(error) => {
            matches!(error.kind(), ConnectionRefused | ConnectionReset | ConnectionAborted | NotFound | UnexpectedEof)
        }
        other => matches!(code(other), "53300" | "57P03" | "57P01" | "57P02"),
    }
}

/// What our own assertions fail with: the server has no statement that raises an error, so a text is read as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    LeaseLost,
    HistoryMoved,
}

impl Marked {
    /// The text that is no number.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::LeaseLost => "admmgt: the lease is lost",
            Self::HistoryMoved => "admmgt: the history has moved",
        }
    }
}

fn marked(error: &sqlx::Error) -> Option<Marked> {
    let message = answer(error).filter(|answer| answer.code() == "22P02")?.message();
    [Marked::LeaseLost, Marked::HistoryMoved].into_iter().find(|mark| message.contains(mark.text()))
}

/// Whether everything rolled back may go well the next time: 40001 serialization failure, 40P01 deadlock, 55P03 a
/// lock that was not had in time.
pub(crate) fn is_transient(error: &BoxError) -> bool {
    let is = |code: &str| matches!(code, "40001" | "40P01" | "55P03");
    sources(&**error).any(|error| match error.downcast_ref::<Error>() {
        Some(Error::Busy { .. }) => true,
        Some(Error::Database { code, .. }) => code.as_deref().is_some_and(is),
        _ => match error.downcast_ref::<Answer>() {
            Some(answer) => answer.code().is_some_and(is),
            None => answer_in(error).is_some_and(|answer| is(answer.code())),
        },
    })
}

/// The error that a call of ours was wrapped around; the error itself, where there is none.
fn within(error: &BoxError) -> &BoxError {
    match error.downcast_ref() {
        Some(Error::Database { error, .. }) => within(error),
        _ => error,
    }
}

/// An error of a body in words for whoever called: with the row that is in the way.
pub(crate) fn explain(error: &BoxError) -> String {
    let behind = |error: &(dyn std::error::Error + 'static)| match error.downcast_ref::<Answer>() {
        Some(answer) => answer.detail.clone(),
        None => answer_in(error).and_then(detail).map(str::to_owned),
    };
    let detail = sources(&**error).find_map(behind);
    detail.map_or_else(|| describe(error), |detail| format!("{}: {detail}", describe(error)))
}

/// An error of a body in words that may be put on record.
pub(crate) fn describe(error: &BoxError) -> String {
    let error = within(error);
    // Words of the body's own around the client's would repeat the client's as they are.
    let text = error.to_string();
    for error in sources(&**error) {
        if let Some(answer) = answer_in(error) {
            return around(text, answer);
        }
        if let Some(client) = error.downcast_ref::<sqlx::Error>() {
            return text.replace(&client.to_string(), &words(client));
        }
    }
    text
}

/// Words around those of an answer, which mostly end with them.
fn around(text: String, answer: &PgDatabaseError) -> String {
    let (message, shown) = (answer.message(), answered(answer));
    // As the client says it in its two ways, and as the server does.
    let said = [format!("error returned from database: {answer}"), answer.to_string(), message.to_owned()];
    for said in &said {
        if let Some(own) = text.strip_suffix(said) {
            return format!("{own}{shown}");
        }
    }
    // A message that is shown as it is has nothing to be taken out.
    if shown.contains(message) { text } else { text.replace(message, &shown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_quotes_are_not_shown() {
        let shown = without_quoted("invalid input syntax for type integer: \"SEC\"RET\"", |_| true);
        assert_eq!(shown, "invalid input syntax for type integer: \"…\"");
        assert_eq!(without_quoted("syntax error at or near \"'SECRET'\"", is_literal), "syntax error at or near \"…\"");
        assert_eq!(without_quoted("syntax error at or near \"frm\"", is_literal), "syntax error at or near \"frm\"");
        assert_eq!(without_quoted("syntax error at end of input", is_literal), "syntax error at end of input");
    }

    #[test]
    fn what_may_be_gone_the_next_time_is_found_behind_other_errors() {
        let answer =
            |code: &str| Answer { words: String::new(), detail: None, code: Some(code.to_owned()), constraint: None };
        assert!(is_transient(&Box::from(answer("40P01"))));
        assert!(!is_transient(&Box::from(answer("23505"))));
        let within = Error::database("running a statement", Some("40001".to_owned()), answer("40001"));
        assert!(is_transient(&Box::from(within)));
        assert!(is_transient(&std::io::Error::other(answer("40001")).into()));
        assert!(is_transient(&std::io::Error::other(Error::Busy { waited: Duration::ZERO }).into()));
        assert!(!is_transient(&std::io::Error::other(answer("23505")).into()));
        assert!(!is_transient(&"nothing of the database's".into()));
    }
}
