//! The conformance suite, on every driver of this workspace. `cargo test -p admmgt-tests --test conformance` prints the
//! table in the end.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::{Driver, LeaseMode, MemoryDriver, Result};
use admmgt_testkit::{MemorySetup, Setup, Step, Suite, async_trait, sql};
use admmgt_tests::{is_full, server_url};

fn main() -> ExitCode {
    let suite = Suite::new()
        .thorough(is_full())
        .driver("memory", MemorySetup::new(MemoryDriver::new))
        .driver("memory, no transactions", MemorySetup::new(MemoryDriver::without_transactions))
        .driver("SQLite", Files(concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance").into()))
        .driver("SQLite in memory", InMemory::default());
    let suite = match server_url() {
        Some(url) => suite.driver("PostgreSQL", Schemas { url: url.clone(), lease: LeaseMode::Session }).driver(
            "PostgreSQL, lease in a row",
            Schemas { url, lease: LeaseMode::Row { ttl: Duration::from_millis(800) } },
        ),
        None => suite.missing("PostgreSQL", "there is no server; `./tests/run test` starts one, or set ADMMGT_PG_URL"),
    };
    suite.main()
}

/// A file each, in a folder each.
struct Files(std::path::PathBuf);

#[async_trait]
impl Setup for Files {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Ok(Arc::new(Sqlite::open(folder.join("app.db"))?))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        Some(sql(steps))
    }

    async fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.0.join(name));
    }
}

/// One connection each.
#[derive(Default)]
struct InMemory(Mutex<HashMap<String, Sqlite>>);

#[async_trait]
impl Setup for InMemory {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let mut all = self.0.lock().expect("no panic");
        if !all.contains_key(name) {
            all.insert(name.to_owned(), Sqlite::memory()?);
        }
        Ok(Arc::new(all[name].clone()))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        Some(sql(steps))
    }

    fn is_one_connection(&self) -> bool {
        true
    }
}

/// A schema each.
struct Schemas {
    url: String,
    lease: LeaseMode,
}

#[async_trait]
impl Setup for Schemas {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(Postgres::connect(&self.url)?.schema(name)?.lease(self.lease)))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let one = |step: &Step<'_>| match step {
            // PostgreSQL repeats what is no number.
            Step::Secret(word) => format!("select '{word}'::int;\n"),
            other => sql(&[*other]),
        };
        Some(steps.iter().map(one).collect())
    }

    async fn take_lease_away(&self, name: &str) -> Result<bool> {
        let LeaseMode::Row { .. } = self.lease else { return Ok(false) };
        let free = format!(
            "do $$ begin if to_regclass('{name}._admmgt_lease') is not null then \
             update {name}._admmgt_lease set owner = null; end if; end $$"
        );
        admmgt_tests::run_at(&self.url, &free).await;
        Ok(true)
    }

    fn lease_ttl(&self) -> Option<Duration> {
        match self.lease {
            LeaseMode::Row { ttl } => Some(ttl),
            _ => None,
        }
    }

    async fn remove(&self, name: &str) {
        admmgt_tests::run_at(&self.url, &format!("drop schema if exists {name} cascade")).await;
    }
}
