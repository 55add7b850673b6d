//! What the job's processes may do beside sending.

use super::{Unique, unknown_value};
use crate::policy::credwatch::{CredentialWatch, PATHS, WatchedPath};
use crate::policy::families::Families;
use crate::policy::problem::{Problem, Problems};
use crate::policy::raw::{RawCredwatch, RawProfile};
use crate::policy::settings::Processes;
use crate::yaml::{Span, Text, shown};

pub(super) fn resolve(raw: &RawProfile<'_>, problems: &mut Problems) -> Processes {
    let credwatch = raw.credwatch.as_ref();
    Processes {
        families: families(&raw.families, problems),
        docker_in_docker: raw.docker_in_docker,
        credwatch: credwatch
            .map(|(span, raw)| credential_watch(*span, raw, problems))
            .unwrap_or_default(),
    }
}

fn families(entries: &[Text<'_>], problems: &mut Problems) -> Families {
    let mut families = Families::default();
    let mut unique = Unique::default();
    for Text { text, span } in entries {
        if !families.add(text) {
            let words = Families::words();
            let expected = "a family that leads past IP, as `packet` or `vsock`";
            problems.push(*span, unknown_value("`families`", text, expected, &words));
        }
        unique.check(text.clone(), *span, text, || "`families`".to_owned(), problems);
    }
    families
}

fn credential_watch(
    span: Span,
    raw: &RawCredwatch<'_>,
    problems: &mut Problems,
) -> CredentialWatch {
    let entries = raw.paths.as_deref().unwrap_or_default();
    if raw.paths.as_ref().is_some_and(Vec::is_empty) {
        problems.push(span, Problem::NoPaths);
    }
    if let Some(extra) = entries.get(PATHS) {
        let (found, most) = (entries.len(), PATHS);
        problems.push(
            extra.span,
            Problem::TooMany { what: "`credwatch.paths`".to_owned(), found, most },
        );
    }
    let mut unique = Unique::default();
    let mut paths = Vec::new();
    for Text { text, span } in entries {
        match WatchedPath::parse(text) {
            Ok(path) => {
                let what = || "`credwatch.paths`".to_owned();
                if unique.check(path.clone(), *span, text, what, problems) {
                    paths.push(path);
                }
            }
            Err(error) => problems.push(*span, Problem::Path { text: shown(text), error }),
        }
    }
    CredentialWatch { paths, block: raw.block }
}
