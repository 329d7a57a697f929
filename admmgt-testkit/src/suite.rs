//! [`Suite`]: the promises of the engine, tried on a driver.

mod backfills;
mod checkpoints;
mod child;
mod commits;
mod crash;
mod executor;
mod ground;
mod lease;
mod left;
mod limits;
mod panics;
mod planning;
mod process;
mod races;
mod sets;
mod store;
mod summary;
mod text;
mod turns;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use admmgt_core::BoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use self::ground::{Ground, Thoroughness};
use self::panics::Listening;
use self::summary::{Ended, Summary};
use crate::Setup;

/// The first argument of a process that a test starts; the second are its orders.
const CHILD: &str = "--admmgt-child";
/// A test that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(900);

/// Why a test was left out.
pub(crate) struct Skip(String);

/// A test panics where a promise is broken.
type Checked = Result<(), Skip>;

/// One promise.
struct Test {
    group: &'static str,
    name: &'static str,
    run: fn(Ground) -> BoxFuture<'static, Checked>,
}

/// The tests of a group, each named as its function.
macro_rules! tests {
    ($group:literal: $($name:ident),+ $(,)?) => {
        pub(super) const TESTS: &[crate::suite::Test] = &[$(crate::suite::Test {
            group: $group,
            name: stringify!($name),
            run: |on| Box::pin($name(on)),
        }),+];
    };
}
use tests;

/// The groups, in the order of the summary.
const GROUPS: [&str; 6] = ["store", "lease", "executor", "crash", "text", "limits"];

fn all() -> impl Iterator<Item = &'static Test> {
    let lease = [lease::TESTS, turns::TESTS, races::TESTS];
    let executor = [executor::TESTS, planning::TESTS, backfills::TESTS];
    let store = [store::TESTS, checkpoints::TESTS, commits::TESTS];
    store.into_iter().chain(lease).chain(executor).chain([crash::TESTS, text::TESTS, limits::TESTS]).flatten()
}

/// Tries the promises of the engine on drivers: a program of tests without a harness of its own.
///
/// In `Cargo.toml`:
///
/// ```toml
/// [dev-dependencies]
/// admmgt-testkit = { version = "0.1", features = ["suite"] }
///
/// [[test]]
/// name = "conformance"
/// harness = false
/// ```
///
/// In `tests/conformance.rs`:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use admmgt_core::{Driver, MemoryDriver, Result};
/// # use admmgt_testkit::{Setup, Step, Suite, async_trait};
/// # struct MyDatabase;
/// # #[async_trait]
/// # impl Setup for MyDatabase {
/// #     async fn database(&self, _: &str) -> Result<Arc<dyn Driver>> { Ok(Arc::new(MemoryDriver::new())) }
/// #     fn script(&self, _: &[Step<'_>]) -> Option<String> { None }
/// # }
/// fn main() -> std::process::ExitCode {
///     Suite::new().driver("mine", MyDatabase).main()
/// }
/// ```
///
/// `cargo test --test conformance` runs it, with the arguments of other tests: a part of a name, `--list`. Names are
/// `driver::group::promise`. In the end a table says how many promises of each group are kept by each driver, and which
/// were left out because of what it cannot do. Tests of races and kills start this program again, as processes of their
/// own.
#[derive(Default)]
pub struct Suite {
    drivers: Vec<(String, Arc<dyn Setup>)>,
    missing: Vec<(String, String)>,
    /// What a kind of database may leave out, and nothing else; without an entry anything.
    left_out: HashMap<String, Vec<&'static str>>,
    thoroughness: Thoroughness,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&String> = self.drivers.iter().map(|(label, _)| label).collect();
        f.debug_struct("Suite").field("drivers", &labels).field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Suite {
    /// Without a driver yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tries this kind of database too, under that name.
    pub fn driver(mut self, label: impl Into<String>, setup: impl Setup) -> Self {
        self.drivers.push((label.into(), Arc::new(setup)));
        self
    }

    /// Says what that kind of database may leave out: `group::promise`. A promise that is left out and not listed fails
    /// then, and so does one that is listed and not left out: what a driver cannot do any more does not go unseen.
    pub fn leaves_out(mut self, label: impl Into<String>, promises: impl IntoIterator<Item = &'static str>) -> Self {
        self.left_out.entry(label.into()).or_default().extend(promises);
        self
    }

    /// Says in the summary why a kind of database was not tried: there is no server.
    pub fn missing(mut self, label: impl Into<String>, reason: impl Into<String>) -> Self {
        self.missing.push((label.into(), reason.into()));
        self
    }

    /// Races of more processes, and more of them: minutes instead of seconds. Default: not.
    pub fn thorough(mut self, yes: bool) -> Self {
        self.thoroughness = if yes { Thoroughness::full() } else { Thoroughness::default() };
        self
    }

    /// Runs the tests that the arguments of this program ask for, and prints the summary.
    pub fn main(self) -> ExitCode {
        let mut arguments = std::env::args().skip(1);
        if arguments.next().as_deref() == Some(CHILD) {
            return child::main(&self.drivers, &arguments.next().unwrap_or_default());
        }
        panics::keep();
        let summary = Arc::new(Summary::default());
        let trials = self.drivers.iter().flat_map(|driver| all().map(move |test| (driver, test)));
        let trials = trials.map(|((label, setup), test)| {
            let on = (label.clone(), Arc::clone(setup), self.thoroughness);
            let summary = Arc::clone(&summary);
            let promise = format!("{}::{}", test.group, test.name);
            let name = format!("{label}::{promise}");
            let may_be_left_out = self.left_out.get(label).map(|promises| promises.contains(&&*promise));
            Trial::ignorable_test(name, move || {
                let (label, setup, thoroughness) = on;
                let ended = run(test, &label, setup, thoroughness).judged(may_be_left_out);
                summary.add(&label, test, &ended);
                match ended {
                    Ended::Kept => Ok(Completion::Completed),
                    Ended::LeftOut(reason) => Ok(Completion::ignored_with(reason)),
                    Ended::Broken(problem) => Err(Failed::from(problem)),
                }
            })
        });
        let arguments = Arguments::from_args();
        let is_list = arguments.list;
        let conclusion = libtest_mimic::run(&arguments, trials.collect());
        if !is_list {
            let labels: Vec<&str> = self.drivers.iter().map(|(label, _)| label.as_str()).collect();
            print!("{}", summary.table(&labels, &self.missing));
        }
        conclusion.exit_code()
    }
}

/// Runs one test on a database of its own, as the engine runs: inside of [`Driver::host`](admmgt_core::Driver::host).
fn run(test: &'static Test, label: &str, setup: Arc<dyn Setup>, thoroughness: Thoroughness) -> Ended {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Broken(format!("no runtime: {error}")),
    };
    let ended = runtime.block_on(async {
        let ground = match Ground::new(label, setup, thoroughness).await {
            Ok(ground) => ground,
            Err(error) => return Ended::Broken(format!("the set-up has no database: {error}")),
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let on = ground.clone();
        let body = Box::pin(async move {
            let _ = sender.send(caught((test.run)(on)).await);
        });
        let Ok(hosted) = tokio::time::timeout(LONGEST, ground.driver().host(body)).await else {
            // Its thread may hang too: what it holds is not waited for.
            return Ended::Broken(format!("it hangs: no end after {LONGEST:?}"));
        };
        if tokio::time::timeout(LONGEST, ground.clean()).await.is_err() {
            return Ended::Broken(format!("to remove its databases hangs: no end after {LONGEST:?}"));
        }
        match (hosted, receiver.await) {
            (Err(error), _) => Ended::Broken(format!("`Driver::host` failed: {error}")),
            (Ok(()), Err(_)) => Ended::Broken("`Driver::host` ended before what it hosts".to_owned()),
            (Ok(()), Ok(ended)) => ended,
        }
    });
    // A thread that hangs is left to itself.
    runtime.shutdown_timeout(Duration::from_secs(10));
    ended
}

/// How a test ended; broken with the words of its panics. The thread that it runs on is the driver's to choose.
async fn caught(mut test: BoxFuture<'static, Checked>) -> Ended {
    let mut heard = Vec::new();
    std::future::poll_fn(move |task| {
        let listening = Listening::to(&mut heard);
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| test.as_mut().poll(task)));
        drop(listening);
        match polled {
            Ok(poll) => poll.map(|checked| match checked {
                Ok(()) => Ended::Kept,
                Err(Skip(reason)) => Ended::LeftOut(reason),
            }),
            Err(_) => Poll::Ready(Ended::Broken(panics::words(&heard))),
        }
    })
    .await
}
