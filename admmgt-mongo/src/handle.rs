//! What a body gets: [`MongoSession`].

use std::fmt;
use std::ops::{Deref, DerefMut};

use mongodb::action::{
    Action, CreateCollection, CreateIndex, Delete, DropCollection, DropIndex, FindOneAndDelete, FindOneAndUpdate,
    InsertMany, InsertOne, ReplaceOne, Update,
};
use mongodb::bson::Document;
use mongodb::error::Result;
use mongodb::options::UpdateModifications;
use mongodb::{ClientSession, IndexModel};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command;
use crate::read::{Cursor, MongoReader, ReadCollection};

/// A database, bound to the session of a run and to its transaction: whatever is done through it is in the transaction,
/// where there is one.
///
/// ```
/// use admmgt_core::BoxError;
/// use admmgt_mongo::{MongoSession, mongodb::bson::doc};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Plan {
///     name: String,
///     seats: u32,
/// }
///
/// async fn plans(db: &mut MongoSession) -> Result<(), BoxError> {
///     db.create_collection("plans").await?;
///     let mut plans = db.collection::<Plan>("plans");
///     plans.insert_one(Plan { name: "free".to_owned(), seats: 1 }).await?;
///     plans.update_many(doc! { "seats": 1 }, doc! { "$set": { "seats": 2 } }).await?;
///     Ok(())
/// }
/// ```
///
/// Actions are the client's own, with the session put in: they take its options, and run with `await`. What they read, and
/// commands, may take as long as `Policy::statement_timeout` allows. The client has no such limit for what inserts, changes and
/// takes away documents, nor for making and dropping a collection: a change of many documents is a backfill, or a command
/// (`doc! { "update": … }`).
#[derive(Debug)]
pub struct MongoSession {
    reader: MongoReader,
    /// A transaction of the run's is open.
    pub(crate) in_transaction: bool,
}

impl Deref for MongoSession {
    type Target = MongoReader;

    fn deref(&self) -> &MongoReader {
        &self.reader
    }
}

impl DerefMut for MongoSession {
    fn deref_mut(&mut self) -> &mut MongoReader {
        &mut self.reader
    }
}

impl MongoSession {
    pub(crate) fn new(reader: MongoReader) -> Self {
        Self { reader, in_transaction: false }
    }

    pub(crate) fn reader(&mut self) -> &mut MongoReader {
        &mut self.reader
    }

    pub(crate) fn session(&mut self) -> &mut ClientSession {
        self.reader.parts().1
    }

    /// A collection, of documents or of a type of one's own that serde can read and write.
    pub fn collection<T: Send + Sync>(&mut self, name: &str) -> MongoCollection<'_, T> {
        MongoCollection(self.reader.collection(name))
    }

    /// Makes a collection; with `await`, or with the client's options before it. In a transaction it is there with its
    /// commit.
    pub fn create_collection(&mut self, name: impl Into<String>) -> CreateCollection<'_> {
        let (database, session) = self.reader.parts();
        database.create_collection(name).session(session)
    }

    /// Runs a command of the server: `doc! { "collMod": "users", … }`. Where it names no write concern and no time, it is
    /// given those that a migration has: a majority of the servers and their disks, and `Policy::statement_timeout`.
    ///
    /// # Errors
    /// What the server answered. A reply that tells of a write that failed is an error, too, of the client's custom kind with an
    /// [`Answer`](crate::Answer). A command that would begin or end a transaction is refused.
    pub async fn run_command(&mut self, command: Document) -> Result<Document> {
        command::check(&command).map_err(mongodb::error::Error::custom)?;
        let reply = self.send(command).await?;
        match command::failed(&reply) {
            Some(answer) => Err(mongodb::error::Error::custom(answer)),
            None => Ok(reply),
        }
    }

    /// Sends a command with what it was not given, to the database that takes it.
    pub(crate) async fn send(&mut self, command: Document) -> Result<Document> {
        let command = command::limited(command, self.in_transaction, self.reader.limit());
        let (database, session) = self.reader.parts();
        let database = if command::is_of_admin(&command) { &database.client().database("admin") } else { database };
        database.run_command(command).session(session).await
    }
}

/// A collection in the session of a run.
pub struct MongoCollection<'a, T: Send + Sync>(ReadCollection<'a, T>);

impl<T: Send + Sync> fmt::Debug for MongoCollection<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoCollection").field(&self.0.collection.name()).finish()
    }
}

impl<'a, T: Send + Sync> Deref for MongoCollection<'a, T> {
    type Target = ReadCollection<'a, T>;

    fn deref(&self) -> &ReadCollection<'a, T> {
        &self.0
    }
}

impl<T: Send + Sync> DerefMut for MongoCollection<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: Send + Sync + Serialize> MongoCollection<'_, T> {
    /// Adds a document.
    pub fn insert_one(&mut self, document: T) -> InsertOne<'_> {
        self.0.collection.insert_one(document).session(&mut *self.0.session)
    }

    /// Adds documents.
    pub fn insert_many(&mut self, documents: impl IntoIterator<Item = T>) -> InsertMany<'_> {
        self.0.collection.insert_many(documents).session(&mut *self.0.session)
    }

    /// Puts a document in the place of the first that matches.
    pub fn replace_one(&mut self, filter: Document, with: T) -> ReplaceOne<'_> {
        self.0.collection.replace_one(filter, with).session(&mut *self.0.session)
    }
}

impl<T: Send + Sync + DeserializeOwned> MongoCollection<'_, T> {
    /// Changes the first document that matches, and returns it as it was.
    pub fn find_one_and_update(
        &mut self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> FindOneAndUpdate<'_, T> {
        let action = self.0.collection.find_one_and_update(filter, update);
        action.optional(self.0.limit, FindOneAndUpdate::max_time).session(&mut *self.0.session)
    }

    /// Takes the first document away that matches, and returns it.
    pub fn find_one_and_delete(&mut self, filter: Document) -> FindOneAndDelete<'_, T> {
        let action = self.0.collection.find_one_and_delete(filter);
        action.optional(self.0.limit, FindOneAndDelete::max_time).session(&mut *self.0.session)
    }
}

impl<T: Send + Sync> MongoCollection<'_, T> {
    /// Changes the first document that matches.
    pub fn update_one(&mut self, filter: Document, update: impl Into<UpdateModifications>) -> Update<'_> {
        self.0.collection.update_one(filter, update).session(&mut *self.0.session)
    }

    /// Changes all documents that match.
    pub fn update_many(&mut self, filter: Document, update: impl Into<UpdateModifications>) -> Update<'_> {
        self.0.collection.update_many(filter, update).session(&mut *self.0.session)
    }

    /// Takes the first document away that matches.
    pub fn delete_one(&mut self, filter: Document) -> Delete<'_> {
        self.0.collection.delete_one(filter).session(&mut *self.0.session)
    }

    /// Takes all documents away that match.
    pub fn delete_many(&mut self, filter: Document) -> Delete<'_> {
        self.0.collection.delete_many(filter).session(&mut *self.0.session)
    }

    /// The results of a pipeline, as documents; it may write with `$out` and `$merge`.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn aggregate(&mut self, pipeline: Vec<Document>) -> Result<Vec<Document>> {
        self.0.aggregated(pipeline).await
    }

    /// Makes an index. In a transaction only on a collection that was made in it; elsewhere with `transaction = "none"`.
    pub fn create_index(&mut self, index: IndexModel) -> CreateIndex<'_> {
        let action = self.0.collection.create_index(index);
        action.optional(self.0.limit, CreateIndex::max_time).session(&mut *self.0.session)
    }

    /// Takes an index away by its name; not in a transaction.
    pub fn drop_index(&mut self, name: impl AsRef<str>) -> DropIndex<'_> {
        let action = self.0.collection.drop_index(name);
        action.optional(self.0.limit, DropIndex::max_time).session(&mut *self.0.session)
    }

    /// The indexes that there are.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn indexes(&mut self) -> Result<Vec<IndexModel>> {
        let cursor = self.0.collection.list_indexes().session(&mut *self.0.session).await?;
        Cursor::of(cursor, self.0.session).all().await
    }

    /// Takes the collection away; not in a transaction.
    pub fn drop(&mut self) -> DropCollection<'_> {
        self.0.collection.drop().session(&mut *self.0.session)
    }
}
