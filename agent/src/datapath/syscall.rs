//! bpf(2), for the few commands that aya keeps to itself.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

/// `BPF_F_BEFORE`, without another link or program: ahead of all (include/uapi/linux/bpf.h).
const BEFORE_ALL: u32 = 1 << 3;

/// The system call.
///
/// # Safety
///
/// `T` must be a prefix of `union bpf_attr` as the command defines it, and its pointers valid.
pub(super) unsafe fn bpf<T>(command: bpf_cmd, request: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes no more than the size that it is given.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, std::ptr::from_mut(request), size_of::<T>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// The fields of `union bpf_attr` that `BPF_PROG_TEST_RUN` reads and writes.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct RunRequest {
    pub(super) program: u32,
    pub(super) result: u32,
    pub(super) data_bytes: u32,
    pub(super) data_out_bytes: u32,
    pub(super) data: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) nanoseconds: u32,
    pub(super) context_bytes: u32,
    pub(super) context_out_bytes: u32,
    pub(super) context: u64,
    pub(super) context_out: u64,
}

/// Runs a program that sees packets once, over the first `bytes` of `P`, which then are as the program has left them.
/// What it returned.
pub(super) fn run_over<P: aya::Pod>(
    program: BorrowedFd<'_>,
    packet: &mut P,
    bytes: usize,
) -> io::Result<u32> {
    let bytes = u32::try_from(bytes.min(size_of::<P>())).map_err(io::Error::other)?;
    let packet = std::ptr::from_mut(packet) as u64;
    let mut request = RunRequest {
        program: number(program)?,
        data_bytes: bytes,
        data_out_bytes: bytes,
        data: packet,
        data_out: packet,
        ..RunRequest::default()
    };
    // SAFETY: the request's type is the command's, and the packet outlives the call; the kernel copies no more than
    // `bytes` of it, before the run and back after it.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut request) }?;
    Ok(request.result)
}

/// `BPF_LINK_CREATE`.
#[derive(Debug, Default)]
#[repr(C)]
struct CreateRequest {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

/// Attaches a program to what comes in by a device, ahead of every other program there (TCX, Linux 6.6).
pub(super) fn link_to_device(program: BorrowedFd<'_>, device: u32) -> io::Result<OwnedFd> {
    let mut request = CreateRequest {
        program: number(program)?,
        target: device,
        attach_type: bpf_attach_type::BPF_TCX_INGRESS as u32,
        flags: BEFORE_ALL,
        ..CreateRequest::default()
    };
    // SAFETY: the request's type is the command's.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut request) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `BPF_RAW_TRACEPOINT_OPEN`.
#[derive(Debug, Default)]
#[repr(C)]
struct TracingRequest {
    /// None: the program says itself where it belongs.
    name: u64,
    program: u32,
    padding: u32,
}

/// Attaches a program to the tracepoint or security hook that it was loaded for.
pub(super) fn link_to_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut request = TracingRequest { program: number(program)?, ..TracingRequest::default() };
    // SAFETY: the request's type is the command's.
    let fd = unsafe { bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut request) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a cgroup, beside every other program there.
pub(super) fn link_to_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut request = CreateRequest {
        program: number(program)?,
        target: number(cgroup)?,
        attach_type: attach_type as u32,
        ..CreateRequest::default()
    };
    // SAFETY: the request's type is the command's.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut request) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the kernel has such links: one that has looks for the device, and says that there is none.
pub(super) fn links_to_devices(program: BorrowedFd<'_>) -> bool {
    const NO_DEVICE: u32 = i32::MAX.cast_unsigned();
    let error = link_to_device(program, NO_DEVICE).err();
    error.and_then(|error| error.raw_os_error()) == Some(libc::ENODEV)
}

/// `BPF_LINK_UPDATE`.
#[derive(Debug, Default)]
#[repr(C)]
struct UpdateRequest {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program in the place of a link's, between two packets.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut request = UpdateRequest {
        link: number(link)?,
        program: number(program)?,
        ..UpdateRequest::default()
    };
    // SAFETY: the request's type is the command's.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut request) }.map(|_| ())
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[derive(Debug, Default)]
#[repr(C)]
struct InfoRequest {
    object: u32,
    bytes: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info`, of a link to a cgroup or to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct LinkInfo {
    kind: u32,
    /// The identifier of the link.
    pub(super) id: u32,
    /// That of its program.
    pub(super) program: u32,
    padding: u32,
    /// The first two words of what is told of this kind of link.
    place: [u32; 2],
}

impl LinkInfo {
    /// The cgroup of a link to one; 0 when it was detached, or the cgroup is gone.
    pub(super) fn cgroup(&self) -> u64 {
        let mut bytes = [0; 8];
        for (half, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.place) {
            *half = word.to_ne_bytes();
        }
        u64::from_ne_bytes(bytes)
    }

    /// The device of a link to one; 0 when it was detached, or the device is gone.
    pub(super) const fn device(&self) -> u32 {
        let [device, _attach_type] = self.place;
        device
    }
}

/// What the kernel tells of a link (Linux 5.8).
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut request = InfoRequest {
        object: number(link)?,
        bytes: u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the request's type is the command's; the kernel writes no more than `bytes`, of integers.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut request) }?;
    Ok(info)
}

/// `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[derive(Debug, Default)]
#[repr(C)]
struct PathRequest {
    path: u64,
    object: u32,
    flags: u32,
}

/// Pins a link or map.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut request = PathRequest { path: path.as_ptr() as u64, object: number(object)?, flags: 0 };
    // SAFETY: the request's type is the command's, and the path outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut request) }.map(|_| ())
}

/// Opens what is pinned.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut request = PathRequest { path: path.as_ptr() as u64, ..PathRequest::default() };
    // SAFETY: the request's type is the command's, and the path outlives the call.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut request) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The commands on one entry: `BPF_MAP_LOOKUP_ELEM` and the like.
#[derive(Debug, Default)]
#[repr(C)]
struct ElementRequest {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Empties a place of an array of maps; one that is empty already is fine.
pub(super) fn remove_inner(outer: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let mut request = ElementRequest {
        map: number(outer)?,
        key: std::ptr::from_ref(&index) as u64,
        ..ElementRequest::default()
    };
    // SAFETY: the request's type is the command's, and the key outlives the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut request) } {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Reads the entry of a key; `None` when there is none. `V` must be what the map gives to user space.
pub(super) fn lookup<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    element(map, bpf_cmd::BPF_MAP_LOOKUP_ELEM, key)
}

/// Writes the value of a key that is there, or may come. `V` must be what the map takes from user space.
pub(super) fn update<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
) -> io::Result<()> {
    let mut request = ElementRequest {
        map: number(map)?,
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_ref(value) as u64,
        ..ElementRequest::default()
    };
    // SAFETY: the request's type is the command's, which only reads key and value, and both outlive the call.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut request) }.map(|_| ())
}

/// The key behind another, or the first; `None` behind the last.
pub(super) fn next_key<K: aya::Pod>(map: BorrowedFd<'_>, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = std::mem::MaybeUninit::<K>::zeroed();
    let mut request = ElementRequest {
        map: number(map)?,
        key: key.map_or(0, |key| std::ptr::from_ref(key) as u64),
        value: next.as_mut_ptr() as u64,
        ..ElementRequest::default()
    };
    // SAFETY: the request's type is the command's, and both keys outlive the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut request) } {
        // SAFETY: written by the kernel; every bit pattern of a `Pod` is valid.
        Ok(_) => Ok(Some(unsafe { next.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps everybody, this process too, from writing a map but by a program (Linux 5.2). One that an earlier agent has
/// frozen stays so.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    // To freeze a map takes leave to write it, which nobody has any more once it is frozen.
    if is_frozen(map)? {
        return Ok(());
    }
    let mut request = number(map)?;
    // SAFETY: the command takes the map alone.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut request) }.map(|_| ())
}

/// As the kernel tells in `/proc/self/fdinfo` (`bpf_map_show_fdinfo`).
fn is_frozen(map: BorrowedFd<'_>) -> io::Result<bool> {
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    Ok(told.lines().any(|line| line.split_whitespace().eq(["frozen:", "1"])))
}

/// Reads an entry of a hash and deletes it: in one step from Linux 5.14 on, in two before. `None` when there is
/// none.
pub(super) fn take<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    match element(map, bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, key) {
        // Hashes have no such command.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {}
        taken => return taken,
    }
    let found = element(map, bpf_cmd::BPF_MAP_LOOKUP_ELEM, key)?;
    element::<K, V>(map, bpf_cmd::BPF_MAP_DELETE_ELEM, key)?;
    Ok(found)
}

/// Deletes an entry of a hash; false when there was none.
pub(super) fn delete<K: aya::Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    // Nothing is written where the value would be.
    Ok(element::<K, u8>(map, bpf_cmd::BPF_MAP_DELETE_ELEM, key)?.is_some())
}

/// The kernel's own "not supported", which no libc knows (include/linux/errno.h).
pub(super) const ENOTSUPP: i32 = 524;

/// Runs a command on one entry; `None` when there is none. `V` must be the map's value unless the command
/// writes none.
fn element<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    command: bpf_cmd,
    key: &K,
) -> io::Result<Option<V>> {
    let mut value = std::mem::MaybeUninit::<V>::zeroed();
    // The kernel insists on zero where a command takes no value.
    let place = if command == bpf_cmd::BPF_MAP_DELETE_ELEM { 0 } else { value.as_mut_ptr() as u64 };
    let mut request = ElementRequest {
        map: number(map)?,
        key: std::ptr::from_ref(key) as u64,
        value: place,
        ..ElementRequest::default()
    };
    // SAFETY: the request's type is the command's, and key and value outlive the call.
    match unsafe { bpf(command, &mut request) } {
        // SAFETY: zeroed, or written by the kernel; every bit pattern of a `Pod` is valid.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

// As `union bpf_attr` has them (include/uapi/linux/bpf.h), whose 64-bit members are aligned to 8 on every machine.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<CreateRequest>() == 32 && offset_of!(CreateRequest, expected_revision) == 24);
    assert!(size_of::<UpdateRequest>() == 16 && offset_of!(UpdateRequest, old_program) == 12);
    assert!(size_of::<PathRequest>() == 16 && offset_of!(PathRequest, object) == 8);
    assert!(size_of::<TracingRequest>() == 16 && offset_of!(TracingRequest, program) == 8);
    assert!(size_of::<ElementRequest>() == 32 && offset_of!(ElementRequest, key) == 8);
};

pub(super) fn number(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}
