//! What weir's listener says of the pod that asks: `key=value` strings of a TXT record.

use std::fmt;

use crate::random::Nonce;
use crate::sentinel::Refusal;

/// The version of the barrier's protocol that is spoken here.
const VERSION: &[u8] = b"1";

/// Text of the network for a log: printable ASCII, the rest escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(Vec<u8>);

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(formatter)
    }
}

/// Whom an answer must be for.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The nonce of the question.
    pub(crate) nonce: Nonce,
    /// The pod's uid, where the barrier knows it.
    pub(crate) uid: Option<String>,
}

/// A complete answer for this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The pod that weir takes this one for.
    pub(crate) uid: Text,
    /// The digest of the policy in force.
    pub(crate) policy: Text,
    /// How the sentinel will be refused.
    pub(crate) refusal: Refusal,
}

/// Why an answer is no claim for this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// A string that has to be there is not.
    Missing(&'static str),
    /// A string is there twice: which one is meant nobody knows.
    Twice(&'static str),
    /// Another version of the protocol.
    Version(Text),
    /// Somebody else's answer, or an old one.
    Nonce,
    /// Weir takes this pod for another.
    Uid(Text),
    /// No refusal that this version knows.
    Refusal(Text),
}

impl fmt::Display for ClaimError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(formatter, "the answer has no `{key}=`"),
            Self::Twice(key) => write!(formatter, "the answer has `{key}=` twice"),
            Self::Version(found) => write!(
                formatter,
                "the answer speaks version `{found}` of the barrier's protocol, not 1; run the \
                 weir-initc of the agent's release"
            ),
            Self::Nonce => formatter.write_str("the answer carries another nonce than was asked"),
            Self::Uid(found) => {
                write!(formatter, "the answer is for the pod `{found}`, not for this one")
            }
            Self::Refusal(found) => write!(
                formatter,
                "the answer announces the refusal `{found}`, neither ENOANO nor EPERM"
            ),
        }
    }
}

impl Claim {
    /// Reads an answer's strings, and holds them against whom they must be for.
    pub(crate) fn read(strings: &[Vec<u8>], expected: &Expected) -> Result<Self, ClaimError> {
        let version = value(strings, "weir")?;
        if version != VERSION {
            return Err(ClaimError::Version(Text(version.to_vec())));
        }
        if value(strings, "nonce")? != expected.nonce.as_str().as_bytes() {
            return Err(ClaimError::Nonce);
        }
        let uid = value(strings, "uid")?;
        if expected.uid.as_ref().is_some_and(|expected| expected.as_bytes() != uid) {
            return Err(ClaimError::Uid(Text(uid.to_vec())));
        }
        let policy = Text(value(strings, "policy")?.to_vec());
        let refusal = value(strings, "refusal")?;
        let refusal =
            Refusal::named(refusal).ok_or_else(|| ClaimError::Refusal(Text(refusal.to_vec())))?;
        Ok(Self { uid: Text(uid.to_vec()), policy, refusal })
    }
}

/// The value of the one string that begins with `key=`.
fn value<'a>(strings: &'a [Vec<u8>], key: &'static str) -> Result<&'a [u8], ClaimError> {
    let mut values =
        strings.iter().filter_map(|string| string.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
    let value = values.next().ok_or(ClaimError::Missing(key))?;
    if values.next().is_some() {
        return Err(ClaimError::Twice(key));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::{Claim, ClaimError, Expected, Text};
    use crate::random::Nonce;
    use crate::sentinel::Refusal;

    const GOOD: [&str; 5] = [
        "weir=1",
        "nonce=01010101010101010101010101010101",
        "uid=u-1",
        "policy=sha256:ab",
        "refusal=ENOANO",
    ];

    fn read(strings: &[&str], uid: Option<&str>) -> Result<Claim, ClaimError> {
        let strings: Vec<Vec<u8>> = strings.iter().map(|text| text.as_bytes().to_vec()).collect();
        let expected = Expected { nonce: Nonce::new([1; 16]), uid: uid.map(str::to_owned) };
        Claim::read(&strings, &expected)
    }

    fn text(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }

    /// [`GOOD`] with the string of the same key replaced.
    fn with(string: &'static str) -> Vec<&'static str> {
        let key = string.split('=').next().unwrap();
        GOOD.into_iter()
            .map(|good| if good.split('=').next() == Some(key) { string } else { good })
            .collect()
    }

    #[test]
    fn a_whole_answer_is_a_claim() {
        let claim = Claim { uid: text("u-1"), policy: text("sha256:ab"), refusal: Refusal::Enoano };
        assert_eq!(read(&GOOD, Some("u-1")), Ok(claim.clone()));
        assert_eq!(read(&GOOD, None), Ok(claim.clone()));
        let more = ["node=ci-7", "", "=", "weirder=2"];
        assert_eq!(read(&[&more[..], &GOOD[..]].concat(), None), Ok(claim));
        let eperm = read(&with("refusal=EPERM"), None).unwrap();
        assert_eq!(eperm.refusal, Refusal::Eperm);
    }

    #[test]
    fn every_string_must_be_there_once() {
        for (index, key) in ["weir", "nonce", "uid", "policy", "refusal"].into_iter().enumerate() {
            let mut short = GOOD.to_vec();
            let string = short.remove(index);
            assert_eq!(read(&short, None), Err(ClaimError::Missing(key)));
            let long = [&GOOD[..], &[string]].concat();
            assert_eq!(read(&long, None), Err(ClaimError::Twice(key)));
        }
    }

    #[test]
    fn an_answer_for_another_is_refused() {
        let nonce = with("nonce=01010101010101010101010101010102");
        assert_eq!(read(&nonce, None), Err(ClaimError::Nonce));
        assert_eq!(read(&with("nonce="), None), Err(ClaimError::Nonce));
        assert_eq!(read(&GOOD, Some("u-2")), Err(ClaimError::Uid(text("u-1"))));
        assert_eq!(read(&with("weir=2"), None), Err(ClaimError::Version(text("2"))));
        let refusal = with("refusal=EACCES");
        assert_eq!(read(&refusal, None), Err(ClaimError::Refusal(text("EACCES"))));
    }

    #[test]
    fn text_of_the_network_stays_on_its_line() {
        let shown = text("a\n\x1b[2Jü\u{202e}").to_string();
        assert_eq!(shown, r"a\n\x1b[2J\xc3\xbc\xe2\x80\xae");
    }
}
