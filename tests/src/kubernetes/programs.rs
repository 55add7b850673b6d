//! Kubernetes 1.20 built from Debian's source package, and Debian's etcd; built once and kept.
//!
//! Nothing is installed: the compiler comes from the same release and is unpacked like everything else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exec;
use crate::packages::{self, Archive, Lists};

/// The last release whose source package has the servers, and a compiler of its time.
const SUITE: &str = "bookworm";
const COMPILER: [&str; 2] = ["golang-1.19-go", "golang-1.19-src"];
/// Where the compiler's package puts it.
const GOROOT: &str = "usr/lib/go-1.19";
/// A library that reaches into the compiler's own and was vendored before Go 1.18, under which it corrupts memory
/// whenever a map is walked through; the release has a version that knows better.
const LIBRARY: (&str, &str) =
    ("golang-github-modern-go-reflect2-dev", "github.com/modern-go/reflect2");
/// Where packages of Go libraries have them.
const LIBRARIES: &str = "usr/share/gocode/src";
/// Without the clients of clouds and of dockerd, which are half of the code.
const TAGS: &str = "providerless,dockerless";
/// What is built of it.
const COMMANDS: [&str; 4] =
    ["kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// Where they have their version: what they say of themselves, and what the API server tells.
const VERSIONS: [&str; 2] = ["component-base/version", "client-go/pkg/version"];
/// Most time for one call of the compiler.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// The programs, in one folder.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// What was built before, or is fetched and built now; none where no Debian mirror gives it.
    pub fn find() -> Result<Option<Self>> {
        let cache = packages::cache()?;
        let programs = Self { folder: cache.join("kubernetes") };
        if programs.are_all_there() {
            return Ok(Some(programs));
        }
        // A build that was broken off is gone on with; two at once would get in each other's way.
        let work = cache.join("kubernetes-build");
        fs::create_dir_all(&work)?;
        let lock = File::create(cache.join("kubernetes-lock"))?;
        lock.lock().context("waiting for another build of Kubernetes")?;
        if programs.are_all_there() {
            return Ok(Some(programs));
        }
        let Some(tree) = Tree::fetch(&work)? else { return Ok(None) };
        tree.build()?;
        // Of an earlier version of this list.
        fs::remove_dir_all(&programs.folder).ok();
        fs::rename(tree.results(), &programs.folder).context("keeping Kubernetes")?;
        fs::remove_dir_all(&work).context("removing the build of Kubernetes")?;
        Ok(Some(programs))
    }

    fn are_all_there(&self) -> bool {
        COMMANDS.iter().chain(&["etcd", "version"]).all(|name| self.path(name).exists())
    }

    /// The program `name`: `etcd`, or one that is built.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Everything that a build needs, in one folder.
struct Tree {
    folder: PathBuf,
}

impl Tree {
    fn fetch(work: &Path) -> Result<Option<Self>> {
        let tree = Self { folder: work.join("tree") };
        if tree.folder.exists() {
            return Ok(Some(tree));
        }
        let fresh = tempfile::tempdir_in(work)?;
        let Some(archive) = Archive::open(fresh.path(), SUITE, Lists::ProgramsAndSources)? else {
            return Ok(None);
        };
        let unpacked = Self { folder: fresh.path().join("tree") };
        let (library, path) = LIBRARY;
        for (package, place) in [
            (COMPILER[0], "compiler"),
            (COMPILER[1], "compiler"),
            (library, "libraries"),
            ("etcd-server", "etcd"),
        ] {
            if archive.unpack(package, &unpacked.folder.join(place))?.is_none() {
                return Ok(None);
            }
        }
        let Some(version) = archive.unpack_source("kubernetes", &unpacked.source())? else {
            return Ok(None);
        };
        fs::write(unpacked.version_file(), version)?;
        let vendored = unpacked.source().join("vendor").join(path);
        fs::remove_dir_all(&vendored).context("removing a vendored library")?;
        fs::rename(unpacked.folder.join("libraries").join(LIBRARIES).join(path), &vendored)?;
        fs::rename(&unpacked.folder, &tree.folder)?;
        Ok(Some(tree))
    }

    /// Where Go looks for the package `k8s.io/kubernetes` without modules.
    fn source(&self) -> PathBuf {
        self.folder.join("src/k8s.io/kubernetes")
    }

    fn version_file(&self) -> PathBuf {
        self.folder.join("version")
    }

    fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    fn build(&self) -> Result<()> {
        fs::create_dir_all(self.results())?;
        fs::copy(self.folder.join("etcd/usr/bin/etcd"), self.results().join("etcd"))?;
        fs::copy(self.version_file(), self.results().join("version"))?;
        self.generate()?;
        for name in COMMANDS {
            self.go_build(&format!("./cmd/{name}"), &self.results().join(name))?;
        }
        Ok(())
    }

    /// Makes the description of the API, which is generated and not in the package: the tree's own generator
    /// over all that asks for it, as `build/root/Makefile.generated_files` does.
    fn generate(&self) -> Result<()> {
        let generator = self.folder.join("openapi-gen");
        self.go_build("./vendor/k8s.io/kube-openapi/cmd/openapi-gen", &generator)?;
        let mut command = self.command(&generator);
        command.args(["-i", &self.described()?.join(",")]);
        command.args(["-p", "k8s.io/kubernetes/pkg/generated/openapi"]);
        command.args(["-O", "zz_generated.openapi"]);
        command.args(["-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"]);
        command.arg("-r").arg(self.folder.join("violations"));
        command.arg("-o").arg(self.folder.join("src"));
        exec::run(command, BUILD_LIMIT)?.expect_code(0)?;
        let file = self.source().join("pkg/generated/openapi/zz_generated.openapi.go");
        let text = fs::read_to_string(&file).context("reading the generated description")?;
        // The generator takes vendored packages for packages of the tree.
        Ok(fs::write(&file, text.replace("k8s.io/kubernetes/vendor/", ""))?)
    }

    /// The packages that ask to be described.
    fn described(&self) -> Result<Vec<String>> {
        let mut find = self.command("grep");
        find.args(["-R", "-l", "--include=*.go", "^// *+k8s:openapi-gen="]);
        find.args(["pkg", "cmd", "plugin", "vendor/k8s.io"]);
        let output = exec::run(find, BUILD_LIMIT)?.expect_code(0)?;
        let examples = ["vendor/k8s.io/code-generator/", "vendor/k8s.io/sample-apiserver/"];
        let mut folders: Vec<String> = output
            .stdout
            .lines()
            .filter(|file| !examples.iter().any(|example| file.starts_with(example)))
            .filter_map(|file| Some(format!("k8s.io/kubernetes/{}", file.rsplit_once('/')?.0)))
            .collect();
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    fn go_build(&self, package: &str, program: &Path) -> Result<()> {
        let mut command = self.command(self.folder.join("compiler").join(GOROOT).join("bin/go"));
        let version = fs::read_to_string(self.version_file())?;
        // A chart asks for the version. What nobody debugs needs no debugging information.
        let set = VERSIONS.map(|package| {
            format!("-X k8s.io/kubernetes/vendor/k8s.io/{package}.gitVersion=v{version}")
        });
        let flags = format!("-s -w {}", set.join(" "));
        command.args(["build", "-p", "2", "-tags", TAGS, "-ldflags", &flags, "-o"]);
        command.arg(program).arg(package);
        exec::run(command, BUILD_LIMIT)?.expect_code(0).map(drop)
    }

    /// `program` in the source's folder, with Go's settings and nothing of the caller's.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.source()).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("HOME", &self.folder).env("GOPATH", &self.folder);
        command.env("GOROOT", self.folder.join("compiler").join(GOROOT));
        command.env("GOCACHE", self.folder.join("cache"));
        command.env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        command
    }
}
