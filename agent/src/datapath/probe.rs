//! What this kernel lets a program, a map and a helper be: asked by trying, for `weir doctor`.
//!
//! A probe loads next to nothing, so it says only that the kernel knows the thing. That weir's own
//! programs pass the verifier is for [`super::Datapath::load`] to show.

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
};

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A type of program.
    Program(ProgramKind),
    /// A type of map.
    Map(MapKind),
    /// A helper function, called from a type of program.
    Helper(ProgramKind, HelperKind),
}

/// The types of weir's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_CGROUP_SKB`.
    CgroupSkb,
    /// `BPF_PROG_TYPE_CGROUP_SOCK`.
    CgroupSock,
    /// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`.
    CgroupSockAddr,
    /// `BPF_PROG_TYPE_SCHED_CLS`.
    SchedClassifier,
}

/// The types of weir's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`.
    Array,
    /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
    ArrayOfMaps,
    /// `BPF_MAP_TYPE_CGROUP_STORAGE`.
    CgroupStorage,
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash,
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuf,
    /// `BPF_MAP_TYPE_SK_STORAGE`.
    SkStorage,
}

/// The helper functions that weir's programs call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperKind {
    /// `bpf_get_current_comm`.
    GetCurrentComm,
    /// `bpf_get_current_pid_tgid`.
    GetCurrentPidTgid,
    /// `bpf_get_current_task`.
    GetCurrentTask,
    /// `bpf_get_local_storage`.
    GetLocalStorage,
    /// `bpf_ktime_get_coarse_ns`.
    KtimeGetCoarseNs,
    /// `bpf_ktime_get_ns`.
    KtimeGetNs,
    /// `bpf_probe_read_kernel`.
    ProbeReadKernel,
    /// `bpf_probe_read_kernel_str`.
    ProbeReadKernelStr,
    /// `bpf_ringbuf_reserve`.
    RingbufReserve,
    /// `bpf_set_retval`.
    SetRetval,
    /// `bpf_sk_fullsock`.
    SkFullsock,
    /// `bpf_sk_storage_get`.
    SkStorageGet,
    /// `bpf_skb_load_bytes`.
    SkbLoadBytes,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// The kernel has it.
    Yes,
    /// The kernel has it not.
    No,
    /// The kernel would not say; its words.
    Unknown(String),
}

impl Probe {
    /// Tries it. Needs the capabilities that loading the programs needs.
    #[must_use]
    pub fn run(self) -> Support {
        match self {
            Self::Program(kind) => support(is_program_supported(program_type(kind))),
            Self::Map(kind) => support(is_map_supported(map_type(kind))),
            Self::Helper(kind, helper) => {
                support(is_helper_supported(program_type(kind), helper_id(helper)))
            }
        }
    }
}

fn support<E: std::error::Error>(result: Result<bool, E>) -> Support {
    match result {
        Ok(true) => Support::Yes,
        Ok(false) => Support::No,
        Err(error) => {
            // The system's own words are at the end of the chain.
            let mut last: &dyn std::error::Error = &error;
            while let Some(source) = last.source() {
                last = source;
            }
            Support::Unknown(last.to_string())
        }
    }
}

const fn program_type(kind: ProgramKind) -> ProgramType {
    match kind {
        ProgramKind::CgroupSkb => ProgramType::CgroupSkb,
        ProgramKind::CgroupSock => ProgramType::CgroupSock,
        ProgramKind::CgroupSockAddr => ProgramType::CgroupSockAddr,
        ProgramKind::SchedClassifier => ProgramType::SchedClassifier,
    }
}

const fn map_type(kind: MapKind) -> MapType {
    match kind {
        MapKind::Array => MapType::Array,
        MapKind::ArrayOfMaps => MapType::ArrayOfMaps,
        MapKind::CgroupStorage => MapType::CgroupStorage,
        MapKind::Hash => MapType::Hash,
        MapKind::LpmTrie => MapType::LpmTrie,
        MapKind::LruHash => MapType::LruHash,
        MapKind::RingBuf => MapType::RingBuf,
        MapKind::SkStorage => MapType::SkStorage,
    }
}

const fn helper_id(helper: HelperKind) -> BpfHelper {
    match helper {
        HelperKind::GetCurrentComm => BpfHelper::BPF_FUNC_get_current_comm,
        HelperKind::GetCurrentPidTgid => BpfHelper::BPF_FUNC_get_current_pid_tgid,
        HelperKind::GetCurrentTask => BpfHelper::BPF_FUNC_get_current_task,
        HelperKind::GetLocalStorage => BpfHelper::BPF_FUNC_get_local_storage,
        HelperKind::KtimeGetCoarseNs => BpfHelper::BPF_FUNC_ktime_get_coarse_ns,
        HelperKind::KtimeGetNs => BpfHelper::BPF_FUNC_ktime_get_ns,
        HelperKind::ProbeReadKernel => BpfHelper::BPF_FUNC_probe_read_kernel,
        HelperKind::ProbeReadKernelStr => BpfHelper::BPF_FUNC_probe_read_kernel_str,
        HelperKind::RingbufReserve => BpfHelper::BPF_FUNC_ringbuf_reserve,
        HelperKind::SetRetval => BpfHelper::BPF_FUNC_set_retval,
        HelperKind::SkFullsock => BpfHelper::BPF_FUNC_sk_fullsock,
        HelperKind::SkStorageGet => BpfHelper::BPF_FUNC_sk_storage_get,
        HelperKind::SkbLoadBytes => BpfHelper::BPF_FUNC_skb_load_bytes,
    }
}
