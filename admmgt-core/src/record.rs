//! One event of history, as every store keeps it: format version 1.

mod note;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(crate) use self::note::Note;
use crate::digest::NamespaceHead;
use crate::{Checksum, Direction, MigrationId, Namespace, Origin, Text};

/// The version of everything that is stored: records, heads, tables.
pub const FORMAT: u32 = 1;

/// An instant, in milliseconds since 1970-01-01 UTC, by the clock of the process that wrote it.
/// For people only: nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Year 9999: beyond it the text form has no fixed width, and no clock is right.
        match u64::try_from(self.0) {
            Ok(millis) if millis < 253_402_300_800_000 => {
                let at = UNIX_EPOCH + Duration::from_millis(millis);
                humantime::format_rfc3339_seconds(at).fmt(f)
            }
            _ => write!(f, "{} ms", self.0),
        }
    }
}

/// A duration as it is stored: in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The name of one run of the engine: 16 hexadecimal digits, made when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Text);

impl RunId {
    /// A new name.
    pub fn new() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)).into())
    }

    /// A name that was stored.
    pub fn stored(text: impl Into<Text>) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordKind {
    /// A body outside a transaction is about to run.
    Started,
    /// One statement of it has ended well; [`Record::step`] counts from 1.
    StepDone,
    /// The change is there.
    Applied,
    /// The body failed. After [`RecordKind::Started`] it stays interrupted; otherwise it was rolled
    /// back and stays pending.
    Failed,
    /// The change was taken back.
    Reverted,
    /// Nothing was done, for the reason in [`Record::detail`].
    Skipped,
    /// A person decided: `up` counts as applied from here on, `down` as pending.
    Resolved,
    /// Counted as applied without running, because the database had it already.
    Baseline,
    /// A person accepted the checksum of this record.
    Repaired,
    /// The migration in [`Record::detail`] stands for this one from here on.
    Replaced,
}

const KINDS: [(RecordKind, &str); 10] = [
    (RecordKind::Started, "started"),
    (RecordKind::StepDone, "step_done"),
    (RecordKind::Applied, "applied"),
    (RecordKind::Failed, "failed"),
    (RecordKind::Reverted, "reverted"),
    (RecordKind::Skipped, "skipped"),
    (RecordKind::Resolved, "resolved"),
    (RecordKind::Baseline, "baseline"),
    (RecordKind::Repaired, "repaired"),
    (RecordKind::Replaced, "replaced"),
];

impl RecordKind {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind of a stored word; `None` for one that this version does not know.
    pub fn parse(word: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One event of history. Records are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Its place in the history, counted from 1 without holes by whoever holds the lease.
    pub seq: u64,
    /// Whose event it is.
    pub migration: MigrationId,
    /// What happened.
    pub kind: RecordKind,
    /// Forwards or back.
    pub direction: Direction,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// The run that wrote it.
    pub run: RunId,
    /// The checksum of the migration as the writer knew it.
    pub checksum: Checksum,
    /// Whether that is a checksum of SQL or of code.
    pub origin: Origin,
    /// The statement it is about, counted from 1.
    pub step: Option<u32>,
    /// How many statements the migration has.
    pub steps: Option<u32>,
    /// How long the body or the statement took, in microseconds.
    pub duration_us: Option<u64>,
    /// Who ran it.
    pub by: Text,
    /// On which host.
    pub host: Text,
    /// The version of the library that wrote it.
    pub library: Text,
    /// An error, a reason, or the hash of a statement.
    pub detail: Option<String>,
    /// The SQL that ran.
    pub body: Option<ArchivedBody>,
}

/// Who writes records: the same for a whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Author {
    /// The run.
    pub run: RunId,
    /// Who: a person, a service, a job.
    pub by: Text,
    /// The host it runs on.
    pub host: Text,
}

const UNKNOWN: Text = Text::from_static("unknown");

impl Author {
    /// The user and host of this process, in a new run.
    pub fn of_this_process() -> Self {
        let by = ["USER", "USERNAME", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
        let host = ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
        let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|text| text.trim().to_owned());
        Self {
            run: RunId::new(),
            by: by.map_or(UNKNOWN, Text::from),
            host: host.or_else(kernel).map_or(UNKNOWN, Text::from),
        }
    }

    /// A run, and who ran it where, as they were stored.
    pub fn of(run: RunId, by: impl Into<Text>, host: impl Into<Text>) -> Self {
        Self { run, by: by.into(), host: host.into() }
    }

    /// The same process under another name: `deploy-bot`.
    pub fn by(mut self, name: impl Into<Text>) -> Self {
        self.by = name.into();
        self
    }
}

impl Record {
    /// An event of `migration` by `author`, now; the fields that are options are `None`.
    pub fn new(
        seq: u64,
        migration: MigrationId,
        kind: RecordKind,
        direction: Direction,
        checksum: Checksum,
        origin: Origin,
        author: &Author,
    ) -> Self {
        Self {
            seq,
            migration,
            kind,
            direction,
            at: Timestamp::now(),
            run: author.run.clone(),
            checksum,
            origin,
            step: None,
            steps: None,
            duration_us: None,
            by: author.by.clone(),
            host: author.host.clone(),
            library: Text::from_static(env!("CARGO_PKG_VERSION")),
            detail: None,
            body: None,
        }
    }
}

/// SQL kept beside its record, so that an edit can be shown line by line and a repeatable restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ArchivedBody {
    /// As it was written.
    Plain(String),
    /// Deflated (RFC 1951), because that was shorter.
    Deflate(Vec<u8>),
}

/// Bodies above this many bytes are not archived.
pub const ARCHIVE_LIMIT: usize = 1 << 20;
const DEFLATE_FROM: usize = 1 << 10;

impl ArchivedBody {
    /// Keeps a text, deflated when that helps; `None` above [`ARCHIVE_LIMIT`].
    pub fn pack(text: &str) -> Option<Self> {
        if text.len() > ARCHIVE_LIMIT {
            return None;
        }
        if text.len() >= DEFLATE_FROM {
            let deflated = miniz_oxide::deflate::compress_to_vec(text.as_bytes(), 6);
            if deflated.len() < text.len() {
                return Some(Self::Deflate(deflated));
            }
        }
        Some(Self::Plain(text.to_owned()))
    }

    /// The text; `None` where the stored bytes are damaged.
    pub fn unpack(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone()),
            Self::Deflate(bytes) => {
                let text = miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, ARCHIVE_LIMIT).ok()?;
                String::from_utf8(text).ok()
            }
        }
    }
}

/// A fencing token: grows with every lease that is handed out, and goes with every write of its
/// holder, so that a store can refuse whoever lost the lease without noticing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

/// Records that are written together, and the heads that move with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Batch {
    /// The new records, in order.
    pub records: Vec<Record>,
    /// The heads of all namespaces after them; only those of the records' namespaces have moved.
    pub heads: Vec<(Namespace, NamespaceHead)>,
    /// What the lease handed out, where it hands out tokens: a store refuses an older one.
    pub fence: Option<Token>,
}

impl Batch {
    /// The sequence number of the last record before these.
    pub fn after(&self) -> Option<u64> {
        self.records.first().map(|record| record.seq - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_stored_as_words_and_read_back() {
        for (kind, word) in KINDS {
            assert_eq!(kind.as_str(), word);
            assert_eq!(RecordKind::parse(word), Some(kind));
        }
        assert_eq!(RecordKind::parse("rebased"), None);
    }

    #[test]
    fn a_body_survives_the_archive() {
        for text in ["", "create table t(id)", &"insert into t values (1);\n".repeat(400)] {
            assert_eq!(ArchivedBody::pack(text).unwrap().unpack().unwrap(), text);
        }
        assert!(matches!(ArchivedBody::pack(&"x".repeat(DEFLATE_FROM)), Some(ArchivedBody::Deflate(_))));
        assert_eq!(ArchivedBody::pack(&"x".repeat(ARCHIVE_LIMIT + 1)), None);
        assert_eq!(ArchivedBody::Deflate(vec![1, 2, 3]).unpack(), None);
    }

    #[test]
    fn instants_print_as_people_write_them() {
        assert_eq!(Timestamp(1_700_000_000_123).to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Timestamp(-5).to_string(), "-5 ms");
        assert_eq!(Timestamp(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
