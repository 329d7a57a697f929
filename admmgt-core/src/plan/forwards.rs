//! Which of the pending migrations a target asks for.

use std::collections::HashSet;

use crate::history::State;
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::{Meta, MigrationId, Target};

use super::Compared;

/// What is asked for; of it, what is pending runs.
pub(super) enum Wanted<'a> {
    Everything,
    These(HashSet<&'a MigrationId>),
}

impl Wanted<'_> {
    pub(super) fn contains(&self, id: &MigrationId) -> bool {
        match self {
            Self::Everything => true,
            Self::These(ids) => ids.contains(id),
        }
    }
}

pub(super) fn wanted<'a>(
    set: &'a MigrationSet,
    state: &State,
    compared: &Compared<'_>,
    target: &Target,
) -> Result<Wanted<'a>, Box<Refusal>> {
    let ids = || set.metas().map(|meta| &meta.id);
    match target {
        Target::To(last) if set.get(last).is_none() => Err(Box::new(Refusal::unknown_target(last, set))),
        Target::To(last) => {
            let own = ids().filter(|id| id.namespace() == last.namespace() && set.place(id) <= set.place(last));
            let mut wanted = set.with_dependencies(own.collect());
            let repeatable = set.metas().filter(|meta| meta.repeatable && meta.id.namespace() == last.namespace());
            for meta in repeatable {
                if is_within(set, meta, |id| wanted.contains(id) || state.is_applied(id)) {
                    wanted.insert(&meta.id);
                }
            }
            Ok(Wanted::These(wanted))
        }
        Target::Next(count) => {
            let pending = set.metas().filter(|meta| compared.is_open(meta)).map(|meta| &meta.id);
            Ok(Wanted::These(pending.take(*count).collect()))
        }
        Target::Tagged(tag) => {
            let tagged = set.metas().filter(|meta| meta.tags.iter().any(|own| *own == **tag));
            let tagged: Vec<&MigrationId> = tagged.map(|meta| &meta.id).collect();
            if tagged.is_empty() {
                return Err(Box::new(Refusal::UnknownTag { tag: tag.to_string() }));
            }
            Ok(Wanted::These(set.with_dependencies(tagged)))
        }
        _ => Ok(Wanted::Everything),
    }
}

/// Whether all that a repeatable migration comes after is there: what it depends on, or else everything in its
/// namespace that is not repeatable.
fn is_within(set: &MigrationSet, meta: &Meta, is_there: impl Fn(&MigrationId) -> bool) -> bool {
    if !meta.depends_on.is_empty() {
        return set.dependencies(meta).all(is_there);
    }
    let others = set.metas().filter(|other| !other.repeatable && other.id.namespace() == meta.id.namespace());
    others.map(|other| &other.id).all(is_there)
}
