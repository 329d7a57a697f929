//! Files that are there as a whole or not at all, whoever dies.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use admmgt::{Error, Result, RunId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// A folder of documents, and the hidden one in it that is ours.
#[derive(Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// A file of ours.
    pub(super) fn ours(&self, name: &str) -> PathBuf {
        self.0.join(".admmgt").join(name)
    }

    /// Makes a file; `false` where there is one, whoever was quicker.
    pub(super) fn create(&self, path: &Path, content: &(impl Serialize + ?Sized)) -> Result<bool> {
        let new = self.write_beside(path, content)?;
        let linked = fs::hard_link(&new, path);
        // What stays is swept by whoever has the lease next.
        let _ = fs::remove_file(&new);
        match linked {
            Ok(()) => settle(path).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("writing", path, error)),
        }
    }

    /// Replaces a file, or makes it.
    pub(super) fn replace(&self, path: &Path, content: &(impl Serialize + ?Sized)) -> Result<()> {
        let new = self.write_beside(path, content)?;
        if let Ok(old) = fs::metadata(path) {
            fs::set_permissions(&new, old.permissions()).map_err(|error| failed("writing", &new, error))?;
        }
        fs::rename(&new, path).map_err(|error| failed("writing", path, error))?;
        settle(path)
    }

    /// Takes away what writers have left that were killed.
    pub(super) fn sweep(&self) {
        let left = fs::read_dir(self.ours("new")).into_iter().flatten().flatten();
        left.for_each(|file| _ = fs::remove_file(file.path()));
    }

    /// The content in a file of its own, which is on the disk before it gets its name.
    fn write_beside(&self, path: &Path, content: &(impl Serialize + ?Sized)) -> Result<PathBuf> {
        let mut text = serde_json::to_vec_pretty(content).map_err(|_| no_json(path))?;
        text.push(b'\n');
        let folder = self.ours("new");
        let new = folder.join(RunId::new().as_str());
        fs::create_dir_all(&folder).map_err(|error| failed("making", &folder, error))?;
        write_all(&new, &text).map_err(|error| failed("writing", &new, error))?;
        Ok(new)
    }
}

fn write_all(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// What a file holds; `None` where there is none. `wrong` makes an error of what is wrong with it.
pub(super) fn read<T: DeserializeOwned>(path: &Path, wrong: impl FnOnce(String) -> Error) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| wrong(misfit(&error))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path, error)),
    }
}

/// Takes a file away; `false` where there was none.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => settle(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("deleting", path, error)),
    }
}

/// Makes a folder that may be there already.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|error| failed("making", path, error))?;
    settle(path)
}

/// The names of the files in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let list = || fs::read_dir(folder)?.map(|file| Ok(file?.file_name())).collect::<io::Result<Vec<_>>>();
    let found = list().map_err(|error| failed("listing", folder, error))?;
    // What is not Unicode is nothing of ours, and no document.
    Ok(found.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// Makes a change of a name last. Where that fails, nobody knows whether it does.
pub(super) fn settle(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Windows has no such call.
    let synced = if cfg!(windows) { Ok(()) } else { File::open(folder).and_then(|folder| folder.sync_all()) };
    synced.map_err(|error| Error::ConnectionLost {
        what: format!("`{}`", folder.display()),
        problem: format!("it could not be synced: {error}"),
    })
}

/// What the operating system answered.
pub(super) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let what = format!("`{}`", path.display());
    let action = format!("{doing} {what}");
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let problem =
                format!("{error}; let this user read and write there, on a file system that has hard links and locks");
            Error::NotAllowed { action, problem }
        }
        ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { what, advice: "Mount it for writing".to_owned() },
        _ => Error::database(action, error.raw_os_error().map(|code| code.to_string()), error),
    }
}

fn no_json(path: &Path) -> Error {
    let problem = "it cannot be said in JSON; the keys of its maps must be texts";
    Error::database(format!("writing `{}`", path.display()), None, problem)
}

/// What is wrong, without the values that the words of `serde_json` repeat.
fn misfit(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Data => "holds something else than it should",
        Category::Eof => "ends too early",
        Category::Syntax | Category::Io => "is no JSON",
    };
    format!("it {what}, in line {}", error.line())
}
