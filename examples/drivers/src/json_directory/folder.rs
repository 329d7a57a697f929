//! What migrations in Rust are lent.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use admmgt::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::{Command, Name, Object};
use super::files::{self, Files};

/// The documents of a folder, for migrations in Rust. Each write is done as a whole or not at all.
///
/// A name is letters, digits, `_`, `-` and `.`: none leads out of the folder.
#[derive(Debug)]
pub struct Folder(Files);

impl Folder {
    pub(super) fn new(files: Files) -> Self {
        Self(files)
    }

    pub(super) fn files(&self) -> &Files {
        &self.0
    }

    /// The names of all documents, in order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = files::names(self.0.folder())?;
        names.retain_mut(|name| match name.strip_suffix(".json") {
            Some(stem) if !stem.starts_with('.') => {
                name.truncate(stem.len());
                true
            }
            _ => false,
        });
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a document; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Usage`] where the name cannot be one, [`Error::Database`] where the document is not what was asked for.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name)?;
        files::read(&path, |problem| {
            Error::database(format!("reading `{}`", path.display()), None, format!("{problem}; mend the document"))
        })
    }

    /// Makes a document.
    ///
    /// # Errors
    /// [`Error::Usage`] where the name cannot be one, [`Error::Database`] where there is one already.
    pub fn create(&mut self, name: &str, document: &(impl Serialize + ?Sized)) -> Result<()> {
        let made = self.0.create(&self.path(name)?, document)?;
        if made { Ok(()) } else { Err(is_there("creating", name)) }
    }

    /// Puts another document in the place of one.
    ///
    /// # Errors
    /// [`Error::Usage`] where the name cannot be one, [`Error::Database`] where there is none.
    pub fn replace(&mut self, name: &str, document: &(impl Serialize + ?Sized)) -> Result<()> {
        let path = self.path(name)?;
        let found = path.try_exists().map_err(|error| files::failed("reading", &path, error))?;
        if found { self.0.replace(&path, document) } else { Err(is_not_there("replacing", name)) }
    }

    /// Takes a document away.
    ///
    /// # Errors
    /// [`Error::Usage`] where the name cannot be one, [`Error::Database`] where there is none.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let removed = files::remove(&self.path(name)?)?;
        if removed { Ok(()) } else { Err(is_not_there("deleting", name)) }
    }

    /// Gives a document another name. Nothing is overwritten: killed in between, it has both.
    ///
    /// # Errors
    /// [`Error::Usage`] where a name cannot be one, [`Error::Database`] where there is none, or one of the other name.
    pub fn rename(&mut self, name: &str, to: &str) -> Result<()> {
        let (from, path) = (self.path(name)?, self.path(to)?);
        match fs::hard_link(&from, &path) {
            Ok(()) => files::settle(&path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(is_not_there("renaming", name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(is_there(&format!("renaming `{name}` to"), to));
            }
            Err(error) => return Err(files::failed("writing", &path, error)),
        }
        files::remove(&from).map(|_| ())
    }

    pub(super) fn run(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Create(name, document) => self.create(name.as_str(), &document),
            Command::Replace(name, document) => self.replace(name.as_str(), &document),
            Command::Merge(name, fields) => self.merge(name.as_str(), fields),
            Command::Delete(name) => self.delete(name.as_str()),
            Command::Rename(name, to) => self.rename(name.as_str(), to.as_str()),
        }
    }

    /// Sets fields.
    fn merge(&mut self, name: &str, fields: Object) -> Result<()> {
        let mut document: Object = self.read(name)?.ok_or_else(|| is_not_there("merging", name))?;
        document.extend(fields);
        self.replace(name, &document)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        let name = Name::try_from(name.to_owned()).map_err(|problem| Error::Usage { problem })?;
        Ok(self.0.folder().join(format!("{}.json", name.as_str())))
    }
}

fn is_there(doing: &str, name: &str) -> Error {
    Error::database(format!("{doing} `{name}`"), None, "there is one already; replace it, or delete it first")
}

fn is_not_there(doing: &str, name: &str) -> Error {
    Error::database(format!("{doing} `{name}`"), None, "there is no such document; create it first, or mend the name")
}
