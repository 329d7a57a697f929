//! The lease of a [`FaultyDriver`](super::FaultyDriver).

use admmgt_core::{BoxFuture, Error, Lease, Result, Session, Token};
use async_trait::async_trait;

use super::Faults;

#[derive(Debug)]
pub(super) struct FaultyLease {
    pub(super) inner: Box<dyn Lease>,
    pub(super) faults: Faults,
}

#[async_trait]
impl Lease for FaultyLease {
    fn token(&self) -> Option<Token> {
        self.inner.token()
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        self.inner.lost()
    }

    async fn verify(&mut self, session: &mut dyn Session) -> Result<()> {
        let Self { inner, faults } = self;
        faults.call("verify", inner.verify(session)).await
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        let Self { inner, faults } = *self;
        faults.call("release", inner.release(session)).await
    }
}
