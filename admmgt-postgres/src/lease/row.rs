//! The lease as a row: whoever wrote it last and renews it in time has it. All times are the server's; only when to stop
//! for want of an answer is decided by our own monotonic clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admmgt_core::stored::HISTORY;
use admmgt_core::{
    Acquired, Beat, BoxFuture, Error, Heart, Holder, Lease, LeaseRequest, Renewal, Result, Session, SessionOptions,
    Timestamp, Token, async_trait,
};
use sqlx::PgConnection;

use super::lock;
use crate::link::Link;
use crate::quote;
use crate::server::Server;
use crate::tables::{self, Wanted};
use crate::wire;

/// Its row stays for ever: a token that began again would not tell an old holder from a new one. Where somebody deletes it, tokens
/// go on from the server's time in milliseconds, which the first one is.
pub(crate) const TABLE: &str = "_admmgt_lease";

const WANTED: Wanted = (
    TABLE,
    &[
        ("id", "integer primary key"),
        ("token", "bigint"),
        ("owner", "text"),
        ("by", "text"),
        ("host", "text"),
        ("pid", "bigint"),
        ("since", "timestamptz"),
        ("expires_at", "timestamptz"),
    ],
);

/// Whether a token is the newest and its time is not over, as SQL. The row is kept until the transaction ends, so
/// nobody can take the lease between the proof and the commit.
pub(super) fn is_held(table: &str, token: u64) -> String {
    format!(
        "(select token = {token} and owner is not null and expires_at > clock_timestamp() from {table} where id = 1 for update)"
    )
}

/// Who has the lease by its row, if anybody has; the table is there.
pub(super) async fn holder(link: &mut Link) -> Result<Option<Holder>> {
    let table = link.table(TABLE)?;
    let query = format!(
        "select by, host, pid, (extract(epoch from since) * 1000)::bigint from {table} \
         where id = 1 and owner is not null and expires_at > clock_timestamp()"
    );
    let Some(row) = link.row("asking for the lease", query).await? else { return Ok(None) };
    let mut values = row.into_iter();
    let mut holder = Holder::default();
    holder.by = values.next().flatten();
    holder.host = values.next().flatten();
    holder.pid = values.next().flatten().and_then(|pid| pid.parse().ok());
    holder.since = values.next().flatten().and_then(|since| since.parse().ok()).map(Timestamp);
    holder.place = Some(format!("the row of `{TABLE}`; it ends by itself if it is not renewed"));
    Ok(Some(holder))
}

pub(super) async fn acquire(link: &mut Link, request: &LeaseRequest, ttl: Duration) -> Result<Acquired> {
    let ttl = ttl.clamp(Duration::from_millis(100), Duration::from_secs(86_400));
    tables::create(link, &[WANTED]).await?;
    let (table, owner) = (link.table(TABLE)?, format!("{:032x}", fastrand::u128(..)));
    let asked = Instant::now();
    // The level of isolation is ours: at another one, whoever comes second would fail instead of being told.
    let sql = format!(
        "begin isolation level read committed; {}insert into {table} as l (id, token, owner, by, host, pid, since, expires_at) \
         values (1, (extract(epoch from clock_timestamp()) * 1000)::bigint, {}, {}, {}, {}, clock_timestamp(), {}) \
         on conflict (id) do update set token = l.token + 1, owner = excluded.owner, by = excluded.by, \
         host = excluded.host, pid = excluded.pid, since = excluded.since, expires_at = excluded.expires_at \
         where l.owner is null or l.expires_at <= clock_timestamp() returning token; commit",
        link.settings.for_now(),
        quote::text(&owner),
        quote::text(&request.author.by),
        quote::text(&request.author.host),
        std::process::id(),
        expiry(ttl),
    );
    let row = match wire::row(link.wire(), sql).await {
        Ok(row) => row,
        Err(error) => {
            let failed = link.failed("asking for the lease", &error);
            if !matches!(failed, Error::ConnectionLost { .. }) {
                link.give_up().await;
            }
            // Somebody is just writing it.
            return if matches!(failed, Error::Busy { .. }) {
                Ok(Acquired::No(Holder::default()))
            } else {
                Err(failed)
            };
        }
    };
    let Some(row) = row else {
        // Free by now, if nobody is named.
        return Ok(Acquired::No(holder(link).await?.unwrap_or_default()));
    };
    let token = row[0].as_deref().and_then(|token| token.parse().ok());
    let token = token.ok_or_else(|| Error::corrupt(format!("table `{TABLE}`"), "its token is no number"))?;
    let row = Row { table, owner, token, ttl };
    // Only now that the row is there for everybody: who takes the lock after this look finds the row.
    let locked = format!("select {}", lock::is_locked(&link.table(HISTORY)?));
    let locked = link.row("asking for the lease", locked).await?;
    if locked.is_some_and(|row| row[0].as_deref() == Some("t")) {
        // A process without a pooler in between has it, as a lock.
        link.run("handing back the lease", row.release()).await?;
        let mut holder = Holder::default();
        holder.place = Some("an advisory lock of a connection of its own".to_owned());
        return Ok(Acquired::No(holder));
    }
    let server = Arc::clone(&link.server);
    let renewing = Renewing { row: row.clone(), connection: None, server, options: link.options.clone() };
    Ok(Acquired::Yes(Box::new(RowLease { row, heart: Heart::beat(ttl, asked, renewing) })))
}

fn expiry(ttl: Duration) -> String {
    format!("clock_timestamp() + {} * interval '1 millisecond'", ttl.as_millis())
}

/// The row while it is ours.
#[derive(Debug, Clone)]
struct Row {
    table: String,
    owner: String,
    token: u64,
    ttl: Duration,
}

impl Row {
    fn renew(&self) -> String {
        format!(
            "update {} set expires_at = {} where id = 1 and token = {} and owner = {} and expires_at > clock_timestamp()",
            self.table,
            expiry(self.ttl),
            self.token,
            quote::text(&self.owner)
        )
    }

    fn release(&self) -> String {
        format!(
            "update {} set owner = null where id = 1 and token = {} and owner = {}",
            self.table,
            self.token,
            quote::text(&self.owner)
        )
    }
}

/// Renews it on a connection of its own.
#[derive(Debug)]
struct Renewing {
    row: Row,
    connection: Option<PgConnection>,
    server: Arc<Server>,
    options: SessionOptions,
}

#[async_trait]
impl Renewal for Renewing {
    async fn renew(&mut self) -> Beat {
        // Not put back where it fails, or where the answer is not waited for any more.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.server.connect(&self.options).await {
                Ok(connection) => connection,
                Err(_) => return Beat::Missed,
            },
        };
        match wire::run(&mut connection, self.row.renew()).await {
            Ok(1) => {
                self.connection = Some(connection);
                Beat::Renewed
            }
            Ok(_) => Beat::Gone("another process has taken it, because it was not renewed in time".to_owned()),
            Err(_) => Beat::Missed,
        }
    }
}

/// Dropped, the row ends by itself.
#[derive(Debug)]
struct RowLease {
    row: Row,
    heart: Heart,
}

#[async_trait]
impl Lease for RowLease {
    fn token(&self) -> Option<Token> {
        Some(Token(self.row.token))
    }

    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        self.heart.verify()
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        self.heart.lost()
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        self.heart.stop();
        Link::of(session)?.run("handing back the lease", self.row.release()).await
    }
}
