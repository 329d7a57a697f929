//! Reasons why nothing ran.

mod words;

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
    /// Nothing is on record yet, and a migration would make what is there already.
    #[non_exhaustive]
    AlreadyThere {
        /// Which.
        id: MigrationId,
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u32,
        /// What is there.
        name: String,
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
    /// It runs outside of a transaction, and nothing can here.
    #[non_exhaustive]
    OnlyInTransactions {
        /// Which.
        id: MigrationId,
        /// Where it stands.
        location: Location,
        /// Why, and what to do.
        reason: String,
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
