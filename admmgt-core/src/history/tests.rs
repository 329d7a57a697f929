//! How each kind of record moves a migration, and the heads with it.

use super::*;
use crate::RecordKind::{self, *};
use crate::record::Author;

fn id(name: &str) -> MigrationId {
    MigrationId::new("app", name).unwrap()
}

fn record(seq: u64, name: &str, kind: RecordKind, direction: Direction) -> Record {
    let checksum = Checksum::of_sql(name);
    Record::new(seq, id(name), kind, direction, checksum, Origin::Sql, &Author::of_this_process())
}

fn fold(events: &[(&str, RecordKind, Direction)]) -> State {
    let mut state = State::default();
    for (at, (name, kind, direction)) in events.iter().enumerate() {
        let batch = state.batch(vec![record(at as u64 + 1, name, *kind, *direction)], None).unwrap();
        state.accept(batch);
    }
    state
}

#[test]
fn each_kind_of_record_moves_the_standing() {
    use Direction::{Down, Up};
    let interrupted = |direction, done| Standing::Interrupted { direction, done, steps: None };
    let check = |kinds: &[(RecordKind, Direction)], expected: Standing| {
        let events: Vec<_> = kinds.iter().map(|(kind, direction)| ("a", *kind, *direction)).collect();
        assert_eq!(fold(&events).get(&id("a")).unwrap().standing, expected, "{kinds:?}");
    };
    check(&[(Applied, Up)], Standing::Applied);
    check(&[(Failed, Up)], Standing::Pending);
    check(&[(Applied, Up), (Reverted, Down)], Standing::Pending);
    check(&[(Applied, Up), (Failed, Down)], Standing::Applied);
    check(&[(Started, Up)], interrupted(Up, 0));
    check(&[(Started, Up), (StepDone, Up), (StepDone, Up)], interrupted(Up, 2));
    check(&[(Started, Up), (StepDone, Up), (Failed, Up)], interrupted(Up, 1));
    check(&[(Started, Up), (StepDone, Up), (Applied, Up)], Standing::Applied);
    check(&[(Applied, Up), (Started, Down)], interrupted(Down, 0));
    check(&[(Started, Up), (Resolved, Up)], Standing::Applied);
    check(&[(Started, Up), (Resolved, Down)], Standing::Pending);
    check(&[(Baseline, Up)], Standing::Applied);
    check(&[(Baseline, Up), (Repaired, Up)], Standing::Applied);
    check(&[(Skipped, Down)], Standing::Pending);
    check(&[(Applied, Up), (Replaced, Up)], Standing::Replaced);
}

/// What a checkpoint is of: an attempt that goes on is the same one, another way is another one.
#[test]
fn what_goes_on_has_begun_where_it_was_interrupted() {
    use Direction::{Down, Up};
    for (events, begun) in [
        (vec![(Started, Up)], 1),
        (vec![(Started, Up), (Started, Up)], 1),
        (vec![(Started, Up), (Failed, Up), (Started, Up)], 1),
        (vec![(Started, Up), (Started, Down)], 2),
        (vec![(Started, Up), (Applied, Up), (Started, Down), (Started, Up)], 4),
        (vec![(Started, Up), (Applied, Up), (Reverted, Down), (Started, Up)], 4),
    ] {
        let named: Vec<_> = events.iter().map(|(kind, direction)| ("a", *kind, *direction)).collect();
        assert_eq!(fold(&named).get(&id("a")).unwrap().begun, begun, "{events:?}");
    }
}

#[test]
fn what_a_repeatable_one_was_before_is_kept_until_it_is_put_back() {
    use Direction::{Down, Up};
    let of = |seq, kind, direction, body: &str| Record {
        checksum: Checksum::of_sql(body),
        ..record(seq, "views", kind, direction)
    };
    let mut state = State::default();
    let mut check = |kind, direction, body: &str, before: &[&str]| {
        let batch = state.batch(vec![of(state.seq() + 1, kind, direction, body)], None).unwrap();
        state.accept(batch);
        let earlier: Vec<&Checksum> = state.get(&id("views")).unwrap().earlier.iter().map(|e| &e.checksum).collect();
        let expected: Vec<Checksum> = before.iter().map(|body| Checksum::of_sql(body)).collect();
        assert_eq!(earlier, expected.iter().collect::<Vec<_>>(), "{kind} {body}");
    };
    check(Applied, Up, "one", &[]);
    check(Applied, Up, "two", &["one"]);
    check(Started, Up, "three", &["one", "two"]);
    check(Failed, Up, "three", &["one", "two"]);
    check(Started, Up, "three", &["one", "two"]);
    check(Resolved, Down, "three", &["one", "two"]);
    check(Baseline, Down, "two", &["one"]);
    check(Started, Up, "three", &["one", "two"]);
    check(Applied, Up, "three", &["one", "two"]);
    check(Applied, Down, "one", &[]);
    check(Applied, Up, "two", &["one"]);
    check(Applied, Up, "one", &["one", "two"]);
    check(Repaired, Up, "four", &["one", "two"]);
    check(Started, Down, "four", &["one", "two"]);
    check(Resolved, Down, "four", &[]);
    check(Applied, Up, "one", &[]);
    check(Applied, Up, "two", &["one"]);
    check(Started, Down, "two", &["one"]);
    check(Started, Up, "three", &["one"]);
    check(Resolved, Down, "three", &[]);
    check(Applied, Up, "one", &[]);
    check(Applied, Up, "two", &["one"]);
    check(Reverted, Down, "two", &[]);
}

#[test]
fn the_head_does_not_depend_on_the_order_and_forgets_what_was_reverted() {
    use Direction::{Down, Up};
    let one = fold(&[("a", Applied, Up), ("b", Applied, Up)]);
    let two = fold(&[("b", Applied, Up), ("a", Applied, Up)]);
    let three = fold(&[("b", Applied, Up), ("c", Applied, Up), ("c", Reverted, Down), ("a", Applied, Up)]);
    let digest = |state: &State| state.heads()[id("a").namespace()].digest;
    assert_eq!(digest(&one), digest(&two));
    assert_eq!(digest(&one), digest(&three));
    let interrupted = fold(&[("a", Applied, Up), ("b", Applied, Up), ("c", Started, Up)]);
    assert_ne!(digest(&one), digest(&interrupted));
}

proptest::proptest! {
    #[test]
    fn heads_are_moved_alike_by_what_is_written_and_by_what_is_read(
        events in proptest::collection::vec((0..3_usize, 0..10_usize, proptest::bool::ANY, 0..3_usize), 0..30),
        cuts in proptest::collection::vec(proptest::bool::ANY, 30),
    ) {
        const KINDS: [RecordKind; 10] =
            [Started, StepDone, Applied, Failed, Reverted, Skipped, Resolved, Baseline, Repaired, Replaced];
        let records: Vec<Record> = events.iter().zip(1..).map(|((name, kind, up, body), seq)| {
            let direction = if *up { Direction::Up } else { Direction::Down };
            let record = record(seq, ["a", "b", "c"][*name], KINDS[*kind], direction);
            Record { checksum: Checksum::of_sql(["x", "y", "z"][*body]), ..record }
        }).collect();
        let mut state = State::default();
        let mut open: Vec<Record> = Vec::new();
        for (record, cut) in records.iter().zip(cuts) {
            open.push(record.clone());
            if cut {
                let batch = state.batch(std::mem::take(&mut open), None).unwrap();
                state.accept(batch);
            }
        }
        let batch = state.batch(open, None).unwrap();
        state.accept(batch);
        let history = History { records, head: Head { namespaces: state.heads().clone() } };
        proptest::prop_assert_eq!(State::fold(&history).unwrap(), state);
    }
}

#[test]
fn a_history_changed_by_hand_is_found() {
    let records: Vec<Record> = (1..=3).map(|seq| record(seq, &format!("m{seq}"), Applied, Direction::Up)).collect();
    let mut state = State::default();
    let batch = state.batch(records.clone(), None).unwrap();
    state.accept(batch);
    let head = Head { namespaces: state.heads().clone() };
    let whole = History { records: records.clone(), head: head.clone() };
    assert_eq!(State::fold(&whole).unwrap(), state);
    let hole = History { records: vec![records[0].clone(), records[2].clone()], head: head.clone() };
    let cut = History { records: records[..2].to_vec(), head: head.clone() };
    let emptied = History { records: Vec::new(), head };
    for damaged in [hole, cut, emptied] {
        assert!(matches!(State::fold(&damaged), Err(Error::CorruptState { .. })));
    }
    // A record that moved no head, and is missing all the same.
    let kinds = [Applied, Failed, Applied];
    let records = (1..).zip(kinds).map(|(seq, kind)| record(seq, &format!("m{seq}"), kind, Direction::Up));
    let mut records: Vec<Record> = records.collect();
    let batch = State::default().batch(records.clone(), None).unwrap();
    let head = Head { namespaces: batch.heads.into_iter().collect() };
    assert!(State::fold(&History { records: records.clone(), head: head.clone() }).is_ok());
    records.remove(1);
    assert!(matches!(State::fold(&History { records, head }), Err(Error::CorruptState { .. })));
}

/// Taken back and applied again by one run, it has its old place; by two, it is the last.
#[test]
fn the_place_of_what_was_applied_again_is_its_old_one_within_a_run() {
    use Direction::{Down, Up};
    for (same_run, since) in [(true, 1), (false, 4)] {
        let mut records = vec![
            record(1, "a", Applied, Up),
            record(2, "b", Applied, Up),
            record(3, "a", Reverted, Down),
            record(4, "a", Applied, Up),
        ];
        if same_run {
            records[3].run = records[2].run.clone();
        }
        let mut state = State::default();
        let batch = state.batch(records, None).unwrap();
        state.accept(batch);
        assert_eq!(state.get(&id("a")).unwrap().since, since, "{same_run}");
    }
}
