//! The steps of a plan: what runs of one migration, and how.

use admmgt_files::checksum::of_sql;

use super::{Facts, Step, edited};
use crate::history::{Earlier, Known, Standing};
use crate::policy::{Policy, Verdict};
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::script::{Dialect, Script, ScriptProblem};
use crate::{Direction, Meta, Migration, MigrationId, OnInterrupt, SqlSource, Target, TransactionMode};

/// Steps with their scripts, and what forbids them.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    pub(super) scripts: Vec<Option<Script>>,
    pub(super) refusals: Vec<Refusal>,
}

impl Steps {
    pub(super) fn add(&mut self, step: Result<WithScript, Vec<Refusal>>) {
        match step {
            Ok((step, script)) => {
                self.steps.push(step);
                self.scripts.push(script);
            }
            Err(found) => self.refusals.extend(found),
        }
    }
}

/// A step, and its statements where it is SQL.
pub(super) type WithScript = (Step, Option<Script>);

/// How an interrupted migration goes on; `None` where that is for a person to say.
pub(super) fn resume(
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
    let probed = facts.probed.iter().find(|(probed, _)| probed == id);
    // What is to be done about an interruption is said of the way forwards only.
    let asked = match direction {
        Direction::Up => policy.on_interrupt.unwrap_or(meta.on_interrupt),
        Direction::Down => OnInterrupt::Manual,
    };
    if asked == OnInterrupt::Probe && probed.is_none() {
        return None;
    }
    // What is on record has ended, whatever a probe says.
    let done = probed.and_then(|(_, statements)| *statements).map_or(done, |statements| statements.max(done));
    // A way back that was interrupted is not gone on with by somebody who wants to go forwards.
    if direction != target.direction() {
        return None;
    }
    // What was being put back is its earlier form, and not what is written.
    if direction == Direction::Down && meta.repeatable {
        return None;
    }
    // What cannot run at all is refused where it is pending; here, as interrupted.
    let (mut step, script) = step(migration, direction, policy, facts).ok()?;
    if let Some(script) = &script {
        if usize::try_from(done).is_ok_and(|done| done > script.count()) {
            return None;
        }
        let (mut same, mut last) = (0, None);
        let mut statements = script.iter(migration.sql(direction), facts.dialect).ok()?;
        let ended = usize::try_from(done).unwrap_or(usize::MAX).max(known.step_hashes.len());
        for at in 0..ended {
            let Some(Ok(statement)) = statements.next() else { break };
            if facts.dialect.is_of_session(&statement) && !facts.dialect.is_setting(&statement) {
                // What it set or made is gone with its connection.
                return None;
            }
            match known.step_hashes.get(at) {
                Some(then) if of_sql(&statement.text) != *then => break,
                _ => (same, last) = (same + 1, Some(statement)),
            }
        }
        // Where all have ended, nothing is missing but the record of that.
        let next = statements.next().or(last.map(Ok));
        drop(statements);
        if same < known.step_hashes.len() {
            return Some(Err(Refusal::ResumeDiffers {
                id: id.clone(),
                location: meta.location.clone(),
                statement: u32::try_from(same + 1).unwrap_or(u32::MAX),
            }));
        }
        if asked == OnInterrupt::Manual {
            // Whatever it had come to, it can simply run again.
            next.and_then(Result::ok).filter(|statement| facts.dialect.is_resumable(statement))?;
        }
    } else if asked == OnInterrupt::Manual {
        return None;
    } else if meta.checksum != known.checksum && policy.edited_code == Verdict::Refuse {
        return edited(migration, known).map(Err);
    }
    step.resume = Some(if script.is_some() { done } else { 0 });
    Some(Ok((step, script)))
}

/// The statements of a text, in a transaction or, where that cannot be and may be otherwise, without one.
fn script(
    source: &SqlSource,
    mode: TransactionMode,
    policy: &Policy,
    dialect: &dyn Dialect,
    is_registered: bool,
) -> Result<Script, Vec<ScriptProblem>> {
    // What is not registered cannot be read again when it runs.
    let parse = |mode| match source.text().filter(|_| !source.is_large() || !is_registered) {
        Some(text) => dialect.parse(text, mode),
        None => dialect.scan(source, mode),
    };
    let parsed = parse(mode);
    let (Err(problems), TransactionMode::Auto, Verdict::Allow) = (&parsed, mode, policy.mixed) else { return parsed };
    let Ok(mut script) = parse(TransactionMode::None) else { return parsed };
    let why = problems.first().map(|problem| {
        let what = problem.message.split('`').nth(1).unwrap_or_default();
        format!(", because of `{what}` in line {}", problem.line)
    });
    script.notes.push(format!("it runs without a transaction, statement by statement{}", why.unwrap_or_default()));
    Ok(script)
}

/// The step of a migration that stands for others, which are applied.
pub(super) fn counted_in(meta: &Meta) -> WithScript {
    (Step { counts_in: meta.replaces.to_vec(), ..of(meta, Direction::Up, true) }, None)
}

/// The step of a migration that should be gone back to, and is not applied.
pub(super) fn skipped(meta: &Meta) -> WithScript {
    (Step { skipped: true, ..of(meta, Direction::Down, true) }, None)
}

/// The step that puts an earlier form of a repeatable migration back.
pub(super) fn put_back(
    migration: &dyn Migration,
    earlier: &Earlier,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Result<WithScript, Vec<Refusal>> {
    let meta = migration.meta();
    let unreadable = || {
        let problem = "the form it had before cannot be read from the history; restore that from a backup".to_owned();
        vec![Refusal::Unreadable { id: meta.id.clone(), file: "the history".to_owned(), line: 1, problem }]
    };
    let text = earlier.body.as_ref().and_then(|body| body.unpack()).ok_or_else(unreadable)?;
    let source = SqlSource::new(format!("the form of {} in the history", earlier.at), text);
    let (mut step, script) = sql_step(meta, Direction::Down, Some(&source), policy, facts, false)?;
    step.puts_back = Some(earlier.since);
    step.notes.push(format!("its form of {} is put back", earlier.at));
    Ok((step, script))
}

/// The step of a migration, with nothing in it yet.
fn of(meta: &Meta, direction: Direction, transaction: bool) -> Step {
    Step {
        migration: meta.id.clone(),
        direction,
        checksum: meta.checksum.clone(),
        transaction,
        statements: None,
        resume: None,
        counts_in: Vec::new(),
        skipped: false,
        puts_back: None,
        description: meta.description.to_string(),
        location: meta.location.clone(),
        notes: Vec::new(),
    }
}

pub(super) fn step(
    migration: &dyn Migration,
    direction: Direction,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Result<WithScript, Vec<Refusal>> {
    sql_step(migration.meta(), direction, migration.sql(direction), policy, facts, true)
}

/// The step of a migration; without a source, that of code.
fn sql_step(
    meta: &Meta,
    direction: Direction,
    source: Option<&SqlSource>,
    policy: &Policy,
    facts: &Facts<'_>,
    is_registered: bool,
) -> Result<WithScript, Vec<Refusal>> {
    let can = facts.capabilities.is_none_or(|capabilities| capabilities.transactions);
    let mode = source.and_then(|source| source.transaction).unwrap_or(meta.transaction);
    let mut refusals = Vec::new();
    let mut parsed = None;
    let mut step = of(meta, direction, can && mode != TransactionMode::None);
    if let (TransactionMode::Required, Some(capabilities), false) = (mode, facts.capabilities, can) {
        let server = capabilities.server.clone();
        refusals.push(Refusal::NoTransactions { id: meta.id.clone(), location: meta.location.clone(), server });
    }
    if let Some(source) = source {
        let unfit = |problem| Refusal::Script { id: meta.id.clone(), file: source.file().to_owned(), problem };
        match script(source, mode, policy, facts.dialect, is_registered) {
            Ok(mut script) => {
                let idle = std::mem::take(&mut script.idle);
                if policy.idle == Verdict::Refuse {
                    refusals.extend(idle.into_iter().map(&unfit));
                } else {
                    script.notes.extend(idle.iter().map(|problem| format!("left out, {problem}")));
                }
                if script.count() == 0 && direction == Direction::Up && policy.empty == Verdict::Refuse {
                    refusals.push(Refusal::Empty { id: meta.id.clone(), file: source.file().to_owned() });
                }
                step.statements = Some(script.count());
                step.transaction = can && script.in_transaction;
                if script.count() == 0 {
                    script.notes.push("it has no statement".to_owned());
                }
                step.notes = std::mem::take(&mut script.notes);
                parsed = Some(script);
            }
            Err(problems) => refusals.extend(problems.into_iter().map(&unfit)),
        }
    }
    let forbidden = facts.capabilities.and_then(|capabilities| capabilities.only_in_transactions.clone());
    if let (Some(reason), false, true) = (forbidden, step.transaction, refusals.is_empty()) {
        refusals.push(Refusal::OnlyInTransactions { id: meta.id.clone(), location: meta.location.clone(), reason });
    }
    if refusals.is_empty() && policy.group && !step.transaction {
        refusals.push(Refusal::Ungroupable { id: meta.id.clone(), location: meta.location.clone() });
    }
    if refusals.is_empty() { Ok((step, parsed)) } else { Err(refusals) }
}
