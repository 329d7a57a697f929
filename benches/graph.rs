//! What ten thousand migrations with twenty thousand dependencies cost to order and to plan.
//!
//! No program has so many; the one peer with a graph takes 390 ms for half of them, so this shows
//! that the cost stays in proportion. Nothing here touches a database.

use std::collections::BTreeMap;

use admmgt::prelude::*;
use admmgt::{Author, Driver, Facts, History, MigrationSet, NamespaceHead, Plan, Record, RecordKind, State, Target};
use admmgt_benches::{Result, alone, made, table, timed, times};

const COUNT: usize = 10_000;
const BOUND: f64 = 50e-3;
const TIMES: usize = 50;

fn main() -> Result<()> {
    // Two each: 20,000 edges but for the three that the first two migrations cannot have.
    let mut items = made::items(COUNT, made::nothing, |at| made::earlier(at, 2, 7));
    fastrand::Rng::with_seed(7).shuffle(&mut items);
    let constants = Migrations::from(&*items);
    let mut texts = Vec::with_capacity(COUNT);
    for (at, migration) in made::sql(COUNT, made::create_table)?.into_iter().enumerate() {
        let depends_on: Vec<_> = made::earlier(at, 2, 7)
            .into_iter()
            .map(|at| admmgt::MigrationId::new(made::NAMESPACE, made::name(at)))
            .collect::<std::result::Result<_, _>>()?;
        texts.push(migration.with(|meta| meta.depends_on(depends_on)));
    }
    fastrand::Rng::with_seed(7).shuffle(&mut texts);
    let texts = Migrations::new(texts);

    let edges: usize = constants.metas().map(|meta| meta.depends_on.len()).sum();
    println!("# {COUNT} migrations, {edges} dependencies, registered in no order");
    table::singles("");
    for (name, migrations) in [("constants", &constants), ("`SqlMigration`s", &texts)] {
        let full = full(&set(migrations)?)?;
        let state = State::fold(&full)?;
        let built = alone(times(TIMES), || timed(|| set(migrations)))?;
        table::single(&format!("set of {name}"), &built, 1, None);
        let folded = alone(times(TIMES), || timed(|| Ok(State::fold(&full)?)))?;
        table::single(&format!("history of {name}, folded"), &folded, 1, None);
        for (history, state) in [("an empty", &State::default()), ("a full", &state)] {
            let work = || timed(|| plan(&set(migrations)?, state));
            table::single(
                &format!("set and plan of {name}, {history} history"),
                &alone(times(TIMES), work)?,
                1,
                Some(BOUND),
            );
        }
    }
    Ok(())
}

fn set(migrations: &Migrations) -> Result<MigrationSet> {
    MigrationSet::new(migrations).map_err(|refusals| format!("{refusals:?}").into())
}

fn plan(set: &MigrationSet, state: &State) -> Result<Plan> {
    let driver = Sqlite::memory()?;
    let (backend, dialect) = (driver.backend(), driver.dialect());
    let facts = Facts::new(&backend, None, &*dialect);
    admmgt::plan(set, state, &Target::Latest, &Policy::default(), &facts)
        .map_err(|refusals| format!("{refusals:?}").into())
}

/// The history of a database that has all of them.
fn full(set: &MigrationSet) -> Result<History> {
    let author = Author::of_this_process();
    let mut history = History::default();
    for (seq, migration) in (1..).zip(set.iter()) {
        let admmgt::Meta { id, checksum, origin, .. } = migration.meta();
        let (id, checksum) = (id.clone(), checksum.clone());
        history.records.push(Record::new(
            seq,
            id,
            RecordKind::Applied,
            admmgt::Direction::Up,
            checksum,
            *origin,
            &author,
        ));
    }
    let last = history.records.len() as u64;
    let heads = set.heads().iter();
    let heads: BTreeMap<_, _> =
        heads.map(|(namespace, head)| (namespace.clone(), NamespaceHead { seq: last, ..*head })).collect();
    history.head.namespaces = heads;
    Ok(history)
}
