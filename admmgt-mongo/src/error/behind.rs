//! What is behind the error of a body, however it was wrapped.

use admmgt_core::{BoxError, Error, sources};

use super::Answer;
use super::codes::{self, TOO_LARGE, code};
use super::words::{detail, without_values, words};

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
            None => error.downcast_ref().is_some_and(codes::is_transient),
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

    /// An error that an application has made of one, with other words.
    #[test]
    fn words_around_those_of_the_client_are_without_values_too() {
        let error = mongodb::error::Error::custom(5);
        let (said, kind) = (error.to_string(), error.kind.to_string());
        let shown = words(&error);
        assert_eq!(around(&format!("it failed: {said}"), &error), format!("it failed: {shown}"));
        assert_eq!(around(&format!("it failed ({kind})"), &error), format!("it failed ({shown})"));
        assert_eq!(around("it failed for \"SECRET\"", &error), format!("it failed for \"…\": {shown}"));
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
