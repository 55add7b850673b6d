//! Exit codes and where the report goes.

use clap::Parser;

use super::*;
use crate::events::read::testing::value;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ReportArgs,
}

/// Exit code and both outputs; words that begin with `@` are files of the folder, which has `events` and `empty`.
fn weir(folder: &tempfile::TempDir, arguments: &[&str]) -> (u8, String, String) {
    fs::write(folder.path().join("events"), format!("noise\n{}\n", value())).unwrap();
    fs::write(folder.path().join("empty"), "noise\n").unwrap();
    let arguments = arguments.iter().map(|word| match word.strip_prefix('@') {
        Some(name) => folder.path().join(name).to_string_lossy().into_owned(),
        None => (*word).to_owned(),
    });
    let command = Command::try_parse_from(std::iter::once("report".to_owned()).chain(arguments));
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = act(&command.unwrap().args, &mut out, &mut errors).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn a_page_goes_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, errors) = weir(&folder, &["@events", "--html", "@report.html"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(errors.starts_with("weir: warning: 1 line is no event record: "), "{errors}");
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(
        page.starts_with("<!doctype html>") && page.contains("collector.example.net"),
        "{page}"
    );
    let (code, out, _) = weir(&folder, &["@events", "--html", "-"]);
    assert_eq!((code, out), (0, page));
}

#[test]
fn markdown_goes_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = weir(&folder, &["@events", "--markdown"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("# Egress report\n") && out.contains("`collector.example.net`"),
        "{out}"
    );
}

#[test]
fn wrong_input_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (["@empty", "--markdown"].as_slice(), "there is no event record in what was read"),
        (&["@none", "--markdown"], "reading event records from "),
        (&["@events", "--html", "@none/report.html"], "none/report.html: No such file"),
    ] {
        let (code, out, errors) = weir(&folder, arguments);
        assert_eq!((code, out.as_str()), (WRONG, ""));
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn one_form_has_to_be_chosen() {
    for arguments in [
        ["report", "e"].as_slice(),
        &["report", "--markdown"],
        &["report", "e", "--markdown", "--html", "o"],
    ] {
        assert_eq!(Command::try_parse_from(arguments).unwrap_err().exit_code(), 2);
    }
}
