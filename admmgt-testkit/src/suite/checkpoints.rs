//! What a store promises of the checkpoints of backfills: they come back as they were, and only their holder saves them.

use admmgt_core::{Checkpoint, CheckpointKey, Error, Result, Token};

use super::ground::Ground;
use super::writer::{Writer, named};
use super::{Checked, Skip, tests};

tests! { "store":
    a_checkpoint_comes_back_as_it_was_saved,
    a_checkpoint_of_a_stale_token_is_not_saved,
}

/// A checkpoint that says so much of itself.
fn checkpoint(begun: u64) -> Checkpoint {
    Checkpoint::stored(begun, Some("a 'key', with / all \u{1f600} of it\n".to_owned()), begun * 2, begun + 1, false)
}

impl Writer {
    async fn save(&mut self, name: &str, checkpoint: &Checkpoint, fence: Option<Token>) -> Result<()> {
        let key = CheckpointKey::new(named("1"), name);
        self.store.save_checkpoint(&mut *self.session, &key, checkpoint, fence).await
    }

    async fn saved(&mut self, name: &str) -> Result<Option<Checkpoint>> {
        self.store.checkpoint(&mut *self.session, &CheckpointKey::new(named("1"), name)).await
    }

    /// Left out where the store keeps no checkpoints.
    pub(super) async fn keeps_checkpoints(&mut self) -> Checked {
        match self.saved("none").await {
            Err(Error::Unsupported { .. }) => Err(Skip("its store keeps no checkpoints".to_owned())),
            found => {
                assert_eq!(found.expect("an answer"), None, "none was saved");
                Ok(())
            }
        }
    }
}

async fn a_checkpoint_comes_back_as_it_was_saved(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    writer.keeps_checkpoints().await?;
    let token = writer.lease.token();
    // Names are free texts.
    for (name, begun) in [("one", 1), ("one/two", 2), ("../one", 3), ("Ünë 'quoted' \"$\".", 4)] {
        writer.save(name, &checkpoint(begun), token).await.expect("it is saved");
    }
    for (name, begun) in [("one", 1), ("one/two", 2), ("../one", 3), ("Ünë 'quoted' \"$\".", 4)] {
        assert_eq!(writer.saved(name).await.expect("an answer"), Some(checkpoint(begun)), "{name}");
    }
    let last = Checkpoint::stored(9, None, 0, 0, true);
    writer.save("one", &last, token).await.expect("it is saved over the one before");
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(last.clone()));
    writer.end().await;
    let mut writer = Writer::new(&on).await;
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(last), "in another session");
    writer.end().await;
    Ok(())
}

async fn a_checkpoint_of_a_stale_token_is_not_saved(on: Ground) -> Checked {
    on.needs_fencing().await?;
    let mut writer = Writer::new(&on).await;
    writer.keeps_checkpoints().await?;
    let stale = writer.lease.token();
    writer.save("one", &checkpoint(1), stale).await.expect("it is saved");
    writer.end().await;
    let mut writer = Writer::new(&on).await;
    let refused = writer.save("one", &checkpoint(2), stale).await.expect_err("its lease is over");
    assert!(matches!(refused, Error::LeaseLost { .. }), "{refused}");
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(checkpoint(1)));
    writer.end().await;
    Ok(())
}
