//! The end-to-end suites on the kernels that clusters run, in virtual machines.

use std::num::NonZero;

use anyhow::{Context, Result};
use clap::Args;

use crate::setup;
use crate::shell::{self, cargo, say};
use crate::test::binaries::{self, Binary};

/// The series of kernels, as `--kernel` takes them.
pub(crate) const KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.x"];
/// Whether they ask BPF programs for leave, as `--lsm` takes it.
pub(crate) const LSM: [&str; 2] = ["off", "on"];

/// The suites that another kernel tells nothing new of, or that cannot run there, and why.
const ELSEWHERE: [(&str, &str); 23] = [
    ("admission", "it reads documents"),
    ("api_server", "a whole control plane, of which nothing is the kernel's"),
    ("bad_input", "it is about what users write, which no kernel reads"),
    ("bad_kernels", "it starts machines itself"),
    ("chart", "it reads documents"),
    ("checkout", "it works on files, and its clients install packages for minutes"),
    ("containerd", "it is about the lab's own node, on which most of the others are"),
    ("demo", "it is acts of other suites, with pauses for people"),
    ("guard", "it starts machines itself"),
    ("identity", "it is about what a runner writes on a pod"),
    ("images", "it builds with cargo, and is about archives"),
    ("kernels", "it starts machines itself"),
    ("kubelet", "it starts machines itself"),
    ("lab", "it is about the lab's own internet, in which all the others are"),
    ("machines", "it starts machines itself"),
    ("monitoring", "it reads documents"),
    ("package_client", "it needs a package registry"),
    ("real_programs", "its programs are those of other suites, or need a package registry"),
    ("report", "it works on files, and shows them in a browser"),
    ("resolve_then_connect", "ten thousand turns, which take an emulated machine an hour"),
    ("runners", "it reads documents"),
    ("suggest", "it works on records, whichever kernel they are of"),
    ("telemetry", "it is about what leaves the agent, and its collector comes from a registry"),
];

/// What to run, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A series of kernels: 5.10, 6.1, 6.12, 6.18, 7.x, or all
    #[arg(long = "kernel", default_values_t = ["all".to_owned()])]
    kernels: Vec<String>,
    /// Whether the kernels ask BPF programs for leave: on, off or both
    #[arg(long, default_value = "on")]
    lsm: String,
    /// Only cases whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Run cases that have passed with the very same programs, too
    #[arg(long)]
    again: bool,
    /// How many machines run side by side; each takes a processor [default: as many as there are]
    #[arg(long)]
    machines: Option<NonZero<usize>>,
    /// The suites, by their names, or all that another kernel tells anything of
    #[arg(required = true)]
    suites: Vec<String>,
}

/// Builds weir and the suites, then runs these in virtual machines; whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    setup::run()?;
    let binaries = binaries::build()?;
    let suites = if options.suites == ["all"] {
        for (name, why) in ELSEWHERE {
            say(&format!("left out {name}: {why}"));
        }
        fit(&binaries)?
    } else {
        options.suites.iter().map(|name| find(&binaries, name)).collect::<Result<_>>()?
    };
    Ok(shell::run(command(options, &suites)).is_ok())
}

/// Runs every suite that another kernel tells anything of on one kernel.
pub(crate) fn matrix(binaries: &[Binary], kernel: &str, lsm: &str) -> Result<()> {
    let options = Options {
        kernels: vec![kernel.to_owned()],
        lsm: lsm.to_owned(),
        only: None,
        again: false,
        machines: None,
        suites: Vec::new(),
    };
    shell::run(command(&options, &fit(binaries)?))
}

/// The suites that are not [`ELSEWHERE`].
fn fit(binaries: &[Binary]) -> Result<Vec<&Binary>> {
    for (name, _) in ELSEWHERE {
        find(binaries, name)?;
    }
    let is_elsewhere = |suite: &Binary| ELSEWHERE.iter().any(|(name, _)| is_called(suite, name));
    Ok(binaries.iter().filter(|suite| is_suite(suite) && !is_elsewhere(suite)).collect())
}

fn find<'a>(binaries: &'a [Binary], name: &str) -> Result<&'a Binary> {
    let found = binaries.iter().find(|suite| is_suite(suite) && is_called(suite, name));
    found.with_context(|| {
        let suites = binaries.iter().filter(|suite| is_suite(suite));
        let names = suites.filter_map(|suite| suite.name.split("::").nth(1));
        format!("no suite is called `{name}`; there are {}", names.collect::<Vec<_>>().join(", "))
    })
}

fn is_suite(binary: &Binary) -> bool {
    binary.is_suite && binary.package == binaries::SUITES
}

fn is_called(suite: &Binary, name: &str) -> bool {
    suite.name.split("::").nth(1) == Some(name)
}

fn command(options: &Options, suites: &[&Binary]) -> std::process::Command {
    let mut command = cargo(&["run", "--quiet", "--locked", "--package", "weir-tests"]);
    command.args(["--bin", "weir-vm", "--", "--lsm", &options.lsm]);
    for kernel in &options.kernels {
        command.args(["--kernel", kernel]);
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if options.again {
        command.arg("--again");
    }
    let machines = options.machines.or_else(|| std::thread::available_parallelism().ok());
    if let Some(machines) = machines {
        command.args(["--machines", &machines.to_string()]);
    }
    command.args(suites.iter().map(|suite| &suite.path));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_there() {
        let manifest = std::fs::read_to_string(shell::root().join("tests/Cargo.toml")).unwrap();
        for (name, why) in ELSEWHERE {
            assert!(manifest.contains(&format!("path = \"suites/{name}.rs\"")), "{name}: {why}");
        }
    }
}
