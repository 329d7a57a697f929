//! Real schemas of other projects, run as migrations: the database must be what SQLite itself makes of
//! the same text. Read from `$ADMMGT_CORPORA`, never copied.

use admmgt::prelude::*;
use admmgt::rusqlite::{self, Connection};
use admmgt::{Dialect, Journal, Verdict};
use serde_json::Value;

/// Every SQL text of a case, with the name of the case.
fn texts(file: &str) -> Option<Vec<(String, String)>> {
    let Some(folder) = std::env::var_os("ADMMGT_CORPORA") else {
        admmgt_tests::say(format_args!("SKIPPED: ADMMGT_CORPORA is not set; it is the folder with {file}"));
        return None;
    };
    let json = std::fs::read_to_string(std::path::Path::new(&folder).join(file)).expect("the corpus is there");
    let corpus: Value = serde_json::from_str(&json).expect("the corpus is JSON");
    let cases = corpus["cases"].as_array().expect("the corpus has cases");
    let sql = |case: &Value, key: &str| case[key].as_str().map(str::to_owned);
    let all = cases.iter().flat_map(|case| {
        let name = sql(case, "name").unwrap_or_default();
        ["current_sql", "desired_sql", "seed_sql"]
            .map(|key| (format!("{name}, {key}"), sql(case, key).unwrap_or_default()))
    });
    Some(all.filter(|(_, text)| !text.trim().is_empty()).collect())
}

/// What the schema holds, without what is ours.
fn schema(db: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let sql = "select type, name, sql from sqlite_schema where name not like '\\_admmgt%' escape '\\'
                   and tbl_name not like '\\_admmgt%' escape '\\' order by rowid";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

#[tokio::test]
async fn a_schema_becomes_what_sqlite_makes_of_it() {
    for file in ["sqlite_portable.json", "sqldef_sqlite3def.json"] {
        let Some(texts) = texts(file) else { return };
        let (mut equal, mut refused) = (0, 0);
        for (name, text) in &texts {
            let plain = Connection::open_in_memory().unwrap();
            let loads = plain.execute_batch(text).is_ok();
            let database = Sqlite::memory().unwrap().journal(Journal::Keep);
            let mut policy = Policy::default();
            policy.empty = Verdict::Allow;
            let migration = SqlMigration::new("corpus", "0001", text.clone()).unwrap();
            let migrator = Migrator::new(database.clone()).migrations(Migrations::new([migration])).policy(policy);
            match migrator.up().await {
                Ok(_) => {
                    assert!(loads, "{name}: SQLite does not take it");
                    let ours = database.take_connection().expect("the run ended cleanly");
                    assert_eq!(schema(&ours).unwrap(), schema(&plain).unwrap(), "{name}");
                    equal += 1;
                }
                Err(error) => {
                    let judged = admmgt::sqlite::SqliteDialect.parse(text, Default::default()).is_err();
                    assert!(!loads || judged, "{name}: {error}");
                    println!("refused: {name}: {error}");
                    refused += 1;
                }
            }
        }
        println!("{file}: {} texts, {equal} equal, {refused} refused by us or by SQLite", texts.len());
        assert!(equal > texts.len() / 2, "most of {file} is usable");
    }
}
