//! What would run, decided from values alone: no database, no clock, no randomness.

mod back;
mod forwards;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use admmgt_files::checksum::{SCHEME, of_sql};
use serde::{Deserialize, Serialize};

use self::forwards::Wanted;
use crate::digest::NamespaceHead;
use crate::history::{Known, Standing, State};
use crate::policy::{Policy, Verdict};
use crate::refusal::{LineDifference, Refusal};
use crate::registry::MigrationSet;
use crate::script::{Dialect, Script, ScriptProblem};
use crate::{
    Backend, Capabilities, Checksum, Direction, Location, Meta, Migration, MigrationId, Namespace, OnInterrupt, Origin,
    Target, TransactionMode,
};

/// The version of the serialised form of [`Plan`].
pub const PLAN_FORMAT: u32 = 1;

/// What will run, in order, and what was noticed on the way. Prints as a list; serialises with the
/// state it was made for, and [`crate::Migrator::run`] refuses it for any other state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Target::is_latest")]
    pub target: Target,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Whether all steps share one transaction.
    pub group: bool,
    /// How many registered migrations are applied already.
    pub already: usize,
    /// Applied migrations of our namespaces that this program does not know.
    pub ahead: Vec<MigrationId>,
    /// Applied migrations whose code has changed since.
    pub edited_code: Vec<MigrationId>,
    /// The heads of the history that the plan was made for.
    pub base: BTreeMap<Namespace, NamespaceHead>,
}

/// One migration of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Which.
    pub migration: MigrationId,
    /// Which way.
    pub direction: Direction,
    /// The checksum of what runs.
    pub checksum: Checksum,
    /// Whether it runs inside a transaction.
    pub transaction: bool,
    /// How many statements it has; `None` for code.
    pub statements: Option<usize>,
    /// It was interrupted, and goes on behind so many statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<u32>,
    /// What it says of itself.
    pub description: String,
    /// Where it is written.
    pub location: Location,
    /// What the dialect decided by itself.
    pub notes: Vec<String>,
}

impl Step {
    /// Whether two steps do the same; words for people do not count.
    fn does_the_same(&self, other: &Self) -> bool {
        let what = |step: &Self| (step.direction, step.transaction, step.statements, step.resume);
        self.migration == other.migration && self.checksum == other.checksum && what(self) == what(other)
    }
}

impl Plan {
    /// Whether two plans do the same.
    pub(crate) fn does_the_same(&self, other: &Self) -> bool {
        let steps = self.steps.iter().zip(&other.steps);
        self.group == other.group
            && self.steps.len() == other.steps.len()
            && steps.into_iter().all(|(a, b)| a.does_the_same(b))
    }

    /// Whether nothing would run.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The migrations of the steps, in order.
    pub fn migrations(&self) -> Vec<MigrationId> {
        self.steps.iter().map(|step| step.migration.clone()).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            let (count, verb) = crate::report::counted(self.already);
            return write!(f, "nothing to do: {count} {verb} applied");
        }
        let together = if self.group { ", all in one transaction" } else { "" };
        write!(f, "{} to run{together}", crate::report::counted(self.steps.len()).0)?;
        for Step { migration, direction, transaction, statements, resume, description, notes, .. } in &self.steps {
            write!(f, "\n  {direction:<4} {migration}")?;
            if !description.is_empty() {
                write!(f, "  {description}")?;
            }
            match statements {
                Some(1) => f.write_str(" (1 statement")?,
                Some(count) => write!(f, " ({count} statements")?,
                None => f.write_str(" (code")?,
            }
            if let Some(done) = resume {
                write!(f, ", goes on behind {done}")?;
            }
            f.write_str(if *transaction { ")" } else { ", without a transaction)" })?;
            notes.iter().try_for_each(|note| write!(f, "\n       note: {note}"))?;
        }
        Ok(())
    }
}

/// What the planner has to know of the database.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// What is connected.
    pub backend: &'a Backend,
    /// What it can do; `None` while it does not exist yet, and may turn out to do anything.
    pub capabilities: Option<&'a Capabilities>,
    /// How it splits SQL.
    pub dialect: &'a dyn Dialect,
}

impl<'a> Facts<'a> {
    /// The facts of a database.
    pub fn new(backend: &'a Backend, capabilities: Option<&'a Capabilities>, dialect: &'a dyn Dialect) -> Self {
        Self { backend, capabilities, dialect }
    }
}

/// Decides what runs: the same inputs always give the same plan.
///
/// # Errors
/// Every reason why nothing may run.
///
/// ```
/// use admmgt_core::{plan, Facts, MemoryDriver, Driver, Migrations, MigrationSet, Policy, SqlMigration, State, Target};
///
/// let users = SqlMigration::new("app", "0001_users", "create table users")?;
/// let set = MigrationSet::new(&Migrations::new([users])).unwrap();
/// let (backend, dialect) = (MemoryDriver::new().backend(), MemoryDriver::new().dialect());
/// let facts = Facts::new(&backend, None, &*dialect);
/// let plan = plan(&set, &State::default(), &Target::Latest, &Policy::default(), &facts).unwrap();
/// assert_eq!(plan.steps.len(), 1);
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
pub fn plan(
    set: &MigrationSet,
    state: &State,
    target: &Target,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Result<Plan, Vec<Refusal>> {
    prepare(set, state, target, policy, facts).map(|prepared| prepared.plan)
}

/// A plan, and the scripts that were split and judged for it: one for each step, none for code.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) scripts: Vec<Option<Script>>,
}

/// [`plan`], with what it had to parse on the way.
pub(crate) fn prepare(
    set: &MigrationSet,
    state: &State,
    target: &Target,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Result<Prepared, Vec<Refusal>> {
    let applied = state.applied();
    let mut refusals: Vec<Refusal> = set.metas().filter_map(|meta| backend(meta, facts.backend)).collect();
    let wanted = forwards::wanted(set, state, target).unwrap_or_else(|refusal| {
        refusals.push(*refusal);
        Wanted::These(HashSet::new())
    });
    let mut steps = Steps::default();
    let mut plan = Plan {
        format: PLAN_FORMAT,
        target: target.clone(),
        steps: Vec::new(),
        group: policy.group,
        already: 0,
        ahead: ahead(set, &applied),
        edited_code: Vec::new(),
        base: state.heads().clone(),
    };
    if policy.ahead == Verdict::Refuse && !plan.ahead.is_empty() {
        refusals.push(Refusal::Ahead { ids: plan.ahead.clone() });
    }
    let mut resumed: BTreeMap<&MigrationId, WithScript> = BTreeMap::new();
    for (id, known) in state.interrupted().into_iter().filter(|(id, _)| set.has_namespace(id.namespace())) {
        let wanted = wanted.contains(id);
        match resume(set, id, known, target, policy, facts).filter(|_| wanted) {
            Some(Ok(step)) => drop(resumed.insert(id, step)),
            Some(Err(refusal)) => refusals.push(refusal),
            None => refusals.extend(interrupted(set, id, known)),
        }
    }

    // What cannot be read was refused when the set was made, and says nothing that could be judged.
    let (path, forbidden) = match target.direction() {
        Direction::Up => Default::default(),
        Direction::Down => back::path(set, state, target),
    };
    let leaving: HashSet<&MigrationId> = path.iter().copied().collect();
    for migration in set.iter().filter(|migration| migration.problems().is_empty()) {
        let meta = migration.meta();
        match state.get(&meta.id) {
            Some(known) if known.standing == Standing::Applied => {
                plan.already += 1;
                refusals.extend(dependencies(set, meta, state));
                match edited(migration, known) {
                    // It is going, and may be on its way to a better form.
                    Some(_) if leaving.contains(&meta.id) => {}
                    Some(_) if is_code(meta, known) && policy.edited_code == Verdict::Allow => {
                        plan.edited_code.push(meta.id.clone());
                    }
                    found => refusals.extend(found),
                }
            }
            Some(known) if known.standing != Standing::Pending => {
                if let Some(step) = resumed.remove(&meta.id) {
                    steps.add(Ok(step));
                }
            }
            _ if target.direction() == Direction::Down || !wanted.contains(&meta.id) => {}
            _ => {
                let renamed = renamed(meta, state, &plan.ahead);
                if renamed.is_none() && policy.out_of_order == Verdict::Refuse {
                    refusals.extend(out_of_order(set, meta, &applied));
                }
                refusals.extend(renamed);
                steps.add(step(migration, Direction::Up, policy, facts));
            }
        }
    }
    if target.direction() == Direction::Down {
        refusals.extend(forbidden);
        let back: Vec<&dyn Migration> = path.into_iter().filter_map(|id| set.get(id)).collect();
        for migration in back.iter().filter(|migration| migration.meta().reversible) {
            steps.add(step(*migration, Direction::Down, policy, facts));
        }
        if let Target::Again(_) = target {
            back.iter().rev().for_each(|migration| steps.add(step(*migration, Direction::Up, policy, facts)));
        }
    }
    refusals.append(&mut steps.refusals);
    plan.steps = steps.steps;
    if refusals.is_empty() { Ok(Prepared { plan, scripts: steps.scripts }) } else { Err(refusals) }
}

/// Steps with their scripts, and what forbids them.
#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
    scripts: Vec<Option<Script>>,
    refusals: Vec<Refusal>,
}

impl Steps {
    fn add(&mut self, step: Result<WithScript, Vec<Refusal>>) {
        match step {
            Ok((step, script)) => {
                self.steps.push(step);
                self.scripts.push(script);
            }
            Err(found) => self.refusals.extend(found),
        }
    }
}

fn backend(meta: &Meta, connected: &Backend) -> Option<Refusal> {
    let wants = meta.backend.as_ref().filter(|wants| *wants != connected)?;
    Some(Refusal::WrongBackend {
        id: meta.id.clone(),
        location: meta.location.clone(),
        wants: *wants,
        connected: *connected,
    })
}

/// Applied migrations of our namespaces that are not registered: whoever applied them is newer.
fn ahead(set: &MigrationSet, applied: &[&MigrationId]) -> Vec<MigrationId> {
    let ours = applied.iter().filter(|id| set.has_namespace(id.namespace()));
    ours.filter(|id| set.get(id).is_none()).map(|id| (*id).clone()).collect()
}

/// A step, and its statements where it is SQL.
type WithScript = (Step, Option<Script>);

/// How an interrupted migration goes on; `None` where that is for a person to say.
fn resume(
    set: &MigrationSet,
    id: &MigrationId,
    known: &Known,
    target: &Target,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Option<Result<WithScript, Refusal>> {
    let Standing::Interrupted { direction, done, .. } = known.standing else { return None };
    let migration = set.get(id).filter(|migration| migration.problems().is_empty())?;
    let meta = migration.meta();
    let retry = policy.on_interrupt.unwrap_or(meta.on_interrupt) == OnInterrupt::Retry;
    // A way back that was interrupted is not gone on with by somebody who wants to go forwards.
    if !retry || direction != Direction::Up || target.direction() != Direction::Up {
        return None;
    }
    // What cannot run at all is refused where it is pending; here, as interrupted.
    let (mut step, script) = step(migration, direction, policy, facts).ok()?;
    if let Some(script) = &script {
        let ended = script.statements.iter().take(known.step_hashes.len());
        if ended.clone().any(|statement| facts.dialect.is_of_session(statement)) {
            // What it set or made is gone with its connection.
            return None;
        }
        let hashes = script.statements.iter().map(|statement| of_sql(&statement.text));
        let same = hashes.zip(&known.step_hashes).take_while(|(now, then)| now == *then).count();
        if same < known.step_hashes.len() {
            return Some(Err(Refusal::ResumeDiffers {
                id: id.clone(),
                location: meta.location.clone(),
                statement: u32::try_from(same + 1).unwrap_or(u32::MAX),
            }));
        }
    } else if meta.checksum != known.checksum && policy.edited_code == Verdict::Refuse {
        return edited(migration, known).map(Err);
    }
    step.resume = Some(if script.is_some() { done } else { 0 });
    Some(Ok((step, script)))
}

/// A pending migration with the checksum of one that only the history knows.
fn renamed(meta: &Meta, state: &State, ahead: &[MigrationId]) -> Option<Refusal> {
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

fn interrupted(set: &MigrationSet, id: &MigrationId, known: &Known) -> Option<Refusal> {
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
    })
}

pub(crate) fn edited(migration: &dyn Migration, known: &Known) -> Option<Refusal> {
    let meta = migration.meta();
    if meta.checksum == known.checksum {
        return None;
    }
    let applied = known.body.as_ref().and_then(|body| body.unpack());
    let first_difference = match (&applied, migration.sql(Direction::Up)) {
        (Some(applied), Some(registered)) => LineDifference::between(applied, registered.text()),
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

fn is_code(meta: &Meta, known: &Known) -> bool {
    meta.origin == Origin::Code && known.origin == Origin::Code
}

fn dependencies(set: &MigrationSet, meta: &Meta, state: &State) -> Vec<Refusal> {
    let open = |id: &&MigrationId| !state.is_applied(id) && !is_interrupted(state, id) && set.get(id).is_some();
    let pending = meta.depends_on.iter().filter(open).map(|dependency| Refusal::DependencyPending {
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
fn out_of_order(set: &MigrationSet, meta: &Meta, applied: &[&MigrationId]) -> Option<Refusal> {
    let place = set.place(&meta.id)?;
    let of_namespace = applied.iter().rev().filter(|id| id.namespace() == meta.id.namespace());
    // State is sorted by id: from the end, until the ids are smaller.
    let mut larger = of_namespace.take_while(|id| ***id > meta.id);
    let later = larger.find(|id| set.place(id).is_none_or(|other| other > place))?;
    Some(Refusal::OutOfOrder { id: meta.id.clone(), location: meta.location.clone(), applied: (*later).clone() })
}

/// The statements of a text, in a transaction or, where that cannot be and may be otherwise, without one.
fn script(
    text: &str,
    mode: TransactionMode,
    policy: &Policy,
    dialect: &dyn Dialect,
) -> Result<Script, Vec<ScriptProblem>> {
    let parsed = dialect.parse(text, mode);
    let (Err(problems), TransactionMode::Auto, Verdict::Allow) = (&parsed, mode, policy.mixed) else { return parsed };
    let Ok(mut script) = dialect.parse(text, TransactionMode::None) else { return parsed };
    let why = problems.first().map(ToString::to_string).unwrap_or_default();
    script.notes.push(format!("it runs without a transaction, statement by statement: {why}"));
    Ok(script)
}

fn step(
    migration: &dyn Migration,
    direction: Direction,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Result<WithScript, Vec<Refusal>> {
    let meta = migration.meta();
    let can = facts.capabilities.is_none_or(|capabilities| capabilities.transactions);
    let source = migration.sql(direction);
    let mode = source.and_then(|source| source.transaction).unwrap_or(meta.transaction);
    let mut refusals = Vec::new();
    let mut parsed = None;
    let mut step = Step {
        migration: meta.id.clone(),
        direction,
        checksum: meta.checksum.clone(),
        transaction: can && mode != TransactionMode::None,
        statements: None,
        resume: None,
        description: meta.description.to_string(),
        location: meta.location.clone(),
        notes: Vec::new(),
    };
    if let (TransactionMode::Required, Some(capabilities), false) = (mode, facts.capabilities, can) {
        let server = capabilities.server.clone();
        refusals.push(Refusal::NoTransactions { id: meta.id.clone(), location: meta.location.clone(), server });
    }
    if let Some(source) = source {
        let unfit = |problem| Refusal::Script { id: meta.id.clone(), file: source.file().to_owned(), problem };
        match script(source.text(), mode, policy, facts.dialect) {
            Ok(mut script) => {
                let idle = std::mem::take(&mut script.idle);
                if policy.idle == Verdict::Refuse {
                    refusals.extend(idle.into_iter().map(&unfit));
                } else {
                    script.notes.extend(idle.iter().map(|problem| format!("left out, {problem}")));
                }
                if script.statements.is_empty() && direction == Direction::Up && policy.empty == Verdict::Refuse {
                    refusals.push(Refusal::Empty { id: meta.id.clone(), file: source.file().to_owned() });
                }
                step.statements = Some(script.statements.len());
                step.transaction = can && script.in_transaction;
                step.notes = std::mem::take(&mut script.notes);
                parsed = Some(script);
            }
            Err(problems) => refusals.extend(problems.into_iter().map(&unfit)),
        }
    }
    if refusals.is_empty() && policy.group && !step.transaction {
        refusals.push(Refusal::Ungroupable { id: meta.id.clone(), location: meta.location.clone() });
    }
    if refusals.is_empty() { Ok((step, parsed)) } else { Err(refusals) }
}
