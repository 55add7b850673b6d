//! A real Docker daemon of Debian's, for a privileged container of a pod: Docker-in-Docker.
//!
//! The package is unpacked beside the build results and mounted into containers with the node's own
//! programs and libraries, which daemon, iptables, containerd and runc come from. What the daemon writes
//! lies in its container and goes with it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::container::{Container, ContainerSpec};
use super::image::Image;
use super::pod::Pod;
use crate::exec::Output;
use crate::packages::{self, Package};

/// The Debian release that has Docker 20.10.
const SUITE: &str = "bookworm";
/// Where containers find the package, and the library of it that a node need not have.
const PROGRAMS: &str = "/opt/docker";
const LIBRARIES: &str = "/opt/libraries";
/// Where containers find the archives of [`Docker::keep`].
const IMAGES: &str = "/images";
/// Where the daemon listens inside the pod: loopback, as runners configure it for job containers.
const HOST: &str = "tcp://127.0.0.1:2375";

/// Starts the daemon in the foreground. `$1` is the cgroup it is to move to first, and `$2` its
/// containers' parent; either may be empty.
const START: &str = "set -e
for name in iptables ip6tables; do
  for verb in '' -save -restore; do ln -sf /usr/sbin/xtables-nft-multi /bin/$name$verb; done
done
if [ -n \"$1\" ]; then
  mkdir -p \"$1\"
  echo 1 > \"$1/cgroup.procs\"
fi
export LD_LIBRARY_PATH=$(echo /opt/libraries/lib/*-linux-gnu)
exec dockerd --host unix:///run/docker.sock --host tcp://127.0.0.1:2375 --tls=false \\
  --data-root /var/lib/docker --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \\
  --oom-score-adjust 0 ${2:+--cgroup-parent \"$2\"}";

/// Waits for the daemon as a startup probe does, by asking.
const READY: &str = "tries=0
until docker version > /dev/null 2>&1; do
  tries=$((tries + 1)); [ $tries -lt 250 ] || exit 1; usleep 100000
done";

/// Where the daemon and the containers that it starts are, as the node's cgroups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Below the cgroup of their pod.
    InPod,
    /// At the root of the node's cgroups, where the stock entry point moves itself in a privileged
    /// container, and Docker puts containers by default.
    AtRoot,
}

impl Placement {
    /// The shell's words by which a process that is started in the daemon's container comes to where the
    /// daemon is.
    #[must_use]
    pub const fn join(self) -> &'static str {
        match self {
            Self::InPod => ":",
            Self::AtRoot => "echo 0 > /sys/fs/cgroup/init/cgroup.procs",
        }
    }
}

/// The unpacked packages, and the images that the daemon is to load.
#[derive(Debug)]
pub struct Docker {
    programs: Package,
    libraries: Package,
    images: PathBuf,
}

impl Docker {
    /// Fetches what is not there yet; none where no Debian mirror gives it. `folder` takes image archives.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let Some(programs) = packages::find(SUITE, "docker.io")? else { return Ok(None) };
        let Some(libraries) = packages::find(SUITE, "libdevmapper1.02.1")? else {
            return Ok(None);
        };
        let images = folder.join("docker-images");
        std::fs::create_dir_all(&images)?;
        Ok(Some(Self { programs, libraries, images }))
    }

    /// Keeps `image` for [`Daemon::load`].
    pub fn keep(&self, image: &Image) -> Result<()> {
        let folder = tempfile::tempdir_in(&self.images)?;
        let archive = image.write_for_docker(folder.path())?;
        std::fs::rename(archive, self.images.join(archive_of(image)))?;
        Ok(())
    }

    /// `spec` with the client program, told where the daemon is.
    #[must_use]
    pub fn client(&self, spec: ContainerSpec) -> ContainerSpec {
        let mut spec = spec
            .env("DOCKER_HOST", HOST)
            .env("DOCKER_BUILDKIT", "0")
            .env("PATH", "/bin:/opt/docker/usr/bin:/opt/docker/usr/sbin:/usr/sbin:/usr/bin");
        let places = [
            (Path::new("/usr"), "/usr"),
            (Path::new("/lib"), "/lib"),
            (Path::new("/lib64"), "/lib64"),
            (self.programs.folder.as_path(), PROGRAMS),
            (self.libraries.folder.as_path(), LIBRARIES),
            (self.images.as_path(), IMAGES),
        ];
        for (source, target) in places {
            if source.exists() {
                spec.mounts.push((source.to_path_buf(), target.to_owned(), true));
            }
        }
        spec
    }

    /// Starts the daemon in a container of `pod`, which must be privileged; returns when it serves.
    pub fn start(&self, pod: &Pod, image: &Image, placement: Placement) -> Result<Daemon> {
        let (own, containers) = match placement {
            Placement::InPod => (String::new(), format!("{}/docker", pod.cgroup())),
            Placement::AtRoot => ("/sys/fs/cgroup/init".to_owned(), String::new()),
        };
        let spec = ContainerSpec::new("docker", image)
            .command(&["/bin/sh", "-c", START, "sh", &own, &containers])
            .privileged();
        let container = pod.start(self.client(spec))?;
        let daemon = Daemon { container, placement };
        let ready = daemon.container.exec(&["/bin/sh", "-c", READY])?;
        ensure!(ready.code == 0, "the daemon does not serve:\n{}", daemon.container.logs()?);
        Ok(daemon)
    }
}

fn archive_of(image: &Image) -> String {
    format!("{}.tar", image.reference().replace(['/', ':'], "-"))
}

/// A daemon that serves. Nothing happens on drop: it goes with its pod.
#[derive(Debug)]
pub struct Daemon {
    container: Container,
    placement: Placement,
}

impl Daemon {
    /// Its container.
    #[must_use]
    pub const fn container(&self) -> &Container {
        &self.container
    }

    /// Makes an image of [`Docker::keep`] known to it.
    pub fn load(&self, image: &Image) -> Result<()> {
        let archive = format!("{IMAGES}/{}", archive_of(image));
        self.run(&["docker", "load", "--input", &archive])?.expect_code(0).map(drop)
    }

    /// Runs `argv` beside the daemon, in the same cgroup.
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Result<Output> {
        let script = format!("{} && exec \"$@\"", self.placement.join());
        let mut words = vec!["/bin/sh", "-c", &script, "sh"];
        words.extend(argv.iter().map(AsRef::as_ref));
        self.container.exec(&words)
    }
}
