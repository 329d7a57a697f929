//! The lockfile: checksums in git, one line for each migration, sorted.
//!
//! ```text
//! admmgt lockfile, format 1
//! app/0001_users  v1:sha256:5f2a…
//! app/0002_email  v1:sha256:9c41…  app/0001_users billing/0001_plans
//! ```
//!
//! Two branches that add migrations merge, or conflict where one can see it: a line says all there is
//! to say of its migration.

use std::collections::BTreeMap;
use std::fmt;

use crate::checksum;

/// The version of the file.
pub const FORMAT: u32 = 1;

const TITLE: &str = "admmgt lockfile, format ";

/// What the file says of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its checksum.
    pub checksum: String,
    /// What it depends on, sorted.
    pub depends_on: Vec<String>,
}

/// A lockfile, by the full names of its migrations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lockfile {
    /// Its lines.
    pub entries: BTreeMap<String, Entry>,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockfileProblem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl fmt::Display for LockfileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.problem)
    }
}

impl std::error::Error for LockfileProblem {}

impl Lockfile {
    /// Whether a text begins as a lockfile does, of any format and however damaged; also behind the mark of a merge.
    pub fn is_one(text: &str) -> bool {
        let mut lines = crate::text::without_mark(text).lines();
        lines.find(|line| !line.starts_with("<<<<<<<")).is_some_and(|line| line.starts_with(TITLE))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The first line that cannot be read: a newer format, the marks of a merge, two lines that
    /// contradict each other.
    ///
    /// ```
    /// use admmgt_files::lockfile::Lockfile;
    ///
    /// let text = "admmgt lockfile, format 1\napp/1  manual:one\n";
    /// let lockfile = Lockfile::parse(text).unwrap();
    /// assert_eq!(lockfile.to_string(), text);
    /// assert!(Lockfile::parse("admmgt lockfile, format 1\n<<<<<<< main\n").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, LockfileProblem> {
        let mut lines = crate::text::without_mark(text).lines().zip(1..);
        let (title, _) = lines.next().unwrap_or_default();
        let format = title.strip_prefix(TITLE).and_then(|format| format.trim().parse::<u32>().ok());
        match format {
            Some(FORMAT) => {}
            Some(newer) => {
                let problem = format!("it has format {newer}, and this version reads {FORMAT}; update admmgt");
                return Err(LockfileProblem { line: 1, problem });
            }
            None => {
                let problem = format!("its first line must be `{TITLE}{FORMAT}`; is it a lockfile?");
                return Err(LockfileProblem { line: 1, problem });
            }
        }
        let mut lockfile = Self::default();
        for (text, line) in lines.filter(|(text, _)| !text.trim().is_empty()) {
            let refuse = |problem: String| LockfileProblem { line, problem };
            let (name, entry) = entry(text).map_err(refuse)?;
            match lockfile.entries.get(&name) {
                Some(known) if *known != entry => {
                    let problem = format!(
                        "`{name}` stands here with another checksum or other dependencies than above; keep one of the lines"
                    );
                    return Err(refuse(problem));
                }
                // A merge can leave the same line twice.
                Some(_) => {}
                None => {
                    lockfile.entries.insert(name, entry);
                }
            }
        }
        Ok(lockfile)
    }
}

fn entry(text: &str) -> Result<(String, Entry), String> {
    let text = text.trim();
    if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| text.starts_with(mark)) {
        return Err("it holds the marks of a merge; keep the lines of both sides, and take the marks out".to_owned());
    }
    let mut words = text.split_whitespace();
    let (Some(name), Some(sum)) = (words.next(), words.next()) else {
        return Err(format!("`{text}` is no line of a lockfile: `namespace/id  checksum  dependencies`"));
    };
    if !name.contains('/') {
        return Err(format!("`{name}` is no migration; they are named `namespace/id`"));
    }
    checksum::check(sum)?;
    let mut depends_on: Vec<String> = words.map(str::to_owned).collect();
    depends_on.sort();
    Ok((name.to_owned(), Entry { checksum: sum.to_owned(), depends_on }))
}

impl fmt::Display for Lockfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}{FORMAT}")?;
        for (name, Entry { checksum, depends_on }) in &self.entries {
            write!(f, "{name}  {checksum}")?;
            if !depends_on.is_empty() {
                write!(f, "  {}", depends_on.join(" "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(lines: &str) -> String {
        Lockfile::parse(&format!("{TITLE}1\n{lines}")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = "admmgt lockfile, format 1\napp/1  manual:a\napp/2  manual:b  app/1 billing/9\n";
        assert_eq!(Lockfile::parse(text).unwrap().to_string(), text);
        let loose = "\u{feff}admmgt lockfile, format 1\r\n\r\napp/2 manual:b billing/9  app/1\r\napp/1 manual:a\r\napp/1 manual:a\r\n";
        assert_eq!(Lockfile::parse(loose).unwrap().to_string(), text);
    }

    #[test]
    fn a_lockfile_is_known_by_its_first_line_however_damaged() {
        assert!(Lockfile::is_one("\u{feff}admmgt lockfile, format 9\nwhatever"));
        assert!(Lockfile::is_one("<<<<<<< HEAD\nadmmgt lockfile, format 1\n=======\n"));
        assert!(!Lockfile::is_one("<<<<<<< HEAD\n[package]\n"));
        assert!(!Lockfile::is_one("# mine\nadmmgt lockfile, format 1\n"));
        assert!(!Lockfile::is_one(""));
    }

    #[test]
    fn lines_that_cannot_be_read_are_named() {
        assert!(problem("app/1  manual:a\n=======\n").starts_with("3: it holds the marks of a merge"));
        assert!(problem("app/1  manual:a\napp/1  manual:b\n").starts_with("3: `app/1` stands here with another"));
        assert!(problem("app/1\n").starts_with("2: `app/1` is no line"));
        assert!(problem("users  manual:a\n").starts_with("2: `users` is no migration"));
        assert!(problem("app/1  sha256\n").starts_with("2: "));
        assert!(Lockfile::parse("admmgt lockfile, format 2\n").unwrap_err().problem.contains("update admmgt"));
        assert!(Lockfile::parse("").unwrap_err().problem.contains("is it a lockfile?"));
    }
}
