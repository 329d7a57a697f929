//! What a run promises of backfills: each batch is there with its checkpoint, or neither is.

use std::future::pending;
use std::time::Duration;

use admmgt_core::{BatchEnd, Batches, BoxError, Context, Migrations, TransactionMode};
use async_trait::async_trait;

use super::ground::{Code, Ground};
use super::writer::Writer;
use super::{Checked, tests};
use crate::Step;

tests! { "executor":
    a_batch_that_a_body_drops_takes_nothing_with_it,
}

/// Runs a text in its only batch, which never ends where it is `stuck`.
struct Once {
    script: String,
    stuck: bool,
}

#[async_trait]
impl Batches for Once {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("1", 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        cx.execute_script(&self.script).await?;
        if self.stuck {
            pending::<()>().await;
        }
        Ok(1)
    }
}

/// Its transaction is open then. What the body does next, and its record, are not to go with it.
async fn a_batch_that_a_body_drops_takes_nothing_with_it(on: Ground) -> Checked {
    on.needs_outside().await?;
    let mut writer = Writer::new(&on).await;
    writer.keeps_checkpoints().await?;
    writer.end().await;
    let texts =
        [on.script(&[Step::Make("kit_a")])?, on.script(&[Step::Make("kit_b")])?, on.script(&[Step::Make("kit_c")])?];
    let code = Code::new("1", move |cx| {
        let [stuck, other, behind] = texts.clone();
        Box::pin(async move {
            let mut stuck = Once { script: stuck, stuck: true };
            let patience = Duration::from_millis(300);
            tokio::time::timeout(patience, cx.backfill("stuck").run(&mut stuck)).await.expect_err("it never ends");
            cx.backfill("other").run(&mut Once { script: other, stuck: false }).await?;
            stuck.script.clear();
            tokio::time::timeout(patience, cx.backfill("again").run(&mut stuck)).await.expect_err("it never ends");
            cx.execute_script(&behind).await?;
            tokio::time::timeout(patience, cx.backfill("last").run(&mut stuck)).await.expect_err("it never ends");
            Ok(())
        })
    });
    let code = code.with(|meta| meta.transaction(TransactionMode::None));
    let migrator = on.migrator(Migrations::default().and(code));
    migrator.up().await.expect("it ends");
    assert!(migrator.status().await.expect("a status").is_current());
    let kept =
        if on.needs_transactions().await.is_ok() { &["kit_b", "kit_c"][..] } else { &["kit_a", "kit_b", "kit_c"] };
    assert_eq!(on.names().await, kept);
    Ok(())
}
