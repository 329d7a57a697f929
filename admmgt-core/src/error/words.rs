//! The words of errors: what happened, then what to do.

use std::time::Duration;

use super::Failure;
use crate::refusal::Refusal;
use crate::script::ScriptProblem;
use crate::{Direction, MigrationId};

pub(super) fn refused(refusals: &[Refusal]) -> String {
    match refusals {
        [one] => format!("nothing ran: {one}"),
        many => {
            let list: String = many.iter().map(|refusal| format!("\n  - {refusal}")).collect();
            format!("nothing ran, for {} reasons:{list}", many.len())
        }
    }
}

pub(super) fn interrupted(failure: &Failure) -> String {
    let id = &failure.migration;
    if failure.statement.as_ref().is_some_and(|statement| statement.resumes) {
        return format!(
            "{failure}; what stands before it is done. Mend what is in the way and start again: it goes on with this statement"
        );
    }
    let look = format!(
        "{failure}; part of it may be done. Look at the database; then call `Migrator::resolve(\"{id}\", Resolution::Applied, reason)` if the"
    );
    match failure.direction {
        Direction::Up => format!(
            "{look} whole change is there, or `Resolution::Pending` after taking away what is there of it; or mend it and let it \
             go on behind what has ended, with `OnInterrupt::Retry`"
        ),
        Direction::Down => {
            format!(
                "{look} change is still there as a whole, or `Resolution::Pending` after taking away what is left of it"
            )
        }
    }
}

pub(super) fn not_applied(pending: &[MigrationId]) -> String {
    let (count, verb) = crate::report::counted(pending.len());
    format!("{count} {verb} not applied")
}

pub(super) fn some(ids: &[MigrationId]) -> String {
    let mut text: Vec<String> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
    if ids.len() > text.len() {
        text.push(format!("and {} more", ids.len() - text.len()));
    }
    text.join(", ")
}

pub(super) fn lines(problems: &[ScriptProblem]) -> String {
    problems.iter().map(|problem| format!("line {problem}")).collect::<Vec<_>>().join("\n")
}

pub(super) fn after_waiting(waited: &Option<Duration>) -> String {
    waited.map_or_else(
        || ". Run `Migrator::up` first".to_owned(),
        |time| format!(". Waited {} for another process to apply them", seconds(&time)),
    )
}

pub(super) fn busy(waited: &Duration) -> String {
    // Some databases refuse such a write at once.
    if waited.is_zero() {
        return "another connection was writing the same at the same time, and this one gave way again and again. Find the \
                program that writes it, or let it be tried more often with `Policy::retries`"
            .to_owned();
    }
    format!(
        "the database stayed locked by another connection for {}. Find the program with the long transaction, or wait longer \
         with `Policy::lock_timeout`",
        seconds(waited)
    )
}

pub(super) fn seconds(time: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
