//! Exit codes, where output goes, and which arguments go together.

use clap::Parser;

use super::*;
use crate::events::read::testing::value;
use crate::policy::Profile;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: SuggestArgs,
}

/// A folder with a file of records `events`, one without any `empty`, and a profile `profile`.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let mut record = value();
        record["verdict"] = "audit".into();
        files.write("events", &format!("noise\n{record}\n"));
        files.write("empty", "noise\n");
        files.write(
            "profile",
            "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: mine }\nspec: {}\n",
        );
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Exit code and both outputs; words that begin with `@` are files of the folder.
    fn run(&self, arguments: &[&str]) -> (u8, String, String) {
        let arguments = arguments.iter().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => (*word).to_owned(),
        });
        let command =
            Command::try_parse_from(std::iter::once("suggest".to_owned()).chain(arguments));
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(&command.unwrap().args, &mut out, &mut errors).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }
}

#[test]
fn a_profile_goes_to_standard_output_and_what_is_said_of_it_elsewhere() {
    let files = Files::new();
    let (code, out, errors) = files.run(&["--name", "team/build", "@events"]);
    assert_eq!(code, 0);
    let profile = Profile::from_yaml("out", &out).unwrap();
    assert_eq!((profile.name(), profile.counts().names), ("team/build", 1));
    let expected = format!(
        "weir: warning: 1 line is no event record: {}:1\n\
         weir: records: 1, rules: 1, refused and only listed: 0\n",
        files.path("events")
    );
    assert_eq!(errors, expected);
}

#[test]
fn a_merged_profile_keeps_its_name() {
    let files = Files::new();
    let (code, out, errors) = files.run(&["@events", "--merge", "@profile"]);
    assert_eq!(code, 0, "{errors}");
    let profile = Profile::from_yaml("out", &out).unwrap();
    assert_eq!((profile.name(), profile.counts().names), ("mine", 1));
    assert!(errors.ends_with("weir: rules added: 1\n"), "{errors}");
}

#[test]
fn a_folder_gets_a_profile_for_each() {
    let files = Files::new();
    let (code, out, _) = files.run(&["@events", "--per", "project", "--out", "@profiles"]);
    assert_eq!(code, 0);
    let path = files.path("profiles/project-42.yaml");
    assert_eq!(out, format!("{path}: rules: 1, refused and only listed: 0\n"));
    Profile::from_file(Path::new(&path)).unwrap();
    let (code, out, errors) = files.run(&["@events", "--per", "project", "--out", "@profiles"]);
    assert_eq!((code, out.as_str()), (WRONG, ""));
    assert!(errors.contains(" is there already; nothing was written."), "{errors}");
}

#[test]
fn wrong_input_is_said() {
    let files = Files::new();
    for (arguments, expected) in [
        (vec!["@empty"], "weir: there is no event record in what was read\n".to_owned()),
        (
            vec!["@none"],
            format!("weir: reading event records from {}: No such file", files.path("none")),
        ),
        (vec!["@events", "--merge", "@events"], format!("weir: {}:1:1: ", files.path("events"))),
    ] {
        let (code, out, errors) = files.run(&arguments);
        assert_eq!((code, out.as_str()), (WRONG, ""));
        assert!(errors.contains(&expected), "{errors}");
    }
}

#[test]
fn arguments_that_make_no_sense_together_are_errors_of_usage() {
    for arguments in [
        vec!["suggest"],
        vec!["suggest", "e", "--per", "project"],
        vec!["suggest", "e", "--out", "d"],
        vec!["suggest", "e", "--per", "team", "--out", "d"],
        vec!["suggest", "e", "--per", "project", "--out", "d", "--merge", "p"],
        vec!["suggest", "e", "--name", "Not A Name"],
        vec!["suggest", "e", "--merge", "p", "--name", "n"],
        vec!["suggest", "e", "--wildcards-from", "many"],
    ] {
        let error = Command::try_parse_from(&arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
}
