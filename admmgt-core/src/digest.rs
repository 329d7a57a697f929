//! One short value that stands for everything applied in a namespace.
//!
//! It is a sum, modulo 2²⁵⁶, of one SHA-256 for each migration that is not pending. A sum does not
//! depend on the order, and one migration more or less changes it in constant time, so a head moves
//! with each record without reading the history again.

use std::fmt;

use admmgt_files::checksum::digest;
use serde::{Deserialize, Serialize};

use crate::{Checksum, MigrationId};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The digest of a set of migrations and how each of them stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u64; 4]);

impl Digest {
    /// The share of one migration that stands as `standing` says.
    pub(crate) fn of(id: &MigrationId, standing: &str, checksum: &Checksum) -> Self {
        let fields = [id.namespace().as_str(), id.id(), standing, checksum.as_str()];
        let bytes = digest(fields.map(str::as_bytes));
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let mut carry = false;
        Self(std::array::from_fn(|at| {
            let (sum, first) = self.0[at].overflowing_add(other.0[at]);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first || second;
            sum
        }))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        let mut borrow = false;
        Self(std::array::from_fn(|at| {
            let (rest, first) = self.0[at].overflowing_sub(other.0[at]);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            borrow = first || second;
            rest
        }))
    }

    /// The digest of a stored text of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut limbs = [0; 4];
        for (limb, at) in limbs.iter_mut().rev().zip((0..64).step_by(16)) {
            *limb = u64::from_str_radix(&text[at..at + 16], 16).ok()?;
        }
        Some(Self(limbs))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Once for each record of a run: `{:016x}` costs several times as much.
        let mut text = [0; 64];
        let bytes = self.0.iter().rev().flat_map(|limb| limb.to_be_bytes());
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a digest of 64 hexadecimal digits"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The head of one namespace: moves in the same transaction as its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NamespaceHead {
    /// Of every migration that is not pending.
    pub digest: Digest,
    /// How many migrations that is.
    pub count: u64,
    /// The last record of the namespace.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_share_of_a_migration_is_pinned() {
        // Heads are stored: a change here would send every application off its fast path.
        let id = MigrationId::new("app", "0001_users").unwrap();
        let share = Digest::of(&id, "applied", &Checksum::of_sql("select 1"));
        expect_test::expect!["5e094c9ccaaa38158b6529afc1e750f16b023885a95faedb692f83c473ee31ab"]
            .assert_eq(&share.to_string());
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(a: [u64; 4], b: [u64; 4], c: [u64; 4]) {
            let (a, b, c) = (Digest(a), Digest(b), Digest(c));
            prop_assert_eq!(a.plus(b).minus(b), a);
            prop_assert_eq!(a.plus(b), b.plus(a));
            prop_assert_eq!(a.plus(b).plus(c), a.plus(b.plus(c)));
            prop_assert_eq!(Digest::parse(&a.to_string()), Some(a));
        }
    }
}
