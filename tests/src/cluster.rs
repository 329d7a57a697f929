//! A PostgreSQL server of one's own, which can be stopped, killed and followed by a standby.

use std::fmt::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user that servers run as where this process is root, whom PostgreSQL refuses.
pub(crate) const NOBODY: u32 = 65534;

/// A server with data of its own, on a free port of 127.0.0.1; gone when dropped, and when the thread that started it
/// dies.
#[derive(Debug)]
pub struct Cluster {
    binaries: PathBuf,
    /// Data, and the server's log.
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

/// A server that follows another one.
pub type Standby = Cluster;

impl Cluster {
    /// A new one; `None` where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// A new one with more lines of `postgresql.conf`.
    pub fn start_with(settings: &str) -> Option<Self> {
        let mut cluster = Self::prepare()?;
        let data = cluster.data();
        let arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        cluster.check(cluster.command("initdb").args(arguments).arg(&data));
        let mut text = String::from(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nmax_connections = 200\n\
             shared_buffers = 64MB\nwal_level = replica\nmax_wal_senders = 4\nlog_min_messages = warning\n",
        );
        text.push_str(settings);
        append(&data.join("postgresql.conf"), &text);
        append(&data.join("pg_hba.conf"), "host replication all 127.0.0.1/32 trust\n");
        cluster.run();
        Some(cluster)
    }

    /// A standby of this server, which streams from it.
    pub fn standby(&self) -> Standby {
        let mut standby = Self::prepare().expect("it is installed");
        let data = standby.data();
        let from = format!("host=127.0.0.1 port={} user=postgres", self.port);
        standby.check(
            standby.command("pg_basebackup").args(["-R", "-X", "stream", "--no-sync", "-d", &from, "-D"]).arg(data),
        );
        standby.run();
        standby
    }

    fn prepare() -> Option<Self> {
        let binaries = binaries()?;
        let folder = folder();
        Some(Self { binaries, folder, port: free_port(), server: None })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The address of a database in it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The folder with its programs.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process of the server that begins those of its connections.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// A folder of the server's user.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it, and waits until it answers.
    pub fn run(&mut self) {
        let mut command = self.command("postgres");
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().expect("the server starts"));
        let clock = Instant::now();
        while !self.answers() {
            let ended = self.server.as_mut().is_some_and(|server| server.try_wait().is_ok_and(|ended| ended.is_some()));
            assert!(!ended && clock.elapsed() < Duration::from_secs(60), "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let mut command = Command::new(self.binaries.join("pg_isready"));
        command.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.status().is_ok_and(|status| status.success())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it without any goodbye: what was not committed is gone, and clients find their connections cut.
    pub fn stop_immediately(&mut self) {
        self.stop("immediate");
    }

    fn stop(&mut self, mode: &str) {
        let Some(mut server) = self.server.take() else { return };
        let mut command = self.command("pg_ctl");
        let _ = command.args(["stop", "-w", "-s", "-m", mode, "-D"]).arg(self.data()).output();
        let _ = server.kill();
        let _ = server.wait();
    }

    /// Stops it in peace and starts it again on another port, which is free by now.
    pub fn move_to(&mut self, port: u16) {
        self.stop("fast");
        self.port = port;
        self.run();
    }

    /// From here on, who connects has to prove who they are.
    pub fn authenticate(&self, method: &str) {
        let file = self.data().join("pg_hba.conf");
        let text = format!("host all all 127.0.0.1/32 {method}\n");
        std::fs::write(file, text).expect("it can be written");
        self.check(self.command("pg_ctl").args(["reload", "-s", "-D"]).arg(self.data()));
        std::thread::sleep(Duration::from_millis(300));
    }

    /// A file system of two megabytes that its user may write to; `None` where none can be mounted.
    pub fn small_disk(&self) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(folder.path()).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = SmallDisk(folder);
        if is_root() {
            chown(disk.path(), Some(NOBODY), Some(NOBODY)).expect("it can be given away");
        }
        std::fs::set_permissions(disk.path(), std::fs::Permissions::from_mode(0o700)).expect("permissions");
        Some(disk)
    }

    /// Makes a primary of a standby.
    pub fn promote(&self) {
        self.check(self.command("pg_ctl").args(["promote", "-w", "-s", "-D"]).arg(self.data()));
    }

    /// A program of the server's, as its user; it ends when this thread does.
    pub fn command(&self, program: &str) -> Command {
        unprivileged(&self.binaries.join(program))
    }

    fn check(&self, command: &mut Command) {
        let Output { status, stdout, stderr } = command.output().expect("the program starts");
        let mut said = String::from_utf8_lossy(&stdout).into_owned();
        let _ = write!(said, "{}", String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{command:?}: {said}");
    }
}

/// A small file system, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server may still have a file open in it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}

/// A program as the user that servers run as, which is killed when this thread dies.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program);
    // A terminal's Ctrl-C is for us; the server ends after that.
    command.process_group(0).env("LC_ALL", "C").current_dir("/");
    command
}

pub(crate) fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

/// Where the programs are: those on PATH, or the newest of Debian's.
pub fn binaries() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("ADMMGT_TEST_PG_BIN") {
        return Some(folder.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Links to some of them lie elsewhere; behind the link are all.
    let real = |folder: PathBuf| Some(std::fs::canonicalize(folder.join("initdb")).ok()?.parent()?.to_owned());
    let on_path = std::env::split_paths(&path).filter_map(real).find(|folder| folder.join("pg_basebackup").exists());
    let debian = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
        versions.filter(|bin| bin.join("initdb").exists()).max()
    };
    on_path.or_else(debian)
}

/// A folder that the servers' user owns: beside what was built, or elsewhere where that user cannot get there.
fn folder() -> TempDir {
    let built = std::env::current_exe().expect("this is a program");
    let target = built.ancestors().find(|folder| folder.ends_with("target")).unwrap_or(Path::new("/tmp"));
    let reachable = |folder: &&Path| std::fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 != 0);
    let folder = if !is_root() || target.ancestors().all(|folder| reachable(&folder)) {
        let servers = target.join("servers");
        std::fs::create_dir_all(&servers).expect("a folder for servers");
        tempfile::tempdir_in(servers)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.expect("a temporary folder");
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder can be given away");
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).expect("permissions");
    folder
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("the file is there");
    file.write_all(text.as_bytes()).expect("it can be written");
}
