//! Which code or label an answer has, and what follows from that.

use mongodb::error::{
    CommandError, Error, ErrorKind, InsertManyError, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
    WriteFailure,
};

use super::Answer;

/// What may be gone the next time: 112 write conflict, 24 lock timeout, 251 no such transaction, 246 snapshot unavailable,
/// 225 a transaction that took too long to begin, 262 exceeded time limit, 267 a transaction that is being prepared; of a sharded
/// cluster 13388 and 249 a routing that was out of date, 239 a snapshot that is too old, 46 and 117 a chunk that is just being moved.
pub(super) const TRANSIENT: [i32; 12] = [112, 24, 251, 246, 225, 262, 267, 13388, 249, 239, 46, 117];

/// A transaction that changes too much, or for too long: 257, 388, 290. Done again, it does so again.
pub(super) const TOO_LARGE: [i32; 3] = [257, 388, 290];

/// The server steps down, shuts down, or is no primary (any more): another is asked next.
const NO_PRIMARY: [i32; 14] = [189, 10107, 13435, 13436, 91, 11600, 11602, 10058, 6, 7, 89, 9001, 133, 134];

/// The code of an answer; of its first failed write, where those failed.
pub(crate) fn code(error: &Error) -> Option<i32> {
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
pub(crate) fn is_lost(error: &Error) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::Shutdown
    ) || code(error).is_some_and(|code| NO_PRIMARY.contains(&code))
}

/// Whether a transaction may have been committed, and nobody said so.
pub(crate) fn is_unknown_commit(error: &Error) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// Whether the server has certainly not committed, after a commit was sent to it: the transaction is to be done again, or is too
/// large.
pub(crate) fn is_not_committed(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR) || code(error).is_some_and(|code| TOO_LARGE.contains(&code))
}

/// Whether somebody else has just written the same document.
pub(crate) fn has_collided(error: &Error) -> bool {
    matches!(code(error), Some(11000 | 112))
}

pub(crate) fn is_transient(error: &Error) -> bool {
    let is = |codes: &[i32]| code(error).is_some_and(|code| codes.contains(&code));
    // The label is on what was too large, too, and does not make it smaller.
    is(&TRANSIENT) || is_lost(error) || error.contains_label(TRANSIENT_TRANSACTION_ERROR) && !is(&TOO_LARGE)
}
