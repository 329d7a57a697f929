//! Test databases in memory: the worked example of a [`TestServer`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use admmgt_core::{Driver, MemoryDriver, Result};
use async_trait::async_trait;

use crate::{Data, Rows, Schema, TestDatabase, TestServer};

/// Makes databases in the memory of this process.
#[derive(Debug, Default)]
pub struct MemoryServer(Mutex<HashMap<String, MemoryDriver>>);

/// A database of a [`MemoryServer`].
#[derive(Debug, Default)]
pub struct MemoryDatabase(MemoryDriver);

impl MemoryServer {
    fn templates(&self) -> MutexGuard<'_, HashMap<String, MemoryDriver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryDatabase {
    /// The database itself.
    pub fn memory(&self) -> &MemoryDriver {
        &self.0
    }
}

#[async_trait]
impl TestServer for MemoryServer {
    type Database = MemoryDatabase;

    async fn empty(&self) -> Result<MemoryDatabase> {
        Ok(MemoryDatabase::default())
    }

    async fn copy(&self, template: &str) -> Result<Option<MemoryDatabase>> {
        Ok(self.templates().get(template).map(|template| MemoryDatabase(template.fork())))
    }

    async fn keep(&self, template: &str, database: MemoryDatabase) -> Result<()> {
        self.templates().entry(template.to_owned()).or_insert(database.0);
        Ok(())
    }

    async fn forget(&self, template: &str) -> Result<()> {
        self.templates().remove(template);
        Ok(())
    }
}

#[async_trait]
impl TestDatabase for MemoryDatabase {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.0.clone())
    }

    async fn run(&self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.0.run(line))
    }

    async fn schema(&self) -> Result<Schema> {
        Ok(Schema::new(self.0.names()))
    }

    /// Every line that made nothing is a row of the journal.
    async fn data(&self) -> Result<Data> {
        let lines =
            self.0.journal().into_iter().filter(|line| !line.starts_with("create ") && !line.starts_with("drop "));
        Ok(Data::from([("journal".to_owned(), Rows::new(["line"], lines.map(|line| vec![Some(line)])))]))
    }
}
