//! The order of migrations: dependencies first, then by id. The only file that knows petgraph.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::id::likeness;
use crate::refusal::Refusal;
use crate::{Meta, MigrationId};

/// How many unknown dependencies get a suggestion: each is held against every name.
const SUGGESTIONS: usize = 20;

/// Orders migrations so that each comes after what it depends on, and by id wherever dependencies
/// allow: adding one never reshuffles the others. Returns positions in `metas`, each id once, and all
/// that is wrong with them: duplicates, names that differ only by case or zeros, unknown dependencies
/// and cycles. Then the order is good for looking things up only.
pub(crate) fn order(
    metas: &[&Meta],
    replaced: &HashMap<&MigrationId, &Meta>,
    is_special: bool,
) -> (Vec<usize>, Vec<Refusal>) {
    // Ranks are positions in the order of ids, so that the loops below compare integers.
    let mut by_id: Vec<usize> = (0..metas.len()).collect();
    by_id.sort_by(|a, b| metas[*a].id.cmp(&metas[*b].id));

    let mut refusals = duplicates(metas, &by_id);
    by_id.dedup_by(|b, a| metas[*a].id == metas[*b].id);
    refusals.extend(alike(metas, &by_id));
    if is_special {
        // What may run again and again comes after what runs once.
        by_id.sort_by_key(|at| metas[*at].repeatable);
    }
    let rank_of: HashMap<&MigrationId, u32> = by_id.iter().zip(0..).map(|(at, rank)| (&metas[*at].id, rank)).collect();

    let mut suggestions = 0..SUGGESTIONS;
    let mut graph = DiGraph::<(), ()>::with_capacity(by_id.len(), by_id.len() * 2);
    by_id.iter().for_each(|_| {
        graph.add_node(());
    });
    for (at, rank) in by_id.iter().zip(0u32..) {
        for dependency in metas[*at].depends_on.iter() {
            let dependency = replaced.get(dependency).map_or(dependency, |by| &by.id);
            match rank_of.get(dependency) {
                // A self-edge would hide in a component of one.
                Some(other) if *other == rank => refusals.push(cycle(metas, &by_id, &[rank])),
                Some(other) => {
                    graph.add_edge((*other).into(), rank.into(), ());
                }
                None => {
                    let candidates = if suggestions.next().is_some() { metas } else { &[] };
                    refusals.push(unknown(metas[*at], dependency, candidates));
                }
            }
        }
    }
    for (at, rank) in by_id.iter().zip(0u32..).filter(|_| is_special) {
        let after = metas[*at].after.as_ref().and_then(|after| rank_of.get(after));
        if let Some(after) = after.filter(|after| **after != rank) {
            graph.add_edge((*after).into(), rank.into(), ());
        }
    }
    let ranks = kahn(&graph);
    if ranks.len() != by_id.len() {
        let components = tarjan_scc(&graph);
        for component in components.iter().filter(|component| component.len() > 1) {
            refusals.push(cycle(metas, &by_id, &circle(&graph, component)));
        }
    }
    let order = if refusals.is_empty() { ranks.into_iter().map(|rank| by_id[rank as usize]).collect() } else { by_id };
    (order, refusals)
}

/// Whether it is repeatable, replaces others or has a place of its own: then the order is more than that of ids and
/// dependencies.
pub(crate) fn is_special(meta: &Meta) -> bool {
    meta.repeatable || meta.after.is_some() || !meta.replaces.is_empty()
}

/// Which migrations stand for which that are not there any more, and where that cannot be meant.
pub(crate) fn replaced<'a>(metas: &[&'a Meta]) -> (HashMap<&'a MigrationId, &'a Meta>, Vec<Refusal>) {
    let (mut replaced, mut refusals) = (HashMap::<&MigrationId, &Meta>::new(), Vec::new());
    let registered: HashMap<&MigrationId, &&Meta> = metas.iter().map(|meta| (&meta.id, meta)).collect();
    for meta in metas {
        for id in meta.replaces.iter() {
            let by = [meta.id.clone(), replaced.get(id).unwrap_or(meta).id.clone()];
            if let Some(still) = registered.get(id) {
                let (location, still) = (meta.location.clone(), still.location.clone());
                refusals.push(Refusal::StillRegistered { id: meta.id.clone(), location, replaced: id.clone(), still });
            } else if by[0] != by[1] {
                refusals.push(Refusal::ReplacedTwice { id: id.clone(), by });
            } else {
                replaced.insert(id, meta);
            }
        }
    }
    (replaced, refusals)
}

/// Kahn's algorithm, always taking the smallest ready rank. petgraph's own `toposort` is valid but
/// unfriendly: edges 1→4 and 2→3 gave 2, 3, 1, 4.
fn kahn(graph: &DiGraph<(), ()>) -> Vec<u32> {
    let mut waiting: Vec<u32> = vec![0; graph.node_count()];
    for edge in graph.raw_edges() {
        waiting[edge.target().index()] += 1;
    }
    let ranks = 0..u32::try_from(waiting.len()).unwrap_or(u32::MAX);
    let mut ready: BinaryHeap<Reverse<u32>> = ranks.filter(|rank| waiting[*rank as usize] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(rank)) = ready.pop() {
        order.push(rank);
        for next in graph.neighbors(rank.into()) {
            waiting[next.index()] -= 1;
            if waiting[next.index()] == 0 {
                ready.push(Reverse(node(next)));
            }
        }
    }
    order
}

fn node(index: NodeIndex) -> u32 {
    u32::try_from(index.index()).unwrap_or(u32::MAX)
}

fn duplicates(metas: &[&Meta], by_id: &[usize]) -> Vec<Refusal> {
    let pairs = by_id.windows(2).map(|pair| (metas[pair[0]], metas[pair[1]]));
    pairs
        .filter(|(a, b)| a.id == b.id)
        .map(|(a, b)| Refusal::Duplicate { id: a.id.clone(), locations: [a.location.clone(), b.location.clone()] })
        .collect()
}

/// Names that differ only by case or by zeros before a number: they are one name on many file
/// systems, and in the head of whoever reads them.
fn alike(metas: &[&Meta], by_id: &[usize]) -> Vec<Refusal> {
    let mut seen: HashMap<(&str, String), &Meta> = HashMap::with_capacity(metas.len());
    let mut refusals = Vec::new();
    for at in by_id {
        let meta = metas[*at];
        if let Some(other) = seen.insert((meta.id.namespace().as_str(), likeness(meta.id.id())), meta) {
            refusals.push(Refusal::Alike {
                ids: [other.id.clone(), meta.id.clone()],
                locations: [other.location.clone(), meta.location.clone()],
            });
        }
    }
    refusals
}

fn unknown(meta: &Meta, dependency: &MigrationId, candidates: &[&Meta]) -> Refusal {
    let others = candidates.iter().map(|other| &other.id).filter(|id| **id != meta.id);
    Refusal::UnknownDependency {
        id: meta.id.clone(),
        location: meta.location.clone(),
        dependency: dependency.clone(),
        nearest: nearest(dependency, others).cloned(),
    }
}

/// The name that was probably meant; `None` if none comes near.
pub(crate) fn nearest<'a>(
    name: &MigrationId,
    candidates: impl Iterator<Item = &'a MigrationId>,
) -> Option<&'a MigrationId> {
    let limit = name.id().chars().count().div_ceil(2);
    let near = candidates.map(|other| {
        let same = other.namespace() == name.namespace();
        let names =
            if same { distance(other.id(), name.id()) } else { distance(&other.to_string(), &name.to_string()) };
        (names, other)
    });
    near.min().filter(|(distance, _)| *distance <= limit).map(|(_, id)| id)
}

/// The fewest insertions, deletions and replacements that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A walk along the edges of a strong component, from its smallest member back to it: a circle that
/// a person can follow, where the component itself is only a bag of names.
fn circle(graph: &DiGraph<(), ()>, component: &[NodeIndex]) -> Vec<u32> {
    let Some(start) = component.iter().min().copied() else { return Vec::new() };
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        // An edge runs from a dependency to its dependant; people read "depends on", the other way.
        for next in graph.neighbors_directed(at, petgraph::Incoming).filter(|next| component.contains(next)) {
            if next == start {
                let mut path = vec![node(at)];
                let mut step = at;
                while let Some(previous) = came_from.get(&step) {
                    path.push(node(*previous));
                    step = *previous;
                }
                path.reverse();
                return path;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = came_from.entry(next) {
                entry.insert(at);
                queue.push_back(next);
            }
        }
    }
    vec![node(start)]
}

fn cycle(metas: &[&Meta], by_id: &[usize], ranks: &[u32]) -> Refusal {
    let members = ranks.iter().map(|rank| metas[by_id[*rank as usize]]);
    Refusal::Cycle { members: members.map(|meta| (meta.id.clone(), meta.location.clone())).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checksum;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn meta(id: &str, depends_on: &[&str]) -> Meta {
        let parse = |id: &str| MigrationId::new("app", id).unwrap();
        let mut meta = Meta::new(parse(id), Checksum::of_sql(id)).depends_on(depends_on.iter().map(|id| parse(id)));
        meta.location = crate::Location { file: "m.rs".into(), line: 1 };
        meta
    }

    fn check(migrations: &[(&str, &[&str])], expected: Expect) {
        let metas: Vec<Meta> = migrations.iter().map(|(id, depends_on)| meta(id, depends_on)).collect();
        let metas: Vec<&Meta> = metas.iter().collect();
        let (order, refusals) = order(&metas, &HashMap::new(), false);
        let text = match &*refusals {
            [] => order.iter().map(|at| metas[*at].id.id()).collect::<Vec<_>>().join(" "),
            refusals => refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn by_id_wherever_dependencies_allow() {
        check(&[("4", &["1"]), ("3", &["2"]), ("2", &[]), ("1", &[])], expect!["1 2 3 4"]);
        check(&[("1", &["3"]), ("2", &[]), ("3", &[])], expect!["2 3 1"]);
        check(&[], expect![""]);
    }

    #[test]
    fn a_cycle_is_named_as_one_reads_it() {
        check(
            &[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"]), ("e", &["e"])],
            expect![[r#"
                migrations wait for each other: `app/e` (m.rs:1) -> `app/e`. Remove one of these dependencies
                migrations wait for each other: `app/a` (m.rs:1) -> `app/c` (m.rs:1) -> `app/b` (m.rs:1) -> `app/a`. Remove one of these dependencies"#]],
        );
    }

    #[test]
    fn unknown_dependencies_get_a_suggestion() {
        check(
            &[("0001_create_users", &[]), ("0002_x", &["0001_create_user"]), ("0003_y", &["invoices"])],
            expect![[r#"
                m.rs:1: `app/0002_x` depends on `app/0001_create_user`, which is not registered. Is `app/0001_create_users` meant?
                m.rs:1: `app/0003_y` depends on `app/invoices`, which is not registered. If another crate defines it, link that crate: `admmgt::link!(the_crate);`"#]],
        );
    }

    #[test]
    fn the_fewest_changes_of_one_name_into_another() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("abc", "c", 2), ("c", "abc", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} and {b}");
        }
    }

    /// A name of one's own namespace comes nearer than the same name elsewhere.
    #[test]
    fn a_namespace_is_part_of_a_name_that_was_meant() {
        let id = |text: &str| text.parse::<MigrationId>().unwrap();
        let all = [id("billing/users"), id("app/user")];
        assert_eq!(nearest(&id("app/users"), all.iter()), Some(&all[1]));
        assert_eq!(nearest(&id("bill/users"), all.iter()), Some(&all[0]));
        assert_eq!(nearest(&id("app/invoices"), all.iter()), None);
    }

    #[test]
    fn one_can_have_a_place_of_its_own() {
        let after = |id: &str, other: &str| {
            let mut meta = meta(id, &[]);
            meta.after = Some(MigrationId::new("app", other).unwrap());
            meta
        };
        for (metas, expected) in [
            ([after("10", "9"), meta("9", &[]), meta("8", &[])], [2, 1, 0]),
            ([after("1", "3"), meta("3", &[]), meta("2", &[])], [2, 1, 0]),
            // Nobody comes after itself, or after what is not there.
            ([after("1", "1"), after("2", "4"), meta("3", &[])], [0, 1, 2]),
        ] {
            let metas: Vec<&Meta> = metas.iter().collect();
            let (order, refusals) = order(&metas, &HashMap::new(), true);
            assert!(refusals.is_empty(), "{refusals:?}");
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn names_that_are_one_name_are_refused() {
        check(
            &[("a", &[]), ("a", &[])],
            expect!["`app/a` is written twice, at m.rs:1 and at m.rs:1. Rename one of them"],
        );
        check(
            &[("1_a", &[]), ("001_a", &[]), ("Users", &[]), ("users", &[])],
            expect![[r#"
                `app/001_a` at m.rs:1 and `app/1_a` at m.rs:1 differ only by case or leading zeros. Rename one of them
                `app/Users` at m.rs:1 and `app/users` at m.rs:1 differ only by case or leading zeros. Rename one of them"#]],
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        check(
            &[("a", &["b"]), ("b", &["a"]), ("c", &[]), ("c", &[]), ("C", &[]), ("d", &["e"])],
            expect![[r#"
                `app/c` is written twice, at m.rs:1 and at m.rs:1. Rename one of them
                `app/C` at m.rs:1 and `app/c` at m.rs:1 differ only by case or leading zeros. Rename one of them
                m.rs:1: `app/d` depends on `app/e`, which is not registered. Is `app/C` meant?
                migrations wait for each other: `app/a` (m.rs:1) -> `app/b` (m.rs:1) -> `app/a`. Remove one of these dependencies"#]],
        );
    }

    /// Edges always point from a larger to a smaller number of a shuffled naming, so there is no cycle.
    fn acyclic() -> impl Strategy<Value = Vec<Meta>> {
        let edges = proptest::collection::vec((0usize..40, 0usize..40), 0..80);
        (1usize..40, edges, any::<u64>()).prop_map(|(count, edges, seed)| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut names: Vec<usize> = (0..count).collect();
            random.shuffle(&mut names);
            let mut metas: Vec<Meta> = (0..count)
                .map(|at| {
                    let deps = edges.iter().filter(|(a, b)| *a == at && b < a).map(|(_, b)| format!("m{}", names[*b]));
                    let deps: Vec<String> = deps.collect();
                    meta(&format!("m{}", names[at]), &deps.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            random.shuffle(&mut metas);
            metas
        })
    }

    fn ids(metas: &[Meta]) -> Vec<MigrationId> {
        let metas: Vec<&Meta> = metas.iter().collect();
        order(&metas, &HashMap::new(), false).0.into_iter().map(|at| metas[at].id.clone()).collect()
    }

    proptest! {
        #[test]
        fn the_order_respects_every_edge(metas in acyclic()) {
            let order = ids(&metas);
            let place = |id: &MigrationId| order.iter().position(|other| other == id).unwrap();
            prop_assert_eq!(order.len(), metas.len());
            for meta in &metas {
                for dependency in meta.depends_on.iter() {
                    prop_assert!(place(dependency) < place(&meta.id));
                }
            }
        }

        #[test]
        fn the_order_does_not_depend_on_registration(metas in acyclic(), seed: u64) {
            let mut shuffled = metas.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(ids(&metas), ids(&shuffled));
        }

        #[test]
        fn adding_one_never_reshuffles_the_others(metas in acyclic(), name in 0usize..100, picks: [usize; 2]) {
            let before = ids(&metas);
            let depends_on = picks.map(|pick| before[pick % before.len()].id().to_owned());
            let added = meta(&format!("new{name}"), &depends_on.each_ref().map(String::as_str));
            let mut more = metas.clone();
            more.push(added.clone());
            let after: Vec<MigrationId> = ids(&more).into_iter().filter(|id| *id != added.id).collect();
            prop_assert_eq!(before, after);
        }
    }
}
