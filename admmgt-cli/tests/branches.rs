//! What git shows in the lockfile when branches edit, delete, rename and reorder migrations, and what the
//! check says after a merge. With the `git` of the machine; without one it prints that it was skipped.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on says where

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};

/// A repository with three locked migrations.
struct Repository(tempfile::TempDir);

impl Repository {
    /// `None` without git.
    fn new() -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            println!("skipped: there is no git; install it to run this test");
            return None;
        }
        let repository = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(repository.path().join("migrations")).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        for name in ["0001_users", "0002_plans", "0003_roles"] {
            repository.write(name, &format!("create table {} (id integer);\n", &name[5..]));
        }
        repository.commit("base");
        Some(repository)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, words: &[&str]) -> String {
        let own = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(own).args(words).current_dir(self.path());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("LC_ALL", "C");
        let output = git.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.path().join("migrations").join(format!("{name}.sql"))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    fn delete(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.file(from), self.file(to)).unwrap();
    }

    fn admmgt(&self, words: &[&str]) -> String {
        let mut admmgt = Command::new(env!("CARGO_BIN_EXE_admmgt"));
        let output = admmgt.args(words).env("ADMMGT_URL", "sqlite:app.db").current_dir(self.path()).output().unwrap();
        format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// As everybody should: the lockfile goes with the change.
    fn commit(&self, message: &str) {
        self.admmgt(&["lock", "--update"]);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// What a branch does, one commit.
    fn branch(&self, name: &str, work: impl FnOnce(&Self)) {
        self.git(&["checkout", "--quiet", "-b", name, "main"]);
        work(self);
        self.commit(name);
    }

    /// What a reviewer of the branch sees of the lockfile, how it merges into `onto`, and what the check says then.
    fn check(&self, onto: &str, branch: &str, expected: Expect) {
        let mut lines = vec![format!("$ git diff main {branch} -- admmgt.lock")];
        let diff = self.git(&["diff", "--unified=0", "main", branch, "--", "admmgt.lock"]);
        lines.extend(
            diff.lines()
                .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
                .map(short),
        );
        self.git(&["checkout", "--quiet", onto]);
        lines.push(format!("$ git merge {branch}"));
        let merged = self.git(&["merge", "--no-edit", branch]);
        lines.extend(merged.lines().filter(|line| line.starts_with("CONFLICT")).map(str::to_owned));
        lines.push("$ admmgt lock".to_owned());
        lines.extend(self.admmgt(&["lock"]).lines().map(short));
        expected.assert_eq(&lines.join("\n"));
    }
}

/// The first letters of a checksum are enough for people.
fn short(line: &str) -> String {
    let words = line.split("v1:sha256:").enumerate().map(|(at, part)| match at {
        0 => part.to_owned(),
        _ => format!("v1:sha256:{}…{}", &part[..4], &part[64..]),
    });
    words.collect()
}

#[test]
fn new_migrations_of_two_branches() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("mine", |it| it.write("0004_mine", "create table mine (id integer);\n"));
    repository.branch("yours", |it| it.write("0005_yours", "create table yours (id integer);\n"));
    repository.check("mine", "yours", expect![[r#"
        $ git diff main yours -- admmgt.lock
        +app/0005_yours  v1:sha256:cd19…
        $ git merge yours
        CONFLICT (content): Merge conflict in admmgt.lock
        $ admmgt lock
        error: admmgt.lock: line 5: it holds the marks of a merge; keep the lines of both sides, and take the marks out"#]]);
    // Whoever merges writes the file anew, and sees that both are there.
    repository.commit("merged");
    assert_eq!(repository.admmgt(&["lock"]), "admmgt.lock agrees with the migrations\n");
}

#[test]
fn one_number_on_two_branches() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("mine", |it| it.write("0004_mine", "create table mine (id integer);\n"));
    repository.branch("yours", |it| it.write("0004_yours", "create table yours (id integer);\n"));
    repository.check("mine", "yours", expect![[r#"
        $ git diff main yours -- admmgt.lock
        +app/0004_yours  v1:sha256:cd19…
        $ git merge yours
        CONFLICT (content): Merge conflict in admmgt.lock
        $ admmgt lock
        error: the folder migrations cannot be read as migrations:
          - version 4 is there twice, in migrations/0004_mine.sql and in migrations/0004_yours.sql; rename one of them"#]]);
}

#[test]
fn an_edit_and_a_new_migration() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("new", |it| it.write("0004_new", "create table new (id integer);\n"));
    repository.branch("edit", |it| it.write("0001_users", "create table users (id integer, name text);\n"));
    repository.check(
        "new",
        "edit",
        expect![[r#"
        $ git diff main edit -- admmgt.lock
        -app/0001_users  v1:sha256:968a…
        +app/0001_users  v1:sha256:29c1…
        $ git merge edit
        $ admmgt lock
        admmgt.lock agrees with the migrations"#]],
    );
}

#[test]
fn an_edit_that_was_not_locked() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("new", |it| it.write("0004_new", "create table new (id integer);\n"));
    repository.git(&["checkout", "--quiet", "-b", "edit", "main"]);
    repository.write("0001_users", "create table users (id integer, name text);\n");
    repository.git(&["commit", "--quiet", "--all", "--message", "edit"]);
    repository.check("new", "edit", expect![[r#"
        $ git diff main edit -- admmgt.lock
        $ git merge edit
        $ admmgt lock
        error: admmgt.lock does not agree with the migrations:
          - migrations/0001_users.sql:1: `app/0001_users` was edited since it was locked. Restore it, and write the change as a new migration; if it was never applied anywhere, lock it again with `admmgt lock --update`"#]]);
}

#[test]
fn a_deletion_and_a_new_migration() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("new", |it| it.write("0004_new", "create table new (id integer);\n"));
    repository.branch("delete", |it| it.delete("0002_plans"));
    repository.check(
        "new",
        "delete",
        expect![[r#"
        $ git diff main delete -- admmgt.lock
        -app/0002_plans  v1:sha256:508d…
        $ git merge delete
        $ admmgt lock
        admmgt.lock agrees with the migrations"#]],
    );
}

#[test]
fn a_deletion_that_was_not_locked() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("new", |it| it.write("0004_new", "create table new (id integer);\n"));
    repository.git(&["checkout", "--quiet", "-b", "delete", "main"]);
    repository.delete("0002_plans");
    repository.git(&["commit", "--quiet", "--all", "--message", "delete"]);
    repository.check("new", "delete", expect![[r#"
        $ git diff main delete -- admmgt.lock
        $ git merge delete
        $ admmgt lock
        error: admmgt.lock does not agree with the migrations:
          - `app/0002_plans` is in the lockfile and not registered. If its crate is not linked, name it once: `admmgt::link!(app);`. If it was never applied anywhere, drop it with `admmgt lock --update`"#]]);
    // A run says so too.
    let refused = repository.admmgt(&["up"]);
    assert!(refused.contains("`app/0002_plans` is in the lockfile and not registered"), "{refused}");
}

#[test]
fn a_rename_and_an_edit_of_the_same() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("edit", |it| it.write("0002_plans", "create table plans (id integer, price integer);\n"));
    repository.branch("rename", |it| it.rename("0002_plans", "0002_price_plans"));
    repository.check("edit", "rename", expect![[r#"
        $ git diff main rename -- admmgt.lock
        -app/0002_plans  v1:sha256:508d…
        +app/0002_price_plans  v1:sha256:508d…
        $ git merge rename
        CONFLICT (content): Merge conflict in admmgt.lock
        $ admmgt lock
        error: admmgt.lock: line 3: it holds the marks of a merge; keep the lines of both sides, and take the marks out"#]]);
}

#[test]
fn another_order_and_a_new_migration() {
    let Some(repository) = Repository::new() else { return };
    repository.branch("new", |it| it.write("0004_new", "create table new (id integer);\n"));
    repository.branch("order", |it| {
        it.rename("0002_plans", "0009_plans");
        it.rename("0003_roles", "0002_roles");
        it.rename("0009_plans", "0003_plans");
    });
    repository.check("new", "order", expect![[r#"
        $ git diff main order -- admmgt.lock
        -app/0002_plans  v1:sha256:508d…
        -app/0003_roles  v1:sha256:d9cf…
        +app/0002_roles  v1:sha256:d9cf…
        +app/0003_plans  v1:sha256:508d…
        $ git merge order
        CONFLICT (content): Merge conflict in admmgt.lock
        $ admmgt lock
        error: admmgt.lock: line 3: it holds the marks of a merge; keep the lines of both sides, and take the marks out"#]]);
}
