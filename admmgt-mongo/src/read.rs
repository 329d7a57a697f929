//! What can be read through the session of a run: [`MongoReader`], [`Find`], [`Cursor`].

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use mongodb::action::{Action, Aggregate, CountDocuments, Distinct, FindOne};
use mongodb::bson::Document;
use mongodb::error::Result;
use mongodb::options::FindOptions;
use mongodb::{ClientSession, Collection, Database, SessionCursor};
use serde::de::DeserializeOwned;

use crate::command;

/// A database that can only be read, through the session of a run: what it reads is what the migration has written.
///
/// A probe takes it, so that nothing can be changed by looking:
///
/// ```
/// use admmgt_core::{BoxError, Probed};
/// use admmgt_mongo::{MongoReader, mongodb::bson::doc};
///
/// async fn is_done(db: &mut MongoReader) -> Result<Probed, BoxError> {
///     let left = db.collection::<mongodb::bson::Document>("users").count(doc! { "plan": { "$exists": false } }).await?;
///     Ok(if left == 0 { Probed::Done } else { Probed::NotDone })
/// }
/// # use admmgt_mongo::mongodb;
/// ```
///
/// It has no method that writes, nor one that runs a command:
///
/// ```compile_fail,E0599
/// # use admmgt_mongo::{MongoReader, mongodb::bson::{Document, doc}};
/// async fn writes(db: &mut MongoReader) {
///     let _ = db.collection::<Document>("users").insert_one(doc! {}).await;
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use admmgt_mongo::{MongoReader, mongodb::bson::doc};
/// async fn writes(db: &mut MongoReader) {
///     let _ = db.run_command(doc! { "drop": "users" }).await;
/// }
/// ```
pub struct MongoReader {
    database: Database,
    /// `None` when its link is dropped.
    session: Option<ClientSession>,
    /// How long a query or a command may take.
    limit: Option<Duration>,
}

impl fmt::Debug for MongoReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoReader").field("database", &self.database.name()).finish_non_exhaustive()
    }
}

impl MongoReader {
    pub(crate) fn new(database: Database, session: ClientSession, limit: Option<Duration>) -> Self {
        Self { database, session: Some(session), limit }
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn parts(&mut self) -> (&Database, &mut ClientSession) {
        match &mut self.session {
            Some(session) => (&self.database, session),
            None => unreachable!("it is taken away when its link is dropped"),
        }
    }

    /// The session, of somebody who uses it no more.
    pub(crate) fn leave(&mut self) -> Option<ClientSession> {
        self.session.take()
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// A collection, of documents or of a type of one's own that serde can read.
    pub fn collection<T: Send + Sync>(&mut self, name: &str) -> ReadCollection<'_, T> {
        let limit = self.limit;
        let (database, session) = self.parts();
        ReadCollection { collection: database.collection(name), session, limit }
    }

    /// The names of all collections. The server does not tell them in a transaction, which a body and a probe have where there
    /// are any: with `transaction = "none"` it does.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn collection_names(&mut self) -> Result<Vec<String>> {
        let (database, session) = self.parts();
        database.list_collection_names().session(session).await
    }
}

/// A collection that can only be read.
pub struct ReadCollection<'a, T: Send + Sync> {
    pub(crate) collection: Collection<T>,
    pub(crate) session: &'a mut ClientSession,
    pub(crate) limit: Option<Duration>,
}

impl<T: Send + Sync> fmt::Debug for ReadCollection<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadCollection").field(&self.collection.name()).finish()
    }
}

impl<'a, T: Send + Sync> ReadCollection<'a, T> {
    /// The documents that match.
    pub fn find(&mut self, filter: Document) -> Find<'_, T> {
        let options = FindOptions::builder().max_time(self.limit).build();
        Find { collection: self.collection.clone(), session: self.session, filter, options, limit: self.limit }
    }

    /// The first document that matches; with `await`, or with the client's options before it.
    pub fn find_one(&mut self, filter: Document) -> FindOne<'_, T>
    where
        T: DeserializeOwned,
    {
        self.collection.find_one(filter).optional(self.limit, FindOne::max_time).session(&mut *self.session)
    }

    /// How many documents match; with `await`, or with the client's options before it.
    pub fn count(&mut self, filter: Document) -> CountDocuments<'_> {
        let count = self.collection.count_documents(filter).optional(self.limit, CountDocuments::max_time);
        count.session(&mut *self.session)
    }

    /// The different values of a field among the documents that match; with `await`.
    pub fn distinct(&mut self, field: &str, filter: Document) -> Distinct<'_> {
        self.collection.distinct(field, filter).optional(self.limit, Distinct::max_time).session(&mut *self.session)
    }

    /// The results of a pipeline, as documents. `$out` and `$merge` would write: only a `MongoCollection` does that.
    ///
    /// # Errors
    /// What the server answered, and where the pipeline would write.
    pub async fn aggregate(&mut self, pipeline: Vec<Document>) -> Result<Vec<Document>> {
        if let Some(stage) = command::writing_stage(&pipeline) {
            return Err(mongodb::error::Error::custom(format!("`{stage}` writes, and this handle only reads")));
        }
        self.aggregated(pipeline).await
    }

    pub(crate) async fn aggregated(&mut self, pipeline: Vec<Document>) -> Result<Vec<Document>> {
        let aggregate = self.collection.aggregate(pipeline).optional(self.limit, Aggregate::max_time);
        let cursor = aggregate.session(&mut *self.session).await?;
        Cursor { cursor, session: self.session }.all().await
    }
}

/// A query that is about to be asked.
pub struct Find<'a, T: Send + Sync> {
    collection: Collection<T>,
    session: &'a mut ClientSession,
    filter: Document,
    options: FindOptions,
    limit: Option<Duration>,
}

impl<T: Send + Sync> fmt::Debug for Find<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Find").field(&self.collection.name()).finish()
    }
}

impl<'a, T: Send + Sync> Find<'a, T> {
    /// In this order: `doc! { "_id": 1 }`.
    pub fn sort(mut self, order: Document) -> Self {
        self.options.sort = Some(order);
        self
    }

    /// At most so many.
    pub fn limit(mut self, count: i64) -> Self {
        self.options.limit = Some(count);
        self
    }

    /// Without the first so many.
    pub fn skip(mut self, count: u64) -> Self {
        self.options.skip = Some(count);
        self
    }

    /// Only these fields: `doc! { "email": 1 }`.
    pub fn projection(mut self, fields: Document) -> Self {
        self.options.projection = Some(fields);
        self
    }

    /// With the client's own options, in the place of what was said before. Where they name no time that it may take, it is that
    /// of `Policy::statement_timeout`.
    pub fn options(mut self, mut options: FindOptions) -> Self {
        options.max_time = options.max_time.or(self.limit);
        self.options = options;
        self
    }

    /// Asks, and reads the answers one after the other.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn cursor(self) -> Result<Cursor<'a, T>> {
        let Self { collection, session, filter, options, .. } = self;
        let cursor = collection.find(filter).with_options(options).session(&mut *session).await?;
        Ok(Cursor { cursor, session })
    }
}

impl<T: Send + Sync + DeserializeOwned> Find<'_, T> {
    /// Asks, and reads all answers.
    ///
    /// # Errors
    /// What the server answered; a document that is not of the type.
    pub async fn all(self) -> Result<Vec<T>> {
        self.cursor().await?.all().await
    }
}

/// The answers to a query, one after the other.
pub struct Cursor<'a, T> {
    cursor: SessionCursor<T>,
    session: &'a mut ClientSession,
}

impl<T> fmt::Debug for Cursor<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").finish_non_exhaustive()
    }
}

impl<'a, T> Cursor<'a, T> {
    pub(crate) fn of(cursor: SessionCursor<T>, session: &'a mut ClientSession) -> Self {
        Self { cursor, session }
    }
}

impl<T: DeserializeOwned> Cursor<'_, T> {
    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// What the server answered; a document that is not of the type.
    pub async fn next(&mut self) -> Result<Option<T>> {
        self.cursor.stream(self.session).next().await.transpose()
    }

    /// All that are left.
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub async fn all(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(one) = self.next().await? {
            all.push(one);
        }
        Ok(all)
    }
}
