//! Where the databases of a bench lie.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

/// A file system.
#[derive(Debug, Clone)]
pub struct Place {
    /// What it is called in tables.
    pub name: &'static str,
    folder: PathBuf,
}

impl Place {
    /// The disk that the build folder is on, and the memory file system where there is one.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn all() -> Result<Vec<Self>> {
        let folder = std::env::current_exe()?.ancestors().nth(3).ok_or("no build folder")?.join("tmp");
        std::fs::create_dir_all(&folder)?;
        let mut places = vec![Self { name: "disk", folder }];
        if Path::new("/dev/shm").is_dir() {
            places.push(Self { name: "memory", folder: PathBuf::from("/dev/shm") });
        }
        Ok(places)
    }

    /// Whether a commit waits for a disk here.
    pub fn is_disk(&self) -> bool {
        self.name == "disk"
    }

    /// A folder that is removed with everything in it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn folder(&self) -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("admmgt-bench-").tempdir_in(&self.folder)?)
    }
}
