//! Running other programs, from the workspace's root and with cargo's own binaries in reach.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// One line for the person who watches. A closed standard output is no reason to stop.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// `program`, started at the root, able to find what `cargo install` installed and what lives in
/// the folders of the administrator.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    let path = env::var_os("PATH").unwrap_or_default();
    let more = cargo_home().map(|home| home.join("bin")).into_iter();
    let more = more.chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if let Ok(joined) = env::join_paths(env::split_paths(&path).chain(more)) {
        command.env("PATH", joined);
    }
    command
}

/// The cargo that runs this program: rustup's or the distribution's.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// Runs to the end, its output straight to the terminal.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let label = label(&command);
    let status = command.status().with_context(|| format!("starting {label}"))?;
    ensure!(status.success(), "{label}: {status}");
    Ok(())
}

/// Runs to the end with standard output captured and standard error to the terminal.
pub(crate) fn capture(mut command: Command) -> Result<String> {
    let label = label(&command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("starting {label}"))?;
    ensure!(output.status.success(), "{label}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Standard output of a program that may be missing or fail: then none.
pub(crate) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let Output { status, stdout, .. } = command(program).args(arguments).output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).into_owned())
}

/// Whether `program` is found the way [`command`] would find it.
pub(crate) fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(cargo_home().map(|home| home.join("bin")))
        .any(|folder| folder.join(program).is_file())
}

/// The command line, for messages.
pub(crate) fn label(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Where cargo keeps what it installs.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or(home)
}
