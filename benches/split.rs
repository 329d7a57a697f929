//! How fast SQL is split: megabytes in a second, of one text in memory and of one that is read in pieces.
//! Held against reading the same bytes and nothing more, since that is what every other way has to do too.

use std::fmt::Write as _;
use std::hint::black_box;

use admmgt::{Dialect, SqlSource, TransactionMode};
use admmgt_benches::{Result, alone, table, timed, times};
use admmgt_sqlite::SqliteDialect;
use admmgt_sqlite::script::{Pieces, Statements};

/// In bytes.
const SIZE: usize = 50_000_000;
/// In bytes in a second.
const BOUND: f64 = 50e6;

fn main() -> Result<()> {
    println!("# Splitting {} MB of SQL", SIZE / 1_000_000);
    for (name, statement) in [
        ("short inserts", "insert into accounts(id, name) values (%, 'it''s;');\n"),
        ("comments and quotes", "-- number % ; of many\ninsert /* ; */ into \"a;b\" values ('%;', [c;d], `e;f`);\n"),
        ("long inserts", &format!("insert into notes values (%, '{}');\n", "lorem ipsum; ".repeat(300))),
        ("triggers", "create trigger t% after insert on a begin update b set c = 1; delete from d; end;\n"),
    ] {
        let text = text(statement);
        println!("\n{name}:");
        table::singles("for a megabyte");
        let parts = SIZE / 1_000_000;
        let bound = Some(1e6 / BOUND);
        let read = alone(times(30), || timed(|| Ok(text.bytes().filter(|byte| *byte == b';').count())))?;
        table::single("counting its semicolons", &read, parts, None);
        let whole = alone(times(30), || timed(|| Ok(Statements::new(&text).count())))?;
        table::single("split in memory", &whole, parts, bound);
        let pieces = alone(times(30), || timed(|| in_pieces(&text)))?;
        table::single("split in pieces", &pieces, parts, bound);
        let source = SqlSource::new("large.sql", text);
        let scan =
            || SqliteDialect.scan(&source, TransactionMode::Auto).map_err(|problems| format!("{problems:?}").into());
        table::single("split and judged, in pieces", &alone(times(30), || timed(scan))?, parts, None);
    }
    Ok(())
}

fn text(statement: &str) -> String {
    let mut text = String::with_capacity(SIZE + 10_000);
    for at in 0.. {
        let mut parts = statement.split('%');
        let _ = write!(text, "{}", parts.next().unwrap_or_default());
        parts.for_each(|part| {
            let _ = write!(text, "{at}{part}");
        });
        if text.len() >= SIZE {
            break;
        }
    }
    text
}

fn in_pieces(text: &str) -> Result<usize> {
    let mut pieces = Pieces::new(text.as_bytes(), 1);
    let mut count = 0;
    while let Some(split) = pieces.next()? {
        black_box(&split);
        count += 1;
    }
    Ok(count)
}
