//! Which applied migrations a target takes back, and whether all of them can be.

use std::collections::HashSet;

use crate::history::{Known, State};
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::{MigrationId, Target};

/// What is taken back, in order: the reverse of the order in which they run, so that nothing loses what it
/// depends on. Everything that forbids a part of that path is said, so that nobody is left half-way.
pub(super) fn path<'a>(set: &MigrationSet, state: &'a State, target: &Target) -> (Vec<&'a MigrationId>, Vec<Refusal>) {
    let mut applied = state.applied_last_first();
    applied.retain(|(id, _)| set.has_namespace(id.namespace()));
    let mut refusals = Vec::new();
    match target {
        Target::Back(count) | Target::Again(count) => applied.truncate(*count),
        Target::BackTo(last) => match (set.get(last), state.is_applied(last)) {
            (None, _) => return (Vec::new(), vec![Refusal::unknown_target(last, set)]),
            (_, false) => return (Vec::new(), vec![Refusal::TargetPending { id: last.clone() }]),
            _ => {
                let leaving = after(set, &applied, last);
                applied.retain(|(id, _)| leaving.contains(*id));
            }
        },
        _ => {}
    }
    let leaving: HashSet<&MigrationId> = applied.iter().map(|(id, _)| *id).collect();
    for (id, known) in &applied {
        refusals.extend(forbidden(set, id, known));
    }
    for migration in set.iter().filter(|migration| state.is_applied(&migration.meta().id)) {
        let meta = migration.meta();
        let needed = meta.depends_on.iter().filter(|id| leaving.contains(id) && !leaving.contains(&meta.id));
        refusals.extend(needed.map(|id| Refusal::StillNeeded {
            id: id.clone(),
            by: meta.id.clone(),
            location: meta.location.clone(),
        }));
    }
    let mut path: Vec<&MigrationId> = applied.into_iter().map(|(id, _)| id).collect();
    path.sort_by_key(|id| std::cmp::Reverse(set.place(id)));
    (path, refusals)
}

/// What comes after a migration in its namespace, and what depends on that, in any.
fn after(set: &MigrationSet, applied: &[(&MigrationId, &Known)], last: &MigrationId) -> HashSet<MigrationId> {
    let own = applied.iter().map(|(id, _)| *id).filter(|id| id.namespace() == last.namespace());
    let mut leaving: HashSet<MigrationId> = own.filter(|id| comes_after(set, id, last)).cloned().collect();
    // In their order, so that one pass finds what depends on what depends.
    for meta in set.metas() {
        if meta.depends_on.iter().any(|id| leaving.contains(id)) {
            leaving.insert(meta.id.clone());
        }
    }
    leaving
}

/// By the order in which they run; of what only the history knows, by its id.
fn comes_after(set: &MigrationSet, id: &MigrationId, last: &MigrationId) -> bool {
    match (set.place(id), set.place(last)) {
        (Some(place), Some(last)) => place > last,
        _ => id > last,
    }
}

fn forbidden(set: &MigrationSet, id: &MigrationId, known: &Known) -> Option<Refusal> {
    let Some(migration) = set.get(id) else {
        return Some(Refusal::NotRegistered { id: id.clone(), at: known.at });
    };
    let meta = migration.meta();
    (!meta.reversible).then(|| Refusal::Irreversible { id: id.clone(), location: meta.location.clone() })
}
