//! The settings of our connection, and how they are put back after a body.

use std::fmt::Write;
use std::time::Duration;

use admmgt_core::SessionOptions;

use crate::facts::Facts;
use crate::quote;
use crate::server::Server;

/// What every statement of a run relies on.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name, value, and from which version of the server on.
    values: Vec<(&'static str, String, u32)>,
    search_path: Option<String>,
    /// The settings belong to each transaction, because the connection to the server is not ours alone.
    pub(crate) shared: bool,
}

/// A client that died is noticed while its statement runs, and its lease is free soon.
const WATCH: &str = "client_connection_check_interval";

impl Settings {
    pub(crate) fn new(options: &SessionOptions, server: &Server) -> Self {
        let values = vec![
            ("lock_timeout", millis(Some(options.lock_timeout)), 0),
            ("statement_timeout", millis(options.statement_timeout), 0),
            // While a body in Rust thinks, our transaction is idle, and however long it is the server must not end it.
            ("idle_in_transaction_session_timeout", "0".to_owned(), 0),
            ("idle_session_timeout", "0".to_owned(), 14),
            ("transaction_timeout", "0".to_owned(), 17),
            (WATCH, "1s".to_owned(), 14),
            ("tcp_keepalives_idle", "30".to_owned(), 0),
            ("tcp_keepalives_interval", "10".to_owned(), 0),
            // How scripts are split.
            ("standard_conforming_strings", "on".to_owned(), 0),
        ];
        Self { values, search_path: server.schemas.path_text(), shared: server.is_shared() }
    }

    /// Each as a statement: as one query of `set_config` calls, the server would plan it, for ten times as long.
    fn each(&self, facts: &Facts, how: &str) -> String {
        let known = self.values.iter().filter(|(_, _, since)| facts.version / 10_000 >= *since);
        let mut sql = String::new();
        for (name, value, _) in known.filter(|(name, ..)| *name != WATCH || facts.can_watch) {
            // Writing to a string cannot fail.
            let _ = write!(sql, "; {how} {name} = {}", quote::text(value));
        }
        if let Some(path) = &self.search_path {
            let _ = write!(sql, "; {how} search_path = {path}");
        }
        sql
    }

    /// For a connection that is ours alone.
    pub(crate) fn for_good(&self, facts: &Facts) -> String {
        self.each(facts, "set").trim_start_matches("; ").to_owned()
    }

    /// For the transaction that has just begun.
    pub(crate) fn locally(&self, facts: &Facts) -> String {
        self.each(facts, "set local")
    }

    /// For one message of questions, in front of them: afterwards all is as it was.
    pub(crate) fn for_now(&self) -> String {
        let patience = self.values.iter().find(|(name, ..)| *name == "lock_timeout");
        let patience = patience.map(|(name, value, _)| format!("set local {name} = {}; ", quote::text(value)));
        let path = self.search_path.as_ref().map(|path| format!("set local search_path = {path}; "));
        patience.into_iter().chain(path).collect()
    }

    /// Puts back what a body may have changed: who it runs as, and every setting.
    pub(crate) fn restoring(&self, facts: &Facts) -> String {
        let mut sql = "reset session authorization; reset role; reset all".to_owned();
        // What is set locally is set again by the next transaction.
        if !self.shared {
            sql.push_str(&self.each(facts, "set"));
        }
        sql
    }
}

/// Before our own write between the statements of a body: as ourselves, and for as long as it takes; afterwards all
/// is as the body has it.
pub(crate) const AS_OURSELVES: &str =
    "set local session authorization default; set local role to default; set local statement_timeout = 0";

/// Takes away what earlier bodies left that lives as long as the connection.
pub(crate) const LITTER: &str = "discard temp; close all; unlisten *";

/// As [`LITTER`], on a connection that is somebody else's a moment later: with what was prepared, too.
pub(crate) const ALL_LITTER: &str = "discard temp; close all; unlisten *; deallocate all";

fn millis(time: Option<Duration>) -> String {
    // 0 is for ever; what is shorter than a millisecond is not.
    time.map_or(0, |time| time.as_millis().clamp(1, i32::MAX as u128)).to_string()
}
