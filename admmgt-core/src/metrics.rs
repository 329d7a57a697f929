//! [`Metrics`]: what a run says, as counters and histograms. The only file that knows the crate `metrics`.

use metrics::{counter, gauge, histogram};

use crate::event::{Event, Observer};
use crate::{Direction, MigrationId};

/// Hands what runs say to whatever recorder the program has installed for the crate [`metrics`]: Prometheus, StatsD.
/// Without one it does nothing.
///
/// | name | kind | labels | |
/// |---|---|---|---|
/// | `admmgt_runs_total` | counter | | runs that ended, also those with nothing to do |
/// | `admmgt_run_duration_seconds` | histogram | | how long they took, waiting included |
/// | `admmgt_migrations_total` | counter | `namespace`, `outcome`: `applied`, `reverted`, `failed`, `interrupted`, `retried` | migrations |
/// | `admmgt_migration_duration_seconds` | histogram | `namespace`, `direction` | from their start to their commit |
/// | `admmgt_statements_total` | counter | `namespace` | statements of SQL migrations that ended well, whatever became of their transactions |
/// | `admmgt_rows_total` | counter | `namespace` | rows they changed |
/// | `admmgt_lease_wait_seconds` | gauge | | how long this process has waited for another migrator; 0 when it has the lease or has given up |
/// | `admmgt_ahead` | gauge | | applied migrations that this program does not know |
///
/// ```
/// use admmgt_core::{MemoryDriver, Metrics, Migrations, Migrator, SqlMigration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;
/// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users])).observe(Metrics);
/// migrator.up().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        match event {
            Event::RunStarted { .. } => gauge!("admmgt_ahead").set(0.0),
            Event::Ahead { migrations } => gauge!("admmgt_ahead").set(amount(migrations.len())),
            Event::LeaseWaiting { waited_ms, .. } => {
                gauge!("admmgt_lease_wait_seconds").set(std::time::Duration::from_millis(*waited_ms).as_secs_f64());
            }
            Event::LeaseAcquired => gauge!("admmgt_lease_wait_seconds").set(0.0),
            Event::StatementDone { migration, rows, .. } => {
                counter!("admmgt_statements_total", "namespace" => namespace(migration)).increment(1);
                counter!("admmgt_rows_total", "namespace" => namespace(migration)).increment(*rows);
            }
            Event::MigrationDone { migration, direction, duration_us } => {
                ended(migration, if *direction == Direction::Up { "applied" } else { "reverted" });
                let direction = direction.to_string();
                histogram!("admmgt_migration_duration_seconds", "namespace" => namespace(migration), "direction" => direction)
                    .record(seconds(*duration_us));
            }
            Event::MigrationFailed { migration, .. } => ended(migration, "failed"),
            Event::MigrationInterrupted { migration, .. } => ended(migration, "interrupted"),
            Event::MigrationRetried { migration, .. } => ended(migration, "retried"),
            Event::RunFinished { duration_us, .. } => {
                gauge!("admmgt_lease_wait_seconds").set(0.0);
                counter!("admmgt_runs_total").increment(1);
                histogram!("admmgt_run_duration_seconds").record(seconds(*duration_us));
            }
            _ => {}
        }
    }
}

fn ended(migration: &MigrationId, outcome: &'static str) {
    counter!("admmgt_migrations_total", "namespace" => namespace(migration), "outcome" => outcome).increment(1);
}

fn namespace(migration: &MigrationId) -> String {
    migration.namespace().to_string()
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn amount(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryDriver, Migrations, Migrator, SqlMigration, Target};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    /// What a recorder holds after `work`, a line each.
    fn counted(work: impl FnOnce()) -> String {
        let recorder = DebuggingRecorder::new();
        let found = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, work);
        let lines = found.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
            let labels = key.key().labels().map(|label| format!(" {}={}", label.key(), label.value()));
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Gauge(value) => value.to_string(),
                DebugValue::Histogram(values) => format!("{} times", values.len()),
            };
            format!("{}{}: {value}", key.key().name(), labels.collect::<String>())
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines.join("\n")
    }

    #[test]
    fn what_goes_wrong_is_counted() {
        let id = || crate::MigrationId::new("app", "1").unwrap();
        let events = [
            Event::Ahead { migrations: vec![id(), id()] },
            Event::LeaseWaiting { holder: crate::Holder::default(), waited_ms: 1500 },
            Event::MigrationRetried { migration: id(), retry: 1, error: "locked".to_owned() },
            Event::MigrationInterrupted { migration: id(), error: "gone".to_owned() },
        ];
        let lines = counted(|| events.iter().for_each(|event| Metrics.observe(event)));
        expect_test::expect![[r#"
            admmgt_ahead: 2
            admmgt_lease_wait_seconds: 1.5
            admmgt_migrations_total namespace=app outcome=interrupted: 1
            admmgt_migrations_total namespace=app outcome=retried: 1"#]]
        .assert_eq(&lines);
    }

    #[test]
    fn a_run_is_counted() {
        let sql = |id: &str, text: &'static str| SqlMigration::new("app", id, text).unwrap().down("no");
        let database = MemoryDriver::new();
        let migrator = |migrations: Vec<SqlMigration>| {
            Migrator::new(database.clone()).migrations(Migrations::new(migrations)).observe(Metrics)
        };
        let work = async {
            migrator(vec![sql("1", "one\ntwo"), sql("2", "fail")]).up().await.unwrap_err();
            migrator(vec![sql("1", "one\ntwo")]).down(Target::Back(1)).await.unwrap();
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let lines = counted(|| runtime.block_on(work));
        expect_test::expect![[r#"
            admmgt_ahead: 0
            admmgt_lease_wait_seconds: 0
            admmgt_migration_duration_seconds namespace=app direction=down: 1 times
            admmgt_migration_duration_seconds namespace=app direction=up: 1 times
            admmgt_migrations_total namespace=app outcome=applied: 1
            admmgt_migrations_total namespace=app outcome=failed: 1
            admmgt_migrations_total namespace=app outcome=reverted: 1
            admmgt_rows_total namespace=app: 0
            admmgt_run_duration_seconds: 2 times
            admmgt_runs_total: 2
            admmgt_statements_total namespace=app: 3"#]]
        .assert_eq(&lines);
    }
}
