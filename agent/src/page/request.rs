//! What a request asks for.

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

/// What fails a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: the report is only shown.
    Nothing,
    /// What was refused.
    Refused,
    /// What audit mode let pass, too.
    RefusedOrAudited,
}

/// A request that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) format: Format,
    pub(super) check: Check,
}

/// A request that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwanted {
    /// Nothing can be changed here.
    #[error("there is only GET and HEAD")]
    Method,
    /// No such path.
    #[error("there is / (what was refused so far) and /check (409 if anything was)")]
    Path,
    /// A parameter that the path does not have.
    #[error(
        "a parameter is unknown here: / and /check take format=text or format=json, /check takes audit=1"
    )]
    Parameter,
}

impl Wanted {
    /// Reads path and query of a request's target.
    pub(super) fn read(path: &str, query: Option<&str>) -> Result<Self, Unwanted> {
        let check = match path {
            "/" => Check::Nothing,
            "/check" => Check::Refused,
            _ => return Err(Unwanted::Path),
        };
        let mut wanted = Self { format: Format::Text, check };
        for parameter in query.into_iter().flat_map(|query| query.split('&')) {
            match (parameter, check) {
                ("", _) => {}
                ("format=text", _) => wanted.format = Format::Text,
                ("format=json", _) => wanted.format = Format::Json,
                ("audit=1", Check::Refused) => wanted.check = Check::RefusedOrAudited,
                _ => return Err(Unwanted::Parameter),
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, query: Option<&str>, expected: Result<(Format, Check), Unwanted>) {
        let found = Wanted::read(path, query).map(|wanted| (wanted.format, wanted.check));
        assert_eq!(found, expected, "{path} {query:?}");
    }

    #[test]
    fn the_report_and_the_check() {
        check("/", None, Ok((Format::Text, Check::Nothing)));
        check("/", Some("format=json"), Ok((Format::Json, Check::Nothing)));
        check("/check", None, Ok((Format::Text, Check::Refused)));
        check("/check", Some("audit=1&format=json"), Ok((Format::Json, Check::RefusedOrAudited)));
        check("/check", Some(""), Ok((Format::Text, Check::Refused)));
    }

    #[test]
    fn nothing_else_is_guessed_at() {
        check("/checks", None, Err(Unwanted::Path));
        check("/../check", None, Err(Unwanted::Path));
        check("", None, Err(Unwanted::Path));
        // Whoever asks so believes that it fails on audited ones.
        check("/", Some("audit=1"), Err(Unwanted::Parameter));
        check("/check", Some("audit=yes"), Err(Unwanted::Parameter));
        check("/check", Some("format=xml"), Err(Unwanted::Parameter));
    }
}
