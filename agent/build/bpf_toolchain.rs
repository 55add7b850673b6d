//! Finds a compiler that can build for the BPF target. Shared by `build.rs` and `cargo xtask setup`.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// Names a rustup toolchain to use, or `system` for the one in `/usr/bin`.
pub const OVERRIDE: &str = "WEIR_BPF_TOOLCHAIN";

/// A compiler for `bpfel-unknown-none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BpfToolchain {
    /// A rustup toolchain with `rust-src`: builds its own `core`.
    Rustup(String),
    /// The distribution's compiler, which packages `core` for the target.
    System,
}

impl fmt::Display for BpfToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustup(name) => write!(f, "the rustup toolchain {name}"),
            Self::System => f.write_str("the system's compiler"),
        }
    }
}

impl BpfToolchain {
    /// The toolchain to use: the one named in the environment, else the first that is complete and
    /// whose LLVM bpf-linker understands.
    ///
    /// # Errors
    ///
    /// A text for people when none is there.
    pub fn find() -> Result<Self, String> {
        match env::var(OVERRIDE) {
            Ok(name) if name == "system" => return Ok(Self::System),
            Ok(name) if !name.is_empty() => return Ok(Self::Rustup(name)),
            _ => {}
        }
        let linker = linker_llvm_major();
        let candidates = [Self::Rustup("nightly".to_owned()), Self::System];
        candidates
            .into_iter()
            .filter(Self::is_complete)
            .find(|toolchain| linker.is_none() || toolchain.llvm_major() == linker)
            .ok_or_else(|| {
                "no compiler for the BPF target: neither a rustup nightly with rust-src nor the \
                 system's compiler with its BPF library fits the installed bpf-linker; \
                 run `cargo xtask setup`"
                    .to_owned()
            })
    }

    /// Whether the compiler is there with what it needs for the target.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Some(sysroot) = self.sysroot() else { return false };
        match self {
            Self::Rustup(_) => sysroot.join("lib/rustlib/src/rust/library/core").is_dir(),
            Self::System => sysroot.join("lib/rustlib/bpfel-unknown-none/lib").is_dir(),
        }
    }

    /// The major version of the compiler's LLVM, which bpf-linker's has to equal.
    #[must_use]
    pub fn llvm_major(&self) -> Option<u32> {
        let version = output(self.rustc().arg("-vV"))?;
        version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))
            .and_then(|version| version.split('.').next()?.parse().ok())
    }

    fn sysroot(&self) -> Option<PathBuf> {
        output(self.rustc().args(["--print", "sysroot"])).map(|path| PathBuf::from(path.trim()))
    }

    fn rustc(&self) -> Command {
        match self {
            Self::Rustup(name) => {
                let mut command = clean(Command::new("rustup"));
                command.args(["run", name, "rustc"]);
                command
            }
            Self::System => clean(Command::new("/usr/bin/rustc")),
        }
    }

    /// `cargo` of this toolchain, ready for `build`.
    #[must_use]
    pub fn cargo(&self) -> Command {
        match self {
            Self::Rustup(name) => {
                let mut command = clean(Command::new("rustup"));
                command.args(["run", name, "cargo"]);
                command.env("CARGO_UNSTABLE_BUILD_STD", "core");
                command
            }
            Self::System => {
                let mut command = clean(Command::new("/usr/bin/cargo"));
                // The distribution has no nightly: aya-ebpf and the programs use inline assembly.
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                command
            }
        }
    }
}

/// The major version of the LLVM inside the installed bpf-linker, where it tells.
fn linker_llvm_major() -> Option<u32> {
    let version = output(Command::new("bpf-linker").arg("--version"))?;
    let (_, llvm) = version.split_once("LLVM ")?;
    llvm.split('.').next()?.trim().parse().ok()
}

/// A command without what the calling cargo says of its own toolchain.
fn clean(mut command: Command) -> Command {
    for variable in
        ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_TARGET", "RUSTFLAGS"]
    {
        command.env_remove(variable);
    }
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    if let (Some(home), Some(path)) = (home, env::var_os("PATH")) {
        // bpf-linker lives where `cargo install` puts it.
        let paths = env::split_paths(&path).chain([home.join("bin")]);
        if let Ok(joined) = env::join_paths(paths) {
            command.env("PATH", joined);
        }
    }
    command
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
