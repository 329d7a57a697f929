//! Reads the files of a migration: the way there, the way back, or both from one.

use std::path::{Path, PathBuf};

use super::sections::{self, LargeSections};
use super::{LayoutProblem, Source, Text};
use crate::large::{self, LARGE, LargeProblem};
use crate::text::decode;

/// Both ways of a migration.
pub(super) struct Ways {
    pub(super) up: Source,
    pub(super) down: Option<Source>,
    pub(super) of_dbmate: bool,
}

/// Both ways of a file that may hold both.
pub(super) fn ways(file: PathBuf, outside: bool) -> Result<Ways, LayoutProblem> {
    if is_large(&file)? {
        return match sections::split_large(&file) {
            Ok(Ok(LargeSections { up, down, outside: up_outside, down_outside, of_dbmate })) => {
                let way = |slice, says_so| Source {
                    file: file.clone(),
                    text: Ok(Text::Large(slice)),
                    outside: outside || says_so,
                };
                Ok(Ways { up: way(up, up_outside), down: down.map(|down| way(down, down_outside)), of_dbmate })
            }
            Ok(Err(misplaced)) => Err(unsupported(file, misplaced)),
            Err(LargeProblem::Io(error)) => Err(LayoutProblem::Unreadable { path: file, error }),
            Err(LargeProblem::Text(problem)) => {
                let up = Source { file, text: Err(problem), outside };
                Ok(Ways { up, down: None, of_dbmate: false })
            }
        };
    }
    let whole = source(file, outside)?;
    let Ok(Text::Whole(both)) = &whole.text else { return Ok(Ways { up: whole, down: None, of_dbmate: false }) };
    let sections = sections::split(both).map_err(|misplaced| unsupported(whole.file.clone(), misplaced))?;
    let way =
        |text, says_so| Source { file: whole.file.clone(), text: Ok(Text::Whole(text)), outside: outside || says_so };
    let down = sections.down.map(|down| way(down, sections.down_outside));
    Ok(Ways { up: way(sections.up, sections.outside), down, of_dbmate: sections.of_dbmate })
}

fn unsupported(file: PathBuf, (line, problem): sections::Misplaced) -> LayoutProblem {
    LayoutProblem::Unsupported { file, line, problem }
}

fn is_large(file: &Path) -> Result<bool, LayoutProblem> {
    let metadata = std::fs::metadata(file);
    let size = metadata.map_err(|error| LayoutProblem::Unreadable { path: file.to_owned(), error })?.len();
    Ok(size > LARGE)
}

/// A file that holds one way.
pub(super) fn source(file: PathBuf, outside: bool) -> Result<Source, LayoutProblem> {
    if is_large(&file)? {
        return match large::whole(&file) {
            Ok(slice) => {
                let says_so = slice.first_line().is_ok_and(|line| sections::first_line_says_so(&line));
                Ok(Source { file, text: Ok(Text::Large(slice)), outside: outside || says_so })
            }
            Err(LargeProblem::Io(error)) => Err(LayoutProblem::Unreadable { path: file, error }),
            Err(LargeProblem::Text(problem)) => Ok(Source { file, text: Err(problem), outside }),
        };
    }
    match std::fs::read(&file) {
        Ok(bytes) => {
            let text = decode(&bytes).map(str::to_owned);
            let says_so = text.as_ref().is_ok_and(|text| sections::first_line_says_so(text));
            Ok(Source { text: text.map(Text::Whole), file, outside: outside || says_so })
        }
        Err(error) => Err(LayoutProblem::Unreadable { path: file, error }),
    }
}
