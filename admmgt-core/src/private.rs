//! What the macros expand to. Not for people: it changes without notice.

use std::borrow::Cow;

pub use inventory;

use crate::meta::{Location, Meta, OnInterrupt, Origin, TransactionMode};
use crate::migration::{Body, Item};
use crate::script::SqlText;
use crate::{Backend, Checksum, MigrationId, SqlSource};

pub use crate::Context;
pub use crate::context::{FromBlocking, FromContext};
pub use crate::migration::{BoxError, BoxFuture, CodeBody, ProbeBody};

/// What the companion struct of an annotated function says: `depends_on = [create_users]` names
/// the struct, and so its id, in a way the compiler checks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a migration",
    label = "not a migration",
    note = "put `#[migration(id = …)]` on its function, or name the migration as text: `\"namespace/id\"`"
)]
pub trait Declared {
    /// The id of the migration.
    const ID: MigrationId;
    /// The migration.
    const ITEM: &'static Item;
}

/// What a migration may fail with: whatever becomes a [`BoxError`].
#[diagnostic::on_unimplemented(
    message = "a migration cannot fail with `{Self}`",
    label = "this is not an error that can be sent to another thread",
    note = "return `Result<(), BoxError>`, or an error type that is `std::error::Error + Send + Sync`"
)]
pub trait IntoBoxError {
    /// The error, in a box.
    fn into_box_error(self) -> BoxError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> IntoBoxError for E {
    fn into_box_error(self) -> BoxError {
        self.into()
    }
}

/// One migration handed to `inventory`.
#[derive(Debug)]
pub struct Registration(pub &'static Item);

inventory::collect!(Registration);

/// A folder whose files are in the program, of a build that is not for release: so that a file that came later is
/// noticed.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct EmbeddedFolder {
    pub path: &'static str,
    /// As it was written.
    pub written: &'static str,
    pub dialect: &'static str,
    pub ids: &'static [&'static str],
}

inventory::collect!(EmbeddedFolder);

/// The fields of a [`Meta`], all known at compile time; nothing in it is dropped, so that a constant
/// can take it apart.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct MetaParts {
    pub namespace: &'static str,
    pub id: &'static str,
    pub description: &'static str,
    pub depends_on: &'static [MigrationId],
    pub after: Option<&'static str>,
    pub checksum: &'static str,
    pub origin: Origin,
    pub transaction: TransactionMode,
    pub on_interrupt: OnInterrupt,
    pub probe: Option<ProbeBody>,
    pub repeatable: bool,
    pub replaces: &'static [MigrationId],
    pub tags: &'static [Cow<'static, str>],
    pub file: &'static str,
    pub line: u32,
    pub backend: Option<Backend>,
}

/// A checked name as an id.
pub const fn id(namespace: &'static str, id: &'static str) -> MigrationId {
    MigrationId::from_static(namespace, id)
}

/// A word as a tag.
pub const fn tag(tag: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(tag)
}

/// SQL embedded in the program.
pub const fn sql(file: &'static str, text: &'static str) -> SqlSource {
    SqlSource { file: Cow::Borrowed(file), text: SqlText::Here(Cow::Borrowed(text)), transaction: None }
}

/// SQL embedded in the program, for a way that asks for something else than its migration does.
pub const fn sql_in(mode: TransactionMode, file: &'static str, text: &'static str) -> SqlSource {
    SqlSource { file: Cow::Borrowed(file), text: SqlText::Here(Cow::Borrowed(text)), transaction: Some(mode) }
}

/// A migration as one constant expression.
pub const fn item(parts: MetaParts, up: Body, down: Option<Body>) -> Item {
    let MetaParts {
        namespace,
        id,
        description,
        depends_on,
        after,
        checksum,
        origin,
        transaction,
        on_interrupt,
        probe,
        repeatable,
        replaces,
        tags,
        file,
        line,
        backend,
    } = parts;
    let meta = Meta {
        id: MigrationId::from_static(namespace, id),
        description: Cow::Borrowed(description),
        depends_on: Cow::Borrowed(depends_on),
        after: match after {
            Some(after) => Some(MigrationId::from_static(namespace, after)),
            None => None,
        },
        checksum: Checksum::from_static(checksum),
        origin,
        transaction,
        on_interrupt,
        reversible: down.is_some(),
        repeatable,
        replaces: Cow::Borrowed(replaces),
        tags: Cow::Borrowed(tags),
        location: Location { file: Cow::Borrowed(file), line },
        backend,
    };
    Item::new(meta, up, down, probe)
}
