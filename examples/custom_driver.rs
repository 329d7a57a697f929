//! How do I migrate something that is no database at all?
//!
//! With a driver of one's own: here for settings in one JSON file, [`settings`](drivers/src/settings.rs). How one is written
//! is told in [the chapter on drivers](../admmgt-testkit/DRIVERS.md).
//!
//! `cargo run --example custom_driver`, twice.

use std::path::{Path, PathBuf};

use admmgt::prelude::*;
use admmgt_example_drivers::{Editor, Settings};

/// Darker, for those who work at night.
#[migration(id = "0002_theme")]
async fn theme(settings: &mut Editor) -> Result<(), BoxError> {
    let night = settings.get("shift") == Some("night");
    settings.run(if night { "set theme dark" } else { "set theme light" })?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "settings.json".to_owned());
    let shift = SqlMigration::new(env!("CARGO_PKG_NAME"), "0001_shift", "add shift night\nadd language en")?
        .down("remove shift\nremove language");
    let all = Migrations::from(migrations![theme]).and(shift);
    println!("{}", Migrator::new(Settings(PathBuf::from(&path))).migrations(all).up().await?);
    println!("{}", std::fs::read_to_string(Path::new(&path))?.lines().take(6).collect::<Vec<_>>().join("\n"));
    Ok(())
}
