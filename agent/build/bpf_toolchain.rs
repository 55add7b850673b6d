//! Finds a compiler that can build for the BPF target. Shared by `build.rs` and `cargo xtask setup`.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// Names a rustup toolchain to use, or `system` for the one in `/usr/bin`.
pub(crate) const OVERRIDE: &str = "WEIR_BPF_TOOLCHAIN";

/// A compiler for `bpfel-unknown-none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BpfToolchain {
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
    pub(crate) fn find() -> Result<Self, String> {
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
    pub(crate) fn is_complete(&self) -> bool {
        let Some(sysroot) = self.sysroot() else { return false };
        match self {
            Self::Rustup(_) => sysroot.join("lib/rustlib/src/rust/library/core").is_dir(),
            Self::System => sysroot.join("lib/rustlib/bpfel-unknown-none/lib").is_dir(),
        }
    }

    /// The major version of the compiler's LLVM, which bpf-linker's has to equal.
    #[must_use]
    pub(crate) fn llvm_major(&self) -> Option<u32> {
        let version = output(self.rustc().arg("-vV"))?;
        version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))
            .and_then(|version| version.split('.').next()?.parse().ok())
    }

    /// Where the compiler keeps its libraries and their sources.
    pub(crate) fn sysroot(&self) -> Option<PathBuf> {
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
    pub(crate) fn cargo(&self) -> Command {
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

/// The major version of the LLVM that the installed bpf-linker is linked to; it does not tell itself.
pub(crate) fn linker_llvm_major() -> Option<u32> {
    let linker = env::split_paths(&search_path()?)
        .map(|folder| folder.join("bpf-linker"))
        .find(|path| path.is_file())?;
    llvm_in(&output(Command::new("ldd").arg(linker))?)
}

/// The major version in `ldd`'s line for libLLVM: `libLLVM.so.22.1` or `libLLVM-19.so.1`.
pub(crate) fn llvm_in(libraries: &str) -> Option<u32> {
    let (_, rest) = libraries.split_once("libLLVM")?;
    let digits = rest.trim_start_matches(".so").trim_start_matches(['.', '-']);
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// A command without what the calling cargo says of its own toolchain.
fn clean(mut command: Command) -> Command {
    for variable in
        ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_TARGET", "RUSTFLAGS"]
    {
        command.env_remove(variable);
    }
    if let Some(path) = search_path() {
        command.env("PATH", path);
    }
    command
}

/// `PATH`, and behind it the folder where `cargo install` puts bpf-linker.
fn search_path() -> Option<OsString> {
    let path = env::var_os("PATH")?;
    env::join_paths(env::split_paths(&path).chain(cargo_home().map(|home| home.join("bin")))).ok()
}

/// Where cargo keeps what it fetches and installs.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
