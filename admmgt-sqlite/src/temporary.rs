//! What is of one connection alone: temporary tables, attached databases. A plain client that runs each file by
//! itself leaves none of it to the next one.

use rusqlite::{Connection, Result};

use crate::quote;

/// What a connection had before any body ran.
#[derive(Debug, Default)]
pub(crate) struct Temporary {
    objects: Vec<(String, String)>,
    databases: Vec<String>,
}

impl Temporary {
    /// As it is.
    pub(crate) fn read(db: &Connection) -> Result<Self> {
        let mut objects = db.prepare(
            "SELECT type, name FROM temp.sqlite_schema WHERE type IN ('trigger', 'view', 'table') AND name NOT LIKE 'sqlite\\_%' \
             ESCAPE '\\' ORDER BY type DESC",
        )?;
        let mut databases = db.prepare("SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')")?;
        Ok(Self {
            objects: objects.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?,
            databases: databases.query_map([], |row| row.get(0))?.collect::<Result<_>>()?,
        })
    }

    /// Drops and detaches what was not there; databases only outside of transactions.
    pub(crate) fn restore(&self, db: &Connection) -> Result<()> {
        let now = Self::read(db)?;
        for (kind, name) in now.objects.iter().filter(|object| !self.objects.contains(object)) {
            // A trigger went with its table.
            db.execute_batch(&format!("DROP {kind} IF EXISTS temp.{}", quote::name(name)))?;
        }
        if db.is_autocommit() {
            for name in now.databases.iter().filter(|name| !self.databases.contains(name)) {
                db.execute("DETACH ?1", [name])?;
            }
        }
        Ok(())
    }
}
