//! What cargo tells about the crate that is being compiled.

use std::env;
use std::path::PathBuf;

/// The crate a macro is used in.
#[derive(Default)]
pub(crate) struct Package {
    /// Its name, the default namespace; `None` where no cargo runs the compiler.
    pub(crate) name: Option<String>,
    /// The folder of its Cargo.toml, where the paths of SQL files start.
    pub(crate) folder: PathBuf,
}

impl Package {
    /// The crate that is being compiled now.
    pub(crate) fn current() -> Self {
        Self {
            name: env::var("CARGO_PKG_NAME").ok(),
            folder: env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default(),
        }
    }
}
