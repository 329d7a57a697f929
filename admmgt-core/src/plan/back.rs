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
    let (chosen, others) = match choose(set, state, target) {
        Ok(chosen) => chosen,
        Err(refusal) => return Path::refused(*refusal),
    };
    let mut path = Path::default();
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
    for (id, known) in &chosen {
        leave(set, id, known, &mut path);
    }
    let leaving: Vec<Applied<'_>> = chosen.into_iter().filter(|(id, _)| !is_repeatable(set, id)).collect();
    for (id, known) in others {
        match set.get(id) {
            Some(migration) => follow(set, migration.meta(), (id, known), &leaving, target, &mut path),
            // Of one that is not registered nothing can be said but that it stays.
            None if *target == Target::Nothing => path.staying.push(id),
            None => {}
        }
    }
    if matches!(target, Target::Again(_)) {
        path.again.extend(path.leaving.iter().map(|leaving| leaving.id));
    }
    still_needed(set, state, &mut path);
    path.leaving.sort_by_key(|leaving| std::cmp::Reverse(set.place(leaving.id)));
    path.again.sort_by_key(|id| set.place(id));
    path
}

/// Whether a target takes back what is half-way back already.
pub(super) fn names(set: &MigrationSet, target: &Target, id: &MigrationId) -> bool {
    match target {
        Target::Back(count) => *count > 0,
        Target::BackTo(last) => id.namespace() == last.namespace() && set.place(id) > set.place(last),
        Target::Nothing => true,
        _ => false,
    }
}

/// What is left of a target where so many of those that it names are half-way back already.
pub(super) fn without(target: &Target, count: usize) -> Target {
    match target {
        Target::Back(all) => Target::Back(all.saturating_sub(count)),
        other => other.clone(),
    }
}

/// One that stands as applied, and what is known of it.
type Applied<'a> = (&'a MigrationId, &'a Known);

/// What a target names, and the repeatable ones that may have to follow.
fn choose<'a>(
    set: &MigrationSet,
    state: &'a State,
    target: &Target,
) -> Result<(Vec<Applied<'a>>, Vec<Applied<'a>>), Box<Refusal>> {
    let mut chosen = state.applied_last_first();
    chosen.retain(|(id, _)| set.has_namespace(id.namespace()));
    let repeats = |(id, known): &Applied<'_>| match set.get(id) {
        Some(migration) => migration.meta().repeatable,
        None => known.repeatable,
    };
    let mut others: Vec<Applied<'_>> = match target {
        Target::Back(count) => {
            // What is repeatable and has nothing behind it stays, and does not stand in the way of what has.
            let mut others: Vec<_> = chosen.extract_if(.., |one| repeats(one) && !can_leave(set, *one)).collect();
            others.extend(chosen.split_off((*count).min(chosen.len())));
            // With others, a repeatable one goes back to before them.
            if !chosen.iter().all(repeats) {
                others.extend(chosen.extract_if(.., |one| repeats(one)));
            }
            others
        }
        Target::Again(count) => {
            let mut others: Vec<_> = chosen.extract_if(.., |one| repeats(one)).collect();
            others.extend(chosen.split_off((*count).min(chosen.len())));
            others
        }
        Target::BackTo(last) if set.get(last).is_none() => return Err(Box::new(Refusal::unknown_target(last, set))),
        Target::BackTo(last) => {
            let leaving = after(set, &chosen, last);
            chosen.extract_if(.., |one| repeats(one) || !leaving.contains(one.0)).collect()
        }
        _ => chosen.extract_if(.., |one| repeats(one)).collect(),
    };
    others.retain(repeats);
    Ok((chosen, others))
}

fn is_repeatable(set: &MigrationSet, id: &MigrationId) -> bool {
    set.get(id).is_some_and(|migration| migration.meta().repeatable)
}

/// Whether a repeatable one has a way back, or a form to put back.
fn can_leave(set: &MigrationSet, (id, known): Applied<'_>) -> bool {
    set.get(id).is_some_and(|migration| migration.meta().reversible || put_back(known).is_some())
}

/// One that the target names leaves, or is refused.
fn leave<'a>(set: &MigrationSet, id: &'a MigrationId, known: &'a Known, path: &mut Path<'a>) {
    let Some(meta) = set.get(id).map(|migration| migration.meta()) else {
        return path.refusals.push(Refusal::NotRegistered { id: id.clone(), at: known.at });
    };
    let earlier = if meta.repeatable { put_back(known) } else { None };
    if earlier.is_none() && (!meta.reversible || set.is_told(id) && !known.ran) {
        path.refusals.push(irreversible(meta));
    } else {
        path.leaving.push(Leaving { id, earlier });
    }
}

/// Nothing goes that something else depends on which stays.
fn still_needed(set: &MigrationSet, state: &State, path: &mut Path<'_>) {
    let leaves = |id: &MigrationId| path.leaving.iter().any(|leaving| leaving.id == id);
    let gone: HashSet<&MigrationId> =
        path.leaving.iter().filter(|leaving| leaving.earlier.is_none()).map(|leaving| leaving.id).collect();
    let mut refusals = Vec::new();
    for meta in set.metas().filter(|meta| !meta.repeatable && state.is_applied(&meta.id)) {
        let mut needed = set.dependencies(meta).filter(|id| gone.contains(id)).peekable();
        if needed.peek().is_none() || leaves(&meta.id) {
            continue;
        }
        refusals.extend(needed.map(|id| Refusal::StillNeeded {
            id: id.clone(),
            by: meta.id.clone(),
            location: meta.location.clone(),
        }));
    }
    path.refusals.append(&mut refusals);
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
