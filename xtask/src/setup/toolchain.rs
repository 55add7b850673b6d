//! The compiler for the BPF target, and the LLVM that bpf-linker has to share with it.

use std::path::Path;

use super::apt;
use super::bpf_toolchain::{BpfToolchain, linker_llvm_major};

/// Oldest packaged compiler that compiles the workspace (`rust-version` of the root manifest).
const OLDEST: (u32, u32) = (1, 90);

/// A compiler that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compiler {
    /// The major version of its LLVM.
    pub(super) llvm: u32,
}

/// What [`find`] found.
#[derive(Debug)]
pub(super) enum Found {
    /// A complete compiler.
    Ready(Compiler),
    /// None, and where to get one.
    Missing(Source),
}

/// Where this release has a compiler with a library for the BPF target.
#[derive(Debug)]
pub(super) enum Source {
    /// In the suites that are set up.
    Suite(Vec<String>),
    /// In its backports.
    Backports(Vec<String>),
}

/// A rustup nightly with `rust-src` first, then the distribution's compiler: the build's own order.
/// A compiler counts when bpf-linker has its LLVM already, or the release packages that LLVM.
pub(super) fn find() -> Found {
    let candidates = [BpfToolchain::Rustup("nightly".to_owned()), BpfToolchain::System];
    let ready = candidates.iter().filter(|toolchain| toolchain.is_complete());
    let llvms: Vec<u32> = ready.filter_map(BpfToolchain::llvm_major).collect();
    let linked = linker_llvm_major();
    if let Some(&llvm) = llvms.iter().find(|llvm| Some(**llvm) == linked) {
        return Found::Ready(Compiler { llvm });
    }
    apt::refresh();
    let packaged = |llvm: &&u32| apt::candidate(&format!("llvm-{llvm}-dev")).is_some();
    match llvms.iter().find(packaged) {
        Some(&llvm) => Found::Ready(Compiler { llvm }),
        None => Found::Missing(source()),
    }
}

/// The development packages of `compiler`'s LLVM that are missing; none once bpf-linker has it.
pub(super) fn missing_llvm(compiler: Compiler) -> Vec<String> {
    let llvm = compiler.llvm;
    if linker_llvm_major() == Some(llvm) {
        return Vec::new();
    }
    let signs = [
        (format!("llvm-{llvm}-dev"), format!("/usr/lib/llvm-{llvm}/lib/libLLVM.so")),
        (format!("libpolly-{llvm}-dev"), format!("/usr/lib/llvm-{llvm}/lib/libPolly.a")),
        ("zlib1g-dev".to_owned(), "/usr/include/zlib.h".to_owned()),
        ("libzstd-dev".to_owned(), "/usr/include/zstd.h".to_owned()),
        ("libxml2-dev".to_owned(), "/usr/include/libxml2".to_owned()),
    ];
    let missing = signs.into_iter().filter(|(_, sign)| !Path::new(sign).exists());
    missing.map(|(package, _)| package).collect()
}

fn source() -> Source {
    let names = |list: [&str; 6]| list.map(str::to_owned).to_vec();
    // Debian 12 has a second compiler beside its own old one.
    if apt::candidate("libstd-rust-web-dev-bpf").is_some() {
        return Source::Suite(names([
            "rustc-web",
            "cargo-web",
            "libstd-rust-web-dev-bpf",
            "rust-web-src",
            "rust-web-clippy",
            "rustfmt-web",
        ]));
    }
    let own =
        names(["rustc", "cargo", "libstd-rust-dev-bpf", "rust-src", "rust-clippy", "rustfmt"]);
    let new_enough = apt::candidate("libstd-rust-dev-bpf")
        .and_then(|version| release_of(&version))
        .is_some_and(|version| version >= OLDEST);
    if new_enough { Source::Suite(own) } else { Source::Backports(own) }
}

/// `1.96` of `1.96.0+dfsg1-1~bpo13+1`.
fn release_of(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.rsplit(':').next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::release_of;
    use crate::setup::bpf_toolchain::llvm_in;

    #[test]
    fn llvm_is_read_from_either_spelling() {
        assert_eq!(llvm_in("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1"), Some(22));
        assert_eq!(llvm_in("\tlibLLVM-19.so.1 => not found"), Some(19));
        assert_eq!(llvm_in("\tlibc.so.6"), None);
    }

    #[test]
    fn a_package_version_starts_with_the_release() {
        assert_eq!(release_of("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(release_of("1:1.85.0-1"), Some((1, 85)));
        assert_eq!(release_of("unknown"), None);
    }
}
