//! The tables in which other tools keep their histories. They are read, never written.

use admmgt_core::{ForeignEntry, ForeignHistory};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result, Row};

/// A tool, its table, and its rows in their order: version, whether it ended well, the SHA-384 of the SQL.
const TOOLS: [(&str, &str, &str); 3] = [
    ("sqlx", "_sqlx_migrations", "SELECT version, success, checksum FROM main._sqlx_migrations ORDER BY version"),
    (
        "refinery",
        "refinery_schema_history",
        "SELECT version, 1, NULL FROM main.refinery_schema_history ORDER BY version",
    ),
    (
        "diesel",
        "__diesel_schema_migrations",
        "SELECT version, 1, NULL FROM main.__diesel_schema_migrations ORDER BY version",
    ),
];

/// What is found of them.
pub(crate) fn histories(db: &Connection) -> Result<Vec<ForeignHistory>> {
    let mut found = Vec::new();
    for (tool, table, rows) in TOOLS {
        let there = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        if db.query_row(there, [table], |row| row.get::<_, i64>(0))? == 0 {
            continue;
        }
        let mut statement = db.prepare(rows)?;
        let entries = statement.query_map([], entry)?.collect::<Result<Vec<_>>>()?;
        found.push(ForeignHistory::new(tool, entries));
    }
    Ok(found)
}

fn entry(row: &Row<'_>) -> Result<ForeignEntry> {
    let version = match row.get_ref(0)? {
        ValueRef::Integer(version) => version.to_string(),
        ValueRef::Text(version) => String::from_utf8_lossy(version).into_owned(),
        other => format!("{other:?}"),
    };
    let entry = ForeignEntry::new(version);
    let entry = match row.get_ref(2)? {
        ValueRef::Blob(hash) => entry.sha384(hash.to_vec()),
        _ => entry,
    };
    Ok(if row.get::<_, bool>(1)? { entry } else { entry.failed() })
}
