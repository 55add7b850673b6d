//! What a machine finds in memory when it boots: busybox, a few modules, and the way to this machine's root.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kernel::Kernel;
use crate::exec::{self, DEFAULT_LIMIT};

/// The statically linked busybox of the package busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// The first process: lays a writable layer over this machine's read-only root and goes there.
const FIRST: &str = "#!/bin/busybox sh
set -e
export PATH=/bin
for name in cp insmod ls mkdir mount switch_root; do busybox ln -s busybox /bin/$name; done
mkdir -p /dev /proc /sys /host /layer /root
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in $(ls /modules); do insmod /modules/$module; done
mount -t virtiofs -o ro host /host
mount -t tmpfs -o size=75% none /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work none /root
mount -t devtmpfs none /root/dev
mount -t proc none /root/proc
mount -t sysfs none /root/sys
mount -t tmpfs -o mode=755 none /root/run
cp /second /root/run/second
exec switch_root /root /bin/sh /run/second
";

/// The same process on the new root: the mounts of a booted machine, every controller for what comes, the
/// network that QEMU gives, the one device that nobody is there to load a module for, then the command. The second serial port takes reports, the third what the command
/// writes.
///
/// The command of the guest stands in `$@`, put there by what is written in front of this.
const SECOND: &str = "
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
end() { echo \"ended $1\" > /dev/ttyS1; echo o > /proc/sysrq-trigger; exec sleep 60; }
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo
exec < /dev/null > /dev/ttyS2 2>&1
echo booted > /dev/ttyS1
set -e
trap 'end 125' EXIT
mkdir -p /dev/pts /dev/shm /run/lock /run/netns
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf none /sys/fs/bpf
mount -t securityfs none /sys/kernel/security
mount -t tmpfs -o mode=1777 none /mnt
for name in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo +$name > /sys/fs/cgroup/cgroup.subtree_control
done
mkdir -p /lib/modules
[ -e \"/lib/modules/$(uname -r)\" ] || ln -s \"$modules\" \"/lib/modules/$(uname -r)\"
modprobe -a virtio_net tun
ip link set lo up
ip link set eth0 name vm0
export TMPDIR=/mnt
trap - EXIT
set +e
cd \"$folder\"
\"$@\"
end $?
";

/// What is to run, and with what.
#[derive(Debug)]
pub(super) struct Job<'a> {
    /// The folder that it runs in.
    pub(super) folder: &'a Path,
    /// Program and arguments.
    pub(super) command: &'a [String],
    /// Environment variables.
    pub(super) environment: &'a [(String, String)],
}

/// Writes the archive for `kernel` and `job` into `folder`.
pub(super) fn write(folder: &Path, kernel: &Kernel, job: &Job<'_>) -> Result<PathBuf> {
    let root = folder.join("initramfs");
    for inner in ["bin", "modules"] {
        fs::create_dir_all(root.join(inner))?;
    }
    let busybox = fs::canonicalize(BUSYBOX).context("no busybox: install busybox-static")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for (number, module) in kernel.modules_to_boot()?.iter().enumerate() {
        fs::write(root.join(format!("modules/{number:02}.ko")), unpacked(module)?)?;
    }
    fs::write(root.join("init"), FIRST)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("second"), second(kernel, job))?;
    let archive = folder.join("initramfs.cpio");
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | /bin/busybox cpio -o -H newc > \"$1\"", "sh"]);
    pack.arg(&archive).current_dir(&root);
    exec::run(pack, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(archive)
}

fn second(kernel: &Kernel, job: &Job<'_>) -> String {
    let words: Vec<String> = job.command.iter().map(|word| quoted(word)).collect();
    let mut text = format!(
        "modules={}\nfolder={}\nset -- {}\n",
        quoted(&kernel.modules().to_string_lossy()),
        quoted(&job.folder.to_string_lossy()),
        words.join(" ")
    );
    for (name, value) in job.environment {
        // Writing to a String cannot fail.
        writeln!(text, "export {name}={}", quoted(value)).ok();
    }
    text + SECOND
}

/// `word` as the shell reads it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A module's bytes: the kernel cannot unpack by itself in every version.
fn unpacked(module: &Path) -> Result<Vec<u8>> {
    if module.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(module).with_context(|| format!("reading {}", module.display()));
    }
    let mut unpack = Command::new(BUSYBOX);
    unpack.args(["xzcat"]).arg(module);
    let output = unpack.output().with_context(|| format!("unpacking {}", module.display()))?;
    ensure!(output.status.success(), "unpacking {}", module.display());
    Ok(output.stdout)
}
