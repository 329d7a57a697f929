//! The settings of our connection, and how they are put back after a body.

use std::fmt::Write;
use std::time::Duration;

use admmgt_core::SessionOptions;

use crate::facts::Facts;
use crate::quote;

/// What every statement of a run relies on.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name, value, and from which version of the server on.
    values: Vec<(&'static str, String, u32)>,
    search_path: Option<String>,
    /// The settings belong to each transaction, because the connection to the server is not ours alone.
    pub(crate) shared: bool,
}

/// A client that died is noticed while its statement runs, and its lease is free soon. A server on Windows cannot tell, and
/// refuses the setting.
const WATCH: &str = "client_connection_check_interval";

impl Settings {
    pub(crate) fn new(options: &SessionOptions, search_path: Option<String>, shared: bool) -> Self {
        let values = vec![
            ("lock_timeout", millis(Some(options.lock_timeout)), 0),
            ("statement_timeout", millis(options.statement_timeout), 0),
            // While a body in Rust thinks, our transaction is idle and the server must not end it.
            ("idle_in_transaction_session_timeout", "0".to_owned(), 0),
            ("idle_session_timeout", "0".to_owned(), 14),
            (WATCH, "1s".to_owned(), 14),
            ("tcp_keepalives_idle", "30".to_owned(), 0),
            ("tcp_keepalives_interval", "10".to_owned(), 0),
            // How scripts are split.
            ("standard_conforming_strings", "on".to_owned(), 0),
        ];
        Self { values, search_path, shared }
    }

    fn known(&self, version: u32) -> impl Iterator<Item = &(&'static str, String, u32)> {
        self.values.iter().filter(move |(_, _, since)| version / 10_000 >= *since)
    }

    /// One query that sets them all for the first time, on a server that was not asked anything yet.
    pub(crate) fn greeting(&self, version: u32) -> String {
        let call = |(name, value, _): &(&str, String, u32)| {
            let call = format!("set_config('{name}', {}, false)", quote::text(value));
            if *name == WATCH { format!("case when not ({}) then {call} end", Facts::ON_WINDOWS) } else { call }
        };
        let path = self.search_path.as_ref();
        let path = path.map(|path| format!("set_config('search_path', {}, false)", quote::text(path)));
        let calls: Vec<String> = self.known(version).map(call).chain(path).collect();
        format!("select {}", calls.join(", "))
    }

    /// Sets them again. As statements that the server need not plan, this takes a tenth of the time of that query.
    fn again(&self, facts: &Facts, how: &str) -> String {
        let mut sql = String::new();
        for (name, value, _) in self.known(facts.version).filter(|(name, ..)| *name != WATCH || !facts.on_windows) {
            // Writing to a string cannot fail.
            let _ = write!(sql, "; {how} {name} = {}", quote::text(value));
        }
        if let Some(path) = &self.search_path {
            let _ = write!(sql, "; {how} search_path = {path}");
        }
        sql
    }

    /// For the transaction that has just begun.
    pub(crate) fn locally(&self, facts: &Facts) -> String {
        self.again(facts, "set local")
    }

    /// For one look at a database, by a connection that nothing else was set for.
    pub(crate) fn while_reading(&self) -> String {
        let set = |(name, value, _): &(&str, String, u32)| format!("set local {name} = {}; ", quote::text(value));
        let is_limit = |name: &str, value: &str| name == "lock_timeout" || name == "statement_timeout" && value != "0";
        let limits = self.values.iter().filter(|(name, value, _)| is_limit(name, value));
        let path = self.search_path.as_ref().map(|path| format!("set local search_path = {path}; "));
        limits.map(set).chain(path).collect()
    }

    /// Puts back what a body may have changed: who it runs as, and every setting.
    pub(crate) fn restoring(&self, facts: &Facts) -> String {
        let mut sql = "reset session authorization; reset role; reset all".to_owned();
        // What is set locally is set again by the next transaction.
        if !self.shared {
            sql.push_str(&self.again(facts, "set"));
        }
        sql
    }
}

/// Before our own write between the statements of a body: as ourselves, and for as long as it takes; afterwards all
/// is as the body has it.
pub(crate) const AS_OURSELVES: &str =
    "set local session authorization default; set local role none; set local statement_timeout = 0";

fn millis(time: Option<Duration>) -> String {
    // 0 is for ever; what is shorter than a millisecond is not.
    time.map_or(0, |time| time.as_millis().clamp(1, i32::MAX as u128)).to_string()
}
