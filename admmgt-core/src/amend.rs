//! What a person puts on record: an interrupted migration that was looked at, a database that had its
//! changes already, an edit or a rename that was meant. Nothing of it touches anything but the history.

use serde::{Deserialize, Serialize};

use crate::adopt::{self, ForeignHistory};
use crate::graph::nearest;
use crate::history::{Earlier, Known, Standing, State};
use crate::plan::Compared;
use crate::record::{Author, Note, Record, RecordKind};
use crate::registry::MigrationSet;
use crate::{Direction, Error, Meta, MigrationId, Origin, Result};

/// What a person found out about an interrupted migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resolution {
    /// The whole change is there: it counts as applied.
    Applied,
    /// Nothing of the change is there: it counts as pending, and runs again.
    Pending,
}

/// What was meant where the history and the registered migrations differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repair {
    /// The edit of this applied migration was meant: its new checksum counts.
    Checksum(MigrationId),
    /// The applied migration `from` is the registered one `to` under its old name.
    Rename {
        /// As the history has it.
        from: MigrationId,
        /// As it is registered.
        to: MigrationId,
    },
}

/// One thing that a person orders.
#[derive(Debug, Clone)]
pub(crate) enum Amendment {
    Resolve(MigrationId, Resolution),
    /// Everything up to this migration; all that is registered without one.
    Baseline(Option<MigrationId>),
    Repair(Repair),
    Adopt(ForeignHistory),
}

impl Amendment {
    /// The records that say so. Pure, as the planner is.
    pub(crate) fn records(
        &self,
        set: &MigrationSet,
        state: &State,
        author: &Author,
        reason: &str,
    ) -> Result<Vec<Record>> {
        if !matches!(self, Self::Adopt(_)) && reason.trim().is_empty() {
            return Err(usage("a reason is missing; say why, for those who read the history later".to_owned()));
        }
        let mut records = match self {
            Self::Resolve(id, resolution) => resolve(set, state, id, *resolution, author)?,
            Self::Baseline(last) => baseline(set, state, last.as_ref(), author)?,
            Self::Repair(Repair::Checksum(id)) => vec![accept(set, state, id, author)?],
            Self::Adopt(history) => adopt::records(history, set, state, author)?,
            Self::Repair(Repair::Rename { from, to }) => rename(set, state, from, to, author)?,
        };
        for (record, seq) in records.iter_mut().zip(state.seq() + 1..) {
            record.seq = seq;
            record.detail = Some(match record.detail.take() {
                Some(detail) if !reason.is_empty() => format!("{detail}: {reason}"),
                Some(detail) => detail,
                None => reason.to_owned(),
            });
        }
        Ok(records)
    }
}

fn resolve(
    set: &MigrationSet,
    state: &State,
    id: &MigrationId,
    resolution: Resolution,
    author: &Author,
) -> Result<Vec<Record>> {
    let known = state.get(id).filter(|known| matches!(known.standing, Standing::Interrupted { .. }));
    let known = known.ok_or_else(|| {
        let interrupted = state.interrupted();
        let near = nearest(id, interrupted.iter().map(|(id, _)| *id)).or(interrupted.first().map(|(id, _)| *id));
        let hint = near.map_or_else(String::new, |near| format!(" Is `{near}` meant, which is?"));
        usage(format!("`{id}` is not interrupted, so there is nothing to resolve.{hint} See `Migrator::status`"))
    })?;
    let direction = match resolution {
        Resolution::Applied => Direction::Up,
        Resolution::Pending => Direction::Down,
    };
    // Of what was started, not of what is registered now: an edit since then must not pass unseen.
    let mut records = vec![of_known(id, known, RecordKind::Resolved, direction, author)];
    let meta = set.get(id).map(|migration| migration.meta());
    match (resolution, known.earlier.last()) {
        // Of a repeatable one that was to run again, what it was before is still there.
        (Resolution::Pending, Some(earlier)) if known.stood => {
            records.push(as_before(id, earlier, RecordKind::Baseline, author));
        }
        (Resolution::Pending, _) => records.extend(no_more_replaced(id, state, author)),
        (Resolution::Applied, _) => records.extend(meta.into_iter().flat_map(|meta| replaced(meta, state, author))),
    }
    Ok(records)
}

/// What a migration stands for is there in its name from here on.
pub(crate) fn replaced(meta: &Meta, state: &State, author: &Author) -> Vec<Record> {
    let known = meta.replaces.iter().filter_map(|id| Some((id, state.get(id)?)));
    let applied = known.filter(|(_, known)| known.standing == Standing::Applied);
    let record = |(id, known): (&MigrationId, &Known)| {
        let mut record = of_known(id, known, RecordKind::Replaced, Direction::Up, author);
        record.detail = Some(Note::ReplacedBy(meta.id.clone()).to_string());
        record
    };
    applied.map(record).collect()
}

/// A migration is taken back, and with it what it stands for, and what that stands for.
pub(crate) fn no_more_replaced(id: &MigrationId, state: &State, author: &Author) -> Vec<Record> {
    let mut records = Vec::new();
    let mut open = vec![id];
    while let Some(by) = open.pop() {
        for (id, known) in state.replaced_by(by) {
            let mut record = of_known(id, known, RecordKind::Reverted, Direction::Down, author);
            record.detail = Some(format!("with {by}, which stood for it"));
            records.push(record);
            open.push(id);
        }
    }
    records
}

/// An earlier form of a repeatable migration is the one that stands.
pub(crate) fn as_before(id: &MigrationId, earlier: &Earlier, kind: RecordKind, author: &Author) -> Record {
    let checksum = earlier.checksum.clone();
    let mut record = Record::new(0, id.clone(), kind, Direction::Down, checksum, earlier.origin, author);
    record.detail = Some(Note::AsItWas(earlier.since).to_string());
    record.body.clone_from(&earlier.body);
    record
}

fn baseline(set: &MigrationSet, state: &State, last: Option<&MigrationId>, author: &Author) -> Result<Vec<Record>> {
    if let Some(last) = last.filter(|last| set.get(last).is_none()) {
        return Err(Error::Refused { refusals: vec![crate::Refusal::unknown_target(last, set)] });
    }
    if let Some((id, _)) = state.interrupted().first() {
        return Err(usage(format!("`{id}` is interrupted; resolve it first, with `Migrator::resolve`")));
    }
    let counted = |meta: &&Meta| match last {
        None => true,
        Some(last) => meta.id.namespace() == last.namespace() && set.place(&meta.id) <= set.place(last),
    };
    let ids = set.metas().filter(counted).map(|meta| &meta.id).collect();
    let all = set.with_dependencies(ids);
    let compared = Compared::new(set, state);
    let open = set.metas().filter(|meta| all.contains(&meta.id) && compared.is_open(meta));
    let records =
        |meta: &Meta| [replaced(meta, state, author), vec![of_meta(meta, RecordKind::Baseline, author)]].concat();
    Ok(open.flat_map(records).collect())
}

fn accept(set: &MigrationSet, state: &State, id: &MigrationId, author: &Author) -> Result<Record> {
    let (meta, known) = registered_and_applied(set, state, id)?;
    if known.checksum == meta.checksum {
        return Err(usage(format!("`{id}` is as it was applied, so there is nothing to accept")));
    }
    Ok(of_meta(meta, RecordKind::Repaired, author))
}

/// Two records that every version of the format understands: the old name is gone, the new one was there.
fn rename(
    set: &MigrationSet,
    state: &State,
    from: &MigrationId,
    to: &MigrationId,
    author: &Author,
) -> Result<Vec<Record>> {
    let known = state.get(from).filter(|known| known.standing == Standing::Applied);
    let known = known.ok_or_else(|| usage(format!("`{from}` is not applied, so it cannot have been renamed")))?;
    if set.get(from).is_some() {
        return Err(usage(format!("`{from}` is still registered, so it was not renamed")));
    }
    let meta = set.get(to).ok_or_else(|| Error::Refused { refusals: vec![crate::Refusal::unknown_target(to, set)] })?;
    if state.is_applied(to) {
        return Err(usage(format!("`{to}` is applied already, so `{from}` is another migration")));
    }
    let same = known.checksum == meta.meta().checksum;
    if !same && known.origin == Origin::Sql {
        return Err(usage(format!(
            "`{to}` is not what was applied as `{from}`: the SQL differs. Rename it without a change, and write the change as a new migration"
        )));
    }
    let mut gone = of_known(from, known, RecordKind::Reverted, Direction::Down, author);
    gone.detail = Some(format!("renamed to {to}"));
    let mut there = of_meta(meta.meta(), RecordKind::Baseline, author);
    there.detail = Some(Note::RenamedFrom(from.clone()).to_string());
    there.body = known.body.clone();
    // The new name takes its place over while the old one still has it.
    Ok(vec![there, gone])
}

fn registered_and_applied<'a>(
    set: &'a MigrationSet,
    state: &'a State,
    id: &MigrationId,
) -> Result<(&'a Meta, &'a Known)> {
    let migration =
        set.get(id).ok_or_else(|| Error::Refused { refusals: vec![crate::Refusal::unknown_target(id, set)] })?;
    let known = state.get(id).filter(|known| known.standing == Standing::Applied);
    let known = known.ok_or_else(|| usage(format!("`{id}` is not applied, so there is no checksum to accept")))?;
    Ok((migration.meta(), known))
}

fn of_known(id: &MigrationId, known: &Known, kind: RecordKind, direction: Direction, author: &Author) -> Record {
    Record::new(0, id.clone(), kind, direction, known.checksum.clone(), known.origin, author)
}

fn of_meta(meta: &Meta, kind: RecordKind, author: &Author) -> Record {
    let (id, checksum) = (meta.id.clone(), meta.checksum.clone());
    let mut record = Record::new(0, id, kind, Direction::Up, checksum, meta.origin, author);
    record.detail = meta.repeatable.then(|| Note::Repeatable.to_string());
    record
}

fn usage(problem: String) -> Error {
    Error::Usage { problem }
}
