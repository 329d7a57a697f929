//! A database that is not empty, while nothing is on record: what must not be run over.

use std::collections::HashSet;

use crate::event::{Event, Observers};
use crate::plan::Prepared;
use crate::refusal::Refusal;
use crate::script::{Dialect, Names};

/// What is there before the first record; nothing of it once there is one.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// Tools that have migrated it, and how many versions each has on record.
    pub(crate) tools: Vec<(String, usize)>,
    /// What it holds.
    pub(crate) names: Vec<String>,
}

impl Begun {
    /// Why a plan must not run.
    pub(crate) fn refusals(&self, prepared: Option<&Prepared>, dialect: &dyn Dialect) -> Vec<Refusal> {
        let tools =
            self.tools.iter().map(|(tool, versions)| Refusal::Foreign { tool: tool.clone(), versions: *versions });
        let mut refusals: Vec<Refusal> = tools.collect();
        let Some(prepared) = prepared.filter(|_| !self.names.is_empty()) else { return refusals };
        // A name is compared as databases do that fold them: one that is only written otherwise is seldom meant.
        let mut there: HashSet<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        for (step, script) in prepared.plan.steps.iter().zip(&prepared.scripts) {
            for statement in script.iter().flat_map(|script| &script.statements) {
                match dialect.names(statement) {
                    Names::Creates(name) if there.remove(&name.to_lowercase()) => {
                        refusals.push(Refusal::AlreadyThere {
                            id: step.migration.clone(),
                            file: step.location.file.to_string(),
                            line: statement.line,
                            name,
                        })
                    }
                    Names::Frees(name) => drop(there.remove(&name.to_lowercase())),
                    _ => {}
                }
            }
        }
        refusals
    }

    /// Tells whoever observes the run that it was not empty.
    pub(crate) fn notice(&self, observers: &Observers) {
        if !self.names.is_empty() {
            let text = format!(
                "nothing is on record, and the database holds {} tables and views; `Migrator::baseline` counts in \
                 migrations whose changes are there",
                self.names.len()
            );
            observers.tell(&Event::Notice { text });
        }
    }
}
