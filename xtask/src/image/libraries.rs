//! The shared objects without which a program does not start, loader included.
//!
//! The agent has some because Debian ships libmnl without a static library.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cross::Toolchain;
use crate::shell;

/// Where the loader looks for the shared objects of `program`, in order, and where they are on this machine; none of
/// a static program.
pub(super) fn of(program: &Path, toolchain: &Toolchain) -> Result<Vec<(String, PathBuf)>> {
    match toolchain {
        // The machine's own loader says it of its own programs.
        Toolchain::Native => {
            Ok(native(program)?.into_iter().map(|path| (path.clone(), path.into())).collect())
        }
        Toolchain::Cross(cross) => cross.shared_objects(program),
    }
}

fn native(program: &Path) -> Result<Vec<String>> {
    let mut ldd = shell::command("ldd");
    ldd.arg(program).env("LC_ALL", "C").env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD");
    let output = ldd.output().context("starting ldd, of the package libc-bin")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Of a static program: a complaint and an exit code, or, where it is relocatable, neither.
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("not a dynamic executable") || text.contains("statically linked") {
        return Ok(Vec::new());
    }
    ensure!(output.status.success(), "ldd {}: {errors}", program.display());
    read(&text)
}

/// The paths in ldd's lines: `NAME => PATH (ADDRESS)`, `PATH (ADDRESS)`, `NAME (ADDRESS)` for the vDSO.
fn read(text: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in text.lines() {
        ensure!(!line.contains("not found"), "a library is missing:{line}");
        let found = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        let path = found.split_once(" (").map_or(found, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(path.to_owned());
        }
    }
    paths.sort();
    paths.dedup();
    ensure!(!paths.is_empty(), "ldd named no library:\n{text}");
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn paths_are_found_and_sorted() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f01)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f02)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f03)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/x86_64-linux-gnu/libmnl.so.0",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_missing_library_is_an_error() {
        let error = read("\tlibmnl.so.0 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libmnl.so.0"), "{error}");
        assert!(read("").is_err());
    }
}
