//! What the first words of a statement say.

use std::borrow::Cow;

use admmgt_core::Names;
use admmgt_core::transactions::Verb;

use crate::script::{Kind, Token};

const BLOCK: &str = "PostgreSQL: \"cannot run inside a transaction block\"";
const VACUUM: &str = "PostgreSQL: \"VACUUM cannot run inside a transaction block\"";
const CREATE_CONCURRENTLY: &str = "PostgreSQL: \"CREATE INDEX CONCURRENTLY cannot run inside a transaction block\"";
const DROP_CONCURRENTLY: &str = "PostgreSQL: \"DROP INDEX CONCURRENTLY cannot run inside a transaction block\"";

/// A statement about an index, by the name it is written with: `"public"."users_email"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexStatement<'a> {
    /// `create index … name on table`.
    Create { name: &'a str, table: &'a str, unique: bool, concurrently: bool, if_not_exists: bool },
    /// `drop index concurrently name`.
    DropConcurrently { name: &'a str },
    /// `reindex … concurrently`.
    ReindexConcurrently,
}

/// The tokens of one statement without the space between them.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn verb(mut self) -> (Cow<'static, str>, Verb<'a>) {
        if self.text.starts_with('\\') {
            let name = self.text.split_whitespace().next().unwrap_or_default();
            let words = format!("`{name}` is a meta-command of psql and does nothing here; delete this line");
            return (Cow::Owned(name.to_owned()), Verb::OfTheShell(words));
        }
        let (name, verb) = match self.word().as_str() {
            "begin" => ("BEGIN", Verb::Begin),
            "start" => ("START TRANSACTION", Verb::Begin),
            "commit" | "end" if self.peek("prepared") => ("COMMIT PREPARED", Verb::Outside(BLOCK)),
            "commit" => ("COMMIT", Verb::Commit),
            "end" => ("END", Verb::Commit),
            "abort" => ("ABORT", Verb::Rollback),
            "rollback" if self.peek("prepared") => ("ROLLBACK PREPARED", Verb::Outside(BLOCK)),
            "rollback" => self.rollback(),
            "savepoint" => ("SAVEPOINT", self.name().map_or(Verb::Ordinary, Verb::Savepoint)),
            "release" => ("RELEASE", self.savepoint().map_or(Verb::Ordinary, Verb::Release)),
            "prepare" if self.peek("transaction") => {
                let words = "`PREPARE TRANSACTION` would take the change out of the migration's transaction; delete it";
                ("PREPARE TRANSACTION", Verb::Refused(words.to_owned()))
            }
            "discard" if self.peek("all") => {
                let words = "`DISCARD ALL` would let go of the lease of this run; delete it, or name what is to be \
                             discarded (`DISCARD PLANS`)";
                ("DISCARD ALL", Verb::Refused(words.to_owned()))
            }
            "vacuum" => ("VACUUM", Verb::Outside(VACUUM)),
            "create" => self.create(),
            "drop" => self.drop_(),
            "alter" => self.alter(),
            "reindex" => self.reindex(),
            // Without a table, it goes through all of them.
            "cluster" if self.is_last_but("verbose") => ("CLUSTER", Verb::Outside(BLOCK)),
            _ if self.unlocks() => {
                let words = "`pg_advisory_unlock_all()` would let go of the lease of this run; unlock by key";
                ("pg_advisory_unlock_all()", Verb::Refused(words.to_owned()))
            }
            _ => ("", Verb::Ordinary),
        };
        (Cow::Borrowed(name), verb)
    }

    fn create(&mut self) -> (&'static str, Verb<'a>) {
        match self.word().as_str() {
            "database" => ("CREATE DATABASE", Verb::Outside(BLOCK)),
            "tablespace" => ("CREATE TABLESPACE", Verb::Outside(BLOCK)),
            // With `connect = false` it could be; nobody needs that in a transaction.
            "subscription" => ("CREATE SUBSCRIPTION", Verb::Outside(BLOCK)),
            "unique" if self.word() == "index" && self.peek("concurrently") => {
                ("CREATE INDEX CONCURRENTLY", Verb::Outside(CREATE_CONCURRENTLY))
            }
            "index" if self.peek("concurrently") => ("CREATE INDEX CONCURRENTLY", Verb::Outside(CREATE_CONCURRENTLY)),
            _ => ("", Verb::Ordinary),
        }
    }

    fn drop_(&mut self) -> (&'static str, Verb<'a>) {
        match self.word().as_str() {
            "database" => ("DROP DATABASE", Verb::Outside(BLOCK)),
            "tablespace" => ("DROP TABLESPACE", Verb::Outside(BLOCK)),
            "subscription" => ("DROP SUBSCRIPTION", Verb::Outside(BLOCK)),
            "index" if self.peek("concurrently") => ("DROP INDEX CONCURRENTLY", Verb::Outside(DROP_CONCURRENTLY)),
            _ => ("", Verb::Ordinary),
        }
    }

    fn alter(&mut self) -> (&'static str, Verb<'a>) {
        match self.word().as_str() {
            "system" => ("ALTER SYSTEM", Verb::Outside(BLOCK)),
            "database" if self.has(&["set", "tablespace"]) => ("ALTER DATABASE SET TABLESPACE", Verb::Outside(BLOCK)),
            "table" if self.has(&["detach", "partition"]) && self.ends_with("concurrently") => {
                ("DETACH PARTITION CONCURRENTLY", Verb::Outside(BLOCK))
            }
            "subscription" if self.has(&["refresh", "publication"]) => {
                ("ALTER SUBSCRIPTION REFRESH", Verb::Outside(BLOCK))
            }
            _ => ("", Verb::Ordinary),
        }
    }

    fn reindex(&mut self) -> (&'static str, Verb<'a>) {
        let all = self.clone().any(|word| matches!(&*word, "database" | "system" | "schema"));
        if self.clone().any(|word| word == "concurrently") {
            ("REINDEX CONCURRENTLY", Verb::Outside(BLOCK))
        } else if all {
            ("REINDEX", Verb::Outside(BLOCK))
        } else {
            ("", Verb::Ordinary)
        }
    }

    /// After `ROLLBACK`: `[WORK | TRANSACTION] [TO [SAVEPOINT] name]`.
    fn rollback(&mut self) -> (&'static str, Verb<'a>) {
        let mut word = self.word();
        if word == "work" || word == "transaction" {
            word = self.word();
        }
        match (word == "to").then(|| self.savepoint()).flatten() {
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

    /// Whether it calls code that can do as it likes with a transaction.
    pub(super) fn calls(mut self) -> bool {
        matches!(&*self.word(), "call" | "do")
    }

    /// `COMMIT AND CHAIN`, and not `AND NO CHAIN`.
    pub(super) fn chain(self) -> bool {
        self.has(&["and", "chain"])
    }

    /// A cursor, which can outlive its transaction.
    pub(super) fn declares(mut self) -> bool {
        &*self.word() == "declare"
    }

    /// Settings, and what lives as long as its connection.
    pub(super) fn concern_session(mut self) -> bool {
        match self.word().as_str() {
            "set" => !matches!(&*self.word(), "local" | "constraints" | "transaction"),
            "reset" | "listen" | "unlisten" | "load" | "prepare" | "deallocate" | "discard" => true,
            "create" => {
                let mut word = self.word();
                if word == "local" || word == "global" {
                    word = self.word();
                }
                word == "temp" || word == "temporary"
            }
            _ => self.any(|word| word == "set_config"),
        }
    }

    /// Settings only: running them twice is running them once.
    pub(super) fn sets(mut self) -> bool {
        match self.word().as_str() {
            "set" => !matches!(&*self.word(), "local" | "constraints" | "transaction"),
            "reset" => true,
            "select" => self.word() == "set_config",
            _ => false,
        }
    }

    /// Whether a statement that was interrupted at whatever point can simply run again.
    pub(super) fn can_run_again(mut self) -> bool {
        if self.clone().index().is_some() {
            return self.any(|word| word == "concurrently");
        }
        matches!(&*self.word(), "vacuum" | "analyze" | "analyse" | "checkpoint")
    }

    pub(super) fn index(mut self) -> Option<IndexStatement<'a>> {
        match self.word().as_str() {
            "create" => {
                let mut word = self.word();
                let unique = word == "unique";
                if unique {
                    word = self.word();
                }
                if word != "index" {
                    return None;
                }
                let concurrently = self.takes("concurrently");
                let if_not_exists = self.takes("if") && self.takes("not") && self.takes("exists");
                // Without a name the server makes one up, and nothing can be in its way.
                if self.peek("on") {
                    return None;
                }
                let name = self.qualified()?;
                if !self.takes("on") {
                    return None;
                }
                self.takes("only");
                let table = self.qualified()?;
                Some(IndexStatement::Create { name, table, unique, concurrently, if_not_exists })
            }
            "drop" => {
                if self.word() != "index" || !self.takes("concurrently") {
                    return None;
                }
                let _ = self.takes("if") && self.takes("exists");
                Some(IndexStatement::DropConcurrently { name: self.qualified()? })
            }
            "reindex" => self.any(|word| word == "concurrently").then_some(IndexStatement::ReindexConcurrently),
            _ => None,
        }
    }

    /// What is made, or is not there any more afterwards.
    pub(super) fn names(mut self, schema: &str) -> Names {
        match self.word().as_str() {
            "create" => {
                let is_one = self.relation();
                if is_one && !self.peek("if") {
                    self.named(schema).map_or(Names::Unknown, Names::Creates)
                } else {
                    Names::Unknown
                }
            }
            "drop" => {
                let is_one = self.relation();
                let _ = self.takes("if") && self.takes("exists");
                let name = if is_one { self.named(schema) } else { None };
                name.map_or(Names::Unknown, Names::Frees)
            }
            "alter" => {
                let is_one = self.relation();
                let _ = self.takes("if") && self.takes("exists");
                self.takes("only");
                let name = if is_one { self.named(schema) } else { None };
                let moves = (self.takes("rename") && self.takes("to")) || (self.takes("set") && self.takes("schema"));
                name.filter(|_| moves).map_or(Names::Unknown, Names::Frees)
            }
            _ => Names::Unknown,
        }
    }

    /// Reads over `TABLE`, `VIEW` and their kin; none of what is temporary.
    fn relation(&mut self) -> bool {
        let mut word = self.word();
        if matches!(&*word, "unlogged" | "materialized" | "foreign" | "recursive") {
            word = self.word();
        }
        word == "table" || word == "view"
    }

    /// A name as it is compared: without the schema that names without one are in.
    fn named(&mut self, schema: &str) -> Option<String> {
        let first = self.folded()?;
        if !self.takes(".") {
            return Some(first);
        }
        let second = self.folded()?;
        Some(if first == schema { second } else { format!("{first}.{second}") })
    }

    /// A name as the server knows it: folded, or without its quotes.
    fn folded(&mut self) -> Option<String> {
        let token = self.token()?;
        let text = token.text(self.text);
        match token.kind {
            Kind::Word => Some(text.to_lowercase()),
            Kind::Name => Some(unquoted(text)),
            _ => None,
        }
    }

    /// A name, perhaps with a schema, as it is written.
    fn qualified(&mut self) -> Option<&'a str> {
        let first = self.token().filter(|token| matches!(token.kind, Kind::Word | Kind::Name))?;
        let mut end = first.end;
        while self.takes(".") {
            end = self.token().filter(|token| matches!(token.kind, Kind::Word | Kind::Name))?.end;
        }
        Some(&self.text[first.start..end])
    }

    /// A name, without its quotes.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let token = self.token()?;
        let text = token.text(self.text);
        match token.kind {
            Kind::Word => Some(Cow::Borrowed(text)),
            Kind::Name => Some(Cow::Owned(unquoted(text))),
            _ => None,
        }
    }

    /// Whether one word comes directly behind another.
    fn has(&self, pair: &[&str; 2]) -> bool {
        let mut last = String::new();
        self.clone().any(|word| {
            let found = last == pair[0] && word == pair[1];
            last = word;
            found
        })
    }

    fn ends_with(&self, word: &str) -> bool {
        self.clone().last().is_some_and(|last| last == word)
    }

    fn is_last_but(&self, word: &str) -> bool {
        self.clone().all(|other| other == word)
    }

    fn unlocks(&self) -> bool {
        const NAME: &[u8] = b"pg_advisory_unlock_all";
        let mut parts = self.text.as_bytes().windows(NAME.len());
        parts.any(|part| part.eq_ignore_ascii_case(NAME)) && Words::of(self.text).any(|word| word.as_bytes() == NAME)
    }

    fn peek(&self, word: &str) -> bool {
        self.clone().word() == word
    }

    fn takes(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let is_next = ahead.word() == word;
        if is_next {
            *self = ahead;
        }
        is_next
    }

    /// The next token in small letters; quoted ones keep their quotes, so they are no keyword.
    fn word(&mut self) -> String {
        self.next().unwrap_or_default()
    }

    fn token(&mut self) -> Option<Token> {
        loop {
            let token = Token::at(self.text, self.at, true);
            self.at = token.end;
            match token.kind {
                Kind::Space => {}
                Kind::End | Kind::Broken(_) => return None,
                _ => return Some(token),
            }
        }
    }
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let text = self.text;
        self.token().map(|token| match token.kind {
            // What stands in quotes is no keyword, however long it is.
            Kind::Text => "''".to_owned(),
            _ => token.text(text).to_ascii_lowercase(),
        })
    }
}

fn unquoted(text: &str) -> String {
    let inner = text.trim_start_matches(['u', 'U', '&']);
    inner.get(1..inner.len().saturating_sub(1)).unwrap_or_default().replace("\"\"", "\"")
}
