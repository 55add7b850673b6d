//! Tools that come from the package registry, each at a version that was tried.

use std::fmt;

use anyhow::Result;

use super::bpf_toolchain::linker_llvm_major;
use super::toolchain::Compiler;
use crate::shell;

/// The version of bpf-linker that the programs are built with.
const BPF_LINKER: &str = "0.13.0";

/// A tool to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Links the kernel programs; with the LLVM of their compiler.
    BpfLinker(Compiler),
    /// Checks licences, bans and sources of dependencies.
    CargoDeny,
}

impl fmt::Display for Tool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BpfLinker(compiler) => {
                write!(formatter, "bpf-linker {BPF_LINKER} with LLVM {}", compiler.llvm)
            }
            Self::CargoDeny => formatter.write_str("cargo-deny 0.20.2"),
        }
    }
}

impl Tool {
    pub(super) fn install(self) -> Result<()> {
        let mut command = match self {
            Self::BpfLinker(compiler) => {
                let llvm = format!("/usr/lib/llvm-{}", compiler.llvm);
                let feature = format!("llvm-{}", compiler.llvm);
                let mut command = shell::cargo(&["install", "bpf-linker", "--version", BPF_LINKER]);
                command.args(["--force", "--no-default-features", "--features", &feature]);
                // Without the prefix its build script looks for the library in the default folders.
                command.env("LLVM_PREFIX", &llvm);
                command
            }
            Self::CargoDeny => shell::cargo(&["install", "cargo-deny", "--version", "0.20.2"]),
        };
        command.args(["--locked", "--quiet"]);
        // A compiler's settings of the calling cargo are not meant for tools.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        shell::run(command)
    }
}

/// The tools that are not there; bpf-linker only once its compiler is known.
pub(super) fn missing(compiler: Option<Compiler>) -> Vec<Tool> {
    let mut tools = Vec::new();
    if let Some(compiler) = compiler
        && linker_llvm_major() != Some(compiler.llvm)
    {
        tools.push(Tool::BpfLinker(compiler));
    }
    if !shell::has("cargo-deny") {
        tools.push(Tool::CargoDeny);
    }
    tools
}
