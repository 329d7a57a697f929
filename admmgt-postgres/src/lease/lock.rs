//! The lease as an advisory lock of our connection. It is tried, never waited for: whoever waits inside of a statement
//! holds a snapshot, and `create index concurrently` of the holder waits for that in turn.

use admmgt_core::stored::HISTORY;
use admmgt_core::{Acquired, Error, Holder, Lease, Result, Session, Timestamp, async_trait};

use super::row;
use crate::link::Link;
use crate::quote;

/// The first half of the key of every lock of ours: `admm`.
const CLASS: u32 = 0x6164_6d6d;

/// The second half: histories in different schemas have locks of their own. (Databases have by themselves.)
fn key(history: &str) -> u32 {
    // FNV-1a, 32 bits.
    history.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// As the server's functions take a key.
fn pair(key: u32) -> String {
    format!("{}, {}", CLASS.cast_signed(), key.cast_signed())
}

/// Whether somebody has the lock of a history.
pub(super) fn is_locked(history: &str) -> String {
    format!("exists (select from pg_catalog.pg_locks l where {})", is_ours(key(history)))
}

fn is_ours(key: u32) -> String {
    format!(
        "l.locktype = 'advisory' and l.classid = {CLASS} and l.objid = {key} and l.objsubid = 2 and l.granted \
         and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())"
    )
}

/// Whether the lock is ours, as SQL. It was taken twice: letting go of it once and taking it again proves that, and
/// nobody else can have it in between.
pub(super) fn is_held(key: u32) -> String {
    format!("pg_advisory_unlock({0}) and pg_try_advisory_lock({0})", pair(key))
}

pub(super) async fn acquire(link: &mut Link) -> Result<Acquired> {
    let key = key(&link.table(HISTORY)?);
    let pair = pair(key);
    // Twice, if at all; and whether there is a row that stands for the lease behind a pooler.
    let query = format!(
        "select case when pg_try_advisory_lock({pair}) then pg_try_advisory_lock({pair}) end, to_regclass({}) is not null",
        quote::text(&link.table(row::TABLE)?),
    );
    let answer = link.row("asking for the lease", query).await?.unwrap_or_default();
    if answer.first().and_then(Option::as_deref) != Some("t") {
        return holder(link, key).await.map(Acquired::No);
    }
    if answer.get(1).and_then(Option::as_deref) == Some("t")
        && let Some(holder) = row::holder(link).await?
    {
        release(link, key).await?;
        return Ok(Acquired::No(holder));
    }
    link.locked = Some(key);
    Ok(Acquired::Yes(Box::new(LockLease { key })))
}

/// Who has the lock, as the server knows them; nobody, if it is free by now.
async fn holder(link: &mut Link, key: u32) -> Result<Holder> {
    let query = format!(
        "select a.pid, a.application_name || case when a.usename is null then '' else ' as ' || a.usename end,
                coalesce(a.client_hostname, host(a.client_addr)), (extract(epoch from a.backend_start) * 1000)::bigint,
                a.state || coalesce(' since ' || a.state_change::timestamptz(0)::text, '')
         from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid where {} limit 1",
        is_ours(key)
    );
    let row = link.row("asking who has the lease", query).await?.unwrap_or_default();
    let mut holder = Holder::default();
    let Ok([pid, name, client, began, doing]) = <[_; 5]>::try_from(row) else { return Ok(holder) };
    holder.by = name;
    holder.host = client;
    holder.since = began.and_then(|began| began.parse().ok()).map(Timestamp);
    holder.place = pid.map(|pid| {
        let doing = doing.map(|doing| format!(", {doing}")).unwrap_or_default();
        format!("server process {pid}{doing}; `select pg_terminate_backend({pid})` takes it from there")
    });
    Ok(holder)
}

async fn release(link: &mut Link, key: u32) -> Result<()> {
    let pair = pair(key);
    let query = format!("select pg_advisory_unlock({pair}) and pg_advisory_unlock({pair})");
    let row = link.row("handing back the lease", query).await?;
    if row.is_some_and(|row| row[0].as_deref() == Some("t")) {
        return Ok(());
    }
    Err(Error::LeaseLost { problem: "it was not held any more when it was handed back".to_owned() })
}

#[derive(Debug)]
struct LockLease {
    key: u32,
}

#[async_trait]
impl Lease for LockLease {
    /// Every write proves that it is held, in its own message; asking here too would cost a round trip for each step.
    async fn verify(&mut self, session: &mut dyn Session) -> Result<()> {
        match Link::of(session)?.locked {
            Some(_) => Ok(()),
            None => Err(Error::LeaseLost { problem: "it was handed back".to_owned() }),
        }
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        let link = Link::of(session)?;
        link.locked = None;
        release(link, self.key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_history_has_a_lock_of_its_own() {
        assert_eq!(key(""), 0x811c_9dc5);
        assert_ne!(key("\"tenant_1\"._admmgt_history"), key("\"tenant_2\"._admmgt_history"));
        assert_eq!(pair(u32::MAX), "1633971565, -1");
    }
}
