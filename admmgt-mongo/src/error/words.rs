//! What an answer says, in words that may be shown: without the values that stand in it.

use mongodb::error::{Error, ErrorKind, InsertManyError, WriteFailure};

use super::Answer;

/// The codes whose words name what stands in the database's schema, and never a value.
const HARMLESS: [i32; 22] =
    [11, 18, 20, 26, 27, 48, 50, 59, 72, 73, 112, 115, 166, 189, 244, 246, 251, 257, 263, 388, 8000, 10107];

/// An error without the values that its command held.
pub(crate) fn words(error: &Error) -> String {
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

pub(super) fn told(code: i32, message: &str) -> String {
    let mut words = if HARMLESS.contains(&code) { message.to_owned() } else { without_values(message) };
    words.push_str(&format!(" (code {code})"));
    if let Some(advice) = advice(code) {
        words.push_str("; ");
        words.push_str(advice);
    }
    words
}

/// The key that is there twice, where that is what was wrong.
pub(super) fn key_in(code: i32, message: &str) -> Option<&str> {
    message.find("dup key:").filter(|_| code == 11000).map(|at| &message[at..])
}

pub(super) fn detail(error: &Error) -> Option<String> {
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
        10334 => "a document, and a command but for its documents, has 16 MB at most: make several of it",
        14031 => "the server's disk is full; free some space and start again",
        _ => return None,
    })
}

/// Words with `…` for what stands in quotes, braces and brackets: there values are repeated.
pub(super) fn without_values(message: &str) -> String {
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
            ("no such index in [ \"SECRET\", 5 ] here", "no such index in […] here"),
            ("plain", "plain"),
            ("open { SECRET", "open {…"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn what_can_be_done_about_an_answer_is_said() {
        for (code, words) in [(14031, "free some space"), (10334, "16 MB"), (13, "readWrite"), (48, "")] {
            let told = told(code, "it says");
            assert!(told.starts_with(&format!("it says (code {code})")) && told.contains(words), "{told}");
        }
        let custom = Error::custom("of an application, with \"SECRET\"");
        assert_eq!(words(&custom), "Custom user error");
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
}
