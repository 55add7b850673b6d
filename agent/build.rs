//! Builds the kernel programs for `bpfel-unknown-none` and hands the object to the crate.
//!
//! Two toolchains can do it: a rustup nightly that has `rust-src`, or Debian's packaged compiler with
//! its ready-made `core` for the target. `cargo xtask setup` installs what is missing.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "build/bpf_toolchain.rs"]
mod bpf_toolchain;

use bpf_toolchain::BpfToolchain;

const TARGET: &str = "bpfel-unknown-none";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = manifest_dir.parent().ok_or("the crate has no parent folder")?;
    for path in ["ebpf/src", "ebpf/Cargo.toml", "Cargo.lock", "agent/build"] {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    println!("cargo:rerun-if-env-changed={}", bpf_toolchain::OVERRIDE);

    let object = out_dir.join("weir-programs");
    let toolchain = BpfToolchain::find()?;
    build(&toolchain, workspace, &out_dir, &object)?;
    println!("cargo:rustc-env=WEIR_PROGRAMS={}", object.display());
    Ok(())
}

fn build(
    toolchain: &BpfToolchain,
    workspace: &Path,
    out_dir: &Path,
    object: &Path,
) -> Result<(), Box<dyn Error>> {
    let features =
        if env::var_os("CARGO_FEATURE_DEBUG_LOG").is_some() { "debug-log" } else { "programs" };
    let target_dir = out_dir.join("bpf");
    // `v2`: the newest instruction set that Linux 5.10 takes whole.
    // Without the last the linker has LLVM make a loop over bytes of each `memset`, and copies byte by byte.
    let flags = [
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        "-Ctarget-cpu=v2",
        "-Clink-arg=--disable-expand-memcpy-in-order",
    ]
    .map(str::to_owned);
    let flags: Vec<String> =
        flags.into_iter().chain(without_paths(toolchain, workspace, out_dir)).collect();
    let flags = flags.join("\x1f");
    let mut command: Command = toolchain.cargo();
    command
        .current_dir(workspace)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "weir-ebpf",
            "--bin",
            "weir-programs",
        ])
        .args(["--features", features, "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // The kernel's machine is that of the agent, not the one that builds: the bindings differ by it.
        .env("AYA_BPF_TARGET_ARCH", env::var("CARGO_CFG_TARGET_ARCH")?)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER");
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!(
            "building the kernel programs with {toolchain} failed:\n{}\n\
             `cargo xtask setup` installs what the build needs",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    std::fs::copy(target_dir.join(TARGET).join("release/weir-programs"), object)?;
    Ok(())
}

/// The type information names source files, and the object is part of the agent: without these flags
/// two checkouts would build two agents.
fn without_paths(toolchain: &BpfToolchain, workspace: &Path, out_dir: &Path) -> Vec<String> {
    let folders = [
        (Some(workspace.to_owned()), "/weir"),
        (bpf_toolchain::cargo_home(), "/cargo"),
        (toolchain.sysroot(), "/sysroot"),
        (Some(out_dir.to_owned()), "/out"),
    ];
    let known = folders.into_iter().filter_map(|(from, to)| Some((from?, to)));
    known.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}
