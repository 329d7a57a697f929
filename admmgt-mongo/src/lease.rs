//! The lease: a document that one operation takes where it is free or over its time, all by the server's clock. Only when
//! to stop for want of an answer is decided by our own monotonic clock.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use admmgt_core::{
    Acquired, Beat, BoxFuture, Error, Heart, Holder, Lease, LeaseRequest, Renewal, Result, Session, Timestamp, Token,
    async_trait,
};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Collection};

use crate::end::{self, End};
use crate::error;
use crate::fence::{self, ENDED, STATE};
use crate::held::{self, Held};
use crate::leftover;
use crate::link::Link;
use crate::records::{signed, whole};
use crate::server::Doing;

const ID: &str = "lease";

const TAKEN: &str = "it was handed back by hand, or another process has taken it";

/// The sessions of those who had it before, and did not hand it back.
const BEFORE: &str = "before";

const NO_TOKEN: &str = "its token is no number";

fn lost(problem: &str) -> Error {
    Error::LeaseLost { problem: problem.to_owned() }
}

/// There is a newer token than this one. If it is ours, this run writes nothing from now on.
pub(crate) fn taken_since(link: &mut Link, fence: Option<Token>) -> Error {
    if fence == link.fence {
        link.owner = None;
    }
    lost("another process has taken it since")
}

/// So long is believed in a transaction what a look at the lease has found. For so long a record can be committed whose lease was
/// taken away by hand, with all of the state.
const BELIEVED: Duration = Duration::from_millis(50);
/// So long a transaction waits for a look. A server whose cache is full of it answers nobody else until it ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at the lease, before something is written: it was handed back by hand, taken away, or its time is over, where it is not
/// ours. (That nobody writes with an older token is seen to by the fence, and by the place that is held in the history.) Asked
/// outside of the session, so that a transaction's snapshot does not hide it.
pub(crate) async fn look(link: &mut Link) -> Result<()> {
    let (Some(Token(token)), Some(owner)) = (link.fence, link.owner.clone()) else {
        return Err(lost("nothing is written without the lease"));
    };
    let asked = Instant::now();
    let ours = doc! { "_id": ID, "token": signed(token), "owner": owner, "$expr": in_time() };
    let state = link.ours(STATE);
    let look = state.find_one(ours).projection(doc! { "_id": 1 });
    let found = if link.in_transaction() {
        if link.looked.is_some_and(|looked| asked.duration_since(looked) < BELIEVED) {
            return Ok(());
        }
        let Ok(found) = tokio::time::timeout(PATIENCE, look.into_future()).await else { return Ok(()) };
        found
    } else {
        look.await
    };
    match found {
        Ok(Some(_)) => {
            link.looked = Some(asked);
            Ok(())
        }
        Ok(None) => {
            link.owner = None;
            Err(lost(TAKEN))
        }
        Err(error) => Err(link.failed("looking at the lease", &error)),
    }
}

/// That its time is not over, as an expression.
fn in_time() -> Document {
    doc! { "$gt": ["$expires_at", "$$NOW"] }
}

fn expiry(ttl: Duration) -> Document {
    doc! { "$add": ["$$NOW", i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)] }
}

/// The sessions of those before, also where there are none yet, as an expression.
fn all_before() -> Document {
    let before = format!("${BEFORE}");
    doc! { "$cond": [{ "$isArray": &before }, &before, []] }
}

/// Whether whoever has the lease next ends what runs in a session.
fn names(found: &Document, session: &Bson) -> bool {
    found.get("session") == Some(session) || found.get_array(BEFORE).is_ok_and(|before| before.contains(session))
}

/// An upsert takes no `$expr`, so the server's `$$NOW` goes into the pipeline of the update.
fn taking(owner: &str, session: &Bson, request: &LeaseRequest, ttl: Duration) -> Vec<Document> {
    let free = doc! { "$or": [
        { "$eq": [{ "$ifNull": ["$owner", null] }, null] },
        { "$lt": ["$expires_at", "$$NOW"] },
    ] };
    let where_free = |new: Bson, old: &str| doc! { "$cond": ["$free", new, old] };
    let text = |text: &str| Bson::from(doc! { "$literal": text });
    vec![
        doc! { "$set": { "free": free } },
        doc! { "$set": {
            "token": where_free(doc! { "$add": [{ "$ifNull": ["$token", 0_i64] }, 1_i64] }.into(), "$token"),
            "owner": where_free(text(owner), "$owner"),
            // In which something may still run.
            BEFORE: where_free(doc! { "$setUnion": [
                all_before(),
                { "$cond": [{ "$eq": [{ "$ifNull": ["$session", null] }, null] }, [], ["$session"]] },
            ] }.into(), &format!("${BEFORE}")),
            "session": where_free(session.clone(), "$session"),
            "by": where_free(text(request.author.by.as_str()), "$by"),
            "host": where_free(text(request.author.host.as_str()), "$host"),
            "pid": where_free(Bson::from(i64::from(std::process::id())), "$pid"),
            "since": where_free("$$NOW".into(), "$since"),
            "expires_at": where_free(expiry(ttl).into(), "$expires_at"),
        } },
        doc! { "$unset": "free" },
    ]
}

pub(crate) async fn acquire(link: &mut Link, request: &LeaseRequest) -> Result<Acquired> {
    if !link.facts.is_writable {
        return Err(error::Asked { what: &link.what }.read_only());
    }
    // Before anything is written: a newer format is left alone.
    let end = end::end(link).await?;
    let (asked, owner) = (Instant::now(), format!("{:032x}", fastrand::u128(..)));
    let (state, written) = (link.ours(STATE), Arc::clone(&link.written));
    let mut ours = Ours { state, owner, ttl: link.server.ttl, written, was_told: false };
    // Whatever becomes of the answer: it is handed back by whoever drops this run, or its link, from now on.
    link.lease = Some(ours.clone());
    let Some(found) = take(link, &ours.owner, request).await? else { return Ok(Acquired::No(Holder::default())) };
    ours.was_told = true;
    link.lease = Some(ours.clone());
    if !found.get_str("owner").is_ok_and(|text| text == &*ours.owner) {
        if !names(&found, &link.session_id()) {
            link.lease = None;
        }
        return Ok(Acquired::No(holder(&found)));
    }
    let token = found.get("token").and_then(whole).and_then(|token| u64::try_from(token).ok());
    let token = token.ok_or_else(|| fence::damaged_in(ID, NO_TOKEN))?;
    let next = match begin(link, &ours, token, &found, end, asked).await? {
        Ok(next) => next,
        Err(others) => return Ok(Acquired::No(others)),
    };
    (link.owner, link.fence, link.looked) = (Some(ours.owner.clone()), Some(Token(token)), Some(asked));
    (link.next, link.is_held) = (Some(next), true);
    let heart = Heart::beat(ours.ttl, asked, ours.clone());
    Ok(Acquired::Yes(Box::new(MongoLease { ours, token, heart })))
}

/// Ends what those before have left running, and sees to it that they write nothing more. Returns the number of the next record,
/// or who is in the way, where the lease was handed back and can be asked for again.
async fn begin(
    link: &mut Link,
    ours: &Ours,
    token: u64,
    found: &Document,
    end: Option<End>,
    asked: Instant,
) -> Result<std::result::Result<u64, Holder>> {
    let before: Vec<Bson> = found.get_array(BEFORE).into_iter().flatten().cloned().collect();
    let until = asked + leftover::PATIENCE.min(ours.ttl / 2);
    for session in &before {
        // The server keeps the transaction of a client that is gone for a minute, with all it has locked, and ends none of its
        // writes.
        if !leftover::end(link.database().client(), session, until).await {
            // They are to end before anything else begins. Whoever asks next tries again.
            give_back(link, ours).await?;
            let mut ending = Holder::default();
            ending.place = Some("what the run before has left running on the server, and is being ended".to_owned());
            return Ok(Err(ending));
        }
    }
    if !before.is_empty() {
        let ended = doc! { "$set": { BEFORE: [] } };
        let ended = ours.state.update_one(ours.document(), ended).await;
        ended.map_err(|error| link.failed("asking for the lease", &error))?;
    }
    Ok(shut_out_others(link, ours, token, end, asked).await?.ok_or_else(Holder::default))
}

/// Takes the document where it is free, and returns it as it is now. `None` where several wrote it at once: this one asks again.
async fn take(link: &mut Link, owner: &str, request: &LeaseRequest) -> Result<Option<Document>> {
    let session = link.session_id();
    let taken = link
        .ours(STATE)
        .find_one_and_update(doc! { "_id": ID }, taking(owner, &session, request, link.server.ttl))
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await;
    match taken {
        Ok(found) => Ok(Some(found.unwrap_or_default())),
        Err(error) if error::has_collided(&error) => Ok(None),
        // One cannot be added to it.
        Err(error) if matches!(error::code(&error), Some(14 | 16554)) => Err(fence::damaged_in(ID, NO_TOKEN)),
        Err(error) => Err(link.failed("asking for the lease", &error)),
    }
}

/// From now on nobody writes who has had the lease before. Returns the number of the next record; `None` where the lease had to
/// be handed back, and can be asked for again.
async fn shut_out_others(
    link: &mut Link,
    ours: &Ours,
    token: u64,
    end: Option<End>,
    asked: Instant,
) -> Result<Option<u64>> {
    let until = asked + Heart::good_for(ours.ttl);
    let newest = match held::hold(link, token, &ours.owner, end, until).await {
        Ok(Held::Place { last }) => match fence::set(link, token, &ours.owner, last).await {
            Ok(None) if Instant::now() < until => return Ok(Some(last + 1)),
            // Too late, or there is a newer token.
            set => set,
        },
        Ok(Held::Newer(newest)) => Ok(Some(newest)),
        Ok(Held::No) => Ok(None),
        Err(error) => Err(error),
    };
    // Others write it again and again: it is asked for again.
    let newest = if let Err(Error::Busy { .. }) = newest { Ok(None) } else { newest };
    if let Ok(Some(newest)) = newest {
        // Asked again, it goes on behind the newest.
        let behind = doc! { "$max": { "token": newest } };
        let _ = ours.state.update_one(doc! { "_id": ID }, behind).await;
    }
    let given_back = give_back(link, ours).await;
    newest?;
    given_back.map(|()| None)
}

/// Hands it back, of a link that goes on. Where it was another's already, that one may end what runs in our session: the client gets
/// it back when nobody names it any more.
async fn give_back(link: &mut Link, ours: &Ours) -> Result<()> {
    let released = ours.release().await;
    if released.map_err(|error| link.failed("handing back the lease", &error))? {
        link.lease = None;
    }
    Ok(())
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

/// The document while it is ours.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    state: Collection<Document>,
    owner: String,
    ttl: Duration,
    /// The last record that the run has written.
    written: Arc<AtomicU64>,
    /// Whether it was answered when it was asked for. If not, it may still be taken.
    was_told: bool,
}

impl Ours {
    /// By its owner, whom nobody else is.
    fn document(&self) -> Document {
        doc! { "_id": ID, "owner": &self.owner }
    }

    fn written(&self) -> i64 {
        signed(self.written.load(Ordering::Relaxed))
    }

    /// The token stays for ever: one that began again would not tell an old holder from a new one. With it is noted up to
    /// which record there is a history. `false` where it is not ours any more.
    async fn release(&self) -> std::result::Result<bool, mongodb::error::Error> {
        let free = doc! { "$set": { "owner": null, "session": null }, "$max": { ENDED: self.written() } };
        self.state.update_one(self.document(), free).await.map(|freed| freed.matched_count == 1)
    }

    /// Whoever has it now, our session goes back to the client, who may use it for something else: nobody is to end that.
    /// `false` where nobody has named it.
    async fn forget(&self, session: &Bson) -> std::result::Result<bool, mongodb::error::Error> {
        let no_more = vec![doc! { "$set": {
            "session": { "$cond": [{ "$eq": ["$session", session] }, null, "$session"] },
            BEFORE: { "$filter": { "input": all_before(), "cond": { "$ne": ["$$this", session] } } },
        } }];
        let named = doc! { "_id": ID, "$or": [{ "session": session }, { BEFORE: session }] };
        self.state.update_one(named, no_more).await.map(|named| named.matched_count > 0)
    }
}

/// A lease that is left by a run that was dropped.
pub(crate) struct Leaving {
    ours: Ours,
    session: ClientSession,
}

impl Leaving {
    pub(crate) fn new(ours: Ours, session: ClientSession) -> Self {
        Self { ours, session }
    }

    /// What may still run in its session is ended, and the lease handed back. The client gets the session back when nobody will end
    /// what runs in it any more, or where that cannot be had for a long time. `doing` until then, and no longer than a lease lasts.
    pub(crate) async fn leave(self, doing: Doing) {
        let ttl = self.ours.ttl;
        let mut leaving = pin!(self.until_left());
        let in_time = tokio::time::timeout(ttl, &mut leaving).await;
        drop(doing);
        let left = match in_time {
            Ok(left) => Ok(left),
            Err(_) => tokio::time::timeout(ttl * LONG, leaving).await,
        };
        if let Ok(true) = left {
            // Whoever has read its name before goes on for so long.
            tokio::time::sleep(leftover::PATIENCE).await;
        }
    }

    /// Whether somebody named the session.
    async fn until_left(&self) -> bool {
        let clock = Instant::now();
        loop {
            if let Some(was_named) = self.left(clock.elapsed() >= LATE).await {
                return was_named;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// `None` where it has to be tried again; else whether somebody named the session.
    async fn left(&self, is_late: bool) -> Option<bool> {
        let id = leftover::id_of(&self.session);
        if !leftover::end(self.ours.state.client(), &id, Instant::now() + leftover::PATIENCE).await {
            return None;
        }
        // One that was asked for, and not answered, may be on its way.
        let is_over = self.ours.release().await.ok()? || self.ours.was_told || is_late;
        let was_named = self.ours.forget(&id).await.ok()?;
        is_over.then_some(was_named)
    }
}

/// So many times as long as a lease lasts it is tried to leave it.
const LONG: u32 = 10;
const AGAIN: Duration = Duration::from_millis(200);
/// So long it is believed that a lease which was asked for comes late.
const LATE: Duration = Duration::from_millis(500);

#[async_trait]
impl Renewal for Ours {
    async fn renew(&mut self) -> Beat {
        let mut ours = self.document();
        ours.insert("$expr", in_time());
        let longer = vec![
            doc! { "$set": { "expires_at": expiry(self.ttl), ENDED: { "$max": [format!("${ENDED}"), self.written()] } } },
        ];
        match self.state.update_one(ours, longer).await {
            Ok(update) if update.matched_count == 1 => Beat::Renewed,
            Ok(_) => Beat::Gone(TAKEN.to_owned()),
            Err(_) => Beat::Missed,
        }
    }
}

#[derive(Debug)]
struct MongoLease {
    ours: Ours,
    token: u64,
    heart: Heart,
}

#[async_trait]
impl Lease for MongoLease {
    fn token(&self) -> Option<Token> {
        Some(Token(self.token))
    }

    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        self.heart.verify()
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        self.heart.lost()
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        let link = Link::of(session)?;
        // A body can have left something running: a statement for which it did not wait.
        let (id, until) = (link.session_id(), Instant::now() + leftover::PATIENCE);
        if !leftover::none_is_left(link.database().client(), &id, until).await {
            let problem = "what the run has left running on the server could not be ended";
            return Err(Error::database("handing back the lease", None, problem));
        }
        self.heart.stop();
        give_back(link, &self.ours).await?;
        (link.owner, link.fence, link.looked) = (None, None, None);
        (link.next, link.is_held) = (None, false);
        Ok(())
    }
}
