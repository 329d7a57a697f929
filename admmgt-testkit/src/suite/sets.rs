//! Migrations that a test and its processes know by name.

use std::time::Duration;

use admmgt_core::{BoxError, BoxFuture, Context, Migrations, TransactionMode};
use serde::{Deserialize, Serialize};

use super::Skip;
use super::ground::{Code, Ground};
use super::process::{HOLDING, heard, tell};
use crate::Step;

/// The names of the sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Set {
    /// Texts, each with its way back; the second is two statements.
    Texts,
    /// As `Texts`, without ways back, and the third is code.
    Mixed,
    /// As `Texts`, but the second is three statements without a transaction, and there is no way back.
    Outside,
    /// As `Outside`, but the second is code.
    CodeOutside,
    /// As `Texts`, but the second is code that waits until it is told to go on.
    Held,
    /// As `Texts`, but the third fails.
    Failing,
}

impl Set {
    /// What each of its migrations makes, in order.
    pub(super) fn makes(self) -> Vec<Vec<&'static str>> {
        let second = match self {
            Self::Outside | Self::CodeOutside => vec!["kit_2", "kit_2_more", "kit_2_most"],
            Self::Held => vec!["kit_2"],
            _ => vec!["kit_2", "kit_2_more"],
        };
        vec![vec!["kit_1"], second, vec!["kit_3"], vec!["kit_4"]]
    }

    /// Everything that is there in the end, in order.
    pub(super) fn all(self) -> Vec<&'static str> {
        self.makes().concat()
    }

    /// Whether a migration, counted from 1, runs without a transaction where the database has some.
    pub(super) fn is_outside(self, number: usize) -> bool {
        number == 2 && matches!(self, Self::Outside | Self::CodeOutside)
    }

    /// Whether a migration is code: nobody counts its statements.
    pub(super) fn is_code(self, number: usize) -> bool {
        matches!((self, number), (Self::Mixed, 3) | (Self::CodeOutside | Self::Held, 2))
    }

    pub(super) fn migrations(self, on: &Ground) -> Result<Migrations, Skip> {
        let mut all = Migrations::default();
        for (names, number) in self.makes().into_iter().zip(1..) {
            let id = format!("{number:04}");
            let mut steps: Vec<Step<'_>> = names.iter().map(|name| Step::Make(name)).collect();
            if (self, number) == (Self::Failing, 3) {
                steps.push(Step::Fail);
            }
            if self.is_code(number) {
                let code = if self == Self::Held { held(on, &id, &steps)? } else { on.code(&id, &steps)? };
                all = all.and(match self.is_outside(number) {
                    true => code.with(|meta| meta.transaction(TransactionMode::None)),
                    false => code,
                });
                continue;
            }
            let text = on.text(&id, &steps)?;
            if self.is_outside(number) {
                all = all.and(text.with(|meta| meta.transaction(TransactionMode::None)));
            } else if self == Self::Texts {
                let back: Vec<Step<'_>> = names.iter().rev().map(|name| Step::Drop(name)).collect();
                all = all.and(text.down(on.script(&back)?));
            } else {
                all = all.and(text);
            }
        }
        Ok(all)
    }
}

/// A migration that says that it runs, and waits for a line.
fn held(on: &Ground, id: &str, steps: &[Step<'_>]) -> Result<Code, Skip> {
    let script = on.script(steps)?;
    Ok(Code::new(id, move |cx| hold(cx, script.clone())))
}

fn hold(cx: &mut Context, script: String) -> BoxFuture<'_, Result<(), BoxError>> {
    Box::pin(async move {
        tell(HOLDING);
        // A heartbeat may need this thread meanwhile.
        let heard = std::thread::spawn(heard);
        while !heard.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(cx.execute_script(&script).await?)
    })
}
