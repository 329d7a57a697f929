//! Migrations that stand for others: a set that was squashed into one.

use crate::history::State;
use crate::refusal::Refusal;
use crate::{Meta, MigrationId};

/// How many of those that a pending migration replaces are applied.
pub(super) enum Replaced {
    /// None, or it replaces none: it runs.
    None,
    /// All: it is counted in.
    All,
    /// Some: neither would be right.
    Some(Refusal),
}

pub(super) fn replaced(meta: &Meta, state: &State) -> Replaced {
    let (applied, pending): (Vec<&MigrationId>, Vec<&MigrationId>) =
        meta.replaces.iter().partition(|id| state.is_applied(id));
    if applied.is_empty() {
        return Replaced::None;
    }
    if pending.is_empty() {
        return Replaced::All;
    }
    Replaced::Some(Refusal::PartlyReplaced {
        id: meta.id.clone(),
        location: meta.location.clone(),
        applied: applied.into_iter().cloned().collect(),
        pending: pending.into_iter().cloned().collect(),
    })
}
