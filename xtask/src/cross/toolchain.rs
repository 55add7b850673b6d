//! Compilers, linkers and libraries that build for an architecture.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Architecture;
use super::debs::Debs;
use crate::shell::{self, say};

/// What is linked against, and what is linked in. The names are the same in Debian 12 and 13.
const LIBRARIES: [&str; 9] = [
    "libc6",
    "libc6-dev",
    "libcrypt1",
    "libgcc-s1",
    "libmnl-dev",
    "libmnl0",
    "libnftnl-dev",
    "libnftnl11",
    "linux-libc-dev",
];
/// Debian's compiler of Rust, which takes its libraries from a folder that it is given.
const RUSTC: &str = "/usr/bin/rustc";
/// Last, so that a folder without it is unfinished.
const FINISHED: &str = "finished";

/// How to build for an architecture.
#[derive(Clone, Debug)]
pub(crate) enum Toolchain {
    /// With what this machine builds everything with.
    Native,
    /// With what was unpacked.
    Cross(Cross),
}

/// What builds for another architecture.
#[derive(Clone, Debug)]
pub(crate) struct Cross {
    architecture: Architecture,
    /// The root file system of a machine of that architecture, as far as building needs one.
    root: PathBuf,
    /// The root of programs of this machine.
    tools: PathBuf,
    rust: Rust,
}

/// Where a compiler of Rust has its library for the architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rust {
    /// The calling cargo's compiler has it installed.
    Installed,
    /// Debian's has it unpacked, as it has this version of the package.
    Unpacked { package: String, version: String },
}

impl Toolchain {
    /// What builds for `architecture`, fetched where it is not there yet.
    pub(crate) fn find(architecture: Architecture) -> Result<Self> {
        let host = Architecture::host()?;
        if architecture == host {
            return Ok(Self::Native);
        }
        ensure!(
            (host, architecture) == (Architecture::Amd64, Architecture::Arm64),
            "cross building works on amd64 for arm64; build for {} on such a machine",
            architecture.name()
        );
        Cross::prepare(architecture).map(Self::Cross)
    }

    /// Rust's name of what is built for.
    pub(crate) fn target(&self) -> Result<String> {
        match self {
            Self::Native => native_target(),
            Self::Cross(cross) => Ok(cross.architecture.target()),
        }
    }

    /// cargo with `arguments`, which finds every other tool for what is built for.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        match self {
            Self::Native => shell::cargo(arguments),
            Self::Cross(cross) => cross.cargo(arguments),
        }
    }

    /// Flags that every compiler of Rust needs to be given.
    pub(crate) fn flags(&self) -> Vec<String> {
        match self {
            Self::Native => Vec::new(),
            Self::Cross(cross) => cross.flags(),
        }
    }
}

impl Cross {
    /// The folder that holds all of `architecture`'s.
    fn place(architecture: Architecture) -> PathBuf {
        shell::root().join("target").join("cross").join(architecture.name())
    }

    fn prepare(architecture: Architecture) -> Result<Self> {
        let rust = Rust::find(architecture)?;
        let place = Self::place(architecture);
        let cross =
            Self { architecture, root: place.join("root"), tools: place.join("tools"), rust };
        // Of one folder for two versions of a compiler the older's libraries would be left over.
        let wanted = format!("{:?}", cross.rust);
        if fs::read_to_string(place.join(FINISHED)).ok().as_ref() != Some(&wanted) {
            if place.exists() {
                fs::remove_dir_all(&place)
                    .with_context(|| format!("removing {}", place.display()))?;
            }
            cross.fetch(&place).context("fetching packages")?;
            fs::write(place.join(FINISHED), wanted)?;
        }
        Ok(cross)
    }

    fn fetch(&self, place: &Path) -> Result<()> {
        say(&format!("fetching what builds for {}", self.architecture.name()));
        for folder in [&self.root, &self.tools] {
            fs::create_dir_all(folder)?;
        }
        let own = Debs::open(&place.join("apt-own"), Architecture::host()?)?;
        own.unpack_missing(&format!("gcc-{}", self.architecture.gnu()), &self.tools)?;
        let foreign = Debs::open(&place.join("apt"), self.architecture)?;
        let rust = match &self.rust {
            Rust::Installed => None,
            Rust::Unpacked { package, version } => Some(format!("{package}={version}")),
        };
        let packages: Vec<&str> = LIBRARIES.into_iter().chain(rust.as_deref()).collect();
        foreign.unpack(&packages, &self.root)
    }

    /// A program of the unpacked ones that runs programs of the architecture; fetched where it is not there yet.
    pub(super) fn emulator(&self) -> Result<PathBuf> {
        let cpu = self.architecture.cpu();
        // One package in Debian 12, another in Debian 13; either program needs nothing else.
        let known = [
            ("qemu-user-static", format!("/usr/bin/qemu-{cpu}-static")),
            ("qemu-user", format!("/usr/bin/qemu-{cpu}")),
        ];
        let unpacked = |path: &str| self.tools.join(path.trim_start_matches('/'));
        if let Some((_, path)) = known.iter().find(|(_, path)| unpacked(path).is_file()) {
            return Ok(unpacked(path));
        }
        let own =
            Debs::open(&Self::place(self.architecture).join("apt-own"), Architecture::host()?)?;
        for (package, path) in known {
            if own.unpack_file(package, &path, &self.tools)? {
                return Ok(unpacked(&path));
            }
        }
        bail!("no package has an emulator of {cpu}")
    }

    /// The root file system that programs of the architecture find their libraries in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn gcc(&self) -> String {
        format!("{}-gcc", self.architecture.gnu())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = match self.rust {
            Rust::Installed => shell::cargo(arguments),
            Rust::Unpacked { .. } => {
                let mut cargo = shell::command("/usr/bin/cargo");
                // What a rustup that has started this program says of its own compiler.
                for variable in ["CARGO", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
                    cargo.env_remove(variable);
                }
                cargo.args(arguments).env("RUSTC", RUSTC);
                cargo
            }
        };
        let target = self.architecture.target();
        let sysroot = format!("--sysroot={}", self.root.display());
        for (variable, value) in [
            ("CC", self.gcc()),
            ("AR", format!("{}-ar", self.architecture.gnu())),
            ("CFLAGS", sysroot),
        ] {
            cargo.env(format!("{variable}_{}", target.replace('-', "_")), value);
        }
        let variable = format!("CARGO_TARGET_{}", target.replace('-', "_").to_uppercase());
        cargo.env(format!("{variable}_LINKER"), self.gcc());
        cargo.env("PKG_CONFIG_ALLOW_CROSS", "1").env("PKG_CONFIG_SYSROOT_DIR", &self.root);
        cargo.env("PKG_CONFIG_LIBDIR", self.libraries_folder().join("pkgconfig"));
        self.reach_tools(&mut cargo);
        cargo
    }

    /// Lets a command find the unpacked programs, and these their libraries.
    fn reach_tools(&self, command: &mut Command) {
        let path =
            command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let path = path.map_or_else(|| env::var_os("PATH").unwrap_or_default(), OsString::from);
        let first = [self.tools.join("usr/bin")].into_iter();
        if let Ok(joined) = env::join_paths(first.chain(env::split_paths(&path))) {
            command.env("PATH", joined);
        }
        let host = Architecture::host().map(Architecture::gnu).unwrap_or_default();
        command.env("LD_LIBRARY_PATH", self.tools.join("usr/lib").join(host));
    }

    fn flags(&self) -> Vec<String> {
        let root = self.root.display();
        let mut flags = vec![
            format!("-Clink-arg=--sysroot={root}"),
            format!("--remap-path-prefix={root}=/sysroot"),
        ];
        if matches!(self.rust, Rust::Unpacked { .. }) {
            flags.push(format!("--sysroot={root}/usr"));
        }
        flags
    }

    fn libraries_folder(&self) -> PathBuf {
        self.root.join("usr/lib").join(self.architecture.gnu())
    }

    /// The shared objects without which `program` does not start, loader included: where the loader looks for them,
    /// and where they are here.
    pub(crate) fn shared_objects(&self, program: &Path) -> Result<Vec<(String, PathBuf)>> {
        let gnu = self.architecture.gnu();
        let mut found = BTreeSet::new();
        let mut waiting = vec![program.to_owned()];
        while let Some(file) = waiting.pop() {
            let mut readelf = shell::command(format!("{gnu}-readelf"));
            readelf
                .args(["--wide", "--program-headers", "--dynamic"])
                .arg(&file)
                .env("LC_ALL", "C");
            self.reach_tools(&mut readelf);
            for needed in needed(&shell::capture(readelf)?) {
                // The loader by its whole path, the others by their names.
                let places = if needed.starts_with('/') {
                    vec![needed]
                } else {
                    ["", "/usr"].map(|top| format!("{top}/lib/{gnu}/{needed}")).to_vec()
                };
                let here = |path: &String| self.root.join(path.trim_start_matches('/'));
                let place = places.into_iter().find(|path| here(path).is_file());
                let place =
                    place.with_context(|| format!("a library of {} is missing", file.display()))?;
                let source = here(&place);
                if found.insert((place, source.clone())) {
                    waiting.push(source);
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

impl Rust {
    fn find(architecture: Architecture) -> Result<Self> {
        let mut rustc = shell::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--print", "target-libdir", "--target", &architecture.target()]);
        let folder = rustc.output().ok().filter(|output| output.status.success());
        let folder = folder.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        if folder.is_some_and(|folder| Path::new(&folder).is_dir()) {
            return Ok(Self::Installed);
        }
        // Debian 12's newer compiler, or the only one.
        let owner = shell::ask("dpkg-query", &["--search", RUSTC]);
        let owner = owner.as_deref().and_then(|line| line.split_once(':')).map(|(owner, _)| owner);
        let package = match owner {
            Some("rustc-web") => "libstd-rust-web-dev",
            Some("rustc") => "libstd-rust-dev",
            _ => bail!(
                "no compiler has Rust's library for {}: `rustup target add {}`, or Debian's rustc",
                architecture.name(),
                architecture.target()
            ),
        };
        let version = shell::ask(
            "dpkg-query",
            &["--show", "--showformat", "${Version}", owner.unwrap_or_default()],
        );
        let version = version.context("asking for the version of Debian's rustc")?;
        Ok(Self::Unpacked { package: package.to_owned(), version })
    }
}

/// The target that the compiler builds for by itself.
fn native_target() -> Result<String> {
    let mut rustc = shell::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg("-vV");
    let version = shell::capture(rustc)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("a rustc that does not name its host")?.to_owned())
}

/// The loader and the libraries that readelf names: `[Requesting program interpreter: PATH]`,
/// `0x01 (NEEDED) Shared library: [NAME]`.
fn needed(text: &str) -> Vec<String> {
    let named = |line: &str| -> Option<String> {
        let (_, rest) = line
            .split_once("interpreter: ")
            .or_else(|| line.split_once("(NEEDED)")?.1.split_once('['))?;
        Some(rest.trim_end().trim_end_matches(']').to_owned())
    };
    text.lines().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn loader_and_libraries_are_read() {
        let text = "  INTERP         0x000318 0x0000000000000318 0x0000000000000318 0x00001b 0x00001b R   0x1\n\
                    \x20     [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n\
                    \x200x0000000000000001 (NEEDED)             Shared library: [libmnl.so.0]\n\
                    \x200x000000000000000e (SONAME)             Library soname: [libnftnl.so.11]\n";
        assert_eq!(needed(text), ["/lib/ld-linux-aarch64.so.1", "libmnl.so.0"]);
        assert!(needed("There is no dynamic section in this file.\n").is_empty());
    }
}
