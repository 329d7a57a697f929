//! What would run, decided from values alone: no database, no clock, no randomness.

mod back;
mod compared;
mod forwards;
mod judge;
mod replaced;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::compared::Compared;
use self::forwards::Wanted;
pub(crate) use self::judge::edited;
use self::judge::{backend, dependencies, interrupted, is_code, out_of_order, renamed};
use self::replaced::{Replaced, replaced};
use self::steps::{Steps, WithScript, counted_in, put_back, resume, skipped, step};
use crate::digest::NamespaceHead;
use crate::history::{Standing, State};
use crate::policy::{Policy, Verdict};
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::script::{Dialect, Script};
use crate::{Backend, Capabilities, Checksum, Direction, Location, Migration, MigrationId, Namespace, Target};

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
    /// Repeatable migrations without a way back, which stay as they are where everything is taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staying: Vec<MigrationId>,
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
    /// The checksum of the migration.
    pub checksum: Checksum,
    /// Whether it runs inside a transaction.
    pub transaction: bool,
    /// How many statements it has; `None` for code.
    pub statements: Option<usize>,
    /// It was interrupted, and goes on behind so many statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<u32>,
    /// Nothing runs: it stands for these, which are applied, and is counted in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts_in: Vec<MigrationId>,
    /// Nothing runs: it was to be taken back to, and is not applied. That is put on record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The form that this record of the history applied is put back: the way back of a repeatable migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub puts_back: Option<u64>,
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
        let name = |step: &'_ Self| (step.migration.clone(), step.checksum.clone(), step.puts_back);
        name(self) == name(other)
            && what(self) == what(other)
            && (&self.counts_in, self.skipped) == (&other.counts_in, other.skipped)
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
        let running = self.steps.iter().filter(|step| !step.skipped).count();
        write!(f, "{} to run{together}", crate::report::counted(running).0)?;
        for step in &self.steps {
            let Step { migration, direction, transaction, statements, resume, description, notes, .. } = step;
            if step.skipped {
                write!(f, "\n  skip {migration}, which is not applied")?;
                continue;
            }
            write!(f, "\n  {direction:<4} {migration}")?;
            if !description.is_empty() {
                write!(f, "  {description}")?;
            }
            if !step.counts_in.is_empty() {
                let (count, verb) = crate::report::counted(step.counts_in.len());
                write!(f, " (counted in, for {count} that {verb} applied)")?;
                continue;
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
        self.staying.iter().try_for_each(|id| write!(f, "\n  stays {id}, which has no way back"))
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
    /// Interrupted migrations that go on, as probes have found: behind so many statements, or behind the last one
    /// that is known to have ended.
    pub probed: &'a [(MigrationId, Option<u32>)],
}

impl<'a> Facts<'a> {
    /// The facts of a database.
    pub fn new(backend: &'a Backend, capabilities: Option<&'a Capabilities>, dialect: &'a dyn Dialect) -> Self {
        Self { backend, capabilities, dialect, probed: &[] }
    }

    /// With what probes have found.
    pub fn probed(mut self, probed: &'a [(MigrationId, Option<u32>)]) -> Self {
        self.probed = probed;
        self
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
    let compared = Compared::new(set, state);
    let mut refusals: Vec<Refusal> = set.metas().filter_map(|meta| backend(meta, facts.backend)).collect();
    let wanted = forwards::wanted(set, state, &compared, target).unwrap_or_else(|refusal| {
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
        ahead: compared.ahead.iter().map(|id| (*id).clone()).collect(),
        edited_code: Vec::new(),
        staying: Vec::new(),
        base: state.heads().clone(),
    };
    if policy.ahead == Verdict::Refuse && !plan.ahead.is_empty() {
        refusals.push(Refusal::Ahead { ids: plan.ahead.clone() });
    }
    let mut resumed: BTreeMap<&MigrationId, WithScript> = BTreeMap::new();
    for (id, known) in state.interrupted().into_iter().filter(|(id, _)| set.has_namespace(id.namespace())) {
        let wanted = match target.direction() {
            Direction::Up => wanted.contains(id),
            Direction::Down => back::names(set, target, id),
        };
        match resume(set, id, known, target, policy, facts).filter(|_| wanted) {
            Some(Ok(step)) => drop(resumed.insert(id, step)),
            Some(Err(refusal)) => refusals.push(refusal),
            None => refusals.extend(interrupted(set, id, known, policy)),
        }
    }

    let path = match target.direction() {
        Direction::Up => back::Path::default(),
        Direction::Down => back::path(set, state, &back::without(target, resumed.len())),
    };
    let leaving: HashSet<&MigrationId> =
        path.leaving.iter().map(|leaving| leaving.id).chain(path.again.clone()).collect();
    // What cannot be read was refused when the set was made, and says nothing that could be judged.
    for migration in set.iter().filter(|migration| migration.problems().is_empty()) {
        let meta = migration.meta();
        match state.get(&meta.id) {
            Some(known) if meta.repeatable && known.standing == Standing::Applied => {
                let asked_for = compared.is_held_back(meta, known) && *target == Target::To(meta.id.clone());
                if (compared.runs_again(meta, known) || asked_for)
                    && target.direction() == Direction::Up
                    && wanted.contains(&meta.id)
                {
                    steps.add(step(migration, Direction::Up, policy, facts).map(|(mut step, script)| {
                        step.notes.push(format!("it runs again: it has changed since it was applied on {}", known.at));
                        (step, script)
                    }));
                } else {
                    plan.already += 1;
                }
            }
            Some(known) if known.is_applied() => {
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
            _ => match replaced(meta, state, &compared.ahead) {
                Replaced::All => steps.add(Ok(counted_in(meta))),
                Replaced::Some(refusal) => refusals.push(refusal),
                Replaced::None => {
                    let renamed = renamed(meta, state, &compared.ahead);
                    if renamed.is_none() && policy.out_of_order == Verdict::Refuse {
                        refusals.extend(out_of_order(set, state, meta, &applied));
                    }
                    refusals.extend(renamed);
                    steps.add(step(migration, Direction::Up, policy, facts));
                }
            },
        }
    }
    if target.direction() == Direction::Down {
        refusals.extend(path.refusals);
        if let (true, Target::BackTo(last)) = (path.skips && path.leaving.is_empty(), target) {
            steps.add(set.get(last).map(|migration| skipped(migration.meta())).ok_or_else(Vec::new));
        }
        for back::Leaving { id, earlier } in path.leaving {
            let Some(migration) = set.get(id) else { continue };
            steps.add(match earlier {
                Some(earlier) => put_back(migration, earlier, policy, facts),
                None => step(migration, Direction::Down, policy, facts).map(|(mut step, script)| {
                    if set.is_told(id) {
                        step.notes.push("nobody wrote its way back: it is told by what it does".to_owned());
                    }
                    (step, script)
                }),
            });
        }
        let again: Vec<&dyn Migration> = path.again.into_iter().filter_map(|id| set.get(id)).collect();
        again.into_iter().for_each(|migration| steps.add(step(migration, Direction::Up, policy, facts)));
        plan.staying = path.staying.into_iter().cloned().collect();
    }
    refusals.append(&mut steps.refusals);
    plan.steps = steps.steps;
    if refusals.is_empty() { Ok(Prepared { plan, scripts: steps.scripts }) } else { Err(refusals) }
}
