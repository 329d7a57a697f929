//! A MongoDB server of one's own: a replica set of one, or a standalone.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use admmgt::mongodb::Client;
use admmgt::mongodb::bson::{Document, doc};
use tempfile::TempDir;

use crate::{free_port, now};

/// A server with data of its own, on a free port of 127.0.0.1; gone when dropped, and when the thread that started it dies.
#[derive(Debug)]
pub struct Mongod {
    binary: PathBuf,
    folder: TempDir,
    port: u16,
    is_set: bool,
    server: Option<Child>,
}

/// The program: of `MONGOD`, of the `PATH`, or as `tests/run` has put it into `target`.
pub fn mongod() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MONGOD") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("mongod")).find(|file| file.is_file())
}

impl Mongod {
    /// A replica set of one server; `None` where MongoDB is not installed.
    pub fn replica_set() -> Option<Self> {
        let mut server = Self::prepare(true)?;
        server.run();
        let name = format!("127.0.0.1:{}", server.port);
        let config = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": name }] };
        server.admin(doc! { "replSetInitiate": config }).expect("a replica set");
        server.wait_for_primary();
        Some(server)
    }

    /// A server without a replica set, and so without transactions.
    pub fn standalone() -> Option<Self> {
        let mut server = Self::prepare(false)?;
        server.run();
        Some(server)
    }

    fn prepare(is_set: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Some(Self { binary: mongod()?, folder, port: free_port(), is_set, server: None })
    }

    /// Starts it, and waits until it answers.
    pub fn run(&mut self) {
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder");
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.binary);
        if self.is_set {
            command.args(["--replSet", "rs0", "--oplogSize", "50"]);
        }
        command.arg("--dbpath").arg(data).args(["--bind_ip", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet"]);
        for parameter in ["enableTestCommands=1", "ttlMonitorSleepSecs=1", "diagnosticDataCollectionEnabled=false"] {
            command.args(["--setParameter", parameter]);
        }
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.server = Some(command.spawn().expect("the server starts"));
        let clock = Instant::now();
        while self.admin(doc! { "ping": 1 }).is_err() {
            let ended = self.server.as_mut().is_some_and(|server| server.try_wait().is_ok_and(|ended| ended.is_some()));
            assert!(!ended && clock.elapsed() < Duration::from_secs(60), "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it can be written.
    pub fn wait_for_primary(&self) {
        let clock = Instant::now();
        let is_primary =
            || self.admin(doc! { "hello": 1 }).is_ok_and(|hello| hello.get_bool("isWritablePrimary") == Ok(true));
        while !is_primary() {
            assert!(clock.elapsed() < Duration::from_secs(60), "no primary: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.server.as_ref().and_then(|server| i32::try_from(server.id()).ok()).expect("it runs")
    }

    /// Ends it without any goodbye.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Runs a command on the database `admin`.
    ///
    /// # Errors
    /// What the server answered.
    pub fn admin(&self, command: Document) -> admmgt::mongodb::error::Result<Document> {
        admin(&self.direct(), command)
    }

    fn direct(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&serverSelectionTimeoutMS=2000", self.port)
    }

    /// The address of a database in it.
    pub fn url(&self, database: &str) -> String {
        let set = if self.is_set { "?replicaSet=rs0" } else { "" };
        format!("mongodb://127.0.0.1:{}/{database}{set}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }
}

/// Runs a command on the database `admin` of a server, by a client of its own on a thread of its own.
///
/// # Errors
/// What the server answered.
pub fn admin(url: &str, command: Document) -> admmgt::mongodb::error::Result<Document> {
    let url = url.to_owned();
    let asked = std::thread::spawn(move || {
        now(async {
            let client = Client::with_uri_str(&url).await?;
            let answer = client.database("admin").run_command(command).await;
            client.shutdown().immediate(true).await;
            answer
        })
    });
    asked.join().expect("no panic")
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's address: the tests' own, or the one of `ADMMGT_MONGO_URL`.
pub fn mongo_url() -> Option<String> {
    std::env::var("ADMMGT_TEST_MONGO").or_else(|_| std::env::var("ADMMGT_MONGO_URL")).ok()
}

/// The address of another database of a server.
pub fn mongo_database(url: &str, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let options = path.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
    format!("{scheme}://{hosts}/{database}{options}")
}

/// Runs a command on the database of an address.
pub async fn run_command(url: &str, command: Document) -> Document {
    let client = Client::with_uri_str(url).await.expect("a client");
    let database = client.default_database().expect("the URL names it");
    let answer = database.run_command(command).await.expect("the command runs");
    client.shutdown().immediate(true).await;
    answer
}
