//! The lease as a row: whoever wrote it last and renews it in time has it. All times are the server's; only when to stop
//! for want of an answer is decided by our own monotonic clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admmgt_core::stored::HISTORY;
use admmgt_core::{
    Acquired, BoxFuture, Error, Holder, Lease, LeaseRequest, Result, Session, SessionOptions, Timestamp, Token,
    async_trait,
};
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::lock;
use crate::link::Link;
use crate::quote;
use crate::server::Server;
use crate::tables::{self, Wanted};
use crate::wire;

/// Its row stays for ever: a token that began again would not tell an old holder from a new one.
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
    let ttl = ttl.max(Duration::from_millis(100));
    tables::create(link, &[WANTED]).await?;
    let (table, owner) = (link.table(TABLE)?, format!("{:032x}", fastrand::u128(..)));
    let asked = Instant::now();
    // The level of isolation is ours: at another one, whoever comes second would fail instead of being told.
    let sql = format!(
        "begin isolation level read committed; {}insert into {table} as l (id, token, owner, by, host, pid, since, expires_at) \
         values (1, 1, {}, {}, {}, {}, clock_timestamp(), {}) \
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
    let renewal = Renewal { table, owner, token, ttl };
    // Only now that the row is there for everybody: who takes the lock after this look finds the row.
    let locked = format!("select {}", lock::is_locked(&link.table(HISTORY)?));
    let locked = link.row("asking for the lease", locked).await?;
    if locked.is_some_and(|row| row[0].as_deref() == Some("t")) {
        // A process without a pooler in between has it, as a lock.
        link.run("handing back the lease", renewal.release()).await?;
        let mut holder = Holder::default();
        holder.place = Some("an advisory lock of a connection of its own".to_owned());
        return Ok(Acquired::No(holder));
    }
    let lease = RowLease::keep(renewal, asked, Arc::clone(&link.server), link.options.clone());
    Ok(Acquired::Yes(Box::new(lease)))
}

fn expiry(ttl: Duration) -> String {
    format!("clock_timestamp() + {} * interval '1 millisecond'", ttl.as_millis())
}

/// What is renewed.
#[derive(Debug, Clone)]
struct Renewal {
    table: String,
    owner: String,
    token: u64,
    ttl: Duration,
}

impl Renewal {
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

    /// For how long after the last renewal was asked for the lease is ours beyond doubt.
    fn good_for(&self) -> Duration {
        self.ttl - self.ttl / 6
    }
}

/// Renews until it is stopped or the lease is lost; says so in words then.
async fn heartbeat(
    renewal: Renewal,
    mut renewed: Instant,
    server: Arc<Server>,
    options: SessionOptions,
    lost: watch::Sender<Option<String>>,
) {
    let mut connection: Option<PgConnection> = None;
    loop {
        let end = renewed + renewal.good_for();
        tokio::time::sleep(renewal.ttl / 3).await;
        let problem = loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Some(format!("it could not be renewed for {:?}", renewal.good_for()));
            }
            let asked = Instant::now();
            let beat = beat(&mut connection, &renewal, &server, &options);
            match tokio::time::timeout(left, beat).await {
                Ok(Ok(1)) => {
                    renewed = asked;
                    break None;
                }
                Ok(Ok(_)) => break Some("another process has taken it, because it was not renewed in time".to_owned()),
                // The connection was lost, or the server has none: there is time for another try.
                Ok(Err(())) => tokio::time::sleep((renewal.ttl / 30).min(left)).await,
                Err(_) => {}
            }
            connection = None;
        };
        if let Some(problem) = problem {
            let _ = lost.send(Some(problem));
            return;
        }
    }
}

async fn beat(
    connection: &mut Option<PgConnection>,
    renewal: &Renewal,
    server: &Server,
    options: &SessionOptions,
) -> std::result::Result<u64, ()> {
    if connection.is_none() {
        *connection = Some(server.connect(options).await.map_err(drop)?);
    }
    let Some(connection) = connection else { return Err(()) };
    wire::run(connection, renewal.renew()).await.map_err(drop)
}

#[derive(Debug)]
struct RowLease {
    renewal: Renewal,
    heart: JoinHandle<()>,
    lost: watch::Receiver<Option<String>>,
}

impl RowLease {
    fn keep(renewal: Renewal, asked: Instant, server: Arc<Server>, options: SessionOptions) -> Self {
        let (send, lost) = watch::channel(None);
        let heart = tokio::spawn(heartbeat(renewal.clone(), asked, server, options, send));
        Self { renewal, heart, lost }
    }
}

impl Drop for RowLease {
    /// The row ends by itself where it is not handed back.
    fn drop(&mut self) {
        self.heart.abort();
    }
}

#[async_trait]
impl Lease for RowLease {
    fn token(&self) -> Option<Token> {
        Some(Token(self.renewal.token))
    }

    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        match self.lost.borrow().clone() {
            Some(problem) => Err(Error::LeaseLost { problem }),
            None => Ok(()),
        }
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        let mut lost = self.lost.clone();
        Box::pin(async move {
            let told = lost.wait_for(Option::is_some).await.ok().and_then(|problem| problem.clone());
            match told {
                Some(problem) => Error::LeaseLost { problem },
                // The heartbeat was stopped: nobody asks any more.
                None => std::future::pending().await,
            }
        })
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        self.heart.abort();
        let sql = self.renewal.release();
        Link::of(session)?.run("handing back the lease", sql).await
    }
}
