//! Names as SQL text. The only place where a name of the database becomes a part of a statement; values are bound.

/// A name of anything.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_hostile_name_stays_a_name() {
        let db = Connection::open_in_memory().unwrap();
        for hostile in ["a\"; drop table b; --", "\"\"", "'", "[x]", "`x`", "select", "naïve 表", "a\nb"] {
            let quoted = name(hostile);
            db.execute_batch(&format!("create table {quoted}({quoted} text)")).unwrap();
            let found: String = db
                .query_row("select name from sqlite_schema order by rowid desc limit 1", [], |row| row.get(0))
                .unwrap();
            assert_eq!(found, hostile);
            let columns = db.prepare(&format!("select {quoted} from {quoted}")).unwrap();
            assert_eq!(columns.column_name(0).unwrap(), hostile);
        }
    }
}
