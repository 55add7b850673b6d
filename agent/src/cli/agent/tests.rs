//! The switches of `weir agent` that enforce nothing.

use std::fs;

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

/// Exit code, standard output, standard error.
fn weir(arguments: &[&str]) -> (ExitCode, String, String) {
    let cli = Cli::try_parse_from([&["weir", "agent"], arguments].concat()).unwrap();
    let Command::Agent(args) = cli.command else { panic!("not `weir agent`") };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn what_is_printed_is_the_configuration() {
    let (code, printed, errors) = weir(&["--print-config"]);
    assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""));
    assert_eq!(Config::from_yaml("printed", &printed).unwrap(), Config::default());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    fs::write(&file, "select: { namespaces: [jobs] }").unwrap();
    let (_, printed, _) = weir(&["--config", file.to_str().unwrap(), "--print-config"]);
    assert!(printed.contains("  namespaces: [jobs] "), "{printed}");
}

#[test]
fn a_check_reads_the_profiles_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    let file = file.to_str().unwrap();
    let policy = folder.path().join("policy");
    fs::create_dir(&policy).unwrap();
    fs::write(file, format!("policy: {{ dir: {} }}", policy.display())).unwrap();
    let (code, out, _) = weir(&["--config", file, "--check-config"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.starts_with("configuration OK; profiles: 1, bundle sha256:"), "{out}");
    fs::write(policy.join("a.yaml"), "kind: Pod").unwrap();
    let (code, out, errors) = weir(&["--config", file, "--check-config"]);
    assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
    assert!(errors.contains("a.yaml:1:7: `kind`: unknown value `Pod`"), "{errors}");
}

#[test]
fn a_bad_configuration_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    let file = file.to_str().unwrap();
    fs::write(file, "selct: {}").unwrap();
    for argument in ["--check-config", "--print-config"] {
        let (code, out, errors) = weir(&["--config", file, argument]);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
        let expected = format!(
            "{file}:1:1: unknown field `selct` in the configuration; did you mean `select`?"
        );
        assert!(errors.starts_with(&expected), "{errors}");
    }
    let both = ["weir", "agent", "--check-config", "--print-config"];
    assert!(Cli::try_parse_from(both).is_err());
}
