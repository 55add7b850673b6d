//! What the kernel keeps beside a socket or a cgroup: kinds of storage that aya has no type for.

use aya_ebpf::{
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_map_type},
    helpers::generated::{bpf_get_local_storage, bpf_sk_storage_get},
};
use weir_ebpf::socket::SocketTag;

/// `BPF_MAP_TYPE_CGROUP_STORAGE`: the newer kind begins with Linux 6.2, this one works in every hook of a cgroup from
/// 5.10 on.
const CGROUP_STORAGE: usize = bpf_map_type::BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED as usize;

/// A word beside a cgroup that every hook attached there shares: keyed by the cgroup alone (Linux 5.9), where aya's own
/// type has one for each kind of hook.
#[repr(C)]
pub(crate) struct CgroupSlot {
    r#type: *const [i32; CGROUP_STORAGE],
    key: *const u64,
    value: *const u32,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 0],
}

// SAFETY: the fields are placeholders that only the loader reads, from BTF; no program reads them.
unsafe impl Sync for CgroupSlot {}

impl CgroupSlot {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The word of the cgroup that the running program is attached to: 0 until the agent has written it.
    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        let map = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the map is this static, and there are no flags.
        let word: *const u32 = unsafe { bpf_get_local_storage(map, 0) }.cast();
        // SAFETY: the helper never returns null, and the value is one aligned word.
        unsafe { word.read_volatile() }
    }
}

/// Socket storage with the flag that copies it to the sockets that a listener accepts: aya's own
/// type cannot carry it.
#[repr(C)]
pub(crate) struct SocketTags {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const SocketTag,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; SOCKET_TAG_FLAGS],
}

const SOCKET_TAG_FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

// SAFETY: the fields are placeholders that only the loader reads, from BTF; no program reads them.
unsafe impl Sync for SocketTags {}

impl SocketTags {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The tag of a socket; `create` makes one where there is none.
    ///
    /// # Safety
    ///
    /// `socket` must be one that the kernel handed to the running program; one that is not full has no
    /// tag.
    #[inline(always)]
    pub(crate) unsafe fn of(
        &self,
        socket: *mut aya_ebpf::bindings::bpf_sock,
        create: bool,
    ) -> Option<*mut SocketTag> {
        let flags =
            if create { u64::from(aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE) } else { 0 };
        let map = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the map is this static, the socket is vouched for by the caller, a null value asks
        // for a zeroed one. The verifier checks all three again.
        let tag = unsafe { bpf_sk_storage_get(map, socket.cast(), core::ptr::null_mut(), flags) };
        let tag: *mut SocketTag = tag.cast();
        if tag.is_null() { None } else { Some(tag) }
    }
}
