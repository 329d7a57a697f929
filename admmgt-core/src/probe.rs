//! Asks an interrupted migration's own function how far it came.

use crate::driver::Atomicity;
use crate::executor::caught;
use crate::{BoxError, Context, Migration, Origin, Probed, Result};

/// What the probe says. What it writes is rolled back where the database can; that it fails or panics is told
/// apart from that it cannot tell.
pub(crate) async fn look(migration: &dyn Migration, cx: &mut Context) -> Result<std::result::Result<Probed, BoxError>> {
    let in_transaction = cx.session().capabilities().transactions;
    if in_transaction {
        cx.session().begin(Origin::Code).await?;
    }
    cx.enter(migration.meta(), None);
    let answer = caught(migration.probe(cx)).await;
    cx.leave();
    if in_transaction && cx.session().rollback().await? == Atomicity::Broken {
        let words = "it ended the transaction by itself; a probe only looks";
        return cx.session().reset().await.map(|()| Err(words.into()));
    }
    cx.session().reset().await?;
    Ok(answer)
}
