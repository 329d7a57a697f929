//! The settings of our connection, and how they are put back after a body.

use std::time::Duration;

use admmgt_core::SessionOptions;

use crate::quote;

const WATCH: &str = "client_connection_check_interval";

/// What every statement of a run relies on.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name, value, and from which version of the server on.
    values: Vec<(&'static str, String, u32)>,
    search_path: Option<String>,
    /// The settings belong to each transaction, because the connection to the server is not ours alone.
    pub(crate) shared: bool,
}

impl Settings {
    pub(crate) fn new(options: &SessionOptions, search_path: Option<String>, shared: bool) -> Self {
        let values = vec![
            ("lock_timeout", millis(Some(options.lock_timeout)), 0),
            ("statement_timeout", millis(options.statement_timeout), 0),
            // While a body in Rust thinks, our transaction is idle and the server must not end it.
            ("idle_in_transaction_session_timeout", "0".to_owned(), 0),
            ("idle_session_timeout", "0".to_owned(), 14),
            // A client that died is noticed while its statement runs, and its lease is free soon.
            (WATCH, "1s".to_owned(), 14),
            ("tcp_keepalives_idle", "30".to_owned(), 0),
            ("tcp_keepalives_interval", "10".to_owned(), 0),
            // How scripts are split.
            ("standard_conforming_strings", "on".to_owned(), 0),
        ];
        Self { values, search_path, shared }
    }

    /// One query that sets them all; `local` for the transaction that is open. It returns one row.
    pub(crate) fn sql(&self, version: u32, local: bool) -> String {
        let known = self.values.iter().filter(|(_, _, since)| version / 10_000 >= *since);
        let call = |(name, value, _): &(&str, String, u32)| {
            let call = format!("set_config('{name}', {}, {local})", quote::text(value));
            // Windows cannot tell that a client is gone, and refuses the setting.
            if *name == WATCH { format!("case when version() !~* 'visual|mingw' then {call} end") } else { call }
        };
        let mut calls: Vec<String> = known.map(call).collect();
        if let Some(path) = &self.search_path {
            calls.push(format!("set_config('search_path', {}, {local})", quote::text(path)));
        }
        format!("select {}", calls.join(", "))
    }

    /// For one look at a database, by a connection that nothing else was set for.
    pub(crate) fn while_reading(&self) -> String {
        let set = |(name, value, _): &(&str, String, u32)| format!("set local {name} = {}; ", quote::text(value));
        let limits = self
            .values
            .iter()
            .filter(|(name, value, _)| name.ends_with("k_timeout") || value != "0" && name.starts_with("statement"));
        let path = self.search_path.as_ref().map(|path| format!("set local search_path = {path}; "));
        limits.map(set).chain(path).collect()
    }

    /// Puts back what a body may have changed: who it runs as, and every setting.
    pub(crate) fn restoring(&self, version: u32) -> String {
        const ALL: &str = "reset session authorization; reset role; reset all";
        // What is set locally is set again by the next transaction.
        if self.shared { ALL.to_owned() } else { format!("{ALL}; {}", self.sql(version, false)) }
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
