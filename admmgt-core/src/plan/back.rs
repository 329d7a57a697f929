//! Which applied migrations a target takes back, and whether all of them can be.

use std::collections::HashSet;

use crate::history::{Earlier, Known, State};
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::{Meta, MigrationId, Target};

/// One migration that is taken back.
pub(super) struct Leaving<'a> {
    pub(super) id: &'a MigrationId,
    /// What is put in its place, of a repeatable one; otherwise its way back runs.
    pub(super) earlier: Option<&'a Earlier>,
}

/// The way back.
#[derive(Default)]
pub(super) struct Path<'a> {
    /// The reverse of the order in which they run, so that nothing loses what it depends on.
    pub(super) leaving: Vec<Leaving<'a>>,
    /// What is applied again afterwards, in order.
    pub(super) again: Vec<&'a MigrationId>,
    /// Everything that forbids a part of it, so that nobody is left half-way.
    pub(super) refusals: Vec<Refusal>,
    /// The migration to go back to is not applied itself: that is put on record.
    pub(super) skips: bool,
    /// Repeatable ones that stay as they are, although a target of everything names them too.
    pub(super) staying: Vec<&'a MigrationId>,
}

impl Path<'_> {
    fn refused(refusal: Refusal) -> Self {
        Self { refusals: vec![refusal], ..Self::default() }
    }
}

pub(super) fn path<'a>(set: &MigrationSet, state: &'a State, target: &Target) -> Path<'a> {
    let mut chosen = state.applied_last_first();
    chosen.retain(|(id, _)| set.has_namespace(id.namespace()));
    let of = |id: &MigrationId| set.get(id).map(|migration| migration.meta());
    let is_repeatable = |id: &MigrationId| of(id).is_some_and(|meta| meta.repeatable);
    let mut path = Path::default();
    let mut others: Vec<(&MigrationId, &Known)> = match target {
        Target::Back(count) => {
            // What is repeatable and has nothing behind it stays, and does not stand in the way of what has.
            let stays = |(id, known): &(&MigrationId, &Known)| {
                of(id).is_some_and(|meta| meta.repeatable && !meta.reversible && put_back(known).is_none())
            };
            let mut others: Vec<_> = chosen.extract_if(.., |one| stays(one)).collect();
            others.extend(chosen.split_off((*count).min(chosen.len())));
            // With others, a repeatable one goes back to before them.
            if chosen.iter().any(|(id, _)| !is_repeatable(id)) {
                others.extend(chosen.extract_if(.., |(id, _)| is_repeatable(id)));
            }
            others
        }
        Target::Again(count) => {
            let mut others: Vec<_> = chosen.extract_if(.., |(id, _)| is_repeatable(id)).collect();
            others.extend(chosen.split_off((*count).min(chosen.len())));
            others
        }
        Target::BackTo(last) if set.get(last).is_none() => {
            return Path::refused(Refusal::unknown_target(last, set));
        }
        Target::BackTo(last) => {
            let leaving = after(set, &chosen, last);
            chosen.extract_if(.., |(id, _)| !leaving.contains(*id)).collect()
        }
        _ => chosen.extract_if(.., |(id, _)| is_repeatable(id)).collect(),
    };
    others.retain(|(id, _)| is_repeatable(id));
    for (id, known) in &chosen {
        match of(id) {
            None => path.refusals.push(Refusal::NotRegistered { id: (*id).clone(), at: known.at }),
            Some(meta) => {
                let earlier = Some(known).filter(|_| meta.repeatable).and_then(|known| put_back(known));
                if earlier.is_none() && !meta.reversible {
                    path.refusals.push(irreversible(meta));
                } else {
                    path.leaving.push(Leaving { id, earlier });
                }
            }
        }
    }
    if let Target::BackTo(last) = target
        && !state.is_applied(last)
    {
        if !chosen.is_empty() {
            return Path::refused(Refusal::TargetPending { id: last.clone() });
        }
        // A database without a history has nothing to put on record.
        path.skips = state.seq() > 0;
        return path;
    }
    let leaving: Vec<(&MigrationId, &Known)> = chosen.iter().filter(|(id, _)| !is_repeatable(id)).copied().collect();
    for (id, known) in others {
        let Some(meta) = of(id) else { continue };
        follow(set, meta, (id, known), &leaving, target, &mut path);
    }
    if matches!(target, Target::Again(_)) {
        path.again.extend(path.leaving.iter().map(|leaving| leaving.id));
    }
    let gone: HashSet<&MigrationId> =
        path.leaving.iter().filter(|leaving| leaving.earlier.is_none()).map(|leaving| leaving.id).collect();
    for meta in set.metas().filter(|meta| state.is_applied(&meta.id)) {
        let stays = path.leaving.iter().all(|leaving| *leaving.id != meta.id);
        let needed = set.dependencies(meta).filter(|id| gone.contains(id) && stays && !meta.repeatable);
        path.refusals.extend(needed.map(|id| Refusal::StillNeeded {
            id: id.clone(),
            by: meta.id.clone(),
            location: meta.location.clone(),
        }));
    }
    path.leaving.sort_by_key(|leaving| std::cmp::Reverse(set.place(leaving.id)));
    path.again.sort_by_key(|id| set.place(id));
    path
}

/// The form before the one that stands, if its body is kept.
fn put_back(known: &Known) -> Option<&Earlier> {
    known.earlier.last().filter(|earlier| earlier.body.is_some())
}

/// What becomes of a repeatable migration when others leave: it is put back to what it was before the first of
/// them came, goes before them if it came later or depends on them, or stays.
fn follow<'a>(
    set: &MigrationSet,
    meta: &Meta,
    (id, known): (&'a MigrationId, &'a Known),
    leaving: &[(&MigrationId, &Known)],
    target: &Target,
    path: &mut Path<'a>,
) {
    // Of another form than is registered it is not known what it depends on.
    let names_them = !meta.depends_on.is_empty() && known.checksum == meta.checksum;
    let of_those = |other: &MigrationId| match names_them {
        true => set.dependencies(meta).any(|dependency| dependency == other),
        false => other.namespace() == id.namespace(),
    };
    let everything = *target == Target::Nothing;
    let first = leaving.iter().filter(|(other, _)| of_those(other)).map(|(_, known)| known.since).min();
    let Some(first) = first.or(everything.then_some(0)) else { return };
    if known.since < first && !names_them && !everything {
        // It was so before they came.
        return;
    }
    let again = matches!(target, Target::Again(_));
    let before = known.earlier.iter().rev().find(|earlier| earlier.since < first);
    match before.filter(|_| !everything && !again) {
        Some(earlier) if earlier.body.is_some() => path.leaving.push(Leaving { id, earlier: Some(earlier) }),
        // What it was then was not kept.
        Some(_) => path.refusals.push(irreversible(meta)),
        None if again && !names_them => {}
        None if meta.reversible => path.leaving.push(Leaving { id, earlier: None }),
        None if names_them && !again => path.refusals.push(irreversible(meta)),
        None if !again => path.staying.push(id),
        None => {}
    }
}

/// What comes after a migration in its namespace, and what depends on that, in any; repeatable ones follow by
/// themselves.
fn after(set: &MigrationSet, applied: &[(&MigrationId, &Known)], last: &MigrationId) -> HashSet<MigrationId> {
    let own = applied.iter().map(|(id, _)| *id).filter(|id| id.namespace() == last.namespace());
    let mut leaving: HashSet<MigrationId> = own.filter(|id| comes_after(set, id, last)).cloned().collect();
    leaving.retain(|id| set.get(id).is_none_or(|migration| !migration.meta().repeatable));
    // In their order, so that one pass finds what depends on what depends.
    for meta in set.metas().filter(|meta| !meta.repeatable) {
        if set.dependencies(meta).any(|id| leaving.contains(id)) {
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

fn irreversible(meta: &Meta) -> Refusal {
    Refusal::Irreversible { id: meta.id.clone(), location: meta.location.clone() }
}
