//! What the first words of a statement say about transactions.

use std::borrow::Cow;

use admmgt_core::Names;
use admmgt_core::transactions::Verb;

use crate::script::{Kind, Token};

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
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
    /// The token behind a name.
    after: Option<Token>,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0, after: None }
    }

    /// `PRAGMA`, `ATTACH`, `CREATE TEMP …`.
    pub(super) fn concern_session(mut self) -> bool {
        let (first, second) = (self.next(), self.next());
        ["PRAGMA", "ATTACH", "DETACH"].iter().any(|word| self.is(first, word))
            || (self.is(first, "CREATE") && ["TEMP", "TEMPORARY"].iter().any(|word| self.is(second, word)))
    }

    /// What is made, or is not there any more afterwards.
    pub(super) fn names(mut self) -> Names {
        let first = self.next();
        if self.is(first, "create") {
            let kind = self.kind();
            // `IF NOT EXISTS` fails for no name.
            kind.filter(|next| !self.is(*next, "if"))
                .and_then(|next| self.named(next))
                .map_or(Names::Unknown, Names::Creates)
        } else if self.is(first, "drop") {
            let mut next = self.kind();
            if next.is_some_and(|next| self.is(next, "if")) {
                self.next();
                next = Some(self.next());
            }
            next.and_then(|next| self.named(next)).map_or(Names::Unknown, Names::Frees)
        } else if self.is(first, "alter") {
            let name = self.kind().and_then(|next| self.named(next));
            let renames = self.after.take().is_some_and(|next| self.is(Some(next), "rename"));
            let to = self.next();
            name.filter(|_| renames && self.is(to, "to")).map_or(Names::Unknown, Names::Frees)
        } else {
            Names::Unknown
        }
    }

    /// Reads over `TABLE`, `VIRTUAL TABLE` or `VIEW`; the token behind it. None of what is temporary, nor of indexes and
    /// triggers, which go with their tables.
    fn kind(&mut self) -> Option<Option<Token>> {
        let mut next = self.next();
        if self.is(next, "virtual") {
            next = self.next();
        }
        let is_one = ["table", "view"].iter().any(|word| self.is(next, word));
        is_one.then(|| self.next())
    }

    /// `name` or `main.name`; of other databases nothing is known. Keeps the token behind it.
    fn named(&mut self, token: Option<Token>) -> Option<String> {
        let name = self.unquoted(token?)?;
        let next = self.next();
        if !self.is(next, ".") {
            self.after = next;
            return Some(name.into_owned());
        }
        let own = self.name()?;
        self.after = self.next();
        name.eq_ignore_ascii_case("main").then(|| own.into_owned())
    }

    pub(super) fn verb(mut self) -> (Cow<'static, str>, Verb<'a>) {
        if self.text.starts_with('.') {
            let name = self.text.split_whitespace().next().unwrap_or_default();
            let words = format!("`{name}` is a command of the sqlite3 shell and does nothing here; delete this line");
            return (Cow::Owned(name.to_owned()), Verb::OfTheShell(words));
        }
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
        self.unquoted(token)
    }

    fn unquoted(&self, token: Token) -> Option<Cow<'a, str>> {
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
