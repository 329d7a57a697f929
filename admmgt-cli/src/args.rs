//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Changes databases safely.
#[derive(Debug, Parser)]
#[command(name = "admmgt", version)]
pub(crate) struct Alone {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Migrates the database of this program.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Embedded {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which database, and which files.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The database: sqlite:app.db, postgres://user@host/database, or mongodb://user@host/database
    #[arg(long, global = true, env = "ADMMGT_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// The folder of migrations
    #[arg(long, global = true, default_value = "migrations")]
    pub(crate) dir: PathBuf,
    /// The namespace of the folder's migrations
    #[arg(long, global = true, default_value = "app")]
    pub(crate) namespace: String,
    /// PostgreSQL: the schema to migrate, with the history in it; made if it is not there
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// PostgreSQL: the schema of the history alone
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) history_schema: Option<String>,
    /// PostgreSQL: how one migrator at a time is kept to
    #[arg(long, global = true, value_enum, value_name = "MODE")]
    pub(crate) lease: Option<Lease>,
    /// Refuse what a plain client would let pass: files that are no migrations, that have no statement, or that cannot be in one transaction; statements that would do nothing
    #[arg(long, global = true)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Who runs it, for the history
    #[arg(long, global = true)]
    pub(crate) by: Option<String>,
    /// How many seconds to wait for another migrator
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) lease_wait: Option<u64>,
    /// How many seconds a statement waits for a lock in the database
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) lock_timeout: Option<u64>,
    /// How many seconds a statement may run
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) statement_timeout: Option<u64>,
    /// The lockfile: what it lists must be there [default: admmgt.lock, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) lockfile: Option<PathBuf>,
    /// The name of the program, for advice.
    #[arg(skip)]
    pub(crate) program: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lease {
    /// An advisory lock of the run's own connection
    Session,
    /// A row with a time limit, for use behind PgBouncer in transaction mode
    Row,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs: one JSON value
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply what is pending
    Up {
        #[command(flatten)]
        forwards: Forwards,
    },
    /// Take applied migrations back: the last one, unless told otherwise
    Down {
        #[command(flatten)]
        back: Back,
    },
    /// Take the last migration back and apply it again
    Redo,
    /// Show what `up` would do, or `down` with --back
    Plan {
        #[command(flatten)]
        forwards: Forwards,
        /// The way back: so many migrations
        #[arg(long, value_name = "COUNT", conflicts_with_all = ["to", "next", "tag"])]
        back: Option<usize>,
        /// The way back to this migration, which stays
        #[arg(long, value_name = "MIGRATION", conflicts_with_all = ["to", "next", "tag", "back"])]
        back_to: Option<String>,
        /// The way back of everything
        #[arg(long, conflicts_with_all = ["to", "next", "tag", "back", "back_to"])]
        back_all: bool,
    },
    /// Show how every migration stands
    Status,
    /// Show everything that was ever recorded
    History,
    /// Exit with 3 if anything is pending
    Check,
    /// Read every record again and hold it against the migrations
    Verify,
    /// Hold the migrations against the lockfile, or write it
    Lock {
        /// Write it
        #[arg(long)]
        update: bool,
    },
    /// Say how an interrupted migration stands, after looking at the database
    Resolve {
        /// Which
        migration: String,
        /// The whole change is there
        #[arg(long, conflicts_with = "pending", required_unless_present = "pending")]
        applied: bool,
        /// Nothing of the change is there
        #[arg(long)]
        pending: bool,
        /// Why, for the history
        #[arg(long)]
        reason: String,
    },
    /// Accept an edit or a rename of an applied migration
    Repair {
        #[command(subcommand)]
        what: Repaired,
    },
    /// Count in what another tool applied (sqlx, refinery, diesel, Flyway, goose …); its table is left as it is
    Import {
        /// Whose, where the database has several
        #[arg(long, value_name = "TOOL")]
        from: Option<String>,
    },
    /// Count migrations as applied without running them
    Baseline {
        /// Up to this one; everything without it
        #[arg(long, value_name = "MIGRATION")]
        to: Option<String>,
        /// Why, for the history
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args, Default)]
pub(crate) struct Forwards {
    /// Up to this migration
    #[arg(long, value_name = "MIGRATION")]
    pub(crate) to: Option<String>,
    /// So many of the pending ones
    #[arg(long, value_name = "COUNT", conflicts_with = "to")]
    pub(crate) next: Option<usize>,
    /// Those with this tag, and what they depend on
    #[arg(long, conflicts_with_all = ["to", "next"])]
    pub(crate) tag: Option<String>,
    /// All of them in one transaction
    #[arg(long)]
    pub(crate) group: bool,
    /// Allow pending migrations that sort before applied ones
    #[arg(long)]
    pub(crate) out_of_order: bool,
    /// Go on behind the last statement of interrupted migrations
    #[arg(long)]
    pub(crate) resume: bool,
    /// The history of another tool in this database is of other migrations
    #[arg(long)]
    pub(crate) ignore_foreign: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Back {
    /// Back to this migration, which stays
    #[arg(long, value_name = "MIGRATION")]
    pub(crate) to: Option<String>,
    /// So many
    #[arg(long, value_name = "COUNT", conflicts_with = "to")]
    pub(crate) steps: Option<usize>,
    /// Everything
    #[arg(long, conflicts_with_all = ["to", "steps"])]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Repaired {
    /// The edit was meant
    Checksum {
        /// Which
        migration: String,
        /// Why, for the history
        #[arg(long)]
        reason: String,
    },
    /// It is the same migration under a new name
    Rename {
        /// As the history has it
        from: String,
        /// As it is called now
        to: String,
        /// Why, for the history
        #[arg(long)]
        reason: String,
    },
}
