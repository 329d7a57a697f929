//! Reasons why nothing ran.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::nearest;
use crate::record::Timestamp;
use crate::redact::redacted;
use crate::registry::MigrationSet;
use crate::script::ScriptProblem;
use crate::{Backend, Checksum, Direction, Location, MigrationId};

/// One reason why nothing ran. All of them are found before the first migration starts, and are
/// reported together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "refusal")]
#[non_exhaustive]
pub enum Refusal {
    /// No migration is registered at all.
    NothingRegistered,
    /// A file of a migration cannot be read, or its bytes are not text.
    #[non_exhaustive]
    Unreadable {
        /// Whose file it is.
        id: MigrationId,
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The statements of a SQL migration cannot be run as they stand.
    #[non_exhaustive]
    Script {
        /// Whose file it is.
        id: MigrationId,
        /// The file.
        file: String,
        /// Where, what, and what to write instead.
        problem: ScriptProblem,
    },
    /// A SQL migration without statements.
    #[non_exhaustive]
    Empty {
        /// Which.
        id: MigrationId,
        /// The file.
        file: String,
    },
    /// Another tool has migrated this database, and nothing is on record here yet.
    #[non_exhaustive]
    Foreign {
        /// Which tool.
        tool: String,
        /// How many versions it has on record.
        versions: usize,
    },
    /// A file came into an embedded folder after the program was compiled.
    #[non_exhaustive]
    NotEmbedded {
        /// The file.
        file: String,
        /// The folder, as it is written in `migrations_dir!`.
        folder: String,
    },
    /// The lockfile lists a migration that nobody registered.
    #[non_exhaustive]
    Missing {
        /// Which.
        id: MigrationId,
        /// It is applied in this database.
        applied: bool,
    },
    /// Two migrations have one name.
    #[non_exhaustive]
    Duplicate {
        /// The name.
        id: MigrationId,
        /// Where each is written.
        locations: [Location; 2],
    },
    /// Two names differ only by case or by zeros before a number.
    #[non_exhaustive]
    Alike {
        /// The names.
        ids: [MigrationId; 2],
        /// Where each is written.
        locations: [Location; 2],
    },
    /// A dependency that nobody registered.
    #[non_exhaustive]
    UnknownDependency {
        /// Who depends.
        id: MigrationId,
        /// Where that is written.
        location: Location,
        /// On what.
        dependency: MigrationId,
        /// The registered name that comes nearest.
        nearest: Option<MigrationId>,
    },
    /// Migrations that wait for each other.
    #[non_exhaustive]
    Cycle {
        /// The circle, each with the place it is written; the last depends on the first.
        members: Vec<(MigrationId, Location)>,
    },
    /// A migration replaces one that is still registered.
    #[non_exhaustive]
    StillRegistered {
        /// Who replaces.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// Whom.
        replaced: MigrationId,
        /// Where that is written.
        still: Location,
    },
    /// Two migrations replace the same one.
    #[non_exhaustive]
    ReplacedTwice {
        /// The one that is replaced.
        id: MigrationId,
        /// By whom.
        by: [MigrationId; 2],
    },
    /// Of what a migration replaces, some is applied and some is not.
    #[non_exhaustive]
    PartlyReplaced {
        /// Who replaces.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// What is applied.
        applied: Vec<MigrationId>,
        /// What is not.
        pending: Vec<MigrationId>,
    },
    /// Of what a migration replaces, nothing is applied, and something else is that is not known here: perhaps what
    /// it stands for, in another name.
    #[non_exhaustive]
    ReplacesOthers {
        /// Who replaces.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// What is applied and not known.
        unknown: Vec<MigrationId>,
    },
    /// A migration for another kind of database.
    #[non_exhaustive]
    WrongBackend {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// What it was written for.
        wants: Backend,
        /// What is connected.
        connected: Backend,
    },
    /// A migration asks for a transaction where there are none.
    #[non_exhaustive]
    NoTransactions {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// What is connected.
        server: String,
    },
    /// All-or-nothing was asked for, and one migration runs outside of transactions.
    #[non_exhaustive]
    Ungroupable {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
    },
    /// An applied migration was changed since.
    #[non_exhaustive]
    Edited {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// What was applied.
        applied: Checksum,
        /// What is registered.
        registered: Checksum,
        /// When it was applied.
        at: Timestamp,
        /// The first line that differs, where the applied SQL was archived.
        first_difference: Option<LineDifference>,
    },
    /// A pending migration sorts before one that is applied.
    #[non_exhaustive]
    OutOfOrder {
        /// The pending one.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// The applied one.
        applied: MigrationId,
    },
    /// An applied migration depends on one that is pending.
    #[non_exhaustive]
    DependencyPending {
        /// The applied one.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// The pending one.
        dependency: MigrationId,
    },
    /// A migration was started outside a transaction and never ended.
    #[non_exhaustive]
    Interrupted {
        /// Which.
        id: MigrationId,
        /// Where it is written, if it is registered.
        location: Option<Location>,
        /// Which way it went.
        direction: Direction,
        /// How many statements ended well.
        done: u32,
        /// How many it has.
        steps: Option<u32>,
        /// When it was started.
        at: Timestamp,
        /// By whom, on which host.
        by: String,
        /// What it failed with, if it failed rather than died.
        error: Option<String>,
        /// It has a probe, which looks at the next run.
        probe: bool,
    },
    /// An interrupted migration cannot go on, because a statement that had ended well is another one now.
    #[non_exhaustive]
    ResumeDiffers {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// The first statement that differs, counted from 1.
        statement: u32,
    },
    /// A pending migration is an applied one, to the letter, under a new name.
    #[non_exhaustive]
    Renamed {
        /// As it is registered.
        id: MigrationId,
        /// Where it is written.
        location: Location,
        /// As the history has it.
        from: MigrationId,
    },
    /// The target names a migration that is not registered.
    #[non_exhaustive]
    UnknownTarget {
        /// The name.
        id: MigrationId,
        /// The registered name that comes nearest.
        nearest: Option<MigrationId>,
        /// The registered names that it would stand between.
        neighbours: Vec<MigrationId>,
    },
    /// The target names a tag that no migration has.
    #[non_exhaustive]
    UnknownTag {
        /// The tag.
        tag: String,
    },
    /// The way back should end at a migration that is not applied, behind which others are.
    #[non_exhaustive]
    TargetPending {
        /// Which.
        id: MigrationId,
    },
    /// A migration on the way back has no way back.
    #[non_exhaustive]
    Irreversible {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: Location,
    },
    /// A migration on the way back is known to the history only.
    #[non_exhaustive]
    NotRegistered {
        /// Which.
        id: MigrationId,
        /// When it was applied.
        at: Timestamp,
    },
    /// An applied migration that stays depends on one that would be taken back.
    #[non_exhaustive]
    StillNeeded {
        /// The one that would be taken back.
        id: MigrationId,
        /// The one that stays.
        by: MigrationId,
        /// Where that is written.
        location: Location,
    },
    /// The history knows migrations of our namespaces that this program does not.
    #[non_exhaustive]
    Ahead {
        /// Which.
        ids: Vec<MigrationId>,
    },
}

/// The first line in which two texts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LineDifference {
    /// The line, counted from 1.
    pub line: usize,
    /// The line as it was applied, without what stands in quotes; `None` if the text was shorter.
    pub applied: Option<String>,
    /// The line as it is now, without what stands in quotes; `None` if the text is shorter.
    pub registered: Option<String>,
}

impl LineDifference {
    /// Compares two texts, as checksums do: without regard for how lines end. What stands in quotes is
    /// compared, and not shown.
    pub(crate) fn between(applied: &str, registered: &str) -> Option<Self> {
        let (mut old, mut new) = (applied.lines(), registered.lines());
        for at in 0.. {
            match (old.next(), new.next()) {
                (None, None) => break,
                (a, b) if a == b => {}
                _ => {
                    let show = |text: &str| redacted(text).lines().nth(at).map(str::to_owned);
                    return Some(Self { line: at + 1, applied: show(applied), registered: show(registered) });
                }
            }
        }
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingRegistered => f.write_str(
                "no migration is registered. A crate that only Cargo.toml names is not linked: write \
                 `admmgt::link!(the_crate);` or `use the_crate as _;` once in this program, or pass \
                 `Migrator::migrations` an explicit list",
            ),
            Self::Unreadable { id, file, line, problem } => write!(f, "{file}:{line}: `{id}`: {problem}"),
            Self::Script { id, file, problem } => write!(f, "{file}:{problem} (in `{id}`)"),
            Self::Empty { id, file } => write!(
                f,
                "{file}:1: `{id}` has no statement. Write one, delete the migration, or allow it with `Policy::empty`"
            ),
            Self::Foreign { tool, versions } => write!(
                f,
                "{tool} has migrated this database ({versions} on record), and nothing is on record here. Count in what it applied, \
                 with `Migrator::foreign` and `Migrator::adopt`, or say with `Policy::foreign` that these are other migrations"
            ),
            Self::NotEmbedded { file, folder } => write!(
                f,
                "{file} is new and not in this program: rustc does not hear of new files. Touch the file with \
                 `migrations_dir!(\"{folder}\")` and build again; `println!(\"cargo::rerun-if-changed={folder}\")` in build.rs does it always"
            ),
            Self::Missing { id, applied } => write!(
                f,
                "`{id}` is in the lockfile and not registered{}. If its file or function was deleted, restore it; if its crate \
                 is not linked, name it once: `admmgt::link!({});`; if it is meant to be gone, take its line out of the lockfile",
                if *applied { ", and it is applied" } else { "" },
                id.namespace().as_str().replace('-', "_")
            ),
            Self::Duplicate { id, locations: [first, second] } => {
                write!(f, "`{id}` is written twice, at {first} and at {second}. Rename one of them")
            }
            Self::Alike { ids: [a, b], locations: [first, second] } => write!(
                f,
                "`{a}` at {first} and `{b}` at {second} differ only by case or leading zeros. Rename one of them"
            ),
            Self::UnknownDependency { id, location, dependency, nearest } => {
                write!(f, "{location}: `{id}` depends on `{dependency}`, which is not registered.")?;
                match nearest {
                    Some(nearest) => write!(f, " Is `{nearest}` meant?"),
                    None => f.write_str(" If another crate defines it, link that crate: `admmgt::link!(the_crate);`"),
                }
            }
            Self::Cycle { members } => cycle(f, members),
            Self::StillRegistered { id, location, replaced, still } => write!(
                f,
                "{location}: `{id}` replaces `{replaced}`, which is still registered at {still}. Delete that one; where only \
                 some of what is replaced is applied, run the release before this one first"
            ),
            Self::ReplacedTwice { id, by: [one, other] } => {
                write!(f, "`{id}` is replaced twice, by `{one}` and by `{other}`. Only one migration can stand for it")
            }
            Self::PartlyReplaced { id, location, applied, pending } => {
                write!(f, "{location}: `{id}` stands for {} migrations, of which", applied.len() + pending.len())?;
                named(f, applied)?;
                write!(f, " {} applied and", if applied.len() == 1 { "is" } else { "are" })?;
                named(f, pending)?;
                write!(
                    f,
                    " {} not. Bring the database up to date with the release that still has them, then run this one",
                    if pending.len() == 1 { "is" } else { "are" }
                )
            }
            Self::ReplacesOthers { id, location, unknown } => {
                write!(f, "{location}: nothing that `{id}` replaces is applied, but")?;
                named(f, unknown)?;
                f.write_str(
                    ", which this program does not know. If that is what it stands for, bring the database up to date with the \
                     release that squashed it first; `baseline` counts in what is there",
                )
            }
            Self::WrongBackend { id, location, wants, connected } => write!(
                f,
                "{location}: `{id}` is written for {wants}, and this is {connected}. Leave it out with \
                 `Migrations::filter`, or write its body for `&mut Context`"
            ),
            Self::NoTransactions { id, location, server } => write!(
                f,
                "{location}: `{id}` asks for a transaction, and {server} has none. Write `transaction = \"auto\"` or `\"none\"`"
            ),
            Self::Ungroupable { id, location } => write!(
                f,
                "{location}: `{id}` runs outside of transactions and cannot be part of an all-or-nothing run. \
                 Run it by itself first, without `Policy::group`"
            ),
            Self::Edited { id, location, applied, registered, at, first_difference } => {
                write!(
                    f,
                    "{location}: `{id}` was applied on {at} and has been edited since ({applied} was applied, {registered} is registered)."
                )?;
                if let Some(LineDifference { line, applied, registered }) = first_difference
                    && applied == registered
                {
                    write!(f, " Line {line} differs in a comment or in what stands in quotes.")?;
                } else if let Some(LineDifference { line, applied, registered }) = first_difference {
                    let show =
                        |text: &Option<String>| text.as_ref().map_or("nothing".to_owned(), |text| format!("`{text}`"));
                    write!(f, " Line {line} was {} and is {}.", show(applied), show(registered))?;
                }
                f.write_str(" Restore it, and write the change as a new migration")
            }
            Self::OutOfOrder { id, location, applied } => write!(
                f,
                "{location}: `{id}` is pending and sorts before `{applied}`, which is applied. Rename it so that it comes last, \
                 or allow this with `Policy::out_of_order`"
            ),
            Self::DependencyPending { id, location, dependency } => write!(
                f,
                "{location}: `{id}` is applied, but `{dependency}`, on which it depends, is pending. Was the dependency added \
                 after it was applied? Remove that edge, or apply the missing part in a new migration"
            ),
            Self::Interrupted { id, location, direction, done, steps, at, by, error, probe } => {
                if let Some(location) = location {
                    write!(f, "{location}: ")?;
                }
                write!(f, "`{id}` ({direction}) was started on {at} by {by} and never ended: ")?;
                match steps {
                    Some(steps) => write!(f, "{done} of its {steps} statements had ended.")?,
                    None => f.write_str("how far it came is not known.")?,
                }
                if let Some(error) = error {
                    write!(f, " It failed with: {error}.")?;
                }
                if *probe {
                    f.write_str(" Its probe looks how far it came, at each run; what it cannot tell is for a person:")?;
                }
                write!(
                    f,
                    " Look at the database; then call `Migrator::resolve(\"{id}\", Resolution::Applied, reason)` if the "
                )?;
                match direction {
                    Direction::Up => f.write_str(
                        "whole change is there, or `Resolution::Pending` after taking away what is there of it; or let it go on \
                         behind what has ended, with `OnInterrupt::Retry`",
                    ),
                    Direction::Down => f.write_str(
                        "change is still there as a whole, or `Resolution::Pending` after taking away what is left of it",
                    ),
                }
            }
            Self::ResumeDiffers { id, location, statement } => write!(
                f,
                "{location}: `{id}` was interrupted and cannot go on: its statement {statement} had ended well and is another \
                 one now. Restore it; what is behind the interruption may be changed"
            ),
            Self::Renamed { id, location, from } => write!(
                f,
                "{location}: `{id}` is what was applied as `{from}`, which is not registered any more. Take its old name \
                 back, or call `Migrator::repair` with `Repair::Rename`"
            ),
            Self::UnknownTarget { id, nearest, neighbours } => {
                write!(f, "the target `{id}` is not registered.")?;
                match (nearest, &**neighbours) {
                    (Some(nearest), _) => write!(f, " Is `{nearest}` meant?"),
                    (None, [one]) => write!(f, " Its neighbour would be `{one}`; see `Migrator::status`"),
                    (None, [one, other, ..]) => {
                        write!(f, " It would stand between `{one}` and `{other}`; see `Migrator::status`")
                    }
                    (None, []) => f.write_str(" A migration is named `namespace/id`; see `Migrator::status`"),
                }
            }
            Self::UnknownTag { tag } => {
                write!(
                    f,
                    "no migration has the tag `{tag}`. Write it in `tags = [\"{tag}\"]`, or choose another target"
                )
            }
            Self::TargetPending { id } => write!(
                f,
                "the way back cannot end at `{id}`, which is not applied, while others behind it are. Name one that is; see \
                 `Migrator::status`"
            ),
            Self::Irreversible { id, location } => write!(
                f,
                "{location}: `{id}` has no way back. Write its `down`, or write the opposite change as a new migration"
            ),
            Self::NotRegistered { id, at } => write!(
                f,
                "`{id}` was applied on {at} and is not registered in this program, so nothing can take it back. Use the \
                 program that has it"
            ),
            Self::StillNeeded { id, by, location } => write!(
                f,
                "{location}: `{by}` is applied and depends on `{id}`, which would be taken back. Take `{by}` back first"
            ),
            Self::Ahead { ids } => {
                let (count, _) = crate::report::counted(ids.len());
                write!(f, "the history has {count} that this program does not know:")?;
                ids.iter().try_for_each(|id| write!(f, " `{id}`"))?;
                f.write_str(". Deploy the newer version, or allow this with `Policy::ahead`")
            }
        }
    }
}

impl Refusal {
    pub(crate) fn unknown_target(id: &MigrationId, set: &MigrationSet) -> Self {
        let mut own: Vec<&MigrationId> =
            set.metas().map(|meta| &meta.id).filter(|one| one.namespace() == id.namespace()).collect();
        own.sort();
        let at = own.partition_point(|one| *one < id);
        let before = at.checked_sub(1).and_then(|before| own.get(before));
        let neighbours = before.into_iter().chain(own.get(at)).map(|one| (*one).clone()).collect();
        // A name without its number is meant more often than one that looks like it.
        let named = own.iter().copied().find(|one| id.id().len() > 2 && one.id().contains(id.id()));
        let nearest = named.or_else(|| nearest(id, set.metas().map(|meta| &meta.id))).cloned();
        Self::UnknownTarget { id: id.clone(), nearest, neighbours }
    }
}

/// The first few of a list.
fn named(f: &mut fmt::Formatter<'_>, ids: &[MigrationId]) -> fmt::Result {
    ids.iter().take(3).try_for_each(|id| write!(f, " `{id}`"))?;
    if ids.len() > 3 { write!(f, " and {} more", ids.len() - 3) } else { Ok(()) }
}

fn cycle(f: &mut fmt::Formatter<'_>, members: &[(MigrationId, Location)]) -> fmt::Result {
    f.write_str("migrations wait for each other: ")?;
    for (id, location) in members {
        write!(f, "`{id}` ({location}) -> ")?;
    }
    match members.first() {
        Some((first, _)) => write!(f, "`{first}`. Remove one of these dependencies"),
        None => Ok(()),
    }
}
