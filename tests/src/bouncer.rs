//! PgBouncer in front of a server.

use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster::{NOBODY, free_port, is_root, unprivileged};
use crate::eventually;

/// A pooler; gone when dropped.
#[derive(Debug)]
pub struct Bouncer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Bouncer {
    /// In transaction mode; `settings` are more lines of its configuration. `None` where it is not installed.
    pub fn start(server: u16, settings: &str) -> Option<Self> {
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|path| path.exists())?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let configuration = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 500\n\
             default_pool_size = 10\nserver_idle_timeout = 1\nlogfile = {}\n{settings}\n",
            folder.path().join("log").display()
        );
        std::fs::write(&configuration, text).expect("a file");
        if is_root() {
            for path in [folder.path(), &configuration] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("it can be given away");
            }
        }
        let mut command = unprivileged(program);
        command.arg("-q").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("it starts");
        eventually("PgBouncer answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        Some(Self { process, port, _folder: folder })
    }

    /// A database's address through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}
