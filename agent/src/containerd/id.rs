//! Ids of sandboxes and containers.

use std::fmt;

/// Text that is no id of containerd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an id: containerd's are at most {MAX_BYTES} letters and digits, with single `-`, `_` or `.` between them", .0.escape_debug())]
pub struct IdError(String);

/// The longest id that containerd accepts (its package identifiers).
const MAX_BYTES: usize = 76;

fn check(text: &str) -> Result<(), IdError> {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if text.len() <= MAX_BYTES && text.split(['-', '_', '.']).all(is_part) {
        return Ok(());
    }
    let cut = text.char_indices().nth(MAX_BYTES).map_or(text.len(), |(at, _)| at);
    Err(IdError(text.get(..cut).unwrap_or_default().to_owned()))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes text for an id.
            ///
            /// # Errors
            ///
            /// [`IdError`] if containerd could not have given it.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.into()))
            }

            /// The id; safe as one component of a path.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The id of a pod's sandbox, which is that of its pause container too.
    SandboxId
}
id! {
    /// The id of a container in a sandbox.
    ContainerId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_containerd_gives_is_an_id() {
        for good in ["a", "0f3c", "a-b_c.d", &"a".repeat(76)] {
            assert_eq!(SandboxId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a..b", "-a", "a-", "a/b", "a b", "ä", "a\n", &"a".repeat(77)] {
            assert!(SandboxId::new(bad).is_err(), "{bad:?}");
            assert!(ContainerId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_quotes_no_more_than_it_must() {
        let error = SandboxId::new(&"\u{1b}".repeat(5000)).unwrap_err().to_string();
        assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
    }
}
