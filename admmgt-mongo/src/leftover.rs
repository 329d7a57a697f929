//! What a run has left running on the server: a client that goes away ends no write and no index that is being built.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Result;
use mongodb::{Client, ClientSession};

use crate::command;
use crate::error;

/// Answers of a server that has no such command, or does not let us: no right, an unknown command or stage, a strict API, Atlas.
const REFUSED: [i32; 5] = [13, 59, 323, 8000, 40324];

fn is_refused(error: &mongodb::error::Error) -> bool {
    error::code(error).is_some_and(|code| REFUSED.contains(&code))
}

/// What the server knows a session by.
pub(crate) fn id_of(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap_or(Bson::Null)
}

/// Between two looks; and so long a command may still be on its way to the server, of a client that has just been dropped.
const PAUSE: Duration = Duration::from_millis(10);

/// So long it may take to end when it is told to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Ends what runs in a session, and its transaction. It is of the same user; where that is not so, the server ends a transaction
/// after a minute.
async fn kill(client: &Client, session: &Bson) -> Result<()> {
    let kill = doc! { "killSessions": [{ "id": session }] };
    match client.database("admin").run_command(kill).await {
        Err(error) if is_refused(&error) => Ok(()),
        killed => killed.map(drop),
    }
}

/// Ends what runs in a session of which nobody waits for an answer any more, and waits until it has ended: `false` where it has
/// not by then, or nobody can be asked.
pub(crate) async fn end(client: &Client, session: &Bson, until: Instant) -> bool {
    let ending = async {
        // By then the session may be the client's again, for something else.
        while Instant::now() < until {
            // Again each time: what was on its way when the first came was not ended by it.
            if kill(client, session).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
                if let Ok(false) = runs(client, session).await {
                    return true;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    };
    tokio::time::timeout_at(until.into(), ending).await.unwrap_or(false)
}

/// As [`end`], where all that was asked for has most likely been answered: one look is enough.
pub(crate) async fn none_is_left(client: &Client, session: &Bson, until: Instant) -> bool {
    let looked = async { kill(client, session).await.is_ok() && matches!(runs(client, session).await, Ok(false)) };
    matches!(tokio::time::timeout_at(until.into(), looked).await, Ok(true)) || end(client, session, until).await
}

/// A server that refuses to tell is believed that it is nothing. Asked of the primary, with no concern of the client's.
async fn runs(client: &Client, session: &Bson) -> Result<bool> {
    let pipeline: Vec<Document> = vec![
        doc! { "$currentOp": {} },
        // Without this question, which may have come in that session.
        doc! { "$match": { "lsid.id": session, "active": true, "ns": { "$ne": "admin.$cmd.aggregate" } } },
        doc! { "$limit": 1 },
        doc! { "$project": { "opid": 1 } },
    ];
    let asked = client.database("admin").run_command(doc! { "aggregate": 1, "pipeline": pipeline, "cursor": {} }).await;
    match asked {
        Ok(reply) => Ok(!command::first_batch(&reply).is_empty()),
        Err(error) if is_refused(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
