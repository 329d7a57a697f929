//! Walks the statements of a script and says what is wrong with it.

use super::{Step, Verb};
use crate::TransactionMode;
use crate::script::ScriptProblem;

/// Walks the steps as a database would run them and keeps what is open.
#[derive(Debug)]
pub(super) struct Judge {
    mode: TransactionMode,
    /// The migration's own transaction is around all steps.
    in_transaction: bool,
    /// Savepoints may stay open.
    lenient: bool,
    begin: Option<Opened>,
    savepoints: Vec<Opened>,
    problems: Vec<ScriptProblem>,
    /// What would do nothing, and nothing more is wrong with it.
    idle: Vec<ScriptProblem>,
}

/// A `BEGIN` or a savepoint that is open.
#[derive(Debug, Clone)]
struct Opened {
    line: u32,
    column: u32,
    /// Of a savepoint.
    name: String,
}

impl Opened {
    fn by(step: &Step<'_>, name: &str) -> Self {
        Self { line: step.split.line, column: step.split.column, name: name.to_owned() }
    }
}

impl Judge {
    pub(super) fn new(mode: TransactionMode, in_transaction: bool, lenient: bool) -> Self {
        Self {
            mode,
            in_transaction,
            lenient,
            begin: None,
            savepoints: Vec::new(),
            problems: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// The next statement.
    pub(super) fn step(&mut self, step: &Step<'_>) {
        match &step.verb {
            Verb::Ordinary => {}
            Verb::Begin => self.begin(step),
            Verb::Commit => self.commit(step),
            Verb::Rollback => self.rollback(step),
            Verb::Savepoint(name) => self.savepoint(step, name),
            Verb::Release(name) => self.unwind(step, name, 0),
            Verb::RollbackTo(name) => self.unwind(step, name, 1),
            Verb::Outside(why) => self.outside(step, why),
            Verb::Idle(advice) => self.idle(step, advice),
            Verb::OfTheShell(words) => {
                self.idle.push(ScriptProblem::new(step.split.line, step.split.column, words.as_str()));
            }
            Verb::Refused(words) => self.refuse(step, words.as_str()),
        }
    }

    /// What is wrong, and what would do nothing.
    pub(super) fn finish(mut self) -> (Vec<ScriptProblem>, Vec<ScriptProblem>) {
        self.close_savepoints();
        if let Some(begin) = self.begin.take() {
            self.refuse_at(&begin, "`BEGIN` has no `COMMIT` after it; write one, or delete the `BEGIN`");
        }
        (self.problems, self.idle)
    }

    fn begin(&mut self, step: &Step<'_>) {
        if self.in_transaction {
            let or_none = self.or_none();
            self.refuse(step, format!("`BEGIN`: the migration already runs in a transaction; delete it{or_none}"));
        } else if let Some(line) = self.opened() {
            self.refuse(step, format!("`BEGIN`: line {line} already opened a transaction; end that one before it"));
        } else {
            self.begin = Some(Opened::by(step, ""));
        }
    }

    fn commit(&mut self, step: &Step<'_>) {
        let name = &step.name;
        if self.in_transaction {
            let or_none = self.or_none();
            self.refuse(
                step,
                format!("`{name}` would end the transaction of the migration before its record is written; delete it{or_none}"),
            );
        } else if self.begin.is_none() {
            self.refuse(step, format!("`{name}` has no `BEGIN` before it; write one, or delete the `{name}`"));
        } else {
            self.close_savepoints();
            self.begin = None;
        }
    }

    fn rollback(&mut self, step: &Step<'_>) {
        self.refuse(step, "`ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint");
        self.begin = None;
        self.savepoints.clear();
    }

    fn savepoint(&mut self, step: &Step<'_>, name: &str) {
        if name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("admmgt")) {
            self.refuse(
                step,
                format!("`SAVEPOINT {name}`: names that start with `admmgt` are its own; choose another"),
            );
        }
        self.savepoints.push(Opened::by(step, name));
    }

    /// `RELEASE` closes the savepoint with all above it; `ROLLBACK TO` keeps it (`keep = 1`).
    fn unwind(&mut self, step: &Step<'_>, name: &str, keep: usize) {
        match self.savepoints.iter().rposition(|open| open.name.eq_ignore_ascii_case(name)) {
            Some(index) => self.savepoints.truncate(index + keep),
            None => self.refuse(
                step,
                format!(
                    "`{} {name}`: no savepoint of that name is open; write `SAVEPOINT {name}` before it",
                    step.name
                ),
            ),
        }
    }

    fn outside(&mut self, step: &Step<'_>, why: &str) {
        let name = &step.name;
        let instead = if self.in_transaction {
            match self.mode {
                TransactionMode::Required => {
                    "move it to a migration of its own with `transaction = \"none\"`".to_owned()
                }
                _ => "move it to a file of its own, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)".to_owned(),
            }
        } else if let Some(line) = self.opened() {
            format!("move it out of the one that line {line} opens")
        } else {
            return;
        };
        self.refuse(step, format!("`{name}` cannot run in a transaction ({why}); {instead}"));
    }

    fn idle(&mut self, step: &Step<'_>, advice: &str) {
        let name = &step.name;
        if self.mode != TransactionMode::None {
            let message = format!("`{name}` would silently do nothing: {advice}");
            self.idle.push(ScriptProblem::new(step.split.line, step.split.column, message));
        } else if let Some(line) = self.opened() {
            self.refuse(
                step,
                format!("`{name}` does nothing inside a transaction; move it out of the one that line {line} opens"),
            );
        }
    }

    fn close_savepoints(&mut self) {
        for opened in std::mem::take(&mut self.savepoints) {
            if self.lenient && (self.in_transaction || self.begin.is_some()) {
                continue;
            }
            let name = &opened.name;
            self.refuse_at(&opened, format!("`SAVEPOINT {name}` is never released; write `RELEASE {name}` after it"));
        }
    }

    /// The line of the statement that opened the transaction the file itself is in.
    fn opened(&self) -> Option<u32> {
        self.begin.as_ref().or(self.savepoints.first()).map(|opened| opened.line)
    }

    /// The second way out for transaction control, where the migration may have none.
    fn or_none(&self) -> &'static str {
        match self.mode {
            TransactionMode::Required => "",
            _ => {
                ", or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line) to keep it"
            }
        }
    }

    fn refuse_at(&mut self, opened: &Opened, message: impl Into<String>) {
        self.problems.push(ScriptProblem::new(opened.line, opened.column, message));
    }

    fn refuse(&mut self, step: &Step<'_>, message: impl Into<String>) {
        self.problems.push(ScriptProblem::new(step.split.line, step.split.column, message));
    }
}
