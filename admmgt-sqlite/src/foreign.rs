//! The tables in which other tools keep their histories. They are read, never written.

use admmgt_core::{ForeignEntry, ForeignHistory};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result, Row};

/// A tool, its table, and its rows in their order: version, whether it ended well, the SHA-384 of the SQL.
struct Tool {
    name: &'static str,
    table: &'static str,
    /// A column that tells its table from another tool's of the same name.
    column: &'static str,
    rows: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool {
        name: "sqlx",
        table: "_sqlx_migrations",
        column: "checksum",
        rows: "SELECT version, success, checksum FROM main._sqlx_migrations ORDER BY version",
    },
    Tool {
        name: "refinery",
        table: "refinery_schema_history",
        column: "version",
        rows: "SELECT version, 1, NULL FROM main.refinery_schema_history ORDER BY version",
    },
    Tool {
        name: "diesel",
        table: "__diesel_schema_migrations",
        column: "version",
        rows: "SELECT version, 1, NULL FROM main.__diesel_schema_migrations ORDER BY version",
    },
    Tool {
        name: "SeaORM",
        table: "seaql_migrations",
        column: "version",
        rows: "SELECT version, 1, NULL FROM main.seaql_migrations ORDER BY version",
    },
    Tool {
        name: "Flyway",
        table: "flyway_schema_history",
        column: "installed_rank",
        // The last row of each version counts; it may say that the version was undone.
        rows: "SELECT CASE type WHEN 'BASELINE' THEN '..' ELSE '' END || version, success, NULL \
               FROM main.flyway_schema_history AS row WHERE version IS NOT NULL AND type NOT LIKE 'UNDO%' AND type <> 'DELETE' \
               AND installed_rank = (SELECT max(installed_rank) FROM main.flyway_schema_history WHERE version = row.version) \
               ORDER BY installed_rank",
    },
    Tool {
        name: "goose",
        table: "goose_db_version",
        column: "is_applied",
        rows: "SELECT version_id, 1, NULL FROM main.goose_db_version AS row WHERE version_id > 0 AND is_applied AND id = \
               (SELECT max(id) FROM main.goose_db_version WHERE version_id = row.version_id) ORDER BY version_id",
    },
    // A number alone, and every version up to it, or none with it.
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        column: "dirty",
        rows: "SELECT '..' || version, NOT dirty, NULL FROM main.schema_migrations",
    },
    Tool {
        name: "dbmate",
        table: "schema_migrations",
        column: "version",
        rows: "SELECT version, 1, NULL FROM main.schema_migrations ORDER BY version",
    },
    Tool {
        name: "Prisma",
        table: "_prisma_migrations",
        column: "migration_name",
        rows: "SELECT migration_name, finished_at IS NOT NULL, NULL FROM main._prisma_migrations \
               WHERE rolled_back_at IS NULL ORDER BY migration_name",
    },
];

/// What is found of them.
pub(crate) fn histories(db: &Connection) -> Result<Vec<ForeignHistory>> {
    let mut found: Vec<ForeignHistory> = Vec::new();
    let mut tables: Vec<&str> = Vec::new();
    for Tool { name, table, column, rows } in TOOLS {
        let there = "SELECT count(*) FROM main.sqlite_schema, pragma_table_info(sqlite_schema.name) AS info \
                     WHERE sqlite_schema.type = 'table' AND sqlite_schema.name = ?1 AND info.name = ?2";
        if tables.contains(&table) || db.query_row(there, [table, column], |row| row.get::<_, i64>(0))? == 0 {
            continue;
        }
        tables.push(table);
        let mut statement = db.prepare(rows)?;
        let entries = statement.query_map([], entry)?.collect::<Result<Vec<_>>>()?;
        found.push(ForeignHistory::new(name, entries));
    }
    Ok(found)
}

fn entry(row: &Row<'_>) -> Result<ForeignEntry> {
    let version = match row.get_ref(0)? {
        ValueRef::Integer(version) => version.to_string(),
        ValueRef::Text(version) => String::from_utf8_lossy(version).into_owned(),
        ValueRef::Real(version) => version.to_string(),
        other => format!("({})", other.data_type()),
    };
    let entry = match version.strip_prefix("..") {
        Some(last) => ForeignEntry::through(last),
        None => ForeignEntry::new(version),
    };
    let entry = match row.get_ref(2)? {
        ValueRef::Blob(hash) => entry.sha384(hash.to_vec()),
        _ => entry,
    };
    Ok(if row.get::<_, bool>(1)? { entry } else { entry.failed() })
}
