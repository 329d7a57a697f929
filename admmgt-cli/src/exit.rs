//! Which code the program exits with.

use std::process::ExitCode;

use admmgt::{Error, ErrorKind, Refusal, Standing, Status, StatusRow};

/// A migration failed.
pub(crate) const FAILED: u8 = 1;
/// The words, the configuration or the migrations themselves are wrong.
pub(crate) const USAGE: u8 = 2;
/// Something is pending.
pub(crate) const PENDING: u8 = 3;
/// What was applied is not what is there now.
pub(crate) const DRIFT: u8 = 4;
/// Another migrator did not finish in time.
pub(crate) const LEASE: u8 = 5;
/// Something was interrupted and waits for a person.
pub(crate) const INTERRUPTED: u8 = 6;
/// Refused by policy, or because there is no way back.
pub(crate) const REFUSED: u8 = 8;
/// The database cannot be reached.
pub(crate) const UNREACHABLE: u8 = 9;

/// Where several hold, the first of these.
const ORDER: [u8; 6] = [UNREACHABLE, USAGE, INTERRUPTED, DRIFT, REFUSED, PENDING];

/// What clap says: help and version are no errors.
pub(crate) fn of_words(error: &clap::Error) -> ExitCode {
    // A closed pipe is the reader's affair.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

pub(crate) fn of_error(error: &Error) -> u8 {
    match error {
        Error::Refused { refusals } => {
            let codes: Vec<u8> = refusals.iter().map(of_refusal).collect();
            ORDER.into_iter().find(|code| codes.contains(code)).unwrap_or(REFUSED)
        }
        Error::Stopped { cause, .. } => of_error(cause),
        other => match other.kind() {
            ErrorKind::Interrupted => INTERRUPTED,
            ErrorKind::Busy => LEASE,
            ErrorKind::Pending => PENDING,
            ErrorKind::Unavailable => UNREACHABLE,
            ErrorKind::State => DRIFT,
            ErrorKind::Usage => USAGE,
            _ => FAILED,
        },
    }
}

/// The first of several that hold; 0 if none does.
pub(crate) fn first(codes: &[u8]) -> u8 {
    ORDER.into_iter().find(|code| codes.contains(code)).unwrap_or_default()
}

/// The first of what is not as it should be.
pub(crate) fn of_status(status: &Status) -> u8 {
    let any = |is_so: fn(&StatusRow) -> bool| status.migrations.iter().any(is_so);
    if any(|row| matches!(row.standing, Standing::Interrupted { .. })) {
        INTERRUPTED
    } else if any(|row| row.edited && !row.again && !row.held_back) {
        DRIFT
    } else if any(|row| row.is_open() || row.held_back) {
        PENDING
    } else {
        0
    }
}

fn of_refusal(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Interrupted { .. } | Refusal::ResumeDiffers { .. } => INTERRUPTED,
        Refusal::Edited { .. } | Refusal::Renamed { .. } | Refusal::Missing { .. } => DRIFT,
        Refusal::OutOfOrder { .. }
        | Refusal::DependencyPending { .. }
        | Refusal::Ungroupable { .. }
        | Refusal::NoTransactions { .. }
        | Refusal::OnlyInTransactions { .. }
        | Refusal::Irreversible { .. }
        | Refusal::StillNeeded { .. }
        | Refusal::NotRegistered { .. }
        | Refusal::PartlyReplaced { .. }
        | Refusal::ReplacesOthers { .. }
        | Refusal::Foreign { .. }
        | Refusal::AlreadyThere { .. }
        | Refusal::TargetPending { .. }
        | Refusal::Ahead { .. } => REFUSED,
        _ => USAGE,
    }
}
