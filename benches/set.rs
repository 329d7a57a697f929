//! What it costs to build the set: the list of migrations, checked, ordered and summed up in one
//! digest for each namespace. Every call of a `Migrator` does that first.
//!
//! The graph has to stay cheap beside the database: one microsecond per migration. Checksums are
//! known by then: the macros put them into the program, and `SqlMigration::new` computes its own,
//! which the last table shows.

use admmgt::prelude::*;
use admmgt::{Item, MigrationSet};
use admmgt_benches::{Result, alone, made, table, timed, times};

const COUNTS: [usize; 4] = [10, 100, 1000, 5000];
const BOUND: f64 = 1e-6;
const TIMES: usize = 300;

fn main() -> Result<()> {
    println!("# `MigrationSet::new`, per migration");
    table::singles("of constants, as the macros write them");
    each(|case, count, dependencies, order| {
        let mut items: Vec<&'static Item> = made::items(count, made::nothing, |at| made::earlier(at, dependencies, 1));
        order(&mut items);
        measure(case, count, &Migrations::from(&*items))
    })?;

    table::singles("of `SqlMigration`s");
    each(|case, count, dependencies, order| {
        let mut migrations = sql(count, dependencies)?;
        order(&mut migrations);
        measure(case, count, &Migrations::new(migrations))
    })?;

    println!("\n# what comes before it, per migration");
    table::singles("");
    for count in COUNTS {
        let made = alone(times(TIMES), || timed(|| made::sql(count, made::create_table)))?;
        table::single(&format!("`SqlMigration::new` × {count}, with its checksum"), &made, count, None);
        let items = made::items(count, made::nothing, |_| Vec::new());
        let listed = alone(times(TIMES), || timed(|| Ok(Migrations::from(&*items))))?;
        table::single(&format!("`Migrations::from` × {count}, of constants"), &listed, count, None);
    }
    Ok(())
}

/// Shuffles a list, or leaves it as it is.
type Order<'a, T> = &'a dyn Fn(&mut Vec<T>);

fn each<T>(mut measure: impl FnMut(&str, usize, usize, Order<'_, T>) -> Result<()>) -> Result<()> {
    let shuffle = |list: &mut Vec<T>| fastrand::Rng::with_seed(1).shuffle(list);
    for (order, name) in [(&(|_: &mut Vec<T>| ()) as Order<'_, T>, "in order"), (&shuffle, "shuffled")] {
        for count in COUNTS {
            for dependencies in 0..=2 {
                measure(&format!("{count} {name}, {dependencies} dependencies each"), count, dependencies, order)?;
            }
        }
    }
    Ok(())
}

fn sql(count: usize, dependencies: usize) -> Result<Vec<SqlMigration>> {
    let ids: Vec<_> = made::sql(count, made::create_table)?;
    let id = |at: usize| admmgt::Migration::meta(&ids[at]).id.clone();
    let with = ids.iter().enumerate().map(|(at, migration)| {
        let depends_on = made::earlier(at, dependencies, 1).into_iter().map(id);
        migration.clone().with(|meta| meta.depends_on(depends_on))
    });
    Ok(with.collect())
}

fn measure(case: &str, count: usize, migrations: &Migrations) -> Result<()> {
    let build = || MigrationSet::new(migrations).map_err(|refusals| format!("{refusals:?}").into());
    table::single(case, &alone(times(TIMES), || timed(build))?, count, Some(BOUND));
    Ok(())
}
