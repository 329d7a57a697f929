//! The library's advice, in the words of the command line: it names calls, and people here type commands.

/// What the library says, and what is typed instead; `%` is the name of the program.
const COMMANDS: [(&str, &str); 19] = [
    ("or allow it with `Policy::empty`", "or leave `--strict` away"),
    ("with `Migrator::foreign` and `Migrator::adopt`", "with `% import`"),
    ("say with `Policy::foreign`", "say with `--ignore-foreign`"),
    ("with `OnInterrupt::Retry`", "with `% up --resume`"),
    (", Resolution::Applied, reason)` if", " --applied --reason …` if"),
    ("or `Resolution::Pending` after", "or with `--pending` after"),
    ("with `Migrator::resolve`", "with `% resolve`"),
    ("call `Migrator::repair` with `Repair::Rename`", "run `% repair rename OLD NEW --reason …`"),
    ("`Migrator::status`", "`% status`"),
    ("`Migrator::up`", "`% up`"),
    ("`Migrator::baseline`", "`% baseline`"),
    ("`ADMMGT_LOCK=update cargo test`", "`% lock --update`"),
    ("allow this with `Policy::out_of_order`", "allow this with `--out-of-order`"),
    ("without `Policy::group`", "without `--group`"),
    ("`Policy::lease_wait`", "`--lease-wait`"),
    ("`Policy::lock_timeout`", "`--lock-timeout`"),
    ("`Policy::statement_timeout`", "`--statement-timeout`"),
    (
        "`transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)",
        "`-- no-transaction` as its first line",
    ),
    (" or `admmgt lock --update`, and", ", and"),
];

/// The same text with commands where calls stood.
pub(crate) fn as_commands(text: &str, program: &str) -> String {
    let mut text = text.to_owned();
    // The id comes between the two parts that are known.
    while let Some(at) = text.find("call `Migrator::resolve(\"") {
        let from = at + "call `Migrator::resolve(\"".len();
        let Some(end) = text[from..].find('"').map(|length| from + length) else { break };
        text = format!("{}run `% resolve {}{}", &text[..at], &text[from..end], &text[end + 1..]);
    }
    for (call, command) in COMMANDS {
        text = text.replace(call, command);
    }
    text.replace("`% ", &format!("`{program} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_commands() {
        for (said, typed) in [
            (
                "then call `Migrator::resolve(\"app/1\", Resolution::Applied, reason)` if all of it is there, or \
                 `Resolution::Pending` after taking away",
                "then run `db resolve app/1 --applied --reason …` if all of it is there, or with `--pending` after taking away",
            ),
            ("see `Migrator::status`", "see `db status`"),
        ] {
            assert_eq!(as_commands(said, "db"), typed);
        }
    }
}
