//! What a pod was refused so far, as a job may read it.

use std::{fmt::Write as _, time::SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    events::record::{Destination, PodInfo, RecordReason, RecordVerdict},
    policy::Mode,
};

/// Version of the report's schema.
pub const SCHEMA_VERSION: u32 = 1;
/// Destinations that one report lists; the rest are counted.
pub const DESTINATIONS: usize = 256;

/// How many of the first of them rules are suggested for: as many as a person may want to read.
pub const SUGGESTED: usize = 50;

/// What a pod was refused so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this schema.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema: u32,
    /// The pod; null outside Kubernetes.
    pub pod: Option<PodInfo>,
    /// The profile in force.
    pub profile: ProfileInfo,
    /// Questions, connects and packets that were refused.
    pub refused: u64,
    /// Those that audit mode let pass.
    pub audited: u64,
    /// What was refused or audited, by first sight.
    pub refusals: Vec<Refusal>,
    /// Refused and audited flows and names that are counted above and not listed.
    pub omitted: u64,
    /// Rules of a profile that would allow what is listed (of much, the first), as YAML below `allow`; null where no rule could.
    pub suggestion: Option<String>,
    /// What the operator says of asking for more.
    pub help: Option<String>,
}

/// The profile in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileInfo {
    /// Its name.
    pub name: String,
    /// What happens to what it does not allow.
    pub mode: Mode,
    /// `sha256:` and the digest of what was loaded.
    pub bundle: String,
}

/// One destination that some process was refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What became of it.
    pub verdict: RecordVerdict,
    /// Why.
    pub reason: RecordReason,
    /// The profile that decided.
    pub profile: String,
    /// Its rule; `default-deny` when none matched.
    pub rule_id: String,
    /// Where it would have gone; of several addresses of one host, the first.
    pub destination: Destination,
    /// Questions, connects or packets. What an earlier agent saw of a name counts once.
    pub count: u64,
    /// The first sight: RFC 3339, UTC, milliseconds.
    pub first: String,
    /// The last sight.
    pub last: String,
    /// The program; null where it is not known.
    pub process: Option<Program>,
    /// How many processes of that program.
    pub processes: u64,
    /// The container that it was in; null outside Kubernetes, and where it is not known.
    pub container: Option<String>,
}

/// A program that was run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its name.
    pub comm: String,
    /// The path of its executable.
    pub binary: Option<String>,
}

impl Report {
    /// One JSON object in a line, in ASCII: no terminal that it is printed to obeys anything in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Keys are text, and nothing in it refuses to be written.
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut ascii = String::with_capacity(text.len() + 1);
        for character in text.chars() {
            if matches!(character, ' '..='~') {
                ascii.push(character);
                continue;
            }
            // Only within strings is there anything else, where this stands for it (RFC 8259 §7).
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _infallible = write!(ascii, "\\u{unit:04x}");
            }
        }
        ascii.push('\n');
        ascii
    }
}

/// A moment, as reports and records write it.
#[must_use]
pub fn moment(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// The schema of the report as pretty-printed JSON with a newline at its end.
///
/// # Errors
///
/// Never for the types of this program; the serialiser's own error.
pub fn schema() -> serde_json::Result<String> {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), "weir job page".into());
    serde_json::to_string_pretty(&schema).map(|text| text + "\n")
}

#[cfg(test)]
mod tests;
