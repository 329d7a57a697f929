//! Each command as a call of the library.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use admmgt::{
    Error, LOCKFILE, Lockfile, MigrationId, Migrator, OnInterrupt, Plan, Policy, Repair, Resolution, Result, Target,
    Verdict,
};

use crate::args::{Back, Command, Forwards, Repaired, Shared, Source};
use crate::{exit, output, signal};

pub(crate) fn run(migrator: Migrator, source: Option<&Source>, shared: &Shared, command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::problem(shared, &format!("cannot start: {error}"), exit::USAGE),
    };
    let migrator = match &shared.by {
        Some(by) => migrator.by(by.as_str()),
        None => migrator,
    };
    let mut policy = migrator.limits().clone();
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    policy.lease_wait = seconds(shared.lease_wait).unwrap_or(policy.lease_wait);
    policy.lock_timeout = seconds(shared.lock_timeout).unwrap_or(policy.lock_timeout);
    policy.statement_timeout = seconds(shared.statement_timeout).or(policy.statement_timeout);
    let migrator = migrator.policy(policy);
    let migrator = match locked(source, shared, &command) {
        Ok(Some(locked)) => migrator.lockfile(&locked),
        Ok(None) => migrator,
        Err(problem) => return output::problem(shared, &problem, exit::USAGE),
    };
    let said = Said { migrator, namespace: source.map(|source| source.namespace.as_str()), shared };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = said.command(command) => Ok(ended),
            signal = signal::any() => Err(signal),
        }
    });
    // A run that lost its connection was dropped, too.
    let settle = || {
        let settled = async { tokio::time::timeout(GOODBYE, said.migrator.settled()).await };
        let _ = runtime.block_on(settled);
    };
    match ended {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            settle();
            output::error(shared, &error)
        }
        Err(signal) => {
            // The run was dropped: what is open is rolled back, and the lease is free.
            settle();
            runtime.shutdown_timeout(GOODBYE);
            output::problem(shared, &format!("stopped by {}; what was committed stays", signal.name), signal.code)
        }
    }
}

/// How long a run that was stopped may take to put things back.
const GOODBYE: Duration = Duration::from_secs(6);

/// What the lockfile says: the one that was named, or for a folder the one beside it, if it is there.
fn locked(
    source: Option<&Source>,
    shared: &Shared,
    command: &Command,
) -> std::result::Result<Option<Lockfile>, String> {
    // To write it anew, it need not be readable.
    let named = match (&shared.lockfile, source, command) {
        (_, _, Command::Lock { .. }) => return Ok(None),
        (Some(named), _, _) => named.clone(),
        (None, Some(_), _) => PathBuf::from(LOCKFILE),
        (None, None, _) => return Ok(None),
    };
    let text = match std::fs::read_to_string(&named) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && shared.lockfile.is_none() => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", named.display())),
    };
    let mut locked = Lockfile::parse(&text).map_err(|problem| format!("{}: {problem}", named.display()))?;
    if let Some(source) = source {
        // A folder is of one namespace; the file may be of several.
        locked.entries.retain(|name, _| name.split('/').next() == Some(&*source.namespace));
    }
    Ok(Some(locked))
}

struct Said<'a> {
    migrator: Migrator,
    /// Of ids without one.
    namespace: Option<&'a str>,
    shared: &'a Shared,
}

impl Said<'_> {
    async fn command(&self, command: Command) -> Result<ExitCode> {
        match command {
            Command::Up { forwards } => {
                let target = self.target(&forwards)?;
                let report = self.with(&forwards).target(target).up().await?;
                output::value(self.shared, &report);
            }
            Command::Down { back } => {
                output::value(self.shared, &self.with(&Forwards::default()).down(self.back(&back)?).await?)
            }
            Command::Redo => output::value(self.shared, &self.with(&Forwards::default()).redo().await?),
            Command::Plan { forwards, back, back_to, back_all } => {
                let target = match (back, back_to, back_all) {
                    (Some(count), ..) => Target::Back(count),
                    (_, Some(to), _) => Target::BackTo(self.id(&to)?),
                    (.., true) => Target::Nothing,
                    _ => self.target(&forwards)?,
                };
                let plan: Plan = self.with(&forwards).target(target).plan().await?;
                output::value(self.shared, &plan);
            }
            Command::Status => output::value(self.shared, &self.migrator.status().await?),
            Command::History => output::history(self.shared, &self.migrator.history().await?),
            Command::Check => {
                let status = self.migrator.status().await?;
                // What `up` would refuse is said here too.
                let refused = match self.migrator.plan().await {
                    Err(error) if error.refusals().is_empty() => return Err(error),
                    planned => planned.err(),
                };
                let code = refused.as_ref().map_or(0, exit::of_error);
                let code = exit::first(&[exit::of_status(&status), code]);
                output::check(self.shared, &status, refused.as_ref(), code);
                return Ok(ExitCode::from(code));
            }
            Command::Verify => output::value(self.shared, &self.migrator.verify().await?),
            Command::Lock { update } => {
                let file = self.shared.lockfile.as_deref().unwrap_or(Path::new(LOCKFILE));
                let migrations = self.migrator.listed();
                if let Err(error) = admmgt::check(&migrations, file, update) {
                    let code = match error {
                        admmgt::CheckError::Unlocked { .. } => exit::DRIFT,
                        _ => exit::USAGE,
                    };
                    return Ok(output::problem(self.shared, &error.to_string(), code));
                }
                let words = if update { "is written" } else { "agrees with the migrations" };
                output::done(self.shared, &format!("{} {words}", file.display()));
            }
            Command::Resolve { migration, applied, reason, .. } => {
                let resolution = if applied { Resolution::Applied } else { Resolution::Pending };
                let id = self.id(&migration)?;
                self.migrator.resolve(&id.to_string(), resolution, reason).await?;
                output::done(self.shared, &format!("`{id}` is resolved"));
            }
            Command::Repair { what } => {
                let (repair, reason) = match what {
                    Repaired::Checksum { migration, reason } => (Repair::Checksum(self.id(&migration)?), reason),
                    Repaired::Rename { from, to, reason } => {
                        (Repair::Rename { from: self.exactly(&from)?, to: self.id(&to)? }, reason)
                    }
                };
                self.migrator.repair(repair, reason).await?;
                output::done(self.shared, "repaired");
            }
            Command::Import { from } => return self.import(from.as_deref()).await,
            Command::Baseline { to, reason } => {
                let last = to.map(|to| self.id(&to)).transpose()?.map(|id| id.to_string());
                self.migrator.baseline(last.as_deref(), reason).await?;
                output::value(self.shared, &self.migrator.status().await?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn import(&self, from: Option<&str>) -> Result<ExitCode> {
        let mut found = self.migrator.foreign().await?;
        let tools: Vec<String> = found.iter().map(|history| history.tool.clone()).collect();
        found.retain(|history| from.is_none_or(|from| from == history.tool));
        let problem = match &*found {
            [_] => {
                let history = found.remove(0);
                let tool = history.tool.clone();
                let count = self.migrator.adopt(history).await?;
                output::done(self.shared, &format!("counted in {count} of what {tool} applied"));
                return Ok(ExitCode::SUCCESS);
            }
            [] if tools.is_empty() => {
                "no history of a tool that is known is in this database; `baseline` counts in what is there".to_owned()
            }
            [] => format!("the histories in this database are of {}", tools.join(", ")),
            _ => format!("this database has the histories of {}; choose one with `--from`", tools.join(", ")),
        };
        Ok(output::problem(self.shared, &problem, exit::USAGE))
    }

    fn with(&self, forwards: &Forwards) -> Migrator {
        // A program of one's own has chosen already; what is said here is added to that.
        let mut policy: Policy = self.migrator.limits().clone();
        policy.group |= forwards.group;
        if forwards.out_of_order {
            policy.out_of_order = Verdict::Allow;
        }
        if forwards.ignore_foreign {
            policy.foreign = Verdict::Allow;
        }
        if forwards.resume {
            policy.on_interrupt = Some(OnInterrupt::Retry);
        }
        self.migrator.clone().policy(policy)
    }

    fn target(&self, forwards: &Forwards) -> Result<Target> {
        Ok(match forwards {
            Forwards { to: Some(to), .. } => Target::To(self.id(to)?),
            Forwards { next: Some(count), .. } => Target::Next(*count),
            Forwards { tag: Some(tag), .. } => Target::Tagged(tag.as_str().into()),
            _ => Target::Latest,
        })
    }

    fn back(&self, back: &Back) -> Result<Target> {
        Ok(match back {
            Back { to: Some(to), .. } => Target::BackTo(self.id(to)?),
            Back { all: true, .. } => Target::Nothing,
            Back { steps, .. } => Target::Back(steps.unwrap_or(1)),
        })
    }

    /// A name with its namespace, or without it.
    fn exactly(&self, text: &str) -> Result<MigrationId> {
        let full = match (text.contains('/'), self.namespace) {
            (false, Some(namespace)) => format!("{namespace}/{text}"),
            _ => text.to_owned(),
        };
        let problem = |problem| Error::Usage { problem: format!("{problem}; a migration is named `namespace/id`") };
        full.parse().map_err(|error: admmgt::InvalidName| problem(error.to_string()))
    }

    /// As [`Said::exactly`], or only the number it starts with.
    fn id(&self, text: &str) -> Result<MigrationId> {
        let id = self.exactly(text)?;
        let listed = self.migrator.listed();
        if !listed.metas().any(|meta| meta.id == id) {
            let begins = |known: &&MigrationId| {
                known.namespace() == id.namespace()
                    && known
                        .id()
                        .strip_prefix(id.id())
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
            };
            let ids: Vec<&MigrationId> = listed.metas().map(|meta| &meta.id).filter(begins).collect();
            if let [one] = &*ids {
                return Ok((*one).clone());
            }
        }
        Ok(id)
    }
}
