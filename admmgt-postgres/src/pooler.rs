//! Finds out whether a pooler stands between us and the server that gives a connection away between transactions.
//!
//! A lock of the session would stay with the server's connection then, and be anybody's. Two connections of ours tell:
//! while one holds a transaction, it cannot be the process that serves the other, and that one keeps its process.

use std::net::IpAddr;
use std::time::Duration;

use admmgt_core::{Error, Result};
use sqlx::Connection;

use crate::session::PgSession;
use crate::wire;

/// How long the second connection is waited for. A pooler that has none left lets us wait.
const PATIENCE: Duration = Duration::from_secs(2);

const PID: &str = "select pg_backend_pid()";

/// Refuses to go on behind such a pooler.
pub(crate) async fn refuse(session: &mut PgSession) -> Result<()> {
    if is_direct(session) {
        return Ok(());
    }
    let Some(first) = session.facts.pid else { return Ok(()) };
    let other = tokio::time::timeout(PATIENCE, hold(session)).await;
    let Ok(Ok((mut connection, other))) = other else {
        // The server has no second connection for us. Every write proves that the lock is ours, too.
        let now = pid(session).await?;
        return if now == Some(first) { Ok(()) } else { Err(pooled(session)) };
    };
    let now = tokio::time::timeout(PATIENCE, pid(session)).await;
    let _ = wire::run(&mut connection, "rollback".to_owned()).await;
    let _ = connection.close().await;
    match now {
        Ok(now) => match now? {
            Some(now) if now == first && other != Some(first) => Ok(()),
            _ => Err(pooled(session)),
        },
        // It was answered at once before: whatever serves it is busy with our other connection.
        Err(_) => Err(pooled(session)),
    }
}

/// Whether the server itself listens where we connected to: then nothing else does.
fn is_direct(session: &PgSession) -> bool {
    let options = &session.base.options;
    let host: Option<IpAddr> = match options.get_host() {
        _ if options.get_socket().is_some() => None,
        "localhost" => session.facts.at.map(|(address, _)| address).filter(IpAddr::is_loopback),
        host => host.parse().ok(),
    };
    host.is_some_and(|host| session.facts.at == Some((host, options.get_port())))
}

/// A second connection, in a transaction, and the process that serves it.
async fn hold(session: &PgSession) -> Result<(sqlx::PgConnection, Option<i32>)> {
    let mut connection = session.base.connect(&session.options).await?;
    let row = wire::row(&mut connection, format!("begin; {PID}")).await;
    let row = row.map_err(|error| session.failed("looking for a pooler", &error))?;
    Ok((connection, number(row)))
}

async fn pid(session: &mut PgSession) -> Result<Option<i32>> {
    Ok(number(session.row("looking for a pooler", PID.to_owned()).await?))
}

fn number(row: Option<Vec<Option<String>>>) -> Option<i32> {
    row?.into_iter().next()??.parse().ok()
}

fn pooled(session: &PgSession) -> Error {
    Error::Usage {
        problem: format!(
            "{} is reached through a pooler that shares its connections between transactions (PgBouncer in transaction \
             mode), where a lock of the session is nobody's. Connect to the server itself, or choose the lease that works \
             there: `Postgres::lease(LeaseMode::row())` (on the command line: `--lease row`)",
            session.base.name
        ),
    }
}
