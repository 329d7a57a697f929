//! Steps: what a file of commands can say besides the server's own, each with a way back.
//!
//! ```text
//! { "createCollection": "users", … }                    back: { "dropCollection": "users" }
//! { "dropCollection": "users" }                         none: its documents are gone
//! { "setValidator": "users", "validator": { … }, … }    back: { "restoreValidator": "users", "step": 2 }
//! { "createIndex": "users", "key": { … }, … }           back: { "restoreIndex": "users", "name": …, "step": 3 }
//! { "dropIndex": "users", "name": … }                   back: as of createIndex
//! { "replaceIndex": "users", "key": { … }, … }          back: as of createIndex
//! { "rename": "users", "to": "people" }                 back: { "rename": "people", "to": "users" }
//! { "run": { … }, "back": { … } }                       back: the other way round
//! ```
//!
//! The server has no commands of these names. `step` is the number of the statement that is taken back, and `of` what its record
//! says of it: what there was before it stands there.

use mongodb::bson::{Bson, Document, doc};

use crate::command::{self, Made};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    CreateCollection { collection: String, options: Document },
    DropCollection { collection: String },
    SetValidator { collection: String, rule: Document },
    RestoreValidator { collection: String, of: Of },
    CreateIndex { collection: String, index: Document },
    DropIndex { collection: String, name: String },
    ReplaceIndex { collection: String, index: Document },
    RestoreIndex { collection: String, name: String, of: Of },
    Rename { from: String, to: String },
    Run { command: Document, back: Option<Document> },
}

/// Which statement is taken back: its number, and what its record says of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Of {
    pub(crate) step: Option<i64>,
    pub(crate) statement: Option<String>,
}

const NAMES: [&str; 10] = [
    "createCollection",
    "dropCollection",
    "setValidator",
    "restoreValidator",
    "createIndex",
    "dropIndex",
    "replaceIndex",
    "restoreIndex",
    "rename",
    "run",
];

impl Step {
    /// The step that a command of a file is; `None` where it is the server's own.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn of(command: &Document) -> Result<Option<Self>, String> {
        let mut fields = command.clone();
        let Some((name, subject)) = command.iter().next().filter(|(name, _)| NAMES.contains(&name.as_str())) else {
            return Ok(None);
        };
        fields.remove(name);
        let mut rest = Fields { step: name, fields };
        if name == "run" {
            let Bson::Document(command) = subject else {
                return Err("`run` takes a command: `{ \"run\": { \"collMod\": … }, \"back\": { … } }`".to_owned());
            };
            let back = rest.document("back")?;
            [Some(command), back.as_ref()].into_iter().flatten().try_for_each(check_run)?;
            return rest.end(Self::Run { command: command.clone(), back });
        }
        let Bson::String(collection) = subject else {
            return Err(format!("`{name}` takes the name of a collection: `{{ \"{name}\": \"users\", … }}`"));
        };
        if collection.is_empty() {
            return Err(format!("`{name}` names no collection"));
        }
        let collection = collection.clone();
        let step = match name.as_str() {
            "createCollection" => return Ok(Some(Self::CreateCollection { collection, options: rest.fields })),
            "createIndex" => return Ok(Some(Self::CreateIndex { collection, index: rest.index()? })),
            "replaceIndex" => return Ok(Some(Self::ReplaceIndex { collection, index: rest.index()? })),
            "setValidator" => Self::SetValidator { collection, rule: rest.rule()? },
            "dropCollection" => Self::DropCollection { collection },
            "restoreValidator" => Self::RestoreValidator { collection, of: rest.of()? },
            "dropIndex" => Self::DropIndex { collection, name: rest.name_of_one()? },
            "restoreIndex" => Self::RestoreIndex { collection, name: rest.name_of_one()?, of: rest.of()? },
            _ => Self::Rename { from: collection, to: rest.text("to")? },
        };
        rest.end(step)
    }

    /// The command that takes it back; it is the statement of that number, of which its record says that.
    pub(crate) fn back(self, number: i64, of: &str) -> Option<Document> {
        let restored = |collection: String, name: &str| {
            doc! { "restoreIndex": collection, "name": name, "step": number, "of": of }
        };
        Some(match self {
            Self::CreateCollection { collection, .. } => doc! { "dropCollection": collection },
            Self::SetValidator { collection, .. } => {
                doc! { "restoreValidator": collection, "step": number, "of": of }
            }
            Self::CreateIndex { collection, index } | Self::ReplaceIndex { collection, index } => {
                restored(collection, name_of(&index))
            }
            Self::DropIndex { collection, name } => restored(collection, &name),
            Self::Rename { from, to } => doc! { "rename": to, "to": from },
            Self::Run { command, back } => doc! { "run": back?, "back": command },
            Self::DropCollection { .. } | Self::RestoreValidator { .. } | Self::RestoreIndex { .. } => return None,
        })
    }

    /// Whether it can be in a transaction.
    pub(crate) fn runs_in_transaction(&self, made: &Made) -> bool {
        match self {
            Self::CreateCollection { .. } => command::runs_in_transaction(&self.as_command(), made),
            Self::Run { command, .. } => command::runs_in_transaction(command, made),
            _ => false,
        }
    }

    /// Whether it can run again where it was interrupted at whatever point.
    pub(crate) fn is_resumable(&self) -> bool {
        match self {
            Self::Run { command, .. } => command::is_repeatable(command),
            _ => true,
        }
    }

    /// What whoever plans it has to know.
    pub(crate) fn note(&self) -> Option<String> {
        match self {
            Self::DropCollection { collection } => Some(format!("drops `{collection}` with its documents")),
            _ => None,
        }
    }

    /// The server's command for it, where it is one and needs nothing else.
    pub(crate) fn as_command(&self) -> Document {
        match self {
            Self::CreateCollection { collection, options } => {
                let mut command = doc! { "create": collection };
                command.extend(options.clone());
                command
            }
            Self::Run { command, .. } => command.clone(),
            _ => Document::new(),
        }
    }
}

/// What `run` runs is a command of the server's own, in both directions.
fn check_run(command: &Document) -> Result<(), String> {
    match command.keys().next().filter(|name| NAMES.contains(&name.as_str())) {
        Some(name) => Err(format!("`{name}` is a step: say it without `run`")),
        None => command::check(command),
    }
}

/// The name of an index: the server's own, where it was not given one.
pub(crate) fn name_of(index: &Document) -> &str {
    index.get_str("name").unwrap_or_default()
}

/// What a step says besides what it is about.
struct Fields<'a> {
    step: &'a str,
    fields: Document,
}

impl Fields<'_> {
    fn text(&mut self, field: &str) -> Result<String, String> {
        match self.fields.remove(field) {
            Some(Bson::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(format!("`{}` needs the field `{field}`, a text", self.step)),
        }
    }

    /// The server takes `*` for all of them.
    fn name_of_one(&mut self) -> Result<String, String> {
        let name = self.text("name")?;
        self.one(name)
    }

    /// To the server this would be all of them.
    fn one(&self, name: String) -> Result<String, String> {
        if name == "*" { Err(format!("`{}` is about one index; name it", self.step)) } else { Ok(name) }
    }

    fn of(&mut self) -> Result<Of, String> {
        let statement = if self.fields.contains_key("of") { Some(self.text("of")?) } else { None };
        Ok(Of { step: self.number("step")?, statement })
    }

    fn number(&mut self, field: &str) -> Result<Option<i64>, String> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(Bson::Int32(number)) => Ok(Some(number.into())),
            Some(Bson::Int64(number)) => Ok(Some(number)),
            Some(_) => Err(format!("the field `{field}` of `{}` is a whole number", self.step)),
        }
    }

    fn document(&mut self, field: &str) -> Result<Option<Document>, String> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(Bson::Document(document)) => Ok(Some(document)),
            Some(_) => Err(format!("the field `{field}` of `{}` is an object", self.step)),
        }
    }

    fn rule(&mut self) -> Result<Document, String> {
        let validator = self.document("validator")?;
        let validator = validator.ok_or("`setValidator` needs the field `validator`, an object; `{}` takes it away")?;
        let mut rule = doc! { "validator": validator };
        for (field, words) in
            [("validationLevel", &["strict", "moderate", "off"][..]), ("validationAction", &["error", "warn"])]
        {
            let word = match self.fields.remove(field) {
                // As the server has it by itself; said, so that it does not stay as it was.
                None => words[0].to_owned(),
                Some(Bson::String(word)) if words.contains(&&*word) => word,
                Some(_) => return Err(format!("the field `{field}` is one of `{}`", words.join("`, `"))),
            };
            rule.insert(field, word);
        }
        Ok(rule)
    }

    /// What describes an index, with its name.
    fn index(mut self) -> Result<Document, String> {
        let key = self.document("key")?.filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| format!("`{}` needs the field `key`: `{{ \"email\": 1 }}`", self.step))?;
        let name = match self.fields.remove("name") {
            None => default_name(&key),
            Some(Bson::String(name)) if !name.is_empty() => self.one(name)?,
            Some(_) => return Err(format!("the field `name` of `{}` is a text", self.step)),
        };
        let mut index = doc! { "key": key, "name": name };
        index.extend(self.fields);
        Ok(index)
    }

    /// The step, if nothing else is said.
    fn end(self, step: Step) -> Result<Option<Step>, String> {
        match self.fields.keys().next() {
            None => Ok(Some(step)),
            Some(field) => Err(format!("`{}` has no field `{field}`", self.step)),
        }
    }
}

/// As the server and its clients name an index: `email_1_at_-1`.
fn default_name(key: &Document) -> String {
    let part = |(field, kind): (&String, &Bson)| match kind {
        Bson::String(kind) => format!("{field}_{kind}"),
        Bson::Double(way) => format!("{field}_{way}"),
        other => format!("{field}_{other}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(command: Document) -> Step {
        Step::of(&command).unwrap().unwrap()
    }

    #[test]
    fn each_step_has_its_way_back() {
        for (forth, back) in [
            (doc! { "createCollection": "a", "capped": true }, doc! { "dropCollection": "a" }),
            (doc! { "setValidator": "a", "validator": {} }, doc! { "restoreValidator": "a", "step": 7_i64, "of": "x" }),
            (
                doc! { "createIndex": "a", "key": { "b": 1, "c": -1 } },
                doc! { "restoreIndex": "a", "name": "b_1_c_-1", "step": 7_i64, "of": "x" },
            ),
            (
                doc! { "replaceIndex": "a", "key": { "b": "text" }, "name": "mine" },
                doc! { "restoreIndex": "a", "name": "mine", "step": 7_i64, "of": "x" },
            ),
            (
                doc! { "dropIndex": "a", "name": "b_1" },
                doc! { "restoreIndex": "a", "name": "b_1", "step": 7_i64, "of": "x" },
            ),
            (doc! { "rename": "a", "to": "b" }, doc! { "rename": "b", "to": "a" }),
            (
                doc! { "run": { "collMod": "a" }, "back": { "collMod": "b" } },
                doc! { "run": { "collMod": "b" }, "back": { "collMod": "a" } },
            ),
        ] {
            let found = step(forth.clone());
            assert_eq!(found.clone().back(7, "x"), Some(back.clone()), "{forth}");
            assert!(Step::of(&back).is_ok(), "{back}");
        }
        for forth in [
            doc! { "run": { "collMod": "a" } },
            doc! { "restoreValidator": "a" },
            doc! { "restoreIndex": "a", "name": "b_1" },
        ] {
            assert_eq!(step(forth).back(7, "x"), None);
        }
    }

    #[test]
    fn what_is_wrong_with_a_step_is_told() {
        for (command, words) in [
            (doc! { "setValidator": "a" }, "needs the field `validator`"),
            (doc! { "setValidator": 1, "validator": {} }, "takes the name of a collection"),
            (
                doc! { "setValidator": "a", "validator": {}, "validationLevel": "lax" },
                "one of `strict`, `moderate`, `off`",
            ),
            (doc! { "setValidator": "a", "validator": {}, "level": "off" }, "has no field `level`"),
            (doc! { "createIndex": "a" }, "needs the field `key`"),
            (doc! { "createIndex": "a", "key": {} }, "needs the field `key`"),
            (doc! { "dropIndex": "a" }, "needs the field `name`"),
            (doc! { "rename": "a" }, "needs the field `to`"),
            (doc! { "run": "a" }, "takes a command"),
            (doc! { "run": {} }, "a command has a name"),
            (doc! { "run": { "rename": "a", "to": "b" } }, "`rename` is a step"),
            (
                doc! { "run": { "drop": "a" }, "back": { "abortTransaction": 1 } },
                "`abortTransaction` is the executor's",
            ),
            (doc! { "dropIndex": "a", "name": "*" }, "is about one index"),
            (doc! { "restoreIndex": "a", "name": "*" }, "is about one index"),
            (doc! { "restoreIndex": "a", "name": "b", "step": "1" }, "is a whole number"),
        ] {
            let problem = Step::of(&command).unwrap_err();
            assert!(problem.contains(words), "{command}: {problem}");
        }
        assert_eq!(Step::of(&doc! { "createIndexes": "a" }), Ok(None));
        assert_eq!(Step::of(&doc! {}), Ok(None));
    }

    #[test]
    fn a_validator_is_set_as_a_whole() {
        let Step::SetValidator { rule, .. } = step(doc! { "setValidator": "a", "validator": { "b": 1 } }) else {
            panic!()
        };
        assert_eq!(rule, doc! { "validator": { "b": 1 }, "validationLevel": "strict", "validationAction": "error" });
    }
}
