//! The history. A batch is one file, named by its first record, and never changed: its heads cannot come apart from its
//! records, and its number cannot be taken twice. The last one has the heads that count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use admmgt::{
    Batch, Checkpoint, CheckpointKey, Error, FORMAT, Head, History, Namespace, NamespaceHead, Record, Result,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::files::{self, Files};

/// Records that were written together, and all heads after them.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    records: Vec<Record>,
    heads: BTreeMap<Namespace, NamespaceHead>,
}

/// How far a backfill has come.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    begun: u64,
    after: Option<String>,
    seen: u64,
    changed: u64,
    ended: bool,
}

/// The files that are ours.
pub(super) struct Books<'a>(pub(super) &'a Files);

impl Books<'_> {
    /// Makes the folders first: where the format is told, the rest is there.
    pub(super) fn prepare(&self) -> Result<()> {
        if !self.is_prepared()? {
            files::make_folder(&self.0.ours("history"))?;
            self.0.create(&self.format(), &FORMAT)?;
        }
        self.is_prepared().map(|_| ())
    }

    /// Whether there is something to read, of a format that can be read.
    fn is_prepared(&self) -> Result<bool> {
        match stored::<u32>(&self.format())? {
            Some(FORMAT) => Ok(true),
            Some(found) if found > FORMAT => Err(Error::NewerFormat { found, supported: FORMAT }),
            Some(found) => Err(corrupt(&self.format(), &format!("{found} is no format"))),
            None if self.began().exists() => Err(corrupt(&self.format(), "it is not there, and there were records")),
            None => Ok(false),
        }
    }

    pub(super) fn head(&self, namespaces: &[Namespace]) -> Result<Option<Head>> {
        if !self.is_prepared()? {
            return Ok(None);
        }
        let mut head = Head::default();
        if let Some(last) = self.last()? {
            head.namespaces = self.entry(last)?.heads;
            head.namespaces.retain(|namespace, _| namespaces.contains(namespace));
        }
        Ok(Some(head))
    }

    pub(super) fn history(&self) -> Result<History> {
        let mut history = History::default();
        // An entry is there only after all before it were: what is found now is whole, whoever writes meanwhile.
        let last = if self.is_prepared()? { self.last()? } else { None };
        let (mut first, mut next) = (None, 1);
        while last.is_some_and(|last| next <= last) {
            let Entry { records, heads } = self.entry(next)?;
            (first, next) = (Some(next), next + records.len() as u64);
            history.records.extend(records);
            history.head.namespaces = heads;
        }
        match last.filter(|_| first != last) {
            Some(last) => Err(corrupt(&self.place(last), "its records are in the file before it, too")),
            None => Ok(history),
        }
    }

    /// Nothing is ever taken away, so that what is before a new entry stays: its own number is all that is raced for.
    pub(super) fn append(&self, batch: &Batch) -> Result<()> {
        let Some(first) = batch.records.first().map(|record| record.seq) else { return Ok(()) };
        self.is_prepared()?;
        let last = self.last_record()?;
        if !follow(last, &batch.records) {
            return Err(moved(format!("record {last} is the last one, and {first} was to be the next")));
        }
        let entry = Entry { records: batch.records.clone(), heads: batch.heads.iter().cloned().collect() };
        if !self.0.create(&self.place(first), &entry)? {
            return Err(moved(format!("record {first} is there already")));
        }
        if !self.began().exists() {
            // The batch is there, whatever becomes of this; the next one tries again.
            let _ = self.0.create(&self.began(), &true);
        }
        Ok(())
    }

    pub(super) fn checkpoint(&self, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        let found = self.checkpoints()?.remove(&key.to_string());
        Ok(found.map(|it| Checkpoint::stored(it.begun, it.after, it.seen, it.changed, it.ended)))
    }

    pub(super) fn save_checkpoint(&self, key: &CheckpointKey, checkpoint: &Checkpoint) -> Result<()> {
        let Checkpoint { begun, after, seen, changed, ended, .. } = checkpoint.clone();
        let mut all = self.checkpoints()?;
        all.insert(key.to_string(), Saved { begun, after, seen, changed, ended });
        self.0.replace(&self.0.ours("checkpoints.json"), &all)
    }

    fn checkpoints(&self) -> Result<BTreeMap<String, Saved>> {
        stored(&self.0.ours("checkpoints.json")).map(Option::unwrap_or_default)
    }

    /// The first number of the last entry.
    fn last(&self) -> Result<Option<u64>> {
        let folder = self.0.ours("history");
        let mut last = None;
        for name in files::names(&folder)?.iter().filter(|name| name.ends_with(".json")) {
            let number = name.trim_end_matches(".json").parse().ok().filter(|number| file_name(*number) == *name);
            let number = number.ok_or_else(|| corrupt(&folder.join(name), "its name is no number of ours"))?;
            last = last.max(Some(number));
        }
        if last.is_none() && self.began().exists() {
            return Err(corrupt(&folder, "it is empty, and there were records"));
        }
        Ok(last)
    }

    fn last_record(&self) -> Result<u64> {
        let Some(last) = self.last()? else { return Ok(0) };
        Ok(last - 1 + self.entry(last)?.records.len() as u64)
    }

    /// The entry that begins with that record.
    fn entry(&self, first: u64) -> Result<Entry> {
        let path = self.place(first);
        let entry: Entry = stored(&path)?.ok_or_else(|| corrupt(&path, "it is not there, and later ones are"))?;
        if entry.records.is_empty() || first == 0 || !follow(first - 1, &entry.records) {
            return Err(corrupt(&path, &format!("its records are not those from {first} on")));
        }
        Ok(entry)
    }

    fn place(&self, first: u64) -> PathBuf {
        self.0.ours("history").join(file_name(first))
    }

    fn format(&self) -> PathBuf {
        self.0.ours("format")
    }

    fn began(&self) -> PathBuf {
        self.0.ours("began")
    }
}

fn file_name(first: u64) -> String {
    format!("{first:08}.json")
}

/// Whether records are numbered without holes, from behind the last one that is there.
fn follow(last: u64, records: &[Record]) -> bool {
    records.iter().zip(last + 1..).all(|(record, next)| record.seq == next)
}

fn moved(problem: String) -> Error {
    Error::HistoryMoved { problem }
}

/// What is in a file of ours.
fn stored<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    files::read(path, |problem| corrupt(path, &problem))
}

fn corrupt(path: &Path, problem: &str) -> Error {
    Error::corrupt(format!("`{}`", path.display()), format!("{problem}; restore it from a backup"))
}
