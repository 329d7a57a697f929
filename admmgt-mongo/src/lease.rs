//! The lease: a document that one operation takes where it is free or over its time, all by the server's clock. Only when
//! to stop for want of an answer is decided by our own monotonic clock.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use admmgt_core::{
    Acquired, BoxFuture, Error, Holder, Lease, LeaseRequest, Result, Session, Timestamp, Token, async_trait,
};
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error;
use crate::head::{self, STATE};
use crate::link::Link;
use crate::records::signed;

const ID: &str = "lease";

pub(crate) fn lost(problem: &str) -> Error {
    Error::LeaseLost { problem: problem.to_owned() }
}

/// A look at the lease: whether it is this run's. It was handed back by hand, taken away, or its time is over, where it is
/// not. Asked outside of the session, so that a transaction's snapshot does not hide it.
pub(crate) struct Look {
    state: Collection<Document>,
    ours: Document,
}

impl Look {
    pub(crate) fn new(link: &Link, fence: Option<Token>) -> Result<Self> {
        let (Some(Token(token)), Some(owner)) = (fence, link.owner.clone()) else {
            return Err(lost("nothing is written without the lease"));
        };
        let time = doc! { "$gt": ["$expires_at", "$$NOW"] };
        let ours = doc! { "_id": ID, "token": signed(token), "owner": owner, "$expr": time };
        Ok(Self { state: link.ours(STATE), ours })
    }

    pub(crate) async fn is_held(&self) -> Answered {
        let found = self.state.find_one(self.ours.clone()).projection(doc! { "_id": 1 }).await;
        found.map(|found| found.is_some())
    }
}

type Answered = std::result::Result<bool, mongodb::error::Error>;

/// What a look has told.
pub(crate) fn judged(link: &mut Link, held: Answered) -> Result<()> {
    match held {
        Ok(true) => Ok(()),
        Ok(false) => Err(lost("it was handed back by hand, or another process has taken it")),
        Err(error) => Err(link.failed("looking at the lease", &error)),
    }
}

/// An upsert takes no `$expr`, so the server's `$$NOW` goes into the pipeline of the update.
fn taking(owner: &str, session: &Bson, request: &LeaseRequest, ttl: Duration) -> Vec<Document> {
    let free = doc! { "$or": [
        { "$eq": [{ "$ifNull": ["$owner", null] }, null] },
        { "$lt": ["$expires_at", "$$NOW"] },
    ] };
    let where_free = |new: Bson, old: &str| doc! { "$cond": ["$free", new, old] };
    let text = |text: &str| Bson::from(doc! { "$literal": text });
    let expiry = doc! { "$add": ["$$NOW", i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)] };
    vec![
        doc! { "$set": { "free": free } },
        doc! { "$set": {
            "token": where_free(doc! { "$add": [{ "$ifNull": ["$token", 0_i64] }, 1_i64] }.into(), "$token"),
            "owner": where_free(text(owner), "$owner"),
            // Whose transaction may still be open.
            "before": where_free(doc! { "$ifNull": ["$session", null] }.into(), "$before"),
            "session": where_free(session.clone(), "$session"),
            "by": where_free(text(request.author.by.as_str()), "$by"),
            "host": where_free(text(request.author.host.as_str()), "$host"),
            "pid": where_free(Bson::from(i64::from(std::process::id())), "$pid"),
            "since": where_free("$$NOW".into(), "$since"),
            "expires_at": where_free(expiry.into(), "$expires_at"),
        } },
        doc! { "$unset": "free" },
    ]
}

pub(crate) async fn acquire(link: &mut Link, request: &LeaseRequest) -> Result<Acquired> {
    if !link.facts.is_writable {
        return Err(error::Asked { what: &link.what }.read_only());
    }
    let (owner, ttl) = (format!("{:032x}", fastrand::u128(..)), link.server.ttl);
    let session = link.handle().session().id().get("id").cloned().unwrap_or(Bson::Null);
    let state = link.ours(STATE);
    let asked = Instant::now();
    let taken = state
        .find_one_and_update(doc! { "_id": ID }, taking(&owner, &session, request, ttl))
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await;
    let found = match taken {
        Ok(found) => found.unwrap_or_default(),
        // Several made or wrote the document at once; this one asks again.
        Err(error) if matches!(error::code(&error), Some(11000 | 112)) => return Ok(Acquired::No(Holder::default())),
        Err(error) => return Err(link.failed("asking for the lease", &error)),
    };
    if found.get_str("owner") != Ok(&*owner) {
        return Ok(Acquired::No(holder(&found)));
    }
    let token = found.get_i64("token").ok().and_then(|token| u64::try_from(token).ok());
    let token = token.ok_or_else(|| {
        Error::corrupt(format!("the document `{ID}` of the state"), "its token is no number; restore it from a backup")
    })?;
    let renewal = Renewal { state, owner: owner.clone(), token, ttl };
    if let Some(before @ Bson::Binary(_)) = found.get("before") {
        // The server keeps the transaction of a client that is gone for a minute, with all it has locked. It is the same
        // user's; where it is not, that minute is waited for.
        link.kill(before.clone()).await;
    }
    let newest = match head::fence(link, token).await {
        Ok(newest) => newest,
        Err(error) => {
            let _ = renewal.release().await;
            return Err(error);
        }
    };
    if newest > signed(token) || asked.elapsed() >= renewal.good_for() {
        // Somebody took the document away and its tokens began anew; or the fence was waited for for too long. Asked again,
        // it goes on behind the newest.
        let behind = doc! { "$max": { "token": newest } };
        let _ = renewal.state.update_one(doc! { "_id": ID }, behind).await;
        renewal.owner_released().await;
        return Ok(Acquired::No(Holder::default()));
    }
    link.owner = Some(owner);
    Ok(Acquired::Yes(Box::new(MongoLease::keep(renewal, asked))))
}

fn holder(found: &Document) -> Holder {
    let text = |name| found.get_str(name).ok().map(str::to_owned);
    let mut holder = Holder::default();
    holder.by = text("by");
    holder.host = text("host");
    holder.pid = found.get_i64("pid").ok().and_then(|pid| u32::try_from(pid).ok());
    holder.since = found.get_datetime("since").ok().map(|since| Timestamp(since.timestamp_millis()));
    holder.place = Some(format!("the document `{ID}` of the state; it ends by itself if it is not renewed"));
    holder
}

/// What is renewed.
#[derive(Debug, Clone)]
struct Renewal {
    state: Collection<Document>,
    owner: String,
    token: u64,
    ttl: Duration,
}

impl Renewal {
    /// Whether it is ours for another time.
    async fn renew(&self) -> std::result::Result<bool, mongodb::error::Error> {
        let ours = doc! {
            "_id": ID, "token": signed(self.token), "owner": &self.owner,
            "$expr": { "$gt": ["$expires_at", "$$NOW"] },
        };
        let millis = i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX);
        let longer = vec![doc! { "$set": { "expires_at": { "$add": ["$$NOW", millis] } } }];
        Ok(self.state.update_one(ours, longer).await?.matched_count == 1)
    }

    /// The token stays for ever: one that began again would not tell an old holder from a new one.
    async fn release(&self) -> std::result::Result<(), mongodb::error::Error> {
        let ours = doc! { "_id": ID, "token": signed(self.token), "owner": &self.owner };
        self.state.update_one(ours, doc! { "$set": { "owner": null, "session": null } }).await.map(drop)
    }

    /// Frees it by the owner alone: its token has just been put forward.
    async fn owner_released(&self) {
        let ours = doc! { "_id": ID, "owner": &self.owner };
        let _ = self.state.update_one(ours, doc! { "$set": { "owner": null, "session": null } }).await;
    }

    /// For how long after the last renewal was asked for the lease is ours beyond doubt.
    fn good_for(&self) -> Duration {
        self.ttl - self.ttl / 6
    }
}

/// Renews until it is stopped or the lease is lost; says so in words then.
async fn heartbeat(renewal: Renewal, renewed: Arc<Mutex<Instant>>, lost: watch::Sender<Option<String>>) {
    loop {
        let end = at(&renewed) + renewal.good_for();
        tokio::time::sleep(renewal.ttl / 3).await;
        let problem = loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Some(format!("it could not be renewed for {:?}", renewal.good_for()));
            }
            let asked = Instant::now();
            match tokio::time::timeout(left, renewal.renew()).await {
                Ok(Ok(true)) => {
                    *renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                    break None;
                }
                Ok(Ok(false)) => break Some("it was handed back by hand, or another process has taken it".to_owned()),
                // There is time for another try.
                Ok(Err(_)) => tokio::time::sleep((renewal.ttl / 30).min(left)).await,
                Err(_) => {}
            }
        };
        if let Some(problem) = problem {
            let _ = lost.send(Some(problem));
            return;
        }
    }
}

fn at(renewed: &Mutex<Instant>) -> Instant {
    *renewed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct MongoLease {
    renewal: Renewal,
    /// When the last renewal was asked for: a process that slept looks at this before its heartbeat wakes.
    renewed: Arc<Mutex<Instant>>,
    heart: JoinHandle<()>,
    lost: watch::Receiver<Option<String>>,
}

impl MongoLease {
    fn keep(renewal: Renewal, asked: Instant) -> Self {
        let (send, lost) = watch::channel(None);
        let renewed = Arc::new(Mutex::new(asked));
        let heart = tokio::spawn(heartbeat(renewal.clone(), Arc::clone(&renewed), send));
        Self { renewal, renewed, heart, lost }
    }

    fn is_over(renewal: &Renewal, renewed: &Mutex<Instant>) -> Option<Error> {
        let over = at(renewed).elapsed() >= renewal.good_for();
        over.then(|| lost(&format!("it was not renewed for {:?}", renewal.good_for())))
    }
}

impl Drop for MongoLease {
    /// The document ends by itself where it is not handed back.
    fn drop(&mut self) {
        self.heart.abort();
    }
}

#[async_trait]
impl Lease for MongoLease {
    fn token(&self) -> Option<Token> {
        Some(Token(self.renewal.token))
    }

    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        if let Some(problem) = self.lost.borrow().clone() {
            return Err(Error::LeaseLost { problem });
        }
        Self::is_over(&self.renewal, &self.renewed).map_or(Ok(()), Err)
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        let mut lost = self.lost.clone();
        let (renewal, renewed) = (self.renewal.clone(), Arc::clone(&self.renewed));
        let mut told = Box::pin(async move {
            let told = lost.wait_for(Option::is_some).await.ok().and_then(|problem| problem.clone());
            match told {
                Some(problem) => Error::LeaseLost { problem },
                // The heartbeat was stopped: nobody asks any more.
                None => std::future::pending().await,
            }
        });
        Box::pin(std::future::poll_fn(move |task| match Self::is_over(&renewal, &renewed) {
            Some(error) => Poll::Ready(error),
            None => told.as_mut().poll(task),
        }))
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        self.heart.abort();
        let link = Link::of(session)?;
        // They stand with the heads, where this cannot be done.
        let _ = head::flush(link).await;
        let released = self.renewal.release().await;
        released.map_err(|error| link.failed("handing back the lease", &error))?;
        link.owner = None;
        Ok(())
    }
}
