//! What the history says against a migration, or a migration against the history.

use admmgt_files::checksum::SCHEME;

use crate::history::{Known, Standing, State};
use crate::refusal::{LineDifference, Refusal};
use crate::registry::MigrationSet;
use crate::{Backend, Direction, Meta, Migration, MigrationId, OnInterrupt, Origin, Policy};

pub(super) fn backend(meta: &Meta, connected: &Backend) -> Option<Refusal> {
    let wants = meta.backend.as_ref().filter(|wants| *wants != connected)?;
    Some(Refusal::WrongBackend {
        id: meta.id.clone(),
        location: meta.location.clone(),
        wants: *wants,
        connected: *connected,
    })
}

/// A pending migration with the checksum of one that only the history knows.
pub(super) fn renamed(meta: &Meta, state: &State, ahead: &[&MigrationId]) -> Option<Refusal> {
    // Checksums that were written by hand, and those of code, say nothing about what was done.
    if meta.origin != Origin::Sql || !meta.checksum.as_str().starts_with(SCHEME) {
        return None;
    }
    let same = |from: &&&MigrationId| {
        from.namespace() == meta.id.namespace()
            && state.get(from).is_some_and(|known| known.checksum == meta.checksum && known.origin == Origin::Sql)
    };
    let from = ahead.iter().find(same)?;
    Some(Refusal::Renamed { id: meta.id.clone(), location: meta.location.clone(), from: (*from).clone() })
}

pub(super) fn interrupted(set: &MigrationSet, id: &MigrationId, known: &Known, policy: &Policy) -> Option<Refusal> {
    let Standing::Interrupted { direction, done, steps } = known.standing else { return None };
    Some(Refusal::Interrupted {
        id: id.clone(),
        location: set.get(id).map(|migration| migration.meta().location.clone()),
        direction,
        done,
        steps,
        at: known.at,
        by: format!("{} on {}", known.by, known.host),
        error: known.last_error.clone(),
        probe: direction == Direction::Up
            && set.get(id).is_some_and(|migration| {
                policy.on_interrupt.unwrap_or(migration.meta().on_interrupt) == OnInterrupt::Probe
            }),
    })
}

pub(crate) fn edited(migration: &dyn Migration, known: &Known) -> Option<Refusal> {
    let meta = migration.meta();
    if meta.checksum == known.checksum {
        return None;
    }
    let applied = known.body.as_ref().and_then(|body| body.unpack());
    let first_difference = match (&applied, migration.sql(Direction::Up)) {
        (Some(applied), Some(registered)) => registered.text().and_then(|text| LineDifference::between(applied, text)),
        _ => None,
    };
    Some(Refusal::Edited {
        id: meta.id.clone(),
        location: meta.location.clone(),
        applied: known.checksum.clone(),
        registered: meta.checksum.clone(),
        at: known.at,
        first_difference,
    })
}

pub(super) fn is_code(meta: &Meta, known: &Known) -> bool {
    meta.origin == Origin::Code && known.origin == Origin::Code
}

pub(super) fn dependencies(set: &MigrationSet, meta: &Meta, state: &State) -> Vec<Refusal> {
    let open = |id: &MigrationId| !state.is_applied(id) && !is_interrupted(state, id) && set.get(id).is_some();
    // What was replaced is there in its own name until its replacement is counted in.
    let both = meta.depends_on.iter().zip(set.dependencies(meta));
    let pending = both.filter(|(own, now)| !state.is_applied(own) && open(now));
    let refusal = |(_, now): (&MigrationId, &MigrationId)| Refusal::DependencyPending {
        id: meta.id.clone(),
        location: meta.location.clone(),
        dependency: now.clone(),
    };
    pending.map(refusal).collect()
}

/// Interrupted ones are refused by name already, and so are unknown ones.
fn is_interrupted(state: &State, id: &MigrationId) -> bool {
    state.get(id).is_some_and(|known| matches!(known.standing, Standing::Interrupted { .. }))
}

/// An applied migration of the same namespace that comes later by its id *and* by its place: by the place
/// alone, a dependency on another namespace can move a migration behind ones that were written after it.
/// Where only the history knows the applied one, its id decides.
pub(super) fn out_of_order(
    set: &MigrationSet,
    state: &State,
    meta: &Meta,
    applied: &[&MigrationId],
) -> Option<Refusal> {
    let is_repeatable = |id: &MigrationId| match set.get(id) {
        Some(migration) => migration.meta().repeatable,
        None => state.get(id).is_some_and(|known| known.repeatable),
    };
    let place = set.place(&meta.id).filter(|_| !meta.repeatable)?;
    let of_namespace = applied.iter().rev().filter(|id| id.namespace() == meta.id.namespace() && !is_repeatable(id));
    // State is sorted by id: from the end, until the ids are smaller.
    let mut larger = of_namespace.take_while(|id| ***id > meta.id);
    let later = larger.find(|id| set.place(id).is_none_or(|other| other > place))?;
    Some(Refusal::OutOfOrder { id: meta.id.clone(), location: meta.location.clone(), applied: (*later).clone() })
}
