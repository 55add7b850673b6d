//! The mount table, parsed.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use nix::mount::MsFlags;

/// One line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The type of the file system.
    pub kind: String,
    /// The options of the mount itself, as flags that a remount has to repeat.
    pub flags: MsFlags,
}

/// The mounts that this process sees, in the order they were made.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn mounts_of_this_process() -> io::Result<Vec<MountInfo>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// The first mount of a file system type; cgroup2 is found so, because its place differs.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn find(kind: &str) -> io::Result<Option<PathBuf>> {
    let mounts = mounts_of_this_process()?;
    Ok(mounts.into_iter().find(|mounted| mounted.kind == kind).map(|mounted| mounted.path))
}

/// Whether a file system of this type is mounted exactly here.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn is_mounted(kind: &str, path: &Path) -> io::Result<bool> {
    let mounts = mounts_of_this_process()?;
    Ok(mounts.iter().any(|mounted| mounted.kind == kind && mounted.path == path))
}

fn parse(table: &str) -> Vec<MountInfo> {
    table.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MountInfo> {
    // 36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    let path = unescape(fields.next()?);
    let flags = fields.next()?.split(',').filter_map(flag).collect();
    let kind = file_system.split(' ').next()?.to_owned();
    Some(MountInfo { path, kind, flags })
}

fn flag(option: &str) -> Option<MsFlags> {
    Some(match option {
        "ro" => MsFlags::MS_RDONLY,
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => return None,
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits behind a backslash.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped =
            (*first == b'\\').then(|| after.first_chunk::<3>().copied()).flatten().and_then(octal);
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes() {
        let line = "36 35 0:30 / /mnt/a\\040b\\134c ro,nosuid,relatime shared:7 master:1 - cgroup2 none rw";
        let expected = MountInfo {
            path: PathBuf::from("/mnt/a b\\c"),
            kind: "cgroup2".to_owned(),
            flags: MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_RELATIME,
        };
        assert_eq!(parse(line), [expected]);
    }

    #[test]
    fn lines_that_are_none_are_skipped() {
        assert_eq!(parse("\n1 2 3\nno separator at all\n"), []);
    }
}
