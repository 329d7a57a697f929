//! From a folder and a URL to a migrator.

use admmgt::{MigrationsDir, Migrator, Policy, Verdict};

use crate::args::Source;
use crate::output::one_line;

pub(crate) fn migrator(source: &Source) -> Result<Migrator, String> {
    let url = source.url.as_deref().ok_or("no database is named; write `--url sqlite:app.db`, or set ADMMGT_URL")?;
    let driver = driver(url, source)?;
    let folder = MigrationsDir::read(&source.namespace, &source.dir, driver.1).map_err(|error| error.to_string())?;
    if source.strict && !folder.ignored.is_empty() {
        let lines: String =
            folder.ignored.iter().map(|file| format!("\n  - {}: {}", file.path.display(), file.reason)).collect();
        return Err(format!("{} holds what is no migration:{lines}", source.dir.display()));
    }
    for file in &folder.ignored {
        eprintln!("{}", one_line(&format!("ignored: {}: {}", file.path.display(), file.reason)));
    }
    if folder.migrations.is_empty() {
        let ending = if driver.1 == "mongo" { "json" } else { "sql" };
        return Err(format!(
            "{} holds no migration; a file is called `0001_users.{ending}`, `0001_users.up.{ending}` or `V1__users.{ending}`, a folder `0001_users/up.{ending}`",
            source.dir.display()
        ));
    }
    let mut policy = Policy::default();
    if !source.strict {
        // The plain clients run them too.
        (policy.empty, policy.idle, policy.mixed) = (Verdict::Allow, Verdict::Allow, Verdict::Allow);
    }
    Ok(driver.0.migrations(folder.migrations).policy(policy))
}

/// The database of a URL, and the name of its backend.
fn driver(url: &str, source: &Source) -> Result<(Migrator, &'static str), String> {
    #[cfg(feature = "postgres")]
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return postgres(url, source).map(|driver| (driver, "postgres")).map_err(|error| error.to_string());
    }
    if source.schema.is_some() || source.history_schema.is_some() || source.lease.is_some() {
        return Err("`--schema`, `--history-schema` and `--lease` are for PostgreSQL".to_owned());
    }
    #[cfg(feature = "mongo")]
    if url.starts_with("mongodb:") || url.starts_with("mongodb+srv:") {
        let database = admmgt::Mongo::connect(url).map_err(|error| error.to_string())?;
        return Ok((Migrator::new(database), "mongo"));
    }
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") || url.starts_with("file:") {
        if url.contains(":memory:") || url.contains("mode=memory") {
            eprintln!("warning: a database in memory is gone when this program ends");
        }
        let database = admmgt::Sqlite::url(url).map_err(|error| error.to_string())?;
        return Ok((Migrator::new(database), "sqlite"));
    }
    // Without what follows: it may hold a password.
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let scheme = scheme.filter(|scheme| scheme.chars().all(|letter| letter.is_ascii_alphanumeric())).unwrap_or("…");
    let known: &[&str] = &[
        #[cfg(feature = "sqlite")]
        "`sqlite:`",
        #[cfg(feature = "postgres")]
        "`postgres:`",
        #[cfg(feature = "mongo")]
        "`mongodb:`",
    ];
    let verb = if known.len() == 1 { "is" } else { "are" };
    let known = match known {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        one => one.concat(),
    };
    Err(format!("no database is known for URLs that start with `{scheme}:`; {known} {verb}"))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str, source: &Source) -> admmgt::Result<Migrator> {
    let mut database = admmgt::Postgres::connect(url)?;
    if let Some(schema) = &source.schema {
        database = database.schema(schema)?;
    }
    if let Some(schema) = &source.history_schema {
        database = database.history_schema(schema)?;
    }
    if source.lease == Some(crate::args::Lease::Row) {
        database = database.lease(admmgt::LeaseMode::row());
    }
    Ok(Migrator::new(database))
}
