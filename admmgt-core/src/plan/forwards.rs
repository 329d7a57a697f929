//! Which of the pending migrations a target asks for.

use std::collections::HashSet;

use crate::history::State;
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::{MigrationId, Target};

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

pub(super) fn wanted<'a>(set: &'a MigrationSet, state: &State, target: &Target) -> Result<Wanted<'a>, Box<Refusal>> {
    let ids = || set.metas().map(|meta| &meta.id);
    let pending = || ids().filter(|id| !state.is_applied(id));
    match target {
        Target::To(last) if set.get(last).is_none() => Err(Box::new(Refusal::unknown_target(last, set))),
        Target::To(last) => {
            let own = ids().filter(|id| id.namespace() == last.namespace() && set.place(id) <= set.place(last));
            Ok(Wanted::These(set.with_dependencies(own.collect())))
        }
        Target::Next(count) => Ok(Wanted::These(pending().take(*count).collect())),
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
