//! Judges a script before anything runs: what cannot be in a transaction, what would end one, what
//! would silently do nothing.

use std::borrow::Cow;

use admmgt_core::{Dialect, Script, ScriptProblem, Statement, TransactionMode};

use crate::script::{Kind, Split, Statements, Token};

/// Splits SQL as SQLite does, and says what is wrong with it before anything runs.
///
/// A text made only of statements that cannot be in a transaction runs without one; a text that is
/// one `BEGIN … COMMIT` loses both; whatever would break the transaction of a migration, or would
/// silently do nothing in it, is refused with its line. Savepoints of its own are fine, if they are
/// released. It is pure: it never sees a connection.
///
/// ```
/// use admmgt_core::{Dialect, TransactionMode};
/// use admmgt_sqlite::SqliteDialect;
///
/// let sql = "begin; create table users(id integer primary key); commit;";
/// let script = SqliteDialect.parse(sql, TransactionMode::Auto).unwrap();
/// assert_eq!(script.statements[0].text, "create table users(id integer primary key)");
/// assert!(script.in_transaction);
/// assert_eq!(script.notes, ["its own BEGIN and COMMIT are dropped: the migration's transaction takes their place"]);
///
/// let script = SqliteDialect.parse("vacuum", TransactionMode::Auto).unwrap();
/// assert!(!script.in_transaction);
///
/// let sql = "create table users(id integer primary key);\nvacuum;";
/// let problems = SqliteDialect.parse(sql, TransactionMode::Auto).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "2:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
///      move it to a file of its own, or write `transaction = \"none\"`",
/// );
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDialect;

impl Dialect for SqliteDialect {
    /// Splits and judges a text.
    ///
    /// # Errors
    /// Every problem of the text, in order. Behind a quote, a comment or a trigger that never ends
    /// nothing is judged: what follows it could be anything.
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        let mut steps = Vec::new();
        let mut problems = Vec::new();
        let mut statements = Statements::new(sql);
        for split in &mut statements {
            match split {
                Ok(split) => steps.push(Step::new(split)),
                Err(problem) => problems.push(problem),
            }
        }
        if statements.is_broken() {
            return Err(problems);
        }

        let mut notes = Vec::new();
        let in_transaction = if mode == TransactionMode::None {
            false
        } else if is_one_transaction(&steps) {
            steps.retain(|step| !matches!(step.verb, Verb::Begin | Verb::Commit));
            notes
                .push("its own BEGIN and COMMIT are dropped: the migration's transaction takes their place".to_owned());
            true
        } else if mode == TransactionMode::Auto && is_only_outside(&steps) {
            notes.push(format!("it runs without a transaction: {} cannot be in one", names_of_outside(&steps)));
            false
        } else {
            true
        };

        problems.append(&mut Judge::new(mode, in_transaction).judge(&steps));
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut script = Script::new(steps.iter().map(Step::statement).collect(), in_transaction);
        script.notes = notes;
        Ok(script)
    }
}

/// `BEGIN`, anything that ends no transaction, `COMMIT`. Lines that are refused anyway do not hide
/// it: `sqlite3 .dump` writes `PRAGMA foreign_keys=OFF;` before its `BEGIN`.
fn is_one_transaction(steps: &[Step]) -> bool {
    let mut verbs = steps.iter().map(|step| &step.verb).filter(|verb| !matches!(verb, Verb::Idle(_)));
    matches!((verbs.next(), verbs.next_back()), (Some(Verb::Begin), Some(Verb::Commit)))
        && !verbs.any(|verb| matches!(verb, Verb::Begin | Verb::Commit | Verb::Rollback))
}

fn is_only_outside(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.verb, Verb::Outside(_)))
        && steps.iter().all(|step| matches!(step.verb, Verb::Outside(_) | Verb::Idle(_)))
}

fn names_of_outside(steps: &[Step]) -> String {
    let mut names: Vec<String> = Vec::new();
    for step in steps.iter().filter(|step| matches!(step.verb, Verb::Outside(_))) {
        let name = format!("`{}`", step.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// A statement, and what it does to a transaction.
#[derive(Debug)]
struct Step<'a> {
    split: Split<'a>,
    /// What messages call it: `VACUUM`, `PRAGMA journal_mode`.
    name: Cow<'static, str>,
    verb: Verb<'a>,
}

#[derive(Debug)]
enum Verb<'a> {
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    Rollback,
    Savepoint(Cow<'a, str>),
    Release(Cow<'a, str>),
    RollbackTo(Cow<'a, str>),
    /// It cannot be in a transaction, and how SQLite says so.
    Outside(&'static str),
    /// It silently does nothing in the transaction of a migration, and what to do.
    Idle(&'static str),
    Ordinary,
}

impl<'a> Step<'a> {
    fn new(split: Split<'a>) -> Self {
        let (name, verb) = Words::of(split.text).verb();
        Self { split, name, verb }
    }

    fn statement(&self) -> Statement {
        Statement { text: self.split.text.to_owned(), line: self.split.line }
    }
}

const VACUUM: &str = "SQLite: \"cannot VACUUM from within a transaction\"";
const DETACH: &str = "SQLite: \"database is locked\", once the transaction has seen it";
const JOURNAL: &str = "SQLite: \"cannot change into wal mode from within a transaction\", or silently nothing";
const SYNCHRONOUS: &str = "SQLite: \"Safety level may not be changed inside a transaction\"";
const TEMPORARY: &str = "SQLite: \"temporary storage cannot be changed from within a transaction\"";
const CHECKPOINT: &str = "SQLite: \"database table is locked\"";
const REBUILT: &str = "it changes nothing before a `VACUUM`, which cannot be in one either";
const FOREIGN_KEYS: &str =
    "foreign keys are already off while a migration runs and are checked before its commit, so delete the line";
const ENCODING: &str = "the encoding is settled by the first table, and admmgt's own are there, so delete the line";

/// What a PRAGMA does to a transaction, or a transaction to it, as measured with SQLite 3.40,
/// 3.46 and 3.54; `tests::measured` measures again. All others do inside what they do outside.
fn pragma(name: &str, has_value: bool) -> Verb<'static> {
    match (name, has_value) {
        ("foreign_keys", true) => Verb::Idle(FOREIGN_KEYS),
        ("encoding", true) => Verb::Idle(ENCODING),
        ("journal_mode", true) => Verb::Outside(JOURNAL),
        ("synchronous", true) => Verb::Outside(SYNCHRONOUS),
        ("temp_store" | "temp_store_directory", true) => Verb::Outside(TEMPORARY),
        ("page_size" | "auto_vacuum", true) => Verb::Outside(REBUILT),
        ("wal_checkpoint", _) => Verb::Outside(CHECKPOINT),
        _ => Verb::Ordinary,
    }
}

/// The tokens of one statement without the space between them.
#[derive(Debug)]
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn verb(mut self) -> (Cow<'static, str>, Verb<'a>) {
        let first = self.next();
        let (name, verb) = match KEYWORDS.iter().find(|keyword| self.is(first, keyword)) {
            Some(&"BEGIN") => ("BEGIN", Verb::Begin),
            Some(&"COMMIT") => ("COMMIT", Verb::Commit),
            Some(&"END") => ("END", Verb::Commit),
            Some(&"ROLLBACK") => self.rollback(),
            Some(&"SAVEPOINT") => ("SAVEPOINT", self.name().map_or(Verb::Ordinary, Verb::Savepoint)),
            Some(&"RELEASE") => ("RELEASE", self.savepoint().map_or(Verb::Ordinary, Verb::Release)),
            Some(&"VACUUM") => ("VACUUM", Verb::Outside(VACUUM)),
            Some(&"DETACH") => ("DETACH", Verb::Outside(DETACH)),
            Some(&"PRAGMA") => return self.pragma(),
            _ => ("", Verb::Ordinary),
        };
        (Cow::Borrowed(name), verb)
    }

    /// After `ROLLBACK`: `[TRANSACTION [name]] [TO [SAVEPOINT] name]`.
    fn rollback(&mut self) -> (&'static str, Verb<'a>) {
        let mut next = self.next();
        if self.is(next, "transaction") {
            next = self.next();
            if next.is_some() && !self.is(next, "to") {
                next = self.next();
            }
        }
        match self.is(next, "to").then(|| self.savepoint()).flatten() {
            Some(name) => ("ROLLBACK TO", Verb::RollbackTo(name)),
            None => ("ROLLBACK", Verb::Rollback),
        }
    }

    /// After `RELEASE` or `TO`: `[SAVEPOINT] name`.
    fn savepoint(&mut self) -> Option<Cow<'a, str>> {
        let first = self.name()?;
        let second = first.eq_ignore_ascii_case("savepoint").then(|| self.name()).flatten();
        Some(second.unwrap_or(first))
    }

    /// After `PRAGMA`: `[schema.]name`, then `= value`, `(value)` or nothing.
    fn pragma(mut self) -> (Cow<'static, str>, Verb<'a>) {
        let mut name = self.name().unwrap_or_default();
        let mut next = self.next();
        if self.is(next, ".") {
            name = self.name().unwrap_or_default();
            next = self.next();
        }
        let name = name.to_ascii_lowercase();
        let has_value = self.is(next, "=") || self.is(next, "(");
        let verb = pragma(&name, has_value);
        (Cow::Owned(format!("PRAGMA {name}")), verb)
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            let token = Token::at(self.text, self.at);
            self.at = token.end;
            match token.kind {
                Kind::Space => {}
                Kind::End => return None,
                _ => return Some(token),
            }
        }
    }

    /// Whether a token is a keyword or a sign; the text of a quoted one has its quotes and never is.
    fn is(&self, token: Option<Token>, keyword: &str) -> bool {
        token.is_some_and(|token| token.text(self.text).eq_ignore_ascii_case(keyword))
    }

    /// A name, without its quotes.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let token = self.next()?;
        let text = token.text(self.text);
        match token.kind {
            Kind::Word => Some(Cow::Borrowed(text)),
            Kind::Quoted if text.starts_with('[') => Some(Cow::Borrowed(&text[1..text.len() - 1])),
            Kind::Quoted => {
                let (quote, inner) = (&text[..1], &text[1..text.len() - 1]);
                Some(Cow::Owned(inner.replace(&quote.repeat(2), quote)))
            }
            _ => None,
        }
    }
}

const KEYWORDS: &[&str] = &["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "VACUUM", "DETACH", "PRAGMA"];

/// Walks the steps as SQLite would run them and keeps what is open.
#[derive(Debug)]
struct Judge<'s> {
    mode: TransactionMode,
    /// The migration's own transaction is around all steps.
    in_transaction: bool,
    begin: Option<&'s Step<'s>>,
    savepoints: Vec<(&'s Step<'s>, &'s str)>,
    problems: Vec<ScriptProblem>,
}

impl<'s> Judge<'s> {
    fn new(mode: TransactionMode, in_transaction: bool) -> Self {
        Self { mode, in_transaction, begin: None, savepoints: Vec::new(), problems: Vec::new() }
    }

    fn judge(mut self, steps: &'s [Step<'s>]) -> Vec<ScriptProblem> {
        for step in steps {
            self.step(step);
        }
        self.close_savepoints();
        if let Some(begin) = self.begin {
            self.refuse(begin, "`BEGIN` has no `COMMIT` after it; write one, or delete the `BEGIN`");
        }
        self.problems
    }

    fn step(&mut self, step: &'s Step<'s>) {
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
        }
    }

    fn begin(&mut self, step: &'s Step<'s>) {
        if self.in_transaction {
            let or_none = self.or_none();
            self.refuse(step, format!("`BEGIN`: the migration already runs in a transaction; delete it{or_none}"));
        } else if let Some(line) = self.opened() {
            self.refuse(step, format!("`BEGIN`: line {line} already opened a transaction; end that one before it"));
        } else {
            self.begin = Some(step);
        }
    }

    fn commit(&mut self, step: &'s Step<'s>) {
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

    fn rollback(&mut self, step: &'s Step<'s>) {
        self.refuse(step, "`ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint");
        self.begin = None;
        self.savepoints.clear();
    }

    fn savepoint(&mut self, step: &'s Step<'s>, name: &'s str) {
        if name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("admmgt")) {
            self.refuse(
                step,
                format!("`SAVEPOINT {name}`: names that start with `admmgt` are its own; choose another"),
            );
        }
        self.savepoints.push((step, name));
    }

    /// `RELEASE` closes the savepoint with all above it; `ROLLBACK TO` keeps it (`keep = 1`).
    fn unwind(&mut self, step: &'s Step<'s>, name: &str, keep: usize) {
        match self.savepoints.iter().rposition(|(_, open)| open.eq_ignore_ascii_case(name)) {
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

    fn outside(&mut self, step: &'s Step<'s>, why: &str) {
        let name = &step.name;
        let instead = if self.in_transaction {
            match self.mode {
                TransactionMode::Required => {
                    "move it to a migration of its own with `transaction = \"none\"`".to_owned()
                }
                _ => "move it to a file of its own, or write `transaction = \"none\"`".to_owned(),
            }
        } else if let Some(line) = self.opened() {
            format!("move it out of the one that line {line} opens")
        } else {
            return;
        };
        self.refuse(step, format!("`{name}` cannot run in a transaction ({why}); {instead}"));
    }

    fn idle(&mut self, step: &'s Step<'s>, advice: &str) {
        let name = &step.name;
        if self.mode != TransactionMode::None {
            self.refuse(step, format!("`{name}` would silently do nothing: {advice}"));
        } else if let Some(line) = self.opened() {
            self.refuse(
                step,
                format!("`{name}` does nothing inside a transaction; move it out of the one that line {line} opens"),
            );
        }
    }

    fn close_savepoints(&mut self) {
        for (step, name) in std::mem::take(&mut self.savepoints) {
            self.refuse(step, format!("`SAVEPOINT {name}` is never released; write `RELEASE {name}` after it"));
        }
    }

    /// The line of the statement that opened the transaction the file itself is in.
    fn opened(&self) -> Option<u32> {
        self.begin.or(self.savepoints.first().map(|(step, _)| *step)).map(|step| step.split.line)
    }

    /// The second way out for transaction control, where the migration may have none.
    fn or_none(&self) -> &'static str {
        match self.mode {
            TransactionMode::Required => "",
            _ => ", or write `transaction = \"none\"` to keep it",
        }
    }

    fn refuse(&mut self, step: &Step<'_>, message: impl Into<String>) {
        self.problems.push(ScriptProblem::new(step.split.line, step.split.column, message));
    }
}

#[cfg(test)]
mod tests {
    use TransactionMode::{Auto, None as Without, Required};

    use super::*;

    /// What becomes of a text, in one line: `in` or `out`, its statements and notes, or its problems.
    fn judged(sql: &str, mode: TransactionMode) -> String {
        match SqliteDialect.parse(sql, mode) {
            Ok(script) => {
                let place = if script.in_transaction { "in" } else { "out" };
                let texts = script.statements.iter().map(|s| format!("{} {}", s.line, s.text));
                let notes = script.notes.iter().map(|note| format!("({note})"));
                std::iter::once(place.to_owned()).chain(texts).chain(notes).collect::<Vec<_>>().join(" | ")
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        }
    }

    fn check(mode: TransactionMode, cases: &[(&str, &str)]) {
        for (sql, expected) in cases {
            assert_eq!(judged(sql, mode), *expected, "{sql:?} with {mode:?}");
        }
    }

    /// Whether a text is refused, in one word per problem: its line and the start of its message.
    fn refused(sql: &str, mode: TransactionMode) -> Vec<String> {
        let problems = SqliteDialect.parse(sql, mode).err().unwrap_or_default();
        problems.iter().map(|p| format!("{} {}", p.line, p.message.split('`').nth(1).unwrap_or(&p.message))).collect()
    }

    fn check_refused(mode: TransactionMode, cases: &[(&str, &[&str])]) {
        for (sql, expected) in cases {
            assert_eq!(refused(sql, mode), *expected, "{sql:?} with {mode:?}");
        }
    }

    #[test]
    fn ordinary_statements_run_in_a_transaction_unless_asked_not_to() {
        for (mode, place) in [(Auto, "in"), (Required, "in"), (Without, "out")] {
            for sql in [
                "create table t(a)",
                "explain vacuum",
                "explain query plan commit",
                "pragma user_version = 3",
                "pragma application_id(7)",
                "pragma journal_mode",
                "pragma main.synchronous",
                "pragma foreign_keys",
                "pragma foreign_key_check",
                "pragma foreign_key_check(t)",
                "pragma defer_foreign_keys = on",
                "pragma legacy_alter_table = on",
                "pragma recursive_triggers = on",
                "pragma incremental_vacuum(5)",
                "pragma table_info(t)",
                "pragma secure_delete = on",
                "attach 'o.db' as o",
                "analyze",
                "reindex",
                "savepoint",
                "replace into vacuum values(1)",
                "select 'begin'",
                "insert into t values('; commit;')",
                "create trigger x after insert on t begin select 1; end",
            ] {
                assert_eq!(judged(sql, mode), format!("{place} | 1 {sql}"));
            }
            assert_eq!(judged(" -- nothing\n;;", mode), place);
        }
    }

    #[test]
    fn a_file_that_is_one_transaction_loses_its_begin_and_commit() {
        const NOTE: &str = "(its own BEGIN and COMMIT are dropped: the migration's transaction takes their place)";
        for sql in [
            "begin; create table t(a); commit",
            "BEGIN TRANSACTION;create table t(a);END TRANSACTION;",
            "begin immediate; create table t(a); end;",
            "/* b */ begin exclusive transaction -- b\n; create table t(a); commit; -- done",
        ] {
            let line = if sql.contains("-- b") { 2 } else { 1 };
            for mode in [Auto, Required] {
                assert_eq!(judged(sql, mode), format!("in | {line} create table t(a) | {NOTE}"));
            }
        }
        check(
            Auto,
            &[
                ("begin; commit;", &format!("in | {NOTE}")),
                ("begin;\nsavepoint s;\nrelease s;\ncommit", &format!("in | 2 savepoint s | 3 release s | {NOTE}")),
            ],
        );
        check(Without, &[("begin;\nselect 1;\ncommit;", "out | 1 begin | 2 select 1 | 3 commit")]);
    }

    #[test]
    fn a_file_of_statements_that_cannot_be_in_a_transaction_runs_without_one() {
        check(
            Auto,
            &[
                ("vacuum", "out | 1 vacuum | (it runs without a transaction: `VACUUM` cannot be in one)"),
                (
                    "PRAGMA main.page_size(8192);\nVACUUM main into 'x'; vacuum;",
                    "out | 1 PRAGMA main.page_size(8192) | 2 VACUUM main into 'x' | 2 vacuum | \
                 (it runs without a transaction: `PRAGMA page_size`, `VACUUM` cannot be in one)",
                ),
            ],
        );
        check(Without, &[("vacuum;\nselect 1;", "out | 1 vacuum | 2 select 1")]);
        check(
            Required,
            &[(
                "vacuum",
                "1:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
             move it to a migration of its own with `transaction = \"none\"`",
            )],
        );
    }

    #[test]
    fn a_mix_is_refused_statement_by_statement() {
        check_refused(
            Auto,
            &[
                ("select 1; vacuum", &["1 VACUUM"]),
                ("vacuum;\nselect 1;\ndetach o", &["1 VACUUM", "3 DETACH"]),
                ("begin;\nvacuum;\ncommit;", &["2 VACUUM"]),
                (
                    "pragma journal_mode = wal;\npragma synchronous=normal;\ncreate table t(a)",
                    &["1 PRAGMA journal_mode", "2 PRAGMA synchronous"],
                ),
                (
                    "select 1; pragma temp_store=2; pragma temp_store_directory(''); pragma auto_vacuum=1;\n\
                 PRAGMA \"main\" . [Page_Size] /**/ ( 1 ); pragma wal_checkpoint; pragma wal_checkpoint(full)",
                    &[
                        "1 PRAGMA temp_store",
                        "1 PRAGMA temp_store_directory",
                        "1 PRAGMA auto_vacuum",
                        "2 PRAGMA page_size",
                        "2 PRAGMA wal_checkpoint",
                        "2 PRAGMA wal_checkpoint",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn transaction_control_that_breaks_the_migrations_own_is_refused() {
        for mode in [Auto, Required] {
            check_refused(
                mode,
                &[
                    ("begin", &["1 BEGIN"]),
                    ("select 1;\ncommit", &["2 COMMIT"]),
                    ("select 1;\nend", &["2 END"]),
                    ("select 1; rollback", &["1 ROLLBACK"]),
                    ("select 1; rollback transaction", &["1 ROLLBACK"]),
                    ("select 1; rollback transaction x", &["1 ROLLBACK"]),
                    ("begin; select 1; rollback", &["1 BEGIN", "1 ROLLBACK"]),
                    (
                        "begin; select 1;\ncommit; begin; select 2;\ncommit",
                        &["1 BEGIN", "2 COMMIT", "2 BEGIN", "3 COMMIT"],
                    ),
                    ("begin; select 1; commit; select 2", &["1 BEGIN", "1 COMMIT"]),
                    ("begin; rollback; commit", &["1 BEGIN", "1 ROLLBACK", "1 COMMIT"]),
                ],
            );
        }
        check(
            Auto,
            &[
                (
                    "begin",
                    "1:1: `BEGIN`: the migration already runs in a transaction; delete it, or write `transaction = \"none\"` to keep it",
                ),
                (
                    "select 1; commit",
                    "1:11: `COMMIT` would end the transaction of the migration before its record is written; \
                 delete it, or write `transaction = \"none\"` to keep it",
                ),
                (
                    "rollback",
                    "1:1: `ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint",
                ),
            ],
        );
    }

    #[test]
    fn without_a_transaction_a_files_own_must_be_balanced() {
        check_refused(
            Without,
            &[
                ("begin; select 1; commit; begin; select 2; end", &[]),
                ("begin; select 1", &["1 BEGIN"]),
                ("select 1;\ncommit", &["2 COMMIT"]),
                ("begin;\nbegin;\ncommit", &["2 BEGIN"]),
                ("savepoint a;\nbegin;\ncommit; release a", &["2 BEGIN", "3 COMMIT"]),
                ("begin; rollback", &["1 ROLLBACK"]),
                ("begin; savepoint a; commit", &["1 SAVEPOINT a"]),
                ("begin; savepoint a; commit; release a", &["1 SAVEPOINT a", "1 RELEASE a"]),
                ("begin;\nvacuum;\ncommit; vacuum", &["2 VACUUM"]),
                ("savepoint a;\nvacuum;\nrelease a", &["2 VACUUM"]),
                ("begin;\npragma foreign_keys=off;\ncommit", &["2 PRAGMA foreign_keys"]),
            ],
        );
        check(
            Without,
            &[
                ("begin", "1:1: `BEGIN` has no `COMMIT` after it; write one, or delete the `BEGIN`"),
                ("end", "1:1: `END` has no `BEGIN` before it; write one, or delete the `END`"),
                ("begin;begin;end", "1:7: `BEGIN`: line 1 already opened a transaction; end that one before it"),
                (
                    "begin;\nvacuum;end",
                    "2:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
                 move it out of the one that line 1 opens",
                ),
                (
                    "begin;\npragma foreign_keys=0;end",
                    "2:1: `PRAGMA foreign_keys` does nothing inside a transaction; move it out of the one that line 1 opens",
                ),
            ],
        );
    }

    #[test]
    fn savepoints_are_allowed_where_they_are_released() {
        for mode in [Auto, Required, Without] {
            check_refused(
                mode,
                &[
                    ("savepoint s; select 1; release s", &[]),
                    ("savepoint \"S\"; select 1; release savepoint s", &[]),
                    ("savepoint 'a''b'; release \"a'b\"", &[]),
                    ("savepoint s; savepoint s; release s; release s", &[]),
                    ("savepoint a$é; release A$é", &[]),
                    ("savepoint a; savepoint b; release a", &[]),
                    ("savepoint a; savepoint b; rollback to a; release a", &[]),
                    ("savepoint a; rollback transaction to savepoint [a]; release a", &[]),
                    ("savepoint a; rollback transaction x to a; release a", &[]),
                    ("savepoint savepoint; release savepoint", &[]),
                    ("savepoint s", &["1 SAVEPOINT s"]),
                    ("release s", &["1 RELEASE s"]),
                    ("rollback to s", &["1 ROLLBACK TO s"]),
                    ("savepoint a; savepoint b; release a; release b", &["1 RELEASE b"]),
                    ("savepoint a; savepoint b; rollback to a; release b; release a", &["1 RELEASE b"]),
                    ("savepoint ADMMGT_x; release admmgt_x", &["1 SAVEPOINT ADMMGT_x"]),
                    ("savepoint \"admmgt\"; release admmgt", &["1 SAVEPOINT admmgt"]),
                ],
            );
        }
        check(
            Auto,
            &[
                ("savepoint s", "1:1: `SAVEPOINT s` is never released; write `RELEASE s` after it"),
                ("release s", "1:1: `RELEASE s`: no savepoint of that name is open; write `SAVEPOINT s` before it"),
                (
                    "savepoint admmgt; release admmgt",
                    "1:1: `SAVEPOINT admmgt`: names that start with `admmgt` are its own; choose another",
                ),
            ],
        );
    }

    #[test]
    fn a_pragma_that_would_do_nothing_is_refused() {
        const FOREIGN_KEYS: &str = "`PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while \
             a migration runs and are checked before its commit, so delete the line";
        check(
            Auto,
            &[
                ("pragma foreign_keys=off;", &format!("1:1: {FOREIGN_KEYS}")),
                (
                    "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\ncreate table t(a);\nCOMMIT;\npragma main.foreign_keys(1);",
                    &format!("1:1: {FOREIGN_KEYS} | 5:1: {FOREIGN_KEYS}"),
                ),
                (
                    "pragma encoding = 'UTF-16'",
                    "1:1: `PRAGMA encoding` would silently do nothing: the encoding is settled by the first table, \
                 and admmgt's own are there, so delete the line",
                ),
            ],
        );
        check(Without, &[("pragma foreign_keys=off", "out | 1 pragma foreign_keys=off")]);
    }

    #[test]
    fn every_problem_is_reported_in_the_order_of_lines() {
        check_refused(
            Auto,
            &[
                (
                    ".mode csv\nsavepoint s;\npragma foreign_keys=1;\nvacuum;\ncommit;\n.read x.sql\nselect 1;",
                    &["1 .mode", "2 SAVEPOINT s", "3 PRAGMA foreign_keys", "4 VACUUM", "5 COMMIT", "6 .read"],
                ),
                (".headers on\nbegin;\nselect 'x", &["1 .headers", "3 '"]),
            ],
        );
    }

    /// The table in [`pragma`], measured with the SQLite that is linked.
    mod measured {
        use rusqlite::{Connection, Result};

        use super::{Auto, judged};

        const TABLES: &str = "create table t(a integer primary key, b); insert into t(b) values(1);";

        fn open(folder: &tempfile::TempDir, name: &str) -> Connection {
            let db = Connection::open(folder.path().join(name)).unwrap();
            db.execute_batch("pragma foreign_keys = on").unwrap();
            db
        }

        /// Runs one statement to its end and gives its last value.
        fn run(db: &Connection, sql: &str) -> Result<String> {
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut last = String::new();
            while let Some(row) = rows.next()? {
                last = format!("{:?}", row.get_ref(0)?);
            }
            Ok(last)
        }

        /// What a statement answers inside a transaction, after a write and without one.
        fn inside(setup: &str, sql: &str) -> [Result<String>; 2] {
            ["", "insert into t(b) values(2);"].map(|write| {
                let folder = tempfile::tempdir().unwrap();
                let other = folder.path().join("o.db").display().to_string();
                let db = open(&folder, "t.db");
                db.execute_batch(&format!("{TABLES} attach '{other}' as o; create table o.x(a); {setup}")).unwrap();
                db.execute_batch(&format!("begin immediate; savepoint guard; {write}")).unwrap();
                run(&db, sql)
            })
        }

        #[test]
        fn these_fail_inside_a_transaction() {
            for (setup, sql, words) in [
                ("", "vacuum", "cannot VACUUM from within a transaction"),
                ("", "vacuum into 'never.db'", "cannot VACUUM from within a transaction"),
                ("", "detach o", "database o is locked"),
                (
                    "pragma journal_mode = wal",
                    "pragma journal_mode = delete",
                    "cannot change out of wal mode from within",
                ),
                ("", "pragma synchronous = off", "Safety level may not be changed inside a transaction"),
                ("create temp table y(a)", "pragma temp_store = 2", "temporary storage cannot be changed from within"),
                (
                    "create temp table y(a)",
                    "pragma temp_store_directory = ''",
                    "temporary storage cannot be changed from",
                ),
                ("", "pragma wal_checkpoint", "database table is locked"),
            ] {
                for answer in inside(setup, sql) {
                    let error = answer.expect_err(sql).to_string();
                    assert!(error.contains(words), "{sql}: {error}");
                }
                assert!(judged(sql, Auto).starts_with("out | "), "{sql}");
            }
        }

        #[test]
        fn a_journal_mode_fails_before_a_write_and_does_nothing_after_one() {
            let [fresh, written] = inside("", "pragma main.journal_mode = wal");
            let error = fresh.unwrap_err().to_string();
            assert!(error.contains("cannot change into wal mode from within a transaction"), "{error}");
            assert_eq!(written.unwrap(), format!("{:?}", rusqlite::types::ValueRef::Text(b"delete")));
        }

        #[test]
        fn these_change_nothing_inside_a_transaction() {
            for name in ["page_size", "auto_vacuum", "foreign_keys", "encoding"] {
                let folder = tempfile::tempdir().unwrap();
                let db = open(&folder, "t.db");
                db.execute_batch(&format!("{TABLES} begin immediate")).unwrap();
                let read = format!("pragma {name}");
                let before = run(&db, &read).unwrap();
                let value = match name {
                    "page_size" => "8192",
                    "auto_vacuum" => "incremental",
                    "foreign_keys" => "off",
                    _ => "'UTF-16'",
                };
                run(&db, &format!("pragma {name} = {value}")).unwrap();
                assert_eq!(run(&db, &read).unwrap(), before, "{name}");
                db.execute_batch("commit").unwrap();
                assert_eq!(run(&db, &read).unwrap(), before, "{name} after the commit");
            }
        }

        #[test]
        fn these_do_inside_what_they_do_outside() {
            for (name, value) in [
                ("analysis_limit", "100"),
                ("application_id", "7"),
                ("automatic_index", "off"),
                ("busy_timeout", "123"),
                ("cache_size", "123"),
                ("cache_spill", "off"),
                ("cell_size_check", "on"),
                ("checkpoint_fullfsync", "on"),
                ("defer_foreign_keys", "on"),
                ("fullfsync", "on"),
                ("ignore_check_constraints", "on"),
                ("journal_size_limit", "5000"),
                ("legacy_alter_table", "on"),
                ("locking_mode", "exclusive"),
                ("max_page_count", "5000"),
                ("query_only", "on"),
                ("read_uncommitted", "on"),
                ("recursive_triggers", "on"),
                ("reverse_unordered_selects", "on"),
                ("schema_version", "77"),
                ("secure_delete", "on"),
                ("threads", "2"),
                ("trusted_schema", "off"),
                ("user_version", "7"),
                ("wal_autocheckpoint", "7"),
                ("writable_schema", "on"),
            ] {
                let after = |begin: &str| {
                    let folder = tempfile::tempdir().unwrap();
                    let db = open(&folder, "t.db");
                    db.execute_batch(&format!("{TABLES} {begin}")).unwrap();
                    let before = run(&db, &format!("pragma {name}")).unwrap();
                    run(&db, &format!("pragma {name} = {value}")).unwrap();
                    (before, run(&db, &format!("pragma {name}")).unwrap())
                };
                let outside = after("");
                assert_ne!(outside.0, outside.1, "{name} can be seen to change");
                assert_eq!(after("begin immediate"), outside, "{name}");
                assert!(judged(&format!("pragma {name} = {value}"), Auto).starts_with("in | "), "{name}");
            }
        }
    }
}
