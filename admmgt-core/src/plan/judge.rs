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

/// Applied migrations of our namespaces that are not registered: whoever applied them is newer.
/// Also repeatable ones that were applied in a later form than is registered.
pub(super) fn ahead(set: &MigrationSet, state: &State) -> Vec<MigrationId> {
    let known = state.known().into_iter().filter(|(id, known)| {
        let registered = set.get(id).map(|migration| migration.meta());
        known.standing == Standing::Applied
            && registered.map_or(set.has_namespace(id.namespace()), |meta| is_older(meta, known))
    });
    known.map(|(id, _)| id.clone()).collect()
}

/// Whether a migration would run, as far as it is for itself to say.
pub(crate) fn is_open(meta: &Meta, state: &State) -> bool {
    match state.get(&meta.id) {
        Some(known) if known.is_applied() => runs_again(meta, known),
        _ => true,
    }
}

/// A repeatable one that has changed since it was applied.
pub(super) fn runs_again(meta: &Meta, known: &Known) -> bool {
    meta.repeatable && known.standing == Standing::Applied && known.checksum != meta.checksum && !is_older(meta, known)
}

/// A repeatable one whose registered form was applied before, and then another one: whoever did that is newer.
/// To run it would take the newer form away, at each start of an older program.
pub(super) fn is_older(meta: &Meta, known: &Known) -> bool {
    is_overtaken(meta, known) && known.standing == Standing::Applied
}

pub(crate) fn is_overtaken(meta: &Meta, known: &Known) -> bool {
    meta.repeatable
        && known.checksum != meta.checksum
        && known.earlier.iter().any(|earlier| earlier.checksum == meta.checksum)
}

/// A pending migration with the checksum of one that only the history knows.
pub(super) fn renamed(meta: &Meta, state: &State, ahead: &[MigrationId]) -> Option<Refusal> {
    // Checksums that were written by hand, and those of code, say nothing about what was done.
    if meta.origin != Origin::Sql || !meta.checksum.as_str().starts_with(SCHEME) {
        return None;
    }
    let same = |from: &&MigrationId| {
        from.namespace() == meta.id.namespace()
            && state.get(from).is_some_and(|known| known.checksum == meta.checksum && known.origin == Origin::Sql)
    };
    let from = ahead.iter().find(same)?;
    Some(Refusal::Renamed { id: meta.id.clone(), location: meta.location.clone(), from: from.clone() })
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
    let open = |id: &&MigrationId| !state.is_applied(id) && !is_interrupted(state, id) && set.get(id).is_some();
    let pending = set.dependencies(meta).filter(open).map(|dependency| Refusal::DependencyPending {
        id: meta.id.clone(),
        location: meta.location.clone(),
        dependency: dependency.clone(),
    });
    pending.collect()
}

/// Interrupted ones are refused by name already, and so are unknown ones.
fn is_interrupted(state: &State, id: &MigrationId) -> bool {
    state.get(id).is_some_and(|known| matches!(known.standing, Standing::Interrupted { .. }))
}

/// An applied migration of the same namespace that comes later by its id *and* by its place: by the place
/// alone, a dependency on another namespace can move a migration behind ones that were written after it.
/// Where only the history knows the applied one, its id decides.
pub(super) fn out_of_order(set: &MigrationSet, meta: &Meta, applied: &[&MigrationId]) -> Option<Refusal> {
    let is_repeatable = |id: &MigrationId| set.get(id).is_some_and(|migration| migration.meta().repeatable);
    let place = set.place(&meta.id).filter(|_| !meta.repeatable)?;
    let of_namespace = applied.iter().rev().filter(|id| id.namespace() == meta.id.namespace() && !is_repeatable(id));
    // State is sorted by id: from the end, until the ids are smaller.
    let mut larger = of_namespace.take_while(|id| ***id > meta.id);
    let later = larger.find(|id| set.place(id).is_none_or(|other| other > place))?;
    Some(Refusal::OutOfOrder { id: meta.id.clone(), location: meta.location.clone(), applied: (*later).clone() })
}
