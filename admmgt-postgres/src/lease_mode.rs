//! [`LeaseMode`]: a choice of the caller's.

use std::time::Duration;

/// How one migrator at a time is kept to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeaseMode {
    /// An advisory lock of the run's own connection: gone with the connection, however the process ends. Where a pooler
    /// shares connections between transactions, that is found out and refused.
    #[default]
    Session,
    /// A row of the table `_admmgt_lease`, for use behind such a pooler. Its time runs by the server's clock, a second
    /// connection renews it, and every write carries its token, so that a holder who lost it without noticing
    /// cannot write.
    Row {
        /// How long a holder who does not renew it keeps it, from 100 ms to a day; renewed after a third of that.
        ttl: Duration,
    },
}

impl LeaseMode {
    /// [`LeaseMode::Row`] for 30 s.
    pub const fn row() -> Self {
        Self::Row { ttl: Duration::from_secs(30) }
    }
}
