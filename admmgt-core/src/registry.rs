//! Which migrations there are: registered at compile time, or listed. The only file that knows
//! inventory.

use std::collections::BTreeMap;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use admmgt_files::layout::Found;

use crate::digest::{Digest, NamespaceHead};
use crate::graph;
use crate::history::APPLIED;
use crate::migration::{Item, Migration};
use crate::private::{EmbeddedFolder, Registration};
use crate::refusal::Refusal;
use crate::script::Dialect;
use crate::{DirError, Meta, MigrationId, MigrationsDir, Namespace, way_back};

/// A list of migrations, not yet checked: all that are registered, or those that are named.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
///
/// let users = SqlMigration::new("app", "0001_users", "create table users(id integer)")?;
/// let plans = SqlMigration::new("billing", "0001_plans", "create table plans(id integer)")?;
/// let all = Migrations::new([users]).include(Migrations::new([plans]));
/// assert_eq!(all.len(), 2);
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
#[derive(Clone, Default)]
pub struct Migrations(Vec<Entry>);

#[derive(Clone)]
enum Entry {
    Item(&'static Item),
    Shared(Arc<dyn Migration>),
}

impl Entry {
    fn migration(&self) -> &dyn Migration {
        match self {
            Self::Item(item) => *item,
            Self::Shared(migration) => &**migration,
        }
    }
}

impl Migrations {
    /// Everything that `#[migration]` and `sql_migration!` registered in this program and in the crates
    /// it links.
    pub fn registered() -> Self {
        inventory::iter::<Registration>.into_iter().map(|registration| Entry::Item(registration.0)).collect()
    }

    /// The SQL files of a folder, read now, in any layout that [`MigrationsDir`] reads; `backend` is `sqlite`,
    /// `postgres` …. What is no migration is passed over: [`MigrationsDir`] lists it.
    ///
    /// # Errors
    /// Everything that makes the folder no list of migrations.
    ///
    /// ```no_run
    /// use admmgt_core::{MemoryDriver, Migrations, Migrator};
    ///
    /// let migrations = Migrations::from_dir("app", "migrations", "memory")?;
    /// let migrator = Migrator::new(MemoryDriver::new()).migrations(migrations);
    /// # let _ = migrator;
    /// # Ok::<(), admmgt_core::DirError>(())
    /// ```
    pub fn from_dir(namespace: &str, folder: impl AsRef<Path>, backend: &str) -> Result<Self, DirError> {
        MigrationsDir::read(namespace, folder, backend).map(|read| read.migrations)
    }

    /// Migrations made at run time.
    pub fn new<M: Migration>(migrations: impl IntoIterator<Item = M>) -> Self {
        migrations.into_iter().map(|migration| Entry::Shared(Arc::new(migration))).collect()
    }

    /// These and others: another list, or what `migrations![…]` made.
    pub fn include(mut self, others: impl Into<Self>) -> Self {
        self.0.extend(others.into().0);
        self
    }

    /// One more.
    pub fn and(mut self, migration: impl Migration) -> Self {
        self.0.push(Entry::Shared(Arc::new(migration)));
        self
    }

    /// Only those that `keep` says yes to: of one backend, of one namespace, with a tag.
    pub fn filter(mut self, mut keep: impl FnMut(&Meta) -> bool) -> Self {
        self.0.retain(|entry| keep(entry.migration().meta()));
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What each says of itself, in the order they were listed.
    pub fn metas(&self) -> impl Iterator<Item = &Meta> {
        self.0.iter().map(|entry| entry.migration().meta())
    }
}

impl FromIterator<Entry> for Migrations {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl From<&[&'static Item]> for Migrations {
    fn from(items: &[&'static Item]) -> Self {
        items.iter().map(|item| Entry::Item(item)).collect()
    }
}

impl<const N: usize> From<[&'static Item; N]> for Migrations {
    fn from(items: [&'static Item; N]) -> Self {
        Self::from(&items[..])
    }
}

impl<const N: usize> From<&[&'static Item; N]> for Migrations {
    fn from(items: &[&'static Item; N]) -> Self {
        Self::from(&items[..])
    }
}

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.metas().map(|meta| meta.id.to_string())).finish()
    }
}

/// The files of embedded folders that came after the program was compiled, in builds that are not for release.
/// rustc never hears of a new file.
pub(crate) fn not_embedded() -> Vec<Refusal> {
    inventory::iter::<EmbeddedFolder>.into_iter().flat_map(newer).collect()
}

fn newer(folder: &EmbeddedFolder) -> Vec<Refusal> {
    // Where the program runs far from its sources, there is nothing to compare.
    let Ok(read) = admmgt_files::layout::read(Path::new(folder.path), folder.dialect) else { return Vec::new() };
    let new = read.migrations.iter().filter(|found| !folder.ids.contains(&&*found.id));
    let refusal = |found: &Found| Refusal::NotEmbedded {
        file: found.up.file.display().to_string(),
        folder: folder.written.to_owned(),
    };
    new.map(refusal).collect()
}

/// A checked list in its order: names are unique, dependencies are there, no cycles.
#[derive(Clone)]
pub struct MigrationSet {
    ordered: Vec<Entry>,
    place: HashMap<MigrationId, usize>,
    /// What is replaced, and by whom.
    replaced: HashMap<MigrationId, MigrationId>,
    heads: BTreeMap<Namespace, NamespaceHead>,
    /// Nothing was wrong with the list: places tell what runs before what.
    is_sound: bool,
    /// Those whose way back is told by the dialect.
    told: HashSet<MigrationId>,
}

impl MigrationSet {
    /// Checks and orders a list.
    ///
    /// # Errors
    /// Every reason why the list cannot be a set.
    pub fn new(migrations: &Migrations) -> Result<Self, Vec<Refusal>> {
        let (set, refusals) = Self::examine(migrations);
        if refusals.is_empty() { Ok(set) } else { Err(refusals) }
    }

    /// The set, and what is wrong with it: then nothing of it may run, and it serves to find what else
    /// is wrong.
    pub(crate) fn examine(migrations: &Migrations) -> (Self, Vec<Refusal>) {
        let metas: Vec<&Meta> = migrations.metas().collect();
        let mut refusals = Vec::new();
        let mut is_special = false;
        // Each look at all of them costs a miss of the cache for each, so there is one for all that is rare.
        for (entry, meta) in migrations.0.iter().zip(&metas) {
            refusals.extend(entry.migration().problems());
            is_special |= graph::is_special(meta);
        }
        if migrations.is_empty() {
            refusals.push(Refusal::NothingRegistered);
        }
        let (replaced, found) = if is_special { graph::replaced(&metas) } else { Default::default() };
        refusals.extend(found);
        let (order, found) = graph::order(&metas, &replaced, is_special);
        refusals.extend(found);
        let replaced = replaced.into_iter().map(|(id, by)| (id.clone(), by.id.clone())).collect();
        let place = order.iter().zip(0..).map(|(at, place)| (metas[*at].id.clone(), place)).collect();
        let mut heads: BTreeMap<Namespace, NamespaceHead> = BTreeMap::new();
        for meta in order.iter().map(|at| metas[*at]) {
            let share = Digest::of(&meta.id, APPLIED, &meta.checksum);
            let namespace = meta.id.namespace();
            match heads.get_mut(namespace) {
                Some(head) => {
                    head.digest = head.digest.plus(share);
                    head.count += 1;
                }
                None => {
                    heads.insert(namespace.clone(), NamespaceHead { digest: share, count: 1, seq: 0 });
                }
            }
        }
        let ordered = order.into_iter().map(|at| migrations.0[at].clone()).collect();
        let is_sound = refusals.is_empty();
        (Self { ordered, place, replaced, heads, is_sound, told: HashSet::new() }, refusals)
    }

    /// With the ways back that the dialect can tell from what migrations do that have none of their own, as a run has them that
    /// leads back.
    ///
    /// ```
    /// use admmgt_core::{Driver, MemoryDriver, MigrationSet, Migrations, SqlMigration};
    ///
    /// let users = SqlMigration::new("app", "0001_users", "create users")?;
    /// let set = MigrationSet::new(&Migrations::new([users])).unwrap();
    /// // The lines of this one do not tell.
    /// let set = set.with_ways_back(&*MemoryDriver::new().dialect());
    /// assert!(set.metas().all(|meta| !meta.reversible));
    /// # Ok::<(), admmgt_core::InvalidName>(())
    /// ```
    pub fn with_ways_back(mut self, dialect: &dyn Dialect) -> Self {
        for entry in &mut self.ordered {
            let told = match entry {
                Entry::Item(item) => way_back::told(*item, dialect),
                Entry::Shared(migration) => way_back::told(Arc::clone(migration), dialect),
            };
            if let Some(migration) = told {
                self.told.insert(migration.meta().id.clone());
                *entry = Entry::Shared(migration);
            }
        }
        self
    }

    /// Whether the way back of a migration is told by the dialect: it can need what a run has put on record.
    pub(crate) fn is_told(&self, id: &MigrationId) -> bool {
        self.told.contains(id)
    }

    /// The migrations in the order they run.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Migration> {
        self.ordered.iter().map(Entry::migration)
    }

    /// What each says of itself, in the order they run.
    pub fn metas(&self) -> impl Iterator<Item = &Meta> {
        self.iter().map(Migration::meta)
    }

    /// The migration of that name.
    pub fn get(&self, id: &MigrationId) -> Option<&dyn Migration> {
        self.place.get(id).map(|place| self.ordered[*place].migration())
    }

    /// Its place in the order, counted from 0.
    pub fn place(&self, id: &MigrationId) -> Option<usize> {
        self.place.get(id).copied().filter(|_| self.is_sound)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there are none; a set never is.
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// What a migration depends on, in the name of what replaces it where that was replaced.
    pub(crate) fn dependencies<'a>(&'a self, meta: &'a Meta) -> impl Iterator<Item = &'a MigrationId> {
        meta.depends_on.iter().map(|id| self.replaced.get(id).unwrap_or(id))
    }

    /// These, and everything they depend on.
    pub(crate) fn with_dependencies<'a>(&'a self, mut open: Vec<&'a MigrationId>) -> HashSet<&'a MigrationId> {
        let mut all = HashSet::new();
        while let Some(id) = open.pop() {
            if all.insert(id) {
                open.extend(self.get(id).into_iter().flat_map(|migration| self.dependencies(migration.meta())));
            }
        }
        all
    }

    /// The namespaces of its members.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.heads.keys().cloned().collect()
    }

    /// Whether a namespace has members.
    pub fn has_namespace(&self, namespace: &Namespace) -> bool {
        self.heads.contains_key(namespace)
    }

    /// The digest that each namespace has when all its members are applied; `seq` is 0.
    pub fn heads(&self) -> &BTreeMap<Namespace, NamespaceHead> {
        &self.heads
    }
}

impl fmt::Debug for MigrationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.metas().map(|meta| meta.id.to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_after_the_build_is_named() {
        let folder = std::env::temp_dir().join(format!("admmgt-embedded-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0001_users.sql"), "").unwrap();
        std::fs::write(folder.join("0002_plans.sql"), "").unwrap();
        let path: &'static str = folder.display().to_string().leak();
        let embedded = |path, ids| EmbeddedFolder { path, written: "migrations", dialect: "", ids };
        assert_eq!(newer(&embedded(path, &["0001_users", "0002_plans"])), []);
        assert_eq!(newer(&embedded("/nowhere/at/all", &[])), []);
        let [refusal] = &*newer(&embedded(path, &["0001_users"])) else { panic!("one file is new") };
        assert!(refusal.to_string().contains("0002_plans.sql is new"), "{refusal}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
