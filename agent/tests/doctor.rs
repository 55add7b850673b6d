//! `weir doctor` on the machine that runs the tests. As root it must prove enforcement here, as every
//! other test of this crate that loads the programs assumes.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weir::system::cgroup;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// The id that Linux gives to nobody (kernel.overflowuid).
const NOBODY: u32 = 65534;

fn findings(output: &Output) -> Result<Vec<Value>> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| text.into_owned())
}

fn field<'a>(findings: &'a [Value], id: &str, key: &str) -> Result<&'a str> {
    let find = |key: &str, one: &'a Value| one.get(key).and_then(Value::as_str);
    let finding = findings.iter().find(|one| find("id", one) == Some(id));
    finding
        .and_then(|one| find(key, one))
        .with_context(|| format!("no {key} of {id}: {findings:#?}"))
}

fn cgroups_of_doctors() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(cgroup::own()?)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.starts_with("weir-doctor-"));
    Ok(names)
}

#[test]
fn enforcement_is_proven_and_nothing_stays_behind() -> Result<()> {
    let output = Command::new(WEIR).args(["doctor", "--json"]).output()?;
    let found = findings(&output)?;
    for id in ["privileges", "cgroup2", "program_types", "map_types", "helpers", "enforcement"] {
        ensure!(field(&found, id, "state")? == "ok", "{found:#?}");
    }
    let trial = field(&found, "enforcement", "found")?;
    ensure!(trial.contains("IPv4: refused"), "{trial}");
    let cgroups = field(&found, "cgroup2", "found")?;
    ensure!(cgroups.starts_with(&cgroup::root()?.display().to_string()), "{cgroups}");
    let is_weaker = found.iter().any(|one| one.get("state") == Some(&Value::from("weaker")));
    ensure!(output.status.code() == Some(i32::from(is_weaker)), "{:?}", output.status);
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let left = cgroups_of_doctors()?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn without_root_it_says_so_in_one_line() -> Result<()> {
    // A copy where nobody may start it.
    let folder = tempfile::tempdir_in("/tmp")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let weir = folder.path().join("weir");
    fs::copy(WEIR, &weir)?;
    let mut command = Command::new(&weir);
    let output = command.args(["doctor", "--json"]).uid(NOBODY).gid(NOBODY).output()?;

    ensure!(output.status.code() == Some(2), "{:?}", output.status);
    let found = findings(&output)?;
    ensure!(field(&found, "privileges", "found")? == "not root");
    for id in ["program_types", "map_types", "helpers", "enforcement", "processes", "lsm"] {
        ensure!(field(&found, id, "state")? == "missing");
        let found = field(&found, id, "found")?;
        ensure!(found.starts_with("not checked"), "{found}");
    }
    let errors = String::from_utf8(output.stderr)?;
    ensure!(errors.lines().count() == 1, "{errors}");
    ensure!(errors.contains("enforcement trial, process table"), "{errors}");
    ensure!(errors.contains("; try `sudo weir doctor`"), "{errors}");
    Ok(())
}
