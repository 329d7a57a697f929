//! Where the history ends: all that a start-up reads.

use admmgt_core::stored;
use admmgt_core::{Error, FORMAT, Head, Result};
use mongodb::action::FindOne;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Collection, Database};

use crate::error::Asked;
use crate::history::HISTORY;
use crate::link::Link;
use crate::records::whole;
use crate::server::Server;

/// The last record, and the heads as they are with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    /// The number of the last record; 0 where there is none.
    pub(crate) last: u64,
    /// For whom the place behind it is held.
    pub(crate) held_for: Option<Document>,
    pub(crate) heads: Option<String>,
}

impl End {
    /// As the last document of the history says.
    pub(crate) fn of(found: &Document) -> Result<Self> {
        stored::check_format(place(found), i64::try_from(number(found, "format")?).unwrap_or(i64::MAX))?;
        let id = number(found, "_id")?;
        let held_for = held_for(found)?.cloned();
        let last = match held_for {
            Some(_) => id.saturating_sub(1),
            None if found.contains_key("last") => number(found, "last")?,
            None => id,
        };
        let heads = match found.get("heads") {
            None | Some(Bson::Null) => None,
            Some(Bson::String(text)) => Some(text.clone()),
            Some(_) => return Err(damaged(found, "its field `heads` is no text")),
        };
        Ok(Self { last, held_for, heads })
    }

    pub(crate) fn head(&self) -> Result<Head> {
        let mut head = Head::default();
        head.namespaces.extend(stored::heads(self.heads.as_deref())?);
        Ok(head)
    }
}

fn place(found: &Document) -> String {
    format!("the document with `_id` {} of the history", found.get("_id").unwrap_or(&Bson::Null))
}

pub(crate) fn damaged(found: &Document, problem: &str) -> Error {
    Error::corrupt(place(found), format!("{problem}; restore it from a backup"))
}

/// A field that counts records.
pub(crate) fn number(found: &Document, name: &str) -> Result<u64> {
    let value = found.get(name).and_then(whole).and_then(|value| u64::try_from(value).ok());
    value.ok_or_else(|| damaged(found, &format!("its field `{name}` must be a whole number")))
}

/// Where the document is no record but a place that is held: for whom.
pub(crate) fn held_for(found: &Document) -> Result<Option<&Document>> {
    match found.get("held_for") {
        None => Ok(None),
        Some(Bson::Document(held_for)) => Ok(Some(held_for)),
        Some(_) => Err(damaged(found, "its field `held_for` names nobody")),
    }
}

/// What the last document of the history has besides.
pub(crate) fn with_heads(mut document: Document, heads: impl Into<Bson>) -> Document {
    document.insert("format", i64::from(FORMAT));
    document.insert("heads", heads);
    document
}

fn find(history: &Collection<Document>) -> FindOne<'_, Document> {
    let fields = doc! { "format": 1, "heads": 1, "held_for": 1, "last": 1 };
    history.find_one(doc! {}).sort(doc! { "_id": -1 }).projection(fields)
}

/// The heads, with one query and no more than the right to read.
pub(crate) async fn peek(server: &Server, database: &Database) -> Result<Option<Head>> {
    let history = database.collection::<Document>(&server.collection(HISTORY));
    let asked = Asked { what: "the database of MongoDB" };
    let found = find(&history).await.map_err(|error| asked.failed("reading the heads", &error))?;
    found.map(|found| End::of(&found)?.head()).transpose()
}

/// Where it ends; `None` where nothing was ever written.
pub(crate) async fn end(link: &mut Link) -> Result<Option<End>> {
    let found = find(&link.ours(HISTORY)).await;
    let found = found.map_err(|error| link.failed("reading the history", &error))?;
    found.map(|found| End::of(&found)).transpose()
}

/// The heads, by a session.
pub(crate) async fn head(link: &mut Link) -> Result<Option<Head>> {
    end(link).await?.map(|end| end.head()).transpose()
}
