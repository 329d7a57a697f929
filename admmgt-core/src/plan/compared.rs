//! The history and the set side by side: what has yet to run, and whether this program is the older one.

use std::collections::HashSet;

use crate::history::{Known, Standing, State};
use crate::registry::MigrationSet;
use crate::{Meta, MigrationId, Namespace};

/// What takes a look at all of both.
#[derive(Debug)]
pub(crate) struct Compared<'a> {
    state: &'a State,
    /// Applied migrations of our namespaces that are not registered: whoever applied them is newer.
    pub(crate) ahead: Vec<&'a MigrationId>,
    behind: HashSet<&'a Namespace>,
}

impl<'a> Compared<'a> {
    pub(crate) fn new(set: &MigrationSet, state: &'a State) -> Self {
        let is_ahead = |(id, known): &(&MigrationId, &Known)| {
            known.standing == Standing::Applied && set.has_namespace(id.namespace()) && set.get(id).is_none()
        };
        let ahead: Vec<&MigrationId> = state.known().into_iter().filter(is_ahead).map(|(id, _)| id).collect();
        let behind =
            ahead.iter().map(|id| id.namespace()).filter(|namespace| is_behind(set, state, namespace)).collect();
        Self { state, ahead, behind }
    }

    /// Whether a migration would run, as far as it is for itself to say.
    pub(crate) fn is_open(&self, meta: &Meta) -> bool {
        match self.state.get(&meta.id) {
            Some(known) if known.is_applied() => self.runs_again(meta, known),
            _ => true,
        }
    }

    /// A repeatable one that is not what was applied.
    pub(crate) fn runs_again(&self, meta: &Meta, known: &Known) -> bool {
        differs(meta, known) && !self.is_behind(meta)
    }

    /// A repeatable one that is not what was applied, in a program that is behind its database: to run it would put
    /// an older form in place of a newer one, at each start of an older program.
    pub(crate) fn is_held_back(&self, meta: &Meta, known: &Known) -> bool {
        differs(meta, known) && self.is_behind(meta)
    }

    fn is_behind(&self, meta: &Meta) -> bool {
        self.behind.contains(meta.id.namespace())
    }
}

/// Whether the database got something that is not registered after everything that is, and nothing of the program's
/// own is pending: then another one came later. A file that was deleted is older than what came after it.
fn is_behind(set: &MigrationSet, state: &State, namespace: &Namespace) -> bool {
    let own = || set.metas().filter(|meta| !meta.repeatable && meta.id.namespace() == namespace);
    if own().any(|meta| !state.is_applied(&meta.id)) {
        return false;
    }
    let last = own().filter_map(|meta| Some(state.get(&meta.id)?.since)).max().unwrap_or_default();
    state.known().into_iter().any(|(id, known)| {
        let unknown = id.namespace() == namespace && set.get(id).is_none();
        unknown && known.standing == Standing::Applied && !known.repeatable && known.since > last
    })
}

fn differs(meta: &Meta, known: &Known) -> bool {
    meta.repeatable && known.standing == Standing::Applied && known.checksum != meta.checksum
}
