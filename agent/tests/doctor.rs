//! `weir doctor` on the machine that runs the tests. As root it must prove enforcement here, as every
//! other test of this crate that loads the programs assumes.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Command, Output},
};

use serde_json::Value;
use weir::system::cgroup;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// The id that Linux gives to nobody (kernel.overflowuid).
const NOBODY: u32 = 65534;

fn findings(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

fn find<'a>(findings: &'a [Value], id: &str) -> &'a Value {
    findings.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id}: {findings:#?}"))
}

fn cgroups_of_doctors() -> Vec<String> {
    let entries = fs::read_dir(cgroup::own().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("weir-doctor-")).collect()
}

#[test]
fn enforcement_is_proven_and_nothing_stays_behind() {
    let output = Command::new(WEIR).args(["doctor", "--json"]).output().unwrap();
    let found = findings(&output);
    for id in ["privileges", "cgroup2", "program_types", "map_types", "helpers", "enforcement"] {
        assert_eq!(find(&found, id)["state"], "ok", "{found:#?}");
    }
    let trial = find(&found, "enforcement")["found"].as_str().unwrap();
    assert!(trial.contains("IPv4: refused"), "{trial}");
    let cgroups = find(&found, "cgroup2")["found"].as_str().unwrap();
    assert!(cgroups.starts_with(cgroup::root().unwrap().to_str().unwrap()), "{cgroups}");
    let is_weaker = found.iter().any(|one| one["state"] == "weaker");
    assert_eq!(output.status.code(), Some(i32::from(is_weaker)));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(cgroups_of_doctors(), Vec::<String>::new());
}

#[test]
fn without_root_it_says_so_in_one_line() {
    // A copy where nobody may start it.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let weir = folder.path().join("weir");
    fs::copy(WEIR, &weir).unwrap();
    let mut command = Command::new(&weir);
    let output = command.args(["doctor", "--json"]).uid(NOBODY).gid(NOBODY).output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    let found = findings(&output);
    assert_eq!(find(&found, "privileges")["found"], "not root");
    for id in ["program_types", "map_types", "helpers", "enforcement"] {
        let found = find(&found, id);
        assert_eq!(found["state"], "missing");
        assert!(found["found"].as_str().unwrap().starts_with("not checked"), "{found}");
    }
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("enforcement trial; try `sudo weir doctor`"), "{errors}");
}
