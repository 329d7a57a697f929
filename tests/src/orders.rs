//! What a child process is told, how it is started, and what it answers.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use admmgt::{ErrorKind, LeaseMode, Mongo, OnInterrupt, Policy, Postgres, Report, Resolution};
use serde::{Deserialize, Serialize};

use crate::{MONGO_TTL, Sets, eventually};

/// Everything a child process is told, as one argument in JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// The database's file; with a server, a folder for what tests write is beside it.
    pub path: PathBuf,
    /// The database on a server, instead of the file.
    pub server: Option<Server>,
    /// Which migrations.
    pub set: Sets,
    /// How many of them.
    pub count: usize,
    /// Their namespace.
    pub namespace: String,
    /// What to call.
    pub verb: Verb,
    /// All in one transaction.
    pub group: bool,
    /// Interrupted migrations go on where they stopped.
    pub resume: bool,
    /// The journal stays as it is, instead of becoming a write-ahead log.
    pub keep_journal: bool,
    /// The point to die at; 0 to live.
    pub die_at: usize,
    /// A folder: the child leaves a file there, and starts when a file `go` appears in it.
    pub gate: Option<PathBuf>,
    /// What a migration of [`Sets::Held`] waits for.
    pub hold: Option<Hold>,
    /// How long to wait for the lease.
    pub lease_wait_ms: u64,
    /// After so long it drops its run, as a timeout does.
    pub give_up_after_ms: Option<u64>,
    /// Who it is.
    pub by: Option<String>,
    /// It writes a log.
    pub log: bool,
}

/// A database on a PostgreSQL server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    /// Its address.
    pub url: String,
    /// The lease is a row that lasts so long.
    pub row_ttl_ms: Option<u64>,
    /// The schema that is migrated.
    pub schema: Option<String>,
}

/// A call of the migrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Verb {
    Up,
    Status,
    Plan,
    /// Everything back.
    Down,
    EnsureCurrent,
    Resolve(String, Resolution),
}

/// A migration says that it runs, and waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// The file it makes.
    pub running: PathBuf,
    /// The file it waits for.
    pub release: PathBuf,
}

/// What a child prints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// What the run did, or had done when it failed.
    pub report: Option<Report>,
    /// Status or plan, as text.
    pub text: String,
    /// The error, as text.
    pub error: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// The points it passed.
    pub points: Vec<String>,
}

impl Orders {
    /// To migrate a database up with three mixed migrations.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            server: None,
            set: Sets::Mixed,
            count: 4,
            namespace: "app".to_owned(),
            verb: Verb::Up,
            group: false,
            resume: false,
            keep_journal: false,
            die_at: 0,
            gate: None,
            hold: None,
            lease_wait_ms: 120_000,
            give_up_after_ms: None,
            by: None,
            log: false,
        }
    }

    /// Of a database on a server. `folder` is for what tests write.
    pub fn at(url: String, folder: &Path) -> Self {
        Self { server: Some(Server { url, ..Server::default() }), ..Self::new(folder.join("app.db")) }
    }

    /// With the lease in a row that lasts so long.
    pub fn row_lease(mut self, ttl: Duration) -> Self {
        if let Some(server) = &mut self.server {
            server.row_ttl_ms = Some(u64::try_from(ttl.as_millis()).expect("a short time"));
        }
        self
    }

    /// In a schema.
    pub fn schema(mut self, schema: &str) -> Self {
        if let Some(server) = &mut self.server {
            server.schema = Some(schema.to_owned());
        }
        self
    }

    /// The driver of the database on a server of MongoDB.
    pub fn mongo(&self) -> Option<Mongo> {
        let server = self.server.as_ref().filter(|server| server.url.starts_with("mongodb:"))?;
        Some(Mongo::connect(&server.url).expect("a URL").lease_ttl(MONGO_TTL))
    }

    /// Whether it is a replica set of MongoDB.
    pub fn is_of_a_set(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.url.contains("replicaSet"))
    }

    /// The driver of the database on a server of PostgreSQL.
    pub fn postgres(&self) -> Option<Postgres> {
        let server = self.server.as_ref().filter(|server| server.url.starts_with("postgres:"))?;
        let mut driver = Postgres::connect(&server.url).expect("a URL");
        if let Some(schema) = &server.schema {
            driver = driver.schema(schema).expect("a name");
        }
        if let Some(ttl) = server.row_ttl_ms {
            driver = driver.lease(LeaseMode::Row { ttl: Duration::from_millis(ttl) });
        }
        Some(driver)
    }

    /// So many migrations of a set.
    pub fn set(mut self, set: Sets, count: usize) -> Self {
        (self.set, self.count) = (set, count);
        self
    }

    /// Another namespace than `app`.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.to_owned();
        self
    }

    /// Another call than `up`.
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = verb;
        self
    }

    /// All in one transaction.
    pub fn group(mut self) -> Self {
        self.group = true;
        self
    }

    /// Interrupted migrations go on where they stopped.
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Without a write-ahead log.
    pub fn keep_journal(mut self) -> Self {
        self.keep_journal = true;
        self
    }

    /// It dies there.
    pub fn die_at(mut self, point: usize) -> Self {
        self.die_at = point;
        self
    }

    /// It may be killed at any moment.
    pub fn doomed(self) -> Self {
        self.die_at(usize::MAX)
    }

    /// It waits for the others.
    pub fn gate(mut self, folder: &Path) -> Self {
        self.gate = Some(folder.to_owned());
        self
    }

    /// What a migration of [`Sets::Held`] waits for, by two names beside the database.
    pub fn hold(mut self, running: &str, release: &str) -> Self {
        let beside = |name: &str| self.path.with_file_name(name);
        self.hold = Some(Hold { running: beside(running), release: beside(release) });
        self
    }

    /// It waits only so long for the lease.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.lease_wait_ms = u64::try_from(wait.as_millis()).expect("a short time");
        self
    }

    /// It drops its run after so long.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after_ms = Some(u64::try_from(time.as_millis()).expect("a short time"));
        self
    }

    /// Under another name.
    pub fn by(mut self, name: &str) -> Self {
        self.by = Some(name.to_owned());
        self
    }

    /// It writes a log.
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// The policy that follows.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.group = self.group;
        policy.on_interrupt = self.resume.then_some(OnInterrupt::Retry);
        policy.lease_wait = Duration::from_millis(self.lease_wait_ms);
        // However long one takes on a busy machine, each run has as many.
        (policy.batch_rows, policy.batch_time) = (97, Duration::from_secs(3600));
        policy
    }

    /// Starts the process.
    pub fn start(&self) -> Process {
        self.start_with(Command::new(child()))
    }

    /// Starts it with a clock that is wrong by so much: `+1h`. (Debian's `faketime`.)
    pub fn start_at(&self, offset: &str) -> Process {
        let mut command = Command::new("faketime");
        command.args(["-f", offset]).arg(child()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.start_with(command)
    }

    /// Starts it as a user who owns nothing.
    pub fn start_unprivileged(&self, binary: &Path) -> Process {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
        self.start_with(command)
    }

    fn start_with(&self, mut command: Command) -> Process {
        let file = || tempfile::tempfile().expect("a temporary file");
        let (out, err) = (file(), file());
        command.arg(serde_json::to_string(self).expect("orders are JSON")).stdin(Stdio::null());
        command.stdout(out.try_clone().expect("a file")).stderr(err.try_clone().expect("a file"));
        if self.die_at > 0 {
            // Of a process that is killed while it writes what it has covered, the rest would spoil what others have.
            command.env("LLVM_PROFILE_FILE", "/dev/null");
        }
        Process { child: command.spawn().expect("the child starts"), out, err }
    }

    /// Starts it and waits for its end.
    pub fn run(&self) -> Process {
        let mut process = self.start();
        process.wait();
        process
    }
}

/// Starts every process, waits until each stands at the gate, lets them all go, and waits for their ends.
pub fn race(orders: impl IntoIterator<Item = Orders>) -> Vec<Process> {
    let gate = tempfile::tempdir().expect("a folder");
    let mut racers: Vec<Process> = orders.into_iter().map(|orders| orders.gate(gate.path()).start()).collect();
    let waiting = || std::fs::read_dir(gate.path()).expect("the gate is there").count();
    eventually("every process stands at the gate", || waiting() == racers.len());
    std::fs::write(gate.path().join("go"), "").expect("the gate opens");
    for racer in &mut racers {
        racer.wait();
    }
    racers
}

/// The binary, found beside the test's own.
fn child() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test is a program");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("child")
}

/// A child process; killed if it is dropped before its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    out: File,
    err: File,
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; one that takes two minutes hangs.
    pub fn wait(&mut self) -> ExitStatus {
        let clock = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            if clock.elapsed() > Duration::from_secs(120) {
                self.kill();
                panic!("the child hangs: {}", read(&mut self.err));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be waited for").is_none()
    }

    /// Ends it by SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("the child can be waited for");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        // SAFETY: a plain system call, on a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "the signal arrives");
    }

    /// Whether SIGKILL ended it.
    pub fn was_killed(&mut self) -> bool {
        self.wait().signal() == Some(libc::SIGKILL)
    }

    /// How it exited; `None` for a signal.
    pub fn code(&mut self) -> Option<i32> {
        self.wait().code()
    }

    /// What it said.
    pub fn answer(&mut self) -> Answer {
        self.wait();
        let text = read(&mut self.out);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("no answer ({error}): `{text}`, {:?}, {}", self.child.try_wait(), read(&mut self.err))
        })
    }

    /// Its log.
    pub fn log(&mut self) -> String {
        self.wait();
        read(&mut self.err)
    }

    /// Its report, if it ended well.
    #[track_caller]
    pub fn succeeded(&mut self) -> Report {
        let answer = self.answer();
        assert_eq!((answer.error, self.code()), (None, Some(0)));
        answer.report.expect("a report")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut text).expect("text");
    text
}

/// How a child exits after an error.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failed | ErrorKind::Database => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Pending => 3,
        ErrorKind::State => 4,
        ErrorKind::Busy => 5,
        ErrorKind::Interrupted => 6,
        ErrorKind::Refused => 8,
        ErrorKind::Unavailable => 9,
        _ => 99,
    }
}
