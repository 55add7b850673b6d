//! A real package client against the registry that this machine is set up for: learn what it needs in
//! audit mode, then enforce exactly that.
//!
//! The names of the registry's hosts are learned at run time and stand nowhere in the repository.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::exec;
use weir_tests::skip::{self, Skip};
use weir_tests::weir::Invocation;

const LIMIT: Duration = Duration::from_secs(120);

/// Clients in order of preference: a name, and a script that fetches a small package with a cold cache
/// into the folder `$1`.
const CLIENTS: [(&str, &str); 3] = [
    (
        "pip",
        "PIP_FIND_LINKS= PIP_RETRIES=0 exec pip download --quiet --no-cache-dir --no-deps --dest \"$1\" six",
    ),
    ("npm", "cd \"$1\" && exec npm pack --silent --fetch-retries=0 --cache \"$1/cache\" is-odd"),
    (
        "cargo",
        "cd \"$1\" && cargo init --quiet --vcs none --name probe . && \
         printf 'itoa = \"1\"\\n' >> Cargo.toml && CARGO_HOME=\"$1/home\" CARGO_NET_RETRY=0 exec cargo fetch",
    ),
];

/// The command line of `script` with a fresh folder.
fn argv(script: &str, folder: &Path, attempt: &str) -> Result<[String; 5]> {
    let target = folder.join(attempt);
    std::fs::create_dir_all(&target)?;
    let target = target.to_string_lossy().into_owned();
    Ok(["sh", "-c", script, "sh", &target].map(str::to_owned))
}

/// The first client that works here without weir.
fn working_client(folder: &Path) -> Result<Option<&'static str>> {
    for (name, script) in CLIENTS {
        let [program, rest @ ..] = argv(script, folder, &format!("without-{name}"))?;
        let mut command = Command::new(program);
        command.args(rest).current_dir(folder);
        if exec::run(command, LIMIT).is_ok_and(|output| output.code == 0) {
            return Ok(Some(script));
        }
    }
    Ok(None)
}

#[test]
fn a_suggested_profile_is_enough_and_each_name_in_it_is_needed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let Some(script) = working_client(folder)? else {
        return skip::record("package_client", Skip::NoPackageRegistry);
    };
    let weir = || Invocation::on_this_machine(folder).limit(LIMIT);

    let learned = weir().audit().suggest().run(&argv(script, folder, "audit")?)?.expect_code(0)?;
    let suggestion = learned.suggestion.clone().context("--suggest wrote nothing")?;
    let host = learned
        .violations()
        .map(|event| event.host().to_owned())
        .find(|host| !host.is_empty())
        .with_context(|| format!("no host was learned: {}", learned.describe()))?;
    ensure!(suggestion.contains(&host), "{host} is not in\n{suggestion}");

    let enforced = weir().profile(&suggestion)?.run(&argv(script, folder, "block")?)?;
    let enforced = enforced.expect_code(0)?;
    ensure!(enforced.violations().count() == 0, "{}", enforced.describe());

    let without = suggestion.replace(&host, "removed.example.com");
    let refused = weir().profile(&without)?.run(&argv(script, folder, "refused")?)?;
    ensure!(refused.output.code != 0, "it works without {host}: {}", refused.describe());
    let seconds = refused.output.elapsed.as_secs();
    ensure!(seconds < 30, "it took {seconds} s to fail: {}", refused.describe());
    refused.violation("that names the host", |event| {
        event.host() == host && event.reason() == "domain_not_in_allowlist"
    })?;
    Ok(())
}
