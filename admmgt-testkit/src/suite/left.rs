//! A database as a run left it that failed or was killed, and the runs after it.

use admmgt_core::{Direction, ErrorKind, Migrator, OnInterrupt, Resolution, Standing, Status, Target};

use super::Skip;
use super::ground::{Ground, policy};
use super::process::Verb;
use super::sets::Set;
use crate::Step;

/// What is there, and how the migrations stand.
pub(super) struct Left {
    set: Set,
    names: Vec<String>,
    status: Status,
}

impl Left {
    /// Looks, once whoever died has let go: what it had asked the server for may go on until then.
    pub(super) async fn of(on: &Ground, set: Set) -> Result<Self, Skip> {
        on.lease_is_free().await;
        let status = on.migrator(set.migrations(on)?).status().await.expect("the history can be read");
        Ok(Self { set, names: on.names().await, status })
    }

    fn standing(&self, number: usize) -> &Standing {
        &self.status.migrations[number - 1].standing
    }

    /// What a migration has made, of what it makes.
    fn there(&self, number: usize) -> usize {
        let makes = &self.set.makes()[number - 1];
        makes.iter().filter(|made| self.names.iter().any(|name| name == *made)).count()
    }

    /// What holds wherever a run ended: a change and its record are there together or not at all, or the migration says
    /// that it is interrupted, and how far it came.
    pub(super) fn check(&self, group: bool, transactions: Transactions) {
        for (number, makes) in (1..).zip(self.set.makes()) {
            let there = self.there(number);
            match self.standing(number) {
                Standing::Applied => assert_eq!(there, makes.len(), "{number} is applied, {:?}", self.names),
                Standing::Pending => assert_eq!(there, 0, "{number} is pending, {:?}", self.names),
                Standing::Interrupted { direction, done, .. } => {
                    let in_transaction = match direction {
                        Direction::Up => transactions.forwards,
                        Direction::Down => transactions.back,
                    };
                    assert!(self.set.is_outside(number) || !in_transaction, "{number} is interrupted");
                    let ended = match direction {
                        Direction::Up => there,
                        Direction::Down => makes.len() - there,
                    };
                    let done = *done as usize;
                    // The last one may have ended without a trace; nobody counts those of code.
                    let counted = self.set.is_code(number) || ended == done || ended == done + 1;
                    assert!(counted, "{number}: {done} on record, {:?}", self.names);
                }
                other => panic!("{number} stands as {other:?}"),
            }
        }
        if group {
            let applied = (1..=4).filter(|number| *self.standing(*number) == Standing::Applied).count();
            assert!(applied == 0 || applied == 4, "{applied} of a group are applied");
        }
    }

    /// Everything is as the verb leaves it.
    pub(super) fn check_converged(&self, verb: Verb) {
        let expected = if verb == Verb::Down { Vec::new() } else { self.set.all() };
        assert_eq!(self.names, expected);
        let ends = |standing: &Standing| match verb {
            Verb::Down => *standing == Standing::Pending,
            Verb::Up | Verb::Look => *standing == Standing::Applied,
        };
        assert!(self.status.migrations.iter().all(|row| ends(&row.standing)), "{}", self.status);
    }

    fn interrupted(&self) -> Option<(usize, Direction, usize)> {
        (1..=4).find_map(|number| match self.standing(number) {
            Standing::Interrupted { direction, done, .. } => Some((number, *direction, *done as usize)),
            _ => None,
        })
    }
}

/// Which ways are in transactions, where they can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transactions {
    forwards: bool,
    back: bool,
}

/// How a run ended that came after one that failed or died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Converged,
    /// It named what was interrupted, and went on when it was told to.
    Resumed,
    /// It named what was interrupted, and a person looked.
    Resolved,
}

/// The run after: it converges, or names what is interrupted, and converges after that was decided.
pub(super) async fn recover(on: &Ground, set: Set, verb: Verb, group: bool) -> Result<End, Skip> {
    let left = Left::of(on, set).await?;
    let (forwards, back) = (on.capabilities().await.transactions, on.drops_in_transactions().await?);
    left.check(group, Transactions { forwards, back });
    let mut policy = policy();
    policy.group = group;
    let migrator = on.migrator(set.migrations(on)?).policy(policy.clone());
    let mut end = End::Converged;
    if let Some((number, direction, done)) = left.interrupted() {
        let error = call(&migrator, verb).await.expect_err("what is interrupted is not run over");
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        let id = format!("kit/{number:04}");
        assert!(error.to_string().contains(&id), "{error}");
        let (there, all) = (left.there(number), set.makes()[number - 1].len());
        let is_on_record = done == if direction == Direction::Up { there } else { all - there };
        // On the way back a person always decides.
        if is_on_record && direction == Direction::Up && !set.is_code(number) {
            policy.on_interrupt = Some(OnInterrupt::Retry);
            let resuming = on.migrator(set.migrations(on)?).policy(policy);
            call(&resuming, verb).await.expect("what is on record has ended, and it goes on behind it");
            end = End::Resumed;
        } else {
            let resolution = if there == all { Resolution::Applied } else { Resolution::Pending };
            if resolution == Resolution::Pending {
                let names = set.makes()[number - 1].clone();
                let there = names.iter().filter(|name| left.names.iter().any(|there| there == *name));
                let drops: Vec<Step<'_>> = there.map(|name| Step::Drop(name)).collect();
                if !drops.is_empty() {
                    on.by_hand(&drops).await?;
                }
            }
            migrator.resolve(&id, resolution, "the suite looked").await.expect("it is resolved");
            end = End::Resolved;
        }
    }
    call(&migrator, verb).await.expect("the run after converges");
    Left::of(on, set).await?.check_converged(verb);
    let again = call(&migrator, verb).await.expect("there is nothing to do");
    assert_eq!(again, 0, "it ran again");
    Ok(end)
}

/// How many migrations ran.
async fn call(migrator: &Migrator, verb: Verb) -> admmgt_core::Result<usize> {
    let report = match verb {
        Verb::Down => migrator.down(Target::Nothing).await?,
        Verb::Up | Verb::Look => migrator.up().await?,
    };
    Ok(report.ran.len())
}
