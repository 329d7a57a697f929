//! What the suite must be told of a kind of database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use admmgt_core::{Driver, MemoryDriver, Result};
use async_trait::async_trait;

/// A kind of database, as the suite has to know it.
///
/// [`MemorySetup`] is the worked example. Of a database with SQL it takes ten lines:
///
/// ```
/// use std::path::PathBuf;
/// use std::sync::Arc;
///
/// use admmgt_core::{Driver, Result};
/// use admmgt_testkit::{Setup, Step, async_trait, sql};
/// # struct MyDriver;
/// # impl MyDriver { fn at(_: PathBuf) -> Result<admmgt_core::MemoryDriver> { Ok(Default::default()) } }
///
/// struct Files(PathBuf);
///
/// #[async_trait]
/// impl Setup for Files {
///     async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
///         Ok(Arc::new(MyDriver::at(self.0.join(name))?))
///     }
///
///     fn script(&self, steps: &[Step<'_>]) -> Option<String> {
///         Some(sql(steps))
///     }
/// }
/// ```
#[async_trait]
pub trait Setup: Send + Sync + 'static {
    /// The database of a name, which is a word of letters, digits and `_`: a new and empty one where it is asked for
    /// the first time, and the same one afterwards. In another process too, where processes can share databases of this
    /// kind: the suite finds out, and says what it left out where they cannot.
    ///
    /// Each test has a runtime of its own, which ends with it: a client that works in the background, such as a pool, is
    /// not to be kept in the set-up.
    ///
    /// # Errors
    /// What the database says.
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>>;

    /// A text that does these things one after the other, each in a statement of its own, as somebody would write it
    /// into a migration's file. [`Step::Make`], [`Step::Drop`] and [`Step::Fail`] are needed. `None` where one of the
    /// others cannot be said here: the tests that need it are left out, and named.
    fn script(&self, steps: &[Step<'_>]) -> Option<String>;

    /// The database is one connection of this process: there is no second one beside it, and it is gone with a
    /// connection that was not closed well. Default: it is not, and the suite insists.
    fn is_one_connection(&self) -> bool {
        false
    }

    /// How long a lease lasts that is not renewed. Choose a short one, a second, because tests wait for several of
    /// them. Default: the lease does not end by its time, but with its session.
    fn lease_ttl(&self) -> Option<Duration> {
        None
    }

    /// Frees the lease of a database, whoever has it, as an operator does who believes its holder dead; `false` where
    /// that cannot be done. Default: it cannot, because the lease is a lock of its session.
    ///
    /// # Errors
    /// What the database says.
    async fn take_lease_away(&self, name: &str) -> Result<bool> {
        let _ = name;
        Ok(false)
    }

    /// Takes a database away that is not needed any more. Default: it stays.
    async fn remove(&self, name: &str) {
        let _ = name;
    }
}

/// What a statement of the suite's migrations does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step<'a> {
    /// Makes a thing of that name: a table, a collection, a file. Fails where there is one.
    /// [`StateStore::names`](admmgt_core::StateStore::names) must tell of it: that is how the suite sees what is there.
    Make(&'a str),
    /// As `Make`, in a statement whose text holds what would end one elsewhere: a semicolon in a string and in a
    /// comment.
    Disguised(&'a str),
    /// Takes it away. Fails where there is none.
    Drop(&'a str),
    /// Fails when it runs, and is not found out before.
    Fail,
    /// Fails when it runs, in a statement that holds this word as a value: best in one that the database would repeat.
    Secret(&'a str),
    /// Ends the transaction, as a careless author would.
    Commit,
    /// Takes a minute at least.
    Sleep,
    /// Never ends as a text: a quote is open.
    Endless,
}

/// The steps in words that most databases with SQL understand: a [`Setup::script`] for them.
///
/// ```
/// use admmgt_testkit::{Step, sql};
///
/// let script = sql(&[Step::Make("users"), Step::Fail]);
/// assert_eq!(script, "create table users (id integer);\ninsert into no_such_table values (1);\n");
/// ```
pub fn sql(steps: &[Step<'_>]) -> String {
    let one = |step: &Step<'_>| match step {
        Step::Make(name) => format!("create table {name} (id integer);\n"),
        Step::Disguised(name) => {
            format!("create table {name} (text varchar(20) default 'it''s; one') -- not; here\n/* nor; here */;\n")
        }
        Step::Drop(name) => format!("drop table {name};\n"),
        Step::Fail => "insert into no_such_table values (1);\n".to_owned(),
        Step::Secret(word) => format!("insert into no_such_table values ('{word}');\n"),
        Step::Commit => "commit;\n".to_owned(),
        Step::Sleep => "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) \
                        select count(*) from n;\n"
            .to_owned(),
        Step::Endless => "insert into words values ('never\n".to_owned(),
    };
    steps.iter().map(one).collect()
}

/// Databases in the memory of this process: the suite on [`MemoryDriver`].
#[derive(Debug)]
pub struct MemorySetup {
    make: fn() -> MemoryDriver,
    all: Mutex<HashMap<String, MemoryDriver>>,
}

impl MemorySetup {
    /// Databases as this function makes them: `MemoryDriver::new`.
    pub fn new(make: fn() -> MemoryDriver) -> Self {
        Self { make, all: Mutex::default() }
    }
}

#[async_trait]
impl Setup for MemorySetup {
    async fn take_lease_away(&self, name: &str) -> Result<bool> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).map(MemoryDriver::break_lease);
        Ok(true)
    }

    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(all.entry(name.to_owned()).or_insert_with(self.make).clone()))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let lines = steps.iter().map(|step| match step {
            Step::Make(name) => Some(format!("create {name}\n")),
            Step::Drop(name) => Some(format!("drop {name}\n")),
            Step::Fail => Some("fail\n".to_owned()),
            // A line is a name, and has no values.
            Step::Secret(_) => None,
            Step::Commit => Some("commit\n".to_owned()),
            Step::Sleep => Some("sleep\n".to_owned()),
            // A line is a statement, whatever is in it.
            Step::Disguised(_) | Step::Endless => None,
        });
        lines.collect()
    }
}
