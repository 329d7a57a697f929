//! What a run has left running on the server: a client that goes away ends no write and no index that is being built.

use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Bson, doc};
use mongodb::error::Result;

use crate::error;

const PAUSE: Duration = Duration::from_millis(10);

/// Ends what runs in a session, and its transaction. It is of the same user; where that is not so, the server ends a transaction
/// after a minute.
pub(crate) async fn kill(client: &Client, session: &Bson) -> Result<()> {
    let kill = doc! { "killSessions": [{ "id": session }] };
    client.database("admin").run_command(kill).await.map(drop)
}

/// Ends what runs in a session, and waits until it has ended: `false` where it has not by then.
///
/// # Errors
/// Where nothing can be asked. A server that refuses to tell what runs is believed that it is nothing.
pub(crate) async fn end(client: &Client, session: &Bson, until: Instant) -> Result<bool> {
    let answered = |killed: &Result<()>| killed.as_ref().err().is_none_or(|error| error::code(error).is_some());
    let mut killed = kill(client, session).await;
    if !answered(&killed) {
        // The client asks only once.
        killed = kill(client, session).await;
    }
    if !answered(&killed) {
        return killed.map(|()| false);
    }
    while runs(client, session).await {
        if Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(true)
}

async fn runs(client: &Client, session: &Bson) -> bool {
    let pipeline = vec![
        doc! { "$currentOp": {} },
        doc! { "$match": { "lsid.id": session, "active": true } },
        doc! { "$limit": 1 },
        doc! { "$project": { "opid": 1 } },
    ];
    match client.database("admin").aggregate(pipeline).await {
        Ok(mut cursor) => cursor.advance().await.unwrap_or(false),
        Err(_) => false,
    }
}
