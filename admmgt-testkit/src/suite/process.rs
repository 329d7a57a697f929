//! A process of a test: what it is told, and what it says. It is this program again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::CHILD;
use super::ground::Ground;
use super::sets::Set;

/// A process that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(180);

/// It is set up, and waits for a line.
pub(super) const READY: &str = "ready";
/// It has come to the point where it is to be killed, and does nothing any more.
pub(super) const HERE: &str = "here";
/// A body of [`Set::Held`] runs, and waits for a line.
pub(super) const HOLDING: &str = "holding";
/// Before its answer.
const ANSWER: &str = "answer ";

/// Everything a process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) driver: String,
    pub(super) database: String,
    pub(super) set: Set,
    pub(super) verb: Verb,
    pub(super) group: bool,
    /// It waits for a line before it begins.
    pub(super) gate: bool,
    /// The point, counted from 1, at which it waits to be killed; 0 for none.
    pub(super) stop_at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verb {
    Up,
    /// Everything back.
    Down,
    /// What is there, and nothing else.
    Look,
}

/// What it says in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The kind of the error.
    pub(super) kind: Option<String>,
    pub(super) error: Option<String>,
    /// The ids of what ran.
    pub(super) ran: Vec<String>,
    /// What is there.
    pub(super) names: Vec<String>,
    /// The points it passed.
    pub(super) points: Vec<String>,
}

impl Orders {
    pub(super) fn new(on: &Ground, set: Set) -> Self {
        let (driver, database) = (on.label.clone(), on.name.clone());
        Self { driver, database, set, verb: Verb::Up, group: false, gate: false, stop_at: 0 }
    }

    pub(super) fn verb(mut self, verb: Verb) -> Self {
        self.verb = verb;
        self
    }

    pub(super) fn group(mut self, group: bool) -> Self {
        self.group = group;
        self
    }

    pub(super) fn gate(mut self) -> Self {
        self.gate = true;
        self
    }

    pub(super) fn stop_at(mut self, point: usize) -> Self {
        self.stop_at = point;
        self
    }

    pub(super) fn start(&self) -> Process {
        let program = std::env::current_exe().expect("this is a program");
        let mut command = Command::new(program);
        command.arg(CHILD).arg(serde_json::to_string(self).expect("orders are JSON"));
        // Of a process that is killed while it writes what it has covered, the rest would spoil what others have.
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the process starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (lines, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let all = BufReader::new(output).lines().map_while(Result::ok);
            // Nobody may listen any more.
            all.take_while(|line| lines.send(line.clone()).is_ok()).for_each(drop);
        });
        Process { child, input, said }
    }

    /// Starts it, waits for its end, and says what it said.
    pub(super) async fn run(&self) -> Answer {
        self.start().answer().await
    }
}

/// A process; it is killed if it is dropped before its end.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
}

impl Process {
    /// Waits until it says that; `false` where it ends without.
    pub(super) async fn says(&mut self, word: &str) -> bool {
        while let Some(line) = self.line().await {
            if line == word {
                return true;
            }
        }
        false
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(LONGEST, self.said.recv()).await;
        line.expect("a process hangs: it says nothing for minutes")
    }

    /// What it waits for.
    pub(super) fn go_on(&mut self) {
        // It may be dead.
        let _ = self.input.write_all(b"go\n").and_then(|()| self.input.flush());
    }

    /// SIGKILL, where the system has signals.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Sends a signal by name, where the system has them: `STOP`, `CONT`.
    pub(super) fn signal(&self, name: &str) -> bool {
        let pid = self.child.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        sent.is_ok_and(|status| status.success())
    }

    /// What it says in the end.
    pub(super) async fn answer(&mut self) -> Answer {
        let mut answer = None;
        // To the end of what it says: then it has ended, or is about to.
        while let Some(line) = self.line().await {
            if let Some(said) = line.strip_prefix(ANSWER) {
                answer = Some(serde_json::from_str(said).expect("an answer is JSON"));
            }
        }
        let ended = self.child.wait();
        answer.unwrap_or_else(|| panic!("a process ended without an answer: {ended:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a word to the test that started this process.
pub(super) fn tell(word: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{word}").and_then(|()| out.flush());
}

/// Says the answer to it.
pub(super) fn answer(answer: &Answer) {
    tell(&format!("{ANSWER}{}", serde_json::to_string(answer).expect("an answer is JSON")));
}

/// Waits to be killed; ends by itself where nobody is left who could.
pub(super) fn stand_still() -> ! {
    tell(HERE);
    while std::io::stdin().lock().read_line(&mut String::new()).is_ok_and(|count| count > 0) {}
    std::process::abort();
}

/// Waits for a line from it.
pub(super) fn heard() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}
