//! Which database, and where in it the history is.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;

use crate::quote;

/// What to grant.
pub(crate) const GRANTS: &str = "the role that migrates needs `CREATE` on the schemas it changes and, for the history, \
                                 `USAGE, CREATE` on its schema (`grant usage, create on schema … to …`)";

/// Where names are looked for, and where the history is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schemas {
    /// The schema of the history; `None` for wherever the connection finds it, or would make it.
    pub(crate) history: Option<String>,
    /// The search path of the bodies; empty for the connection's own.
    pub(crate) path: Vec<String>,
}

impl Schemas {
    /// `search_path` as the server takes it; `None` for the connection's own.
    pub(crate) fn path_text(&self) -> Option<String> {
        if self.path.is_empty() {
            return None;
        }
        let names: Vec<String> = self.path.iter().map(|name| quote::name(name)).collect();
        Some(names.join(", "))
    }

    /// A table of ours, as it can be written before the connection was asked where it is.
    pub(crate) fn table(&self, table: &str) -> String {
        match &self.history {
            Some(schema) => format!("{}.{table}", quote::name(schema)),
            None => table.to_owned(),
        }
    }
}

/// The database for people: `PostgreSQL at db.example.com:5432/shop`. Never with a password.
pub(crate) fn name(options: &PgConnectOptions) -> String {
    let at = match options.get_socket() {
        Some(socket) => socket_name(socket, options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    format!("PostgreSQL at {at}/{database}")
}

fn socket_name(folder: &Path, port: u16) -> String {
    format!("{}/.s.PGSQL.{port}", folder.display())
}

/// A name of a schema, as it must be to become one.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    // The server cuts longer ones with a notice, and two tenants would share a schema.
    const LONGEST: usize = 63;
    if name.is_empty() {
        return Err("the name of a schema is empty".to_owned());
    }
    if name.len() > LONGEST {
        return Err(format!(
            "the name `{name}` of a schema has {} bytes, and PostgreSQL cuts names after {LONGEST}; choose a shorter one",
            name.len()
        ));
    }
    if name.contains('\0') {
        return Err("the name of a schema holds a NUL, which PostgreSQL cannot store".to_owned());
    }
    Ok(())
}
