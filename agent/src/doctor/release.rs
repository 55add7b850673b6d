//! The version of the running kernel.

use std::fmt;

/// A kernel's version, as far as features hang on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Release {
    pub(super) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The running kernel's version, and the whole text that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) release: Release,
    pub(super) text: String,
}

/// Reads it; else the text that no version could be read from.
pub(super) fn running() -> Result<Running, String> {
    let names = nix::sys::utsname::uname().map_err(|error| error.to_string())?;
    parse(&names.release().to_string_lossy())
}

/// Reads `6.1.0-32-cloud-amd64` and the like.
fn parse(text: &str) -> Result<Running, String> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => {
            Ok(Running { release: Release::new(major, minor), text: text.to_owned() })
        }
        _ => Err(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_sorts() {
        for (text, major, minor) in [
            ("6.18.44", 6, 18),
            ("5.10.0-32-cloud-amd64", 5, 10),
            ("4.18.0-553.el8_10.x86_64", 4, 18),
            ("7.3-rc1", 7, 3),
            ("6.12+deb13", 6, 12),
        ] {
            let running = parse(text).unwrap();
            assert_eq!(
                (running.release, running.text.as_str()),
                (Release::new(major, minor), text)
            );
        }
        for text in ["", "six", "6", "6.x", "v6.1"] {
            assert_eq!(parse(text), Err(text.to_owned()));
        }
    }

    #[test]
    fn ten_is_after_nine() {
        assert!(Release::new(5, 10) > Release::new(5, 9));
        assert!(Release::new(6, 1) > Release::new(5, 19));
    }
}
