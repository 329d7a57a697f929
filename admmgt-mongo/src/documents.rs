//! [`Documents`]: the documents of a collection, changed batch by batch; and how far that has come.

use admmgt_core::{
    BatchEnd, Batches, BoxError, Checkpoint, CheckpointKey, Context, Error, FromContext, Result, Token, async_trait,
};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::UpdateModifications;

use crate::driver::Mongo;
use crate::error;
use crate::handle::MongoSession;
use crate::head;
use crate::lease;
use crate::link::Link;
use crate::records::signed;

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
}

fn session(cx: &mut Context) -> Result<&mut MongoSession> {
    <MongoSession as FromContext<Mongo>>::from_context(cx)
}

#[async_trait]
impl Batches for Documents {
    async fn next(&mut self, cx: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        let after = after.map(decoded).transpose()?;
        let db = session(cx)?;
        // What is left of the type that was read last, then the next type that there is.
        let mut range = after.as_ref().and_then(|after| Bracket::of(after).behind(after));
        if after.is_none() || range.is_none() || !is_there(db, &self.collection, range.as_ref()).await? {
            let later = after.as_ref().map_or(0, |after| Bracket::of(after).place() + 1);
            let types: Vec<&str> = BRACKETS.iter().skip(later).flat_map(|(_, types)| types.iter().copied()).collect();
            if types.is_empty() {
                return Ok(None);
            }
            let filter = doc! { "_id": { "$type": types } };
            let Some(first) = first_id(db, &self.collection, filter, 0, 1).await? else { return Ok(None) };
            range = Some(Bracket::of(&first).whole());
        }
        let range = range.unwrap_or_default();
        if let Some(end) = first_id(db, &self.collection, range.clone(), count.saturating_sub(1), 1).await? {
            return Ok(Some(BatchEnd::new(encoded(&end)?, count)));
        }
        let rows = db.collection::<Document>(&self.collection).count(range.clone()).await?;
        let end = first_id(db, &self.collection, range, 0, -1).await?;
        end.map(|end| Ok(BatchEnd::new(encoded(&end)?, rows))).transpose()
    }

    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError> {
        let (after, end) = (after.map(decoded).transpose()?, decoded(end)?);
        let ids = Bracket::of(&end).between(after.as_ref(), &end);
        let filter = self.filter(ids);
        let db = session(cx)?;
        let changed = db.collection::<Document>(&self.collection).update_many(filter, self.update.clone()).await?;
        Ok(changed.modified_count)
    }

    async fn estimate(&mut self, cx: &mut Context) -> Result<Option<u64>, BoxError> {
        let db = session(cx)?;
        Ok(Some(db.database().collection::<Document>(&self.collection).estimated_document_count().await?))
    }
}

async fn is_there(
    db: &mut MongoSession,
    collection: &str,
    range: Option<&Document>,
) -> Result<bool, mongodb::error::Error> {
    let Some(range) = range else { return Ok(false) };
    Ok(first_id(db, collection, range.clone(), 0, 1).await?.is_some())
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

/// Types that are compared with one another, in the order in which MongoDB sorts them; by the names of `$type`.
const BRACKETS: [(Bracket, &[&str]); 15] = [
    (Bracket::MinKey, &["minKey"]),
    (Bracket::Null, &["null", "undefined"]),
    (Bracket::Number, &["number"]),
    (Bracket::Text, &["string", "symbol"]),
    (Bracket::Object, &["object"]),
    (Bracket::Binary, &["binData"]),
    (Bracket::ObjectId, &["objectId"]),
    (Bracket::Bool, &["bool"]),
    (Bracket::Date, &["date"]),
    (Bracket::Timestamp, &["timestamp"]),
    (Bracket::Regex, &["regex"]),
    (Bracket::Pointer, &["dbPointer"]),
    (Bracket::Code, &["javascript"]),
    (Bracket::CodeWithScope, &["javascriptWithScope"]),
    (Bracket::MaxKey, &["maxKey"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    MinKey,
    Null,
    Number,
    Text,
    Object,
    Binary,
    ObjectId,
    Bool,
    Date,
    Timestamp,
    Regex,
    Pointer,
    Code,
    CodeWithScope,
    MaxKey,
}

impl Bracket {
    fn of(id: &Bson) -> Self {
        match id {
            Bson::MinKey => Self::MinKey,
            Bson::Null | Bson::Undefined => Self::Null,
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => Self::Number,
            Bson::String(_) | Bson::Symbol(_) => Self::Text,
            Bson::Document(_) => Self::Object,
            Bson::Binary(_) => Self::Binary,
            Bson::ObjectId(_) => Self::ObjectId,
            Bson::Boolean(_) => Self::Bool,
            Bson::DateTime(_) => Self::Date,
            Bson::Timestamp(_) => Self::Timestamp,
            Bson::RegularExpression(_) => Self::Regex,
            Bson::DbPointer(_) => Self::Pointer,
            Bson::JavaScriptCode(_) => Self::Code,
            Bson::JavaScriptCodeWithScope(_) => Self::CodeWithScope,
            Bson::MaxKey | Bson::Array(_) => Self::MaxKey,
        }
    }

    fn place(self) -> usize {
        BRACKETS.iter().position(|(bracket, _)| *bracket == self).unwrap_or(BRACKETS.len())
    }

    /// There is one value only, with which nothing can be compared.
    fn is_single(self) -> bool {
        matches!(self, Self::MinKey | Self::Null | Self::MaxKey)
    }

    fn whole(self) -> Document {
        doc! { "_id": { "$type": BRACKETS[self.place()].1.to_vec() } }
    }

    /// What comes behind an `_id` in its bracket; `None` where nothing can.
    fn behind(self, id: &Bson) -> Option<Document> {
        if self.is_single() {
            return None;
        }
        // It sorts before all numbers, and no comparison with it holds.
        if is_nan(id) {
            return Some(doc! { "$and": [self.whole(), { "_id": { "$ne": id.clone() } }] });
        }
        Some(doc! { "_id": { "$gt": id.clone() } })
    }

    fn between(self, after: Option<&Bson>, end: &Bson) -> Document {
        if self.is_single() || is_nan(end) {
            return doc! { "_id": end.clone() };
        }
        let mut ids = doc! { "$lte": end.clone() };
        match after.filter(|after| Self::of(after) == self) {
            Some(after) if is_nan(after) => doc! { "_id": ids },
            Some(after) => {
                ids.insert("$gt", after.clone());
                doc! { "_id": ids }
            }
            // The first batch of numbers holds what is none of them.
            None if self == Self::Number => doc! { "$or": [{ "_id": ids }, { "_id": f64::NAN }] },
            None => doc! { "_id": ids },
        }
    }
}

fn is_nan(id: &Bson) -> bool {
    match id {
        Bson::Double(value) => value.is_nan(),
        Bson::Decimal128(value) => value.to_string() == "NaN",
        _ => false,
    }
}

/// An `_id` as text, exact to the bit: the bytes of a document with it, in hexadecimal digits.
fn encoded(id: &Bson) -> Result<String, BoxError> {
    let raw = RawDocumentBuf::try_from(&doc! { "": id.clone() })?;
    Ok(raw.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn decoded(text: &str) -> Result<Bson, BoxError> {
    let wrong =
        || format!("the checkpoint `{text}` is no key of this backfill; was it changed since it was interrupted?");
    let digits = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
    let raw = RawDocumentBuf::from_bytes(bytes.ok_or_else(wrong)?).map_err(|_| wrong())?;
    let mut document = Document::try_from(&*raw).map_err(|_| wrong())?;
    document.remove("").ok_or_else(|| wrong().into())
}

const CHECKPOINTS: &str = "checkpoint";

/// How far a backfill has come.
pub(crate) async fn checkpoint(link: &mut Link, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
    let found = link.ours(CHECKPOINTS).find_one(doc! { "_id": key.to_string() }).await;
    let found = found.map_err(|error| link.failed("reading a checkpoint", &error))?;
    let Some(found) = found else {
        link.make(CHECKPOINTS, "making the collection of checkpoints").await?;
        return Ok(None);
    };
    let place = || format!("the checkpoint `{key}`");
    let count = |name: &str| {
        let count = found.get_i64(name).ok().and_then(|count| u64::try_from(count).ok());
        count
            .ok_or_else(|| Error::corrupt(place(), format!("its field `{name}` is no count; restore it from a backup")))
    };
    let wrong = |name: &str| {
        Error::corrupt(place(), format!("its field `{name}` is of another type; restore it from a backup"))
    };
    let after = match found.get("last_key") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(key)) => Some(key.clone()),
        Some(_) => return Err(wrong("last_key")),
    };
    let ended = found.get_bool("ended").map_err(|_| wrong("ended"))?;
    Ok(Some(Checkpoint::stored(count("begun")?, after, count("seen")?, count("changed")?, ended)))
}

/// Saves it, in the transaction that is open or at once, if the lease is still ours. Where there is no transaction, another may
/// have it since: then there is a newer token in what it has saved, and this one stays out of it.
pub(crate) async fn save(
    link: &mut Link,
    key: &CheckpointKey,
    checkpoint: &Checkpoint,
    fence: Option<Token>,
) -> Result<()> {
    head::prove(link, fence).await?;
    let Checkpoint { begun, after, seen, changed, ended, .. } = checkpoint;
    let token = fence.map(|Token(token)| signed(token));
    let set = doc! {
        "token": token, "begun": signed(*begun), "last_key": after.clone(), "seen": signed(*seen), "changed": signed(*changed), "ended": *ended,
    };
    let checkpoints = link.ours(CHECKPOINTS);
    let older = doc! { "_id": key.to_string(), "$or": [{ "token": null }, { "token": { "$lte": token } }] };
    let save = checkpoints.update_one(older, doc! { "$set": set }).upsert(true);
    let saved = if link.in_transaction() { save.session(link.handle().session()).await } else { save.await };
    match saved {
        Ok(_) => Ok(()),
        // It is there, with a newer token.
        Err(error) if error::code(&error) == Some(11000) => Err(lease::taken_since(link)),
        Err(error) => Err(link.failed("saving a checkpoint", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was() {
        for id in
            [Bson::Int32(5), Bson::Int64(5), Bson::Double(0.1), Bson::String("ü".to_owned()), Bson::Null, Bson::MinKey]
        {
            assert_eq!(decoded(&encoded(&id).unwrap()).unwrap(), id);
        }
        assert!(is_nan(&decoded(&encoded(&Bson::Double(f64::NAN)).unwrap()).unwrap()));
        for wrong in ["", "5", "zz", "0500000000", "ü"] {
            assert!(decoded(wrong).unwrap_err().to_string().contains("is no key of this backfill"), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_of_one_type() {
        let range = |after: Option<Bson>, end: Bson| Bracket::of(&end).between(after.as_ref(), &end);
        assert_eq!(range(Some(4.into()), 9.into()), doc! { "_id": { "$lte": 9, "$gt": 4 } });
        // What came before was of another type.
        assert_eq!(range(Some(4.into()), "b".into()), doc! { "_id": { "$lte": "b" } });
        assert_eq!(range(Some(4.into()), Bson::MaxKey), doc! { "_id": Bson::MaxKey });
        assert_eq!(Bracket::Null.behind(&Bson::Null), None);
        assert!(BRACKETS.iter().enumerate().all(|(at, (bracket, _))| bracket.place() == at));
    }
}
