//! The program behind `cargo xtask vm`: whatever a case does to its machine, the others run, and what passed is kept.
//!
//! The cases are those of a script that answers as a built suite does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::exec::{self, Output};
use weir_tests::programs::target_folder;
use weir_tests::skip::{self, Skip};
use weir_tests::vm::{Kernel, Series};

/// Five boots, on a machine with other work.
const LIMIT: Duration = Duration::from_secs(600);
/// One case that kills its machine, one that leaves a process behind, one that fails, and others after each.
const SUITE: &str = r#"#!/bin/sh
passed() { echo "test result: ok. 1 passed; 0 failed"; exit 0; }
case "$1 $2" in
  "--list "*) for case in first kills second leaves third fails; do echo "$case: test"; done ;;
  "--exact kills") echo b > /proc/sysrq-trigger; sleep 600 ;;
  "--exact leaves") setsid sleep 600 > /dev/null 2>&1 &
    until grep -qx sleep "/proc/$!/comm"; do :; done
    passed ;;
  "--exact fails") echo "this is broken"; exit 7 ;;
  *) passed ;;
esac
"#;

/// The suite's file, and what is kept of its cases; gone with this.
struct Suite {
    folder: tempfile::TempDir,
    name: String,
    kept: PathBuf,
}

impl Suite {
    fn new(kernel: &Kernel) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let name = format!("lab_itself_{}", std::process::id());
        let file = folder.path().join(format!("{name}-0"));
        fs::write(&file, SUITE)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        let results = target_folder()?.parent().context("no folder of results")?.join("vm");
        let kept = results.join(kernel.version()).join("bpf").join(&name);
        Ok(Self { folder, name, kept })
    }

    fn run(&self) -> Result<Output> {
        let mut command = Command::new(target_folder()?.join("weir-vm"));
        command.args(["--kernel", "6.1", "--machines", "2"]);
        command.arg(self.folder.path().join(format!("{}-0", self.name)));
        exec::run(command, LIMIT)
    }

    /// How a case is told of, such as `ok     NAME::first`.
    fn line(&self, word: &str, case: &str) -> String {
        format!("{word} {}::{case} ", self.name)
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.kept).ok();
    }
}

fn boots(output: &Output) -> usize {
    output.stdout.lines().filter(|line| line.contains("a machine runs")).count()
}

#[test]
fn a_case_costs_no_other_its_run_and_none_runs_twice() -> Result<()> {
    let Some(kernel) = Kernel::find(Series::V6_1)? else {
        return skip::record("machines", Skip::NoKernel);
    };
    let suite = Suite::new(&kernel)?;
    let output = suite.run()?.expect_code(1)?;
    let said = &output.stdout;
    for case in ["first", "second", "leaves", "third"] {
        ensure!(said.contains(&suite.line("ok    ", case)), "{case}: {}", output.describe());
    }
    for case in ["kills", "fails"] {
        ensure!(said.contains(&suite.line("FAILED", case)), "{case}: {}", output.describe());
    }
    ensure!(said.contains("exit code 7") && said.contains("this is broken"), "{said}");
    ensure!(said.contains("its machine is gone") && said.contains("sleep ("), "{said}");
    ensure!(said.contains("4 passed, 2 failed (0 of them had passed before)"), "{said}");
    // One machine has the odd ones, of which two leave it unfit.
    ensure!(boots(&output) == 4, "{said}");

    let output = suite.run()?.expect_code(1)?;
    let said = &output.stdout;
    ensure!(!said.contains(&suite.line("ok    ", "first")), "what passed ran again: {said}");
    ensure!(said.contains("4 passed, 2 failed (4 of them had passed before)"), "{said}");
    ensure!(boots(&output) == 2, "{said}");
    ensure!(suite.kept.is_dir(), "nothing is kept");
    Ok(())
}
