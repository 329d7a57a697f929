//! [`Steps`]: declared changes that bring their way back along.

use std::fmt;

use admmgt_core::{InvalidName, SqlMigration};
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ValidationAction, ValidationLevel};
use serde::Serialize;

use crate::json;

/// Declared changes of collections, validators and indexes: a migration whose way back nobody has to write. What there was
/// before a step, the earlier validator or index, is kept with its record.
///
/// ```
/// use admmgt_core::Migrations;
/// use admmgt_mongo::{Steps, mongodb::{IndexModel, bson::doc}};
///
/// let users = Steps::new()
///     .create_collection("users", doc! {})
///     .set_validator("users", doc! { "$jsonSchema": { "required": ["email"] } })
///     .create_index("users", IndexModel::builder().keys(doc! { "email": 1 }).build())
///     .migration("app", "0001_users")?;
/// let all = Migrations::new([users]);
/// # assert_eq!(all.len(), 1);
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
///
/// The same can stand in a file, and is what [`Steps`] shows itself as:
///
/// ```
/// # use admmgt_mongo::{Steps, mongodb::bson::doc};
/// let steps = Steps::new().rename("users", "people").drop_index("people", "email_1");
/// assert_eq!(
///     steps.to_string(),
///     "{\"rename\":\"users\",\"to\":\"people\"}\n{\"dropIndex\":\"people\",\"name\":\"email_1\"}\n"
/// );
/// ```
///
/// Validators, indexes and renames run outside of a transaction, one after the other, each put on record when it has
/// ended; interrupted, they go on by themselves. In Rust bodies use [`MongoSession`](crate::MongoSession).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps(Vec<Document>);

/// What the documents of a collection must be like: [`Steps::set_validator`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Validator {
    /// A query that they match: `doc! { "$jsonSchema": … }`. Empty for none.
    pub rule: Document,
    /// Which writes it is held against; `None` for all ([`ValidationLevel::Strict`]).
    pub level: Option<ValidationLevel>,
    /// What becomes of those that do not fit; `None` for an error ([`ValidationAction::Error`]).
    pub action: Option<ValidationAction>,
}

impl From<Document> for Validator {
    fn from(rule: Document) -> Self {
        Self { rule, level: None, action: None }
    }
}

impl Validator {
    /// Documents that do not fit already may stay, and be changed.
    ///
    /// ```
    /// use admmgt_mongo::{Steps, Validator, mongodb::bson::doc};
    ///
    /// let email = Validator::from(doc! { "$jsonSchema": { "required": ["email"] } }).moderate();
    /// let steps = Steps::new().set_validator("users", email);
    /// assert!(steps.to_string().contains("moderate"));
    /// ```
    pub fn moderate(mut self) -> Self {
        self.level = Some(ValidationLevel::Moderate);
        self
    }

    /// What does not fit is written all the same, and the server logs it.
    pub fn warn(mut self) -> Self {
        self.action = Some(ValidationAction::Warn);
        self
    }
}

impl Steps {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a collection, with the options of the server's command `create`: `doc! { "capped": true, "size": 4096 }`. On the
    /// way back it goes with its documents.
    pub fn create_collection(self, collection: impl Into<String>, options: Document) -> Self {
        let mut step = doc! { "createCollection": collection.into() };
        step.extend(options);
        self.and(step)
    }

    /// Drops a collection with its documents. There is no way back.
    pub fn drop_collection(self, collection: impl Into<String>) -> Self {
        self.and(doc! { "dropCollection": collection.into() })
    }

    /// Gives a collection another validator. Documents that do not fit are counted first, since the server would take them
    /// as they are, and refuse each change of them later: where there are any, this fails, unless the validator is
    /// [moderate](Validator::moderate) or [warns](Validator::warn) only. On the way back the earlier one is put back.
    pub fn set_validator(self, collection: impl Into<String>, validator: impl Into<Validator>) -> Self {
        let Validator { rule, level, action } = validator.into();
        let mut step = doc! { "setValidator": collection.into(), "validator": rule };
        let words = [
            ("validationLevel", level.as_ref().and_then(in_bson)),
            ("validationAction", action.as_ref().and_then(in_bson)),
        ];
        step.extend(words.into_iter().filter_map(|(field, word)| Some((field.to_owned(), word?))));
        self.and(step)
    }

    /// Makes an index. On the way back it goes, if it was not there before.
    pub fn create_index(self, collection: impl Into<String>, index: IndexModel) -> Self {
        self.index("createIndex", collection.into(), &index)
    }

    /// Takes an index away. On the way back it is made again as it was.
    pub fn drop_index(self, collection: impl Into<String>, name: impl Into<String>) -> Self {
        self.and(doc! { "dropIndex": collection.into(), "name": name.into() })
    }

    /// Makes an index in the place of the one that has its name or its keys. While it is built neither is there, where the
    /// server does not take both; where it cannot be built, the earlier one is made again.
    pub fn replace_index(self, collection: impl Into<String>, index: IndexModel) -> Self {
        self.index("replaceIndex", collection.into(), &index)
    }

    /// Gives a collection another name. Nothing may have that name.
    pub fn rename(self, collection: impl Into<String>, to: impl Into<String>) -> Self {
        self.and(doc! { "rename": collection.into(), "to": to.into() })
    }

    /// Runs a command of the server, and another one on the way back; with `None` there is no way back.
    pub fn run(self, command: Document, back: impl Into<Option<Document>>) -> Self {
        let mut step = doc! { "run": command };
        step.extend(back.into().map(|back| ("back".to_owned(), Bson::from(back))));
        self.and(step)
    }

    /// The migration that does them in order.
    ///
    /// # Errors
    /// [`InvalidName`] where the namespace or the id cannot be one.
    #[track_caller]
    pub fn migration(&self, namespace: impl Into<String>, id: impl Into<String>) -> Result<SqlMigration, InvalidName> {
        SqlMigration::new(namespace, id, self.to_string())
    }

    fn index(self, step: &str, collection: String, index: &IndexModel) -> Self {
        let mut document = doc! { step: collection };
        // A model is a document of the server's by its own rules.
        if let Some(Bson::Document(index)) = in_bson(index) {
            document.extend(index);
        }
        self.and(document)
    }

    pub(crate) fn and(mut self, step: Document) -> Self {
        self.0.push(step);
        self
    }
}

/// A text that [`MongoDialect`](crate::MongoDialect) reads: a line of extended JSON for each step.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| {
            json::write(f, &step.clone().into())?;
            f.write_str("\n")
        })
    }
}

/// A value as the server would have it, by way of JSON: the functions for that have other names in other versions of BSON.
fn in_bson(value: &impl Serialize) -> Option<Bson> {
    json::read(&format!("{{\"\":{}}}", serde_json::to_string(value).ok()?)).ok()?.remove("")
}
