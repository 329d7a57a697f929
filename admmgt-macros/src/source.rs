//! Reads a SQL file while the crate is compiled.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use admmgt_files::{checksum, text};
use syn::LitStr;

/// The checksum of a file, or an error that names it as it was written.
pub(crate) fn checksum_of(path: &LitStr, folder: &Path) -> syn::Result<String> {
    let written = path.value();
    let refuse = |problem: String| Err(syn::Error::new(path.span(), problem));
    let bytes = match fs::read(folder.join(&written)) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(unreadable(&written, error.kind())),
    };
    match text::decode(&bytes) {
        Ok(text) => Ok(checksum::of_sql(text)),
        Err(problem) => refuse(format!("{written}:{}: {problem}", problem.line())),
    }
}

/// Without the operating system's words, which hold the paths of one machine.
fn unreadable(written: &str, kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound => format!(
            "there is no file `{written}` in the folder of this crate's Cargo.toml; create it, or write its path from \
             there"
        ),
        kind => format!("`{written}`, in the folder of this crate's Cargo.toml, cannot be read: {kind}"),
    }
}
