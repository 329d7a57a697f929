//! Where a database is, by its URL; nothing here connects.

use admmgt_core::{Error, Result};

const FORM: &str = "`mongodb://user:password@host:27017/database`";

/// Looks at a URL as far as it can be without asking a name server. It is not repeated: it may hold a password.
pub(crate) fn check(url: &str) -> Result<()> {
    if database(check_server(url)?).is_none() {
        let words =
            format!("the URL names no database; write {FORM}, with `authSource` where users are in another one");
        return Err(Error::Usage { problem: words });
    }
    Ok(())
}

/// As far as it says which server that is. Returns what comes behind the scheme.
pub(crate) fn check_server(url: &str) -> Result<&str> {
    let wrong = |problem: String| Error::Usage { problem };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong(format!("that is not a URL of MongoDB; write {FORM}")));
    };
    match scheme {
        "mongodb" => {}
        "mongodb+srv" if cfg!(feature = "srv") => {}
        "mongodb+srv" => {
            return Err(wrong(
                "`mongodb+srv://` needs the feature `srv` of admmgt-mongo (`mongo-srv` of admmgt)".to_owned(),
            ));
        }
        _ => return Err(wrong(format!("that is not a URL of MongoDB; write {FORM}"))),
    }
    Ok(rest)
}

fn database(rest: &str) -> Option<&str> {
    // A password may hold a `/` only as `%2F`.
    let (_, path) = rest.split_once('/')?;
    let name = path.split('?').next()?;
    (!name.is_empty()).then_some(name)
}

/// What becomes the beginning of the names of our collections.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if prefix.is_empty() || prefix.len() > 60 || !prefix.chars().all(is_fine) || prefix.starts_with("system") {
        let problem =
            format!("`{prefix}` cannot begin the names of collections: it must be of letters, digits and `_`");
        return Err(Error::Usage { problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_database_and_is_not_repeated() {
        assert!(check("mongodb://a:b@one:1,two:2/shop?replicaSet=rs0").is_ok());
        for wrong in
            ["postgres://SECRET@h/d", "SECRET", "mongodb://SECRET@h", "mongodb://SECRET@h/", "mongodb://SECRET@h/?w=1"]
        {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains(FORM) && !error.contains("SECRET"), "{error}");
        }
        assert_eq!(check("mongodb+srv://h/d").is_ok(), cfg!(feature = "srv"));
    }
}
