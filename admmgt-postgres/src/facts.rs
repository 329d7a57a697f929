//! What a new connection is asked first.

use std::net::IpAddr;

use admmgt_core::stored::HISTORY;

use crate::place::Schemas;
use crate::quote;

/// What does not change while a connection lives, or is found out otherwise if it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// As `server_version_num` has it: 150004.
    pub(crate) version: u32,
    /// Why nothing can be written: it is a standby, or read-only by its settings.
    pub(crate) read_only: bool,
    /// The process that serves us.
    pub(crate) pid: Option<i32>,
    /// Where the server believes to be: address and port. None through a socket of the file system.
    pub(crate) at: Option<(IpAddr, u16)>,
    /// It can tell that a client is gone while it works for it.
    pub(crate) can_watch: bool,
    /// Where the history is or would be made.
    pub(crate) schema: Option<String>,
}

impl Facts {
    const COLUMNS: usize = 6;

    /// The question; a connection whose search path is not the bodies' has to be asked after it was set.
    pub(crate) fn query(schemas: &Schemas) -> String {
        let schema = match &schemas.history {
            Some(schema) => quote::text(schema),
            // As a statement would find the table: behind a body's own path it would be somewhere else.
            None => format!(
                "coalesce((select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
                 on n.oid = c.relnamespace where c.oid = to_regclass('{HISTORY}')), current_schema())"
            ),
        };
        // Elsewhere the setting is refused by some versions.
        let on_linux = "version() ~ 'linux'";
        format!(
            "select pg_is_in_recovery(), current_setting('default_transaction_read_only'), pg_backend_pid(), \
             host(inet_server_addr()) || ' ' || inet_server_port(), {on_linux}, {schema}"
        )
    }

    pub(crate) fn of(version: u32, row: Vec<Option<String>>) -> Self {
        let Ok([recovers, read_only, pid, at, on_linux, schema]) = <[_; Self::COLUMNS]>::try_from(row) else {
            return Self { version, ..Self::default() };
        };
        Self {
            version,
            read_only: recovers.as_deref() == Some("t") || read_only.as_deref() == Some("on"),
            pid: pid.and_then(|pid| pid.parse().ok()),
            at: at.and_then(|at| address(&at)),
            can_watch: on_linux.as_deref() == Some("t"),
            schema,
        }
    }
}

fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(' ')?;
    Some((address.parse().ok()?, port.parse().ok()?))
}
