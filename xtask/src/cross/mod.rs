//! Building for another architecture than this machine's, and running what user emulation can run.
//!
//! Compiler, libraries and emulator are Debian's, unpacked into the build results: nothing is installed, and the
//! machine learns of no foreign architecture. What is unpacked stays until the folder is deleted.

mod debs;
mod emulation;
mod toolchain;

use std::env::consts::ARCH;

use anyhow::{Result, bail};
use clap::ValueEnum;

pub(crate) use self::emulation::{Options, run};
pub(crate) use self::toolchain::Toolchain;

/// A machine that weir runs on. The names are Debian's, which are those of OCI and Kubernetes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM, little-endian.
    Arm64,
}

impl Architecture {
    /// This machine's.
    pub(crate) fn host() -> Result<Self> {
        match ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("weir is built for amd64 and arm64, this machine is neither: {other}"),
        }
    }

    /// `amd64` or `arm64`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the kernel, Rust and ELF call it.
    const fn cpu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Rust's name of the target.
    pub(crate) fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.cpu())
    }

    /// What begins the names of GNU's tools for it, and names the folders of its libraries.
    fn gnu(self) -> String {
        format!("{}-linux-gnu", self.cpu())
    }

    /// `e_machine` of its programs (System V ABI, "ELF header").
    pub(crate) const fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}

/// The machine that a program or shared object is for; none of other bytes, and of those of other byte order or
/// width.
pub(crate) fn elf_machine(bytes: &[u8]) -> Option<u16> {
    // EI_CLASS is ELFCLASS64, EI_DATA is ELFDATA2LSB.
    let rest = bytes.strip_prefix(b"\x7fELF\x02\x01")?;
    rest.get(12..14).and_then(<[u8]>::first_chunk).map(|machine| u16::from_le_bytes(*machine))
}

#[cfg(test)]
mod tests {
    use super::{Architecture, elf_machine};

    #[test]
    fn a_program_names_its_machine() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(elf_machine(&own), Some(Architecture::host().unwrap().elf_machine()));
        let mut arm = own.get(..64).unwrap().to_vec();
        arm[18] = 183;
        arm[19] = 0;
        assert_eq!(elf_machine(&arm), Some(Architecture::Arm64.elf_machine()));
        for other in
            [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01............\xb7\0"]
        {
            assert_eq!(elf_machine(other), None, "{other:?}");
        }
    }
}
