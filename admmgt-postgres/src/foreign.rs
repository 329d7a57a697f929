//! The tables in which other tools keep their histories, where a statement without a schema would find them. They are
//! read, never written.

use admmgt_core::{Error, ForeignEntry, ForeignHistory, Result};

use crate::link::Link;
use crate::quote;

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
        rows: "select version, success, encode(checksum, 'hex') from _sqlx_migrations order by version",
    },
    Tool {
        name: "refinery",
        table: "refinery_schema_history",
        column: "version",
        rows: "select version, true, null from refinery_schema_history order by version",
    },
    Tool {
        name: "diesel",
        table: "__diesel_schema_migrations",
        column: "version",
        rows: "select version, true, null from __diesel_schema_migrations order by version",
    },
    Tool {
        name: "SeaORM",
        table: "seaql_migrations",
        column: "version",
        rows: "select version, true, null from seaql_migrations order by version",
    },
    Tool {
        name: "Flyway",
        table: "flyway_schema_history",
        column: "installed_rank",
        // The last row of each version counts; it may say that the version was undone.
        rows: "select case type when 'BASELINE' then '..' else '' end || version, success, null \
               from flyway_schema_history h where version is not null and type not like 'UNDO%' and type <> 'DELETE' \
               and installed_rank = (select max(installed_rank) from flyway_schema_history o where o.version = h.version) \
               order by installed_rank",
    },
    Tool {
        name: "goose",
        table: "goose_db_version",
        column: "is_applied",
        rows: "select version_id, true, null from goose_db_version h where version_id > 0 and is_applied and id = \
               (select max(id) from goose_db_version o where o.version_id = h.version_id) order by version_id",
    },
    // A number alone, and every version up to it, or none with it.
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        column: "dirty",
        rows: "select '..' || version, not dirty, null from schema_migrations",
    },
    Tool {
        name: "dbmate",
        table: "schema_migrations",
        column: "version",
        rows: "select version, true, null from schema_migrations order by version",
    },
    Tool {
        name: "Prisma",
        table: "_prisma_migrations",
        column: "migration_name",
        rows: "select migration_name, finished_at is not null, null from _prisma_migrations \
               where rolled_back_at is null order by migration_name",
    },
];

/// What is found of them.
pub(crate) async fn histories(link: &mut Link) -> Result<Vec<ForeignHistory>> {
    const ACTION: &str = "reading the history of another tool";
    let there: Vec<String> = TOOLS.iter().map(|tool| column_is_there(tool.table, tool.column)).collect();
    let there = link.row(ACTION, format!("select {}", there.join(", "))).await?.unwrap_or_default();
    let mut tables: Vec<&str> = Vec::new();
    let (mut found, mut unread) = (Vec::new(), None);
    for (Tool { name, table, rows, .. }, there) in TOOLS.iter().zip(there) {
        if there.as_deref() != Some("t") || tables.contains(table) {
            continue;
        }
        tables.push(table);
        // What may not be read hides nothing of the others.
        let rows = match link.rows(ACTION, (*rows).to_owned()).await {
            Ok(rows) => rows,
            Err(error @ (Error::NotAllowed { .. } | Error::Database { .. })) => {
                unread = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let entries: Vec<ForeignEntry> = rows.into_iter().filter_map(entry).collect();
        found.push(ForeignHistory::new(*name, entries));
    }
    match unread {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn column_is_there(table: &str, column: &str) -> String {
    format!(
        "exists (select from pg_catalog.pg_attribute where attrelid = to_regclass({}) and attname = {} and not attisdropped)",
        quote::text(table),
        quote::text(column)
    )
}

fn entry(row: Vec<Option<String>>) -> Option<ForeignEntry> {
    let [version, ended_well, hash] = <[_; 3]>::try_from(row).ok()?;
    let version = version?;
    let entry = match version.strip_prefix("..") {
        Some(last) => ForeignEntry::through(last),
        None => ForeignEntry::new(version),
    };
    let hash: Option<Vec<u8>> = hash.map(|digits| quote::from_hex(&digits)).unwrap_or_default();
    let entry = match hash {
        Some(hash) => entry.sha384(hash),
        None => entry,
    };
    Some(if ended_well.as_deref() == Some("t") { entry } else { entry.failed() })
}
