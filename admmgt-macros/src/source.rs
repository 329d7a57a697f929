//! Reads SQL files and folders while the crate is compiled.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use admmgt_files::layout::{self, Found, Source, Text};
use admmgt_files::{checksum, text};
use syn::LitStr;

use crate::check::folder::FolderArguments;
use crate::expand::folder::{Embedded, Listed};

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

/// The migrations of a folder, and the files that they were read from.
pub(crate) fn listed(arguments: &FolderArguments, root: &Path) -> syn::Result<(Vec<Listed>, Vec<PathBuf>)> {
    let written = arguments.folder.value();
    let refuse = |problem: String| syn::Error::new(arguments.folder.span(), problem);
    let path = root.join(&written);
    if !path.is_dir() {
        let problem = format!(
            "there is no folder `{written}` in the folder of this crate's Cargo.toml; create it, or write its path from there"
        );
        return Err(refuse(problem));
    }
    let backend = arguments.backend.as_deref().unwrap_or_default();
    let read = layout::read(&path, backend).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| relative(&problem.to_string(), root)).collect();
        refuse(lines.join("\n"))
    })?;
    if arguments.strict && !read.ignored.is_empty() {
        let lines = read.ignored.iter().map(|file| format!("{}: {}", file.path.display(), file.reason));
        let lines: Vec<String> = lines.map(|line| relative(&line, root)).collect();
        return Err(refuse(format!("the folder `{written}` holds what is no migration:\n{}", lines.join("\n"))));
    }
    let mut files = Vec::new();
    let mut listed = Vec::new();
    for Found { id, up, down, repeatable, after } in read.migrations {
        let mut embedded = |source: Source| {
            let file = relative(&source.file.display().to_string(), root);
            let text = match source.text {
                Ok(Text::Whole(text)) => text,
                // rustc holds it anyway.
                Ok(Text::Large(slice)) => slice.text().map_err(|error| refuse(unreadable(&file, error.kind())))?,
                Err(problem) => return Err(refuse(format!("{file}:{}: {problem}", problem.line()))),
            };
            files.push(source.file);
            Ok(Embedded { file, text, outside: source.outside })
        };
        let up = embedded(up)?;
        let down = down.map(&mut embedded).transpose()?;
        listed.push(Listed { id, up, down, repeatable, after });
    }
    if listed.is_empty() {
        return Err(refuse(format!("the folder `{written}` holds no migration; see the layouts that are known")));
    }
    // rustc never hears of a new file. A new line in the lockfile, which a new migration needs, it does.
    files.extend(Some(root.join("admmgt.lock")).filter(|lock| lock.is_file()));
    files.sort();
    files.dedup();
    Ok((listed, files))
}

/// Without the folder of one machine.
fn relative(text: &str, root: &Path) -> String {
    text.replace(&format!("{}/", root.display()), "")
}
