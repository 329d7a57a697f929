//! Finds out whether a pooler stands between us and the server that gives a connection away between transactions.
//!
//! A lock of the session would stay with the server's connection then, and be anybody's. Two connections of ours tell:
//! while one holds a transaction, it cannot be the process that serves the other, and that one keeps its process.

use std::net::IpAddr;
use std::time::Duration;

use admmgt_core::{Error, Result};

use crate::link::Link;
use crate::wire;

/// How long the second connection is waited for. A pooler that has none left lets us wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the first connection is asked again: other clients of a pooler may get in between.
const ROUNDS: usize = 3;

const PID: &str = "select pg_backend_pid()";

/// Refuses to go on behind such a pooler.
pub(crate) async fn refuse(link: &mut Link) -> Result<()> {
    if is_direct(link) {
        return Ok(());
    }
    let Some(first) = link.facts.pid else { return Ok(()) };
    let other = tokio::time::timeout(PATIENCE, hold(link)).await;
    let Ok(Ok((mut connection, other))) = other else {
        // The server has no second connection for us. Every write proves that the lock is ours, too.
        let now = pid(link).await?;
        return if now == Some(first) { Ok(()) } else { Err(pooled(link)) };
    };
    let kept = if other == Some(first) { Ok(false) } else { keeps(link, first).await };
    let _ = wire::run(&mut connection, "rollback".to_owned()).await;
    wire::say_goodbye(connection).await;
    if kept? { Ok(()) } else { Err(pooled(link)) }
}

/// Whether the first connection is still served by that process, while the second one holds another.
async fn keeps(link: &mut Link, first: i32) -> Result<bool> {
    for _ in 0..ROUNDS {
        // It was answered at once before; if not now, whatever serves it is busy with our other connection.
        let Ok(now) = tokio::time::timeout(PATIENCE, pid(link)).await else { return Ok(false) };
        // A connection that is lost says nothing of poolers.
        if now? != Some(first) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the server itself listens where we connected to: then nothing else does. An address of this machine says
/// nothing: it may be the end of a tunnel, and the pooler beside its server.
fn is_direct(link: &Link) -> bool {
    let options = &link.server.options;
    let host: Option<IpAddr> = options.get_host().parse().ok().filter(|host: &IpAddr| !host.is_loopback());
    options.get_socket().is_none() && host.is_some_and(|host| link.facts.at == Some((host, options.get_port())))
}

/// A second connection, in a transaction, and the process that serves it.
async fn hold(link: &Link) -> Result<(sqlx::PgConnection, Option<i32>)> {
    let mut connection = link.server.connect(&link.options).await?;
    let row = wire::row(&mut connection, format!("begin; {PID}")).await;
    let row = row.map_err(|error| link.failed("looking for a pooler", &error))?;
    Ok((connection, number(row)))
}

async fn pid(link: &mut Link) -> Result<Option<i32>> {
    Ok(number(link.row("looking for a pooler", PID.to_owned()).await?))
}

fn number(row: Option<Vec<Option<String>>>) -> Option<i32> {
    row?.into_iter().next()??.parse().ok()
}

fn pooled(link: &Link) -> Error {
    Error::Usage {
        problem: format!(
            "{} is reached through a pooler that shares its connections between transactions (PgBouncer in transaction \
             mode), where a lock of the session is nobody's. Connect to the server itself, or choose the lease that works \
             there: `Postgres::lease(LeaseMode::row())` (on the command line: `--lease row`)",
            link.server.name
        ),
    }
}
