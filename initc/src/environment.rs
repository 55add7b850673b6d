//! What the pod's manifest may set, read strictly: a misspelt value must not weaken the barrier.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Names the longest time to wait.
const DEADLINE: &str = "WEIR_DEADLINE";
/// Names the largest number of attempts.
const ATTEMPTS: &str = "WEIR_ATTEMPTS";
/// Holds the pod's uid, from the downward API.
const POD_UID: &str = "WEIR_POD_UID";

const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);
/// The runner gives a pod up after 180 s, and its word for that says nothing of weir.
const LONGEST_DEADLINE: Duration = Duration::from_secs(170);
/// `uid=` and the uid share one character-string of a TXT record (RFC 1035 §3.3).
const LONGEST_UID: usize = 251;

/// How to wait and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Longest time to wait, from the start of the program.
    pub(crate) deadline: Duration,
    /// Most attempts; none is as many as the deadline allows.
    pub(crate) attempts: Option<NonZeroU32>,
    /// The uid that an answer must name; none accepts any.
    pub(crate) pod_uid: Option<String>,
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvironmentError {
    variable: &'static str,
    value: OsString,
    wanted: &'static str,
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, value, wanted } = self;
        let value = value.as_encoded_bytes().escape_ascii();
        write!(formatter, "{variable} is `{value}`, which is not {wanted}")
    }
}

impl Settings {
    /// Reads the variables through `get`. One that is not set has its default; an empty one is wrong.
    pub(crate) fn from_environment(
        get: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, EnvironmentError> {
        Ok(Self {
            deadline: read(
                &get,
                DEADLINE,
                deadline,
                "a time above 0 and up to 170s, such as 90s, 2m or 1500ms",
            )?
            .unwrap_or(DEFAULT_DEADLINE),
            attempts: read(&get, ATTEMPTS, |text| text.parse().ok(), "a whole number above 0")?,
            pod_uid: read(
                &get,
                POD_UID,
                pod_uid,
                "a pod's uid: take it from the downward API (fieldPath: metadata.uid)",
            )?,
        })
    }
}

fn read<T>(
    get: &impl Fn(&'static str) -> Option<OsString>,
    variable: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    wanted: &'static str,
) -> Result<Option<T>, EnvironmentError> {
    let Some(value) = get(variable) else { return Ok(None) };
    match OsStr::to_str(&value).and_then(parse) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(EnvironmentError { variable, value, wanted }),
    }
}

fn deadline(text: &str) -> Option<Duration> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let milliseconds_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(milliseconds_per_unit)?;
    let deadline = Duration::from_millis(milliseconds);
    (!deadline.is_zero() && deadline <= LONGEST_DEADLINE).then_some(deadline)
}

fn pod_uid(text: &str) -> Option<String> {
    let fits = (1..=LONGEST_UID).contains(&text.len());
    // A UUID, or for static pods a hash.
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (fits && plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_DEADLINE, Settings};
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let get = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
        };
        Settings::from_environment(get).map_err(|error| error.to_string())
    }

    fn check_deadline(text: &str, expected: Option<Duration>) {
        let found = settings(&[("WEIR_DEADLINE", text)]);
        assert_eq!(found.map(|settings| settings.deadline).ok(), expected, "{text}");
    }

    #[test]
    fn nothing_set_is_the_default() {
        let expected = Settings { deadline: DEFAULT_DEADLINE, attempts: None, pod_uid: None };
        assert_eq!(settings(&[]), Ok(expected));
    }

    #[test]
    fn deadlines_have_a_unit_and_a_range() {
        check_deadline("90s", Some(Duration::from_secs(90)));
        check_deadline("2m", Some(Duration::from_secs(120)));
        check_deadline("1500ms", Some(Duration::from_millis(1500)));
        check_deadline("170s", Some(Duration::from_secs(170)));
        for wrong in [
            "",
            "90",
            "s",
            "0s",
            "-1s",
            "+1s",
            "1.5s",
            " 1s",
            "1s ",
            "171s",
            "3m",
            "170001ms",
            "1h",
            "99999999999999999999s",
            "18446744073709551615m",
            "9é",
            "١s",
        ] {
            check_deadline(wrong, None);
        }
    }

    #[test]
    fn attempts_are_a_number_above_zero() {
        let attempts =
            |text| settings(&[("WEIR_ATTEMPTS", text)]).map(|settings| settings.attempts);
        assert_eq!(attempts("3"), Ok(NonZeroU32::new(3)));
        for wrong in ["", "0", "-1", "many", "4294967296"] {
            assert!(attempts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_empty_or_odd_uid_is_refused() {
        let uid = |text: &str| settings(&[("WEIR_POD_UID", text)]).map(|settings| settings.pod_uid);
        assert_eq!(uid("0a1b-c"), Ok(Some("0a1b-c".to_owned())));
        for wrong in ["", "a b", "$(POD_UID)", "ü", &"a".repeat(252)] {
            assert!(uid(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_error_names_variable_value_and_remedy() {
        assert_eq!(
            settings(&[("WEIR_DEADLINE", "3m\n")]),
            Err("WEIR_DEADLINE is `3m\\n`, which is not a time above 0 and up to 170s, such as \
                 90s, 2m or 1500ms"
                .to_owned())
        );
    }
}
