//! Migrations wherever a function can stand, depended on by path from wherever the path reaches.

use admmgt::{BoxError, Context, Migrations};
use admmgt_macros::{migration, sql_migration};

#[migration(id = "0001_private")]
async fn private(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

mod outer {
    pub(crate) mod inner {
        use super::super::*;

        #[migration(id = "0002_nested", depends_on = [super::super::private])]
        pub(in crate::outer) async fn nested(_: &mut Context) -> Result<(), BoxError> {
            Ok(())
        }

        #[migration(id = "0003_visible", depends_on = [self::nested, crate::private])]
        pub(crate) async fn visible(_: &mut Context) -> Result<(), BoxError> {
            Ok(())
        }
    }

    pub(crate) use inner::visible as renamed;
}

#[migration(id = "0004_after", depends_on = [outer::renamed])]
async fn r#type(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[test]
fn in_a_function() {
    #[migration(id = "0005_local", depends_on = [r#type], down = back)]
    async fn local(_: &mut Context) -> Result<(), BoxError> {
        Ok(())
    }
    async fn back(_: &mut Context) -> Result<(), BoxError> {
        Ok(())
    }
    sql_migration!(id = "0006_local_sql", up = "tests/sql/views.up.sql", depends_on = [local], name = views);
    let _: &admmgt::Item = admmgt::migrations![views][0];
}

macro_rules! written_by_a_macro {
    ($visibility:vis $name:ident, $id:literal, $depends:path, $ty:ty, $output:ty, $body:block) => {
        #[migration(id = $id, depends_on = [$depends])]
        $visibility async fn $name(_: &mut $ty) -> $output $body
    };
}
written_by_a_macro!(pub(crate) by_macro, "0007_by_macro", outer::renamed, Context, Result<(), BoxError>, {
    Ok(())
});

#[migration(id = "0008_compiled_out")]
#[cfg(any())]
async fn compiled_out(_: &mut Nothing) -> Result<(), BoxError> {
    Ok(())
}

#[test]
fn all_are_found() {
    let registered = Migrations::registered();
    let mut found: Vec<String> = registered.metas().map(describe).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "0001_private <- ",
            "0002_nested <- 0001_private",
            "0003_visible <- 0002_nested 0001_private",
            "0004_after <- 0003_visible",
            "0005_local <- 0004_after",
            "0006_local_sql <- 0005_local",
            "0007_by_macro <- 0003_visible",
        ]
    );
}

fn describe(meta: &admmgt::Meta) -> String {
    let depends_on: Vec<&str> = meta.depends_on.iter().map(|id| id.id()).collect();
    format!("{} <- {}", meta.id.id(), depends_on.join(" "))
}
