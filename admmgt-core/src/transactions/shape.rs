//! What a script is as a whole: one transaction, or nothing that can be in one.

use super::{Step, Verb, Verbs};
use crate::TransactionMode;

/// What has been seen of the statements so far.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The first that is not idle, and the last.
    first: Option<Ends>,
    last: Option<Ends>,
    /// There is one between the two.
    middle: bool,
    /// One between the two ends or begins a transaction.
    broken: bool,
    /// The names of those that cannot be in a transaction, each once.
    outside: Vec<String>,
    /// Something can.
    inside: bool,
    /// What the dialect has to say of it.
    notes: Vec<&'static str>,
}

/// What a statement does to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Begins,
    Commits,
    RollsBack,
    Neither,
}

/// What is made of a script.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    pub(super) in_transaction: bool,
    /// Its own BEGIN and COMMIT are left out.
    pub(super) without_its_own: bool,
    pub(super) notes: Vec<String>,
}

impl Form {
    /// Whether a statement is the script's own BEGIN or COMMIT, in whose place the migration's stand.
    pub(super) fn drops(&self, step: &Step<'_>) -> bool {
        self.without_its_own && matches!(step.verb, Verb::Begin | Verb::Commit)
    }
}

impl Shape {
    pub(super) fn add(&mut self, step: &Step<'_>, verbs: &impl Verbs) {
        if let Some(note) = verbs.note(&step.name).filter(|note| !self.notes.contains(note)) {
            self.notes.push(note);
        }
        let ends = match step.verb {
            // Lines that are refused anyway do not hide a transaction: `sqlite3 .dump` writes
            // `PRAGMA foreign_keys=OFF;` before its `BEGIN`.
            Verb::Idle(_) | Verb::OfTheShell(_) => return,
            Verb::Begin => Ends::Begins,
            Verb::Commit => Ends::Commits,
            Verb::Rollback => Ends::RollsBack,
            _ => Ends::Neither,
        };
        if let Some(between) = self.last.replace(ends).filter(|_| self.first.is_some()) {
            // What was the last until now stands in the middle, unless it is the first.
            self.broken |= between != Ends::Neither && self.middle;
            self.middle = true;
        }
        self.first.get_or_insert(ends);
        if let Verb::Outside(_) = step.verb {
            let name = format!("`{}`", step.name);
            if !self.outside.contains(&name) {
                self.outside.push(name);
            }
        } else {
            self.inside = true;
        }
    }

    pub(super) fn form(self, mode: TransactionMode) -> Form {
        let more = self.notes.into_iter().map(str::to_owned);
        let form = |in_transaction, without_its_own, note: Option<String>| Form {
            in_transaction,
            without_its_own,
            notes: note.into_iter().chain(more).collect(),
        };
        let is_one = self.first == Some(Ends::Begins) && self.last == Some(Ends::Commits) && !self.broken;
        if mode == TransactionMode::None {
            form(false, false, None)
        } else if is_one {
            let note = "its own BEGIN and COMMIT are dropped: the migration's transaction takes their place";
            form(true, true, Some(note.to_owned()))
        } else if mode == TransactionMode::Auto && !self.inside && !self.outside.is_empty() {
            let names = self.outside.join(", ");
            form(false, false, Some(format!("it runs without a transaction: {names} cannot be in one")))
        } else {
            form(true, false, None)
        }
    }
}
