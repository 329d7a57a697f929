//! [`Documents`]: the documents of a collection, changed batch by batch.

use admmgt_core::{BatchEnd, Batches, BoxError, Context, FromContext, async_trait};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::UpdateModifications;

use crate::command;
use crate::driver::Mongo;
use crate::handle::MongoSession;
use crate::ids::{BRACKETS, Bracket, decoded, encoded};

/// The documents of a collection in the order of their `_id`, and what is changed in them.
///
/// ```
/// use admmgt_core::{BoxError, Context};
/// use admmgt_mongo::{Documents, mongodb::bson::doc};
///
/// async fn fill(cx: &mut Context) -> Result<(), BoxError> {
///     let gross = doc! { "$set": { "gross": { "$multiply": ["$net", 1.2] } } };
///     let mut sales = Documents::of("sales").update(vec![gross]).only(doc! { "gross": { "$exists": false } });
///     cx.backfill("gross").run(&mut sales).await?;
///     Ok(())
/// }
/// ```
///
/// An `_id` may be of any type, also of different ones: MongoDB compares only within a type, so each has batches of its own.
#[derive(Debug, Clone)]
pub struct Documents {
    collection: String,
    update: UpdateModifications,
    only: Document,
}

impl Documents {
    /// The documents of a collection.
    pub fn of(collection: impl Into<String>) -> Self {
        Self { collection: collection.into(), update: UpdateModifications::Document(doc! {}), only: doc! {} }
    }

    /// How each is changed: operators (`doc! { "$set": … }`), or a pipeline that can read other fields (`vec![doc! { … }]`).
    pub fn update(mut self, update: impl Into<UpdateModifications>) -> Self {
        self.update = update.into();
        self
    }

    /// Changes only these. What an earlier attempt has changed should be left out here: where the server has no
    /// transactions, one batch is done again after a kill.
    pub fn only(mut self, filter: Document) -> Self {
        self.only = filter;
        self
    }

    fn filter(&self, ids: Document) -> Document {
        if self.only.is_empty() {
            ids
        } else {
            doc! { "$and": [ids, self.only.clone()] }
        }
    }

    /// Where a batch of this range ends; `None` where nothing is in it.
    async fn end_in(&self, db: &mut MongoSession, range: Document, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        if let Some(end) = first_id(db, &self.collection, range.clone(), count.saturating_sub(1), 1).await? {
            return Ok(Some(BatchEnd::new(encoded(&end)?, count)));
        }
        let rows = db.collection::<Document>(&self.collection).count(range.clone()).await?;
        let end = first_id(db, &self.collection, range, 0, -1).await?;
        end.map(|end| Ok(BatchEnd::new(encoded(&end)?, rows))).transpose()
    }
}

fn session(cx: &mut Context) -> admmgt_core::Result<&mut MongoSession> {
    <MongoSession as FromContext<Mongo>>::from_context(cx)
}

#[async_trait]
impl Batches for Documents {
    async fn next(&mut self, cx: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        let after = after.map(decoded).transpose()?;
        let db = session(cx)?;
        // What is left of the type that was read last, then the next type that there is.
        let rest = after.as_ref().and_then(|after| Bracket::of(after).behind(after));
        if let Some(rest) = rest
            && let Some(end) = self.end_in(db, rest, count).await?
        {
            return Ok(Some(end));
        }
        let mut later = after.as_ref().map_or(0, |after| Bracket::of(after).place() + 1);
        loop {
            let types: Vec<&str> = BRACKETS.iter().skip(later).flat_map(|(_, types)| types.iter().copied()).collect();
            if types.is_empty() {
                return Ok(None);
            }
            let filter = doc! { "_id": { "$type": types } };
            let Some(first) = first_id(db, &self.collection, filter, 0, 1).await? else { return Ok(None) };
            let bracket = Bracket::of(&first);
            if let Some(end) = self.end_in(db, bracket.whole(), count).await? {
                return Ok(Some(end));
            }
            // All of that type went meanwhile.
            later = bracket.place() + 1;
        }
    }

    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError> {
        let (after, end) = (after.map(decoded).transpose()?, decoded(end)?);
        let ids = Bracket::of(&end).between(after.as_ref(), &end);
        let filter = self.filter(ids);
        let update = match &self.update {
            UpdateModifications::Document(operators) => Bson::from(operators.clone()),
            UpdateModifications::Pipeline(stages) => Bson::from(stages.clone()),
            _ => return Err("the client knows a kind of update that is not known here".into()),
        };
        // As a command, which may take as long as the policy allows.
        let updates = vec![doc! { "q": filter, "u": update, "multi": true }];
        let command = doc! { "update": &self.collection, "updates": updates };
        let reply = session(cx)?.run_command(command.clone()).await?;
        Ok(command::changed(&command, &reply))
    }

    async fn estimate(&mut self, cx: &mut Context) -> Result<Option<u64>, BoxError> {
        let db = session(cx)?;
        Ok(Some(db.database().collection::<Document>(&self.collection).estimated_document_count().await?))
    }
}

/// The `_id` of the document at this place, from the beginning (1) or from the end (-1).
async fn first_id(
    db: &mut MongoSession,
    collection: &str,
    filter: Document,
    skip: u64,
    order: i32,
) -> Result<Option<Bson>, mongodb::error::Error> {
    let mut collection = db.collection::<Document>(collection);
    let find = collection.find(filter).sort(doc! { "_id": order }).skip(skip).limit(1).projection(doc! { "_id": 1 });
    let found = find.cursor().await?.next().await?;
    Ok(found.and_then(|mut found| found.remove("_id")))
}
