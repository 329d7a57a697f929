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

pub(super) fn replaced(meta: &Meta, state: &State, ahead: &[&MigrationId]) -> Replaced {
    let (applied, pending): (Vec<&MigrationId>, Vec<&MigrationId>) =
        meta.replaces.iter().partition(|id| state.is_applied(id));
    if applied.is_empty() {
        // What it stands for may be there in another name: of a set that was squashed before.
        let unknown = ahead.iter().filter(|id| id.namespace() == meta.id.namespace());
        let unknown: Vec<MigrationId> = unknown.map(|id| (*id).clone()).collect();
        if meta.replaces.is_empty() || unknown.is_empty() {
            return Replaced::None;
        }
        let (id, location) = (meta.id.clone(), meta.location.clone());
        return Replaced::Some(Refusal::ReplacesOthers { id, location, unknown });
    }
    // What stands for one of them has to go with it.
    let others = applied.iter().filter_map(|id| state.get(id)?.replaced_by.clone());
    let unknown: Vec<MigrationId> = others.filter(|by| !meta.replaces.contains(by)).collect();
    if !unknown.is_empty() {
        let (id, location) = (meta.id.clone(), meta.location.clone());
        return Replaced::Some(Refusal::ReplacesOthers { id, location, unknown });
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
