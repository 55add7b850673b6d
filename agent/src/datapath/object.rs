//! Loads the kernel programs once, and holds the tables that all pods share.

use std::sync::Mutex;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, RingBuf},
};
use weir_ebpf::{
    address::Endpoint,
    flow::{Client, Flow, FlowKey},
    pod::{AllowEntry, Network, NetworkKey, PodCounters, PodState},
    process::{KernelOffsets, Process, ProcessKey},
};

use super::{
    attach::HOOKS,
    btf,
    error::DatapathError,
    kernel::Kernel,
    probe::{HelperKind, Probe, ProgramKind, Support},
};

/// The object that `build.rs` made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("WEIR_PROGRAMS"));

/// Where the running kernel describes its own types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

pub(super) type AllowMap = HashMap<MapData, Kernel<Endpoint>, Kernel<AllowEntry>>;
pub(super) type FlowMap = HashMap<MapData, Kernel<FlowKey>, Kernel<Flow>>;
pub(super) type ClientMap = HashMap<MapData, Kernel<Endpoint>, Kernel<Client>>;

/// The loaded programs and their shared tables.
pub struct Datapath {
    pub(super) programs: Mutex<Ebpf>,
    pub(super) tables: Mutex<Tables>,
    pub(super) counters: Array<MapData, Kernel<PodCounters>>,
    pub(super) processes: HashMap<MapData, Kernel<ProcessKey>, Kernel<Process>>,
}

/// Tables that are written when a pod comes, changes or goes.
pub(super) struct Tables {
    pub(super) pods: Array<MapData, Kernel<PodState>>,
    pub(super) counters: Array<MapData, Kernel<PodCounters>>,
    pub(super) allow: ArrayOfMaps<MapData, AllowMap>,
    pub(super) flows: ArrayOfMaps<MapData, FlowMap>,
    pub(super) clients: ArrayOfMaps<MapData, ClientMap>,
    pub(super) networks: LpmTrie<MapData, Kernel<NetworkKey>, Kernel<Network>>,
    pub(super) slots: CgroupSlots,
    pub(super) taken: Vec<bool>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("taken", &self.taken).finish_non_exhaustive()
    }
}

#[expect(deprecated, reason = "the newer cgroup storage begins with kernel 6.2")]
pub(super) type CgroupSlots = aya::maps::CgroupStorage<MapData, u32>;

impl std::fmt::Debug for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datapath").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// Switches of the programs that only a benchmark sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// The slot that a program outside any cgroup takes for its own.
    pub slot_without_cgroup: u32,
    /// What the egress program takes every socket for.
    pub sockets: Sockets,
}

/// What the egress program takes a socket for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// What its storage says.
    #[default]
    AsTheyAre,
    /// Made in the pod, never connected.
    Made,
    /// Connected, and admitted under the current policy.
    Admitted,
}

impl Datapath {
    /// Loads and verifies every program. Needs the capabilities BPF and `NET_ADMIN` (or `SYS_ADMIN`).
    ///
    /// Returns the datapath and the ring buffer that its events arrive in.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a program or a map; the source says which and why.
    pub fn load() -> Result<(Self, RingBuf<MapData>), DatapathError> {
        Self::load_with(LoadOptions::default())
    }

    /// [`Self::load`] with the benchmark's switches.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_with(options: LoadOptions) -> Result<(Self, RingBuf<MapData>), DatapathError> {
        let offsets = Kernel(kernel_offsets());
        let sockets = options.sockets as u32;
        let coarse_clock = Probe::Helper(ProgramKind::CgroupSkb, HelperKind::KtimeGetCoarseNs);
        let coarse_clock = u32::from(coarse_clock.run() == Support::Yes);
        let mut programs = EbpfLoader::new()
            // The object holds no CO-RE relocations: the kernel's types need not be parsed a second time.
            .btf(None)
            .override_global("OFFSETS", &offsets, true)
            .override_global("SLOT_WITHOUT_CGROUP", &options.slot_without_cgroup, true)
            .override_global("COARSE_CLOCK", &coarse_clock, true)
            .override_global("SOCKETS", &sockets, true)
            .load(OBJECT)
            .map_err(|source| DatapathError::Load(Box::new(source)))?;
        for hook in &HOOKS {
            hook.load(&mut programs)?;
        }

        #[cfg(feature = "debug-log")]
        super::debug_log::forward(&mut programs);
        let mut maps = MapTaker(&mut programs);
        let ring = RingBuf::try_from(maps.take("EVENTS")?)
            .map_err(DatapathError::map("opening the event ring"))?;
        // Two handles on one array: readers of counters do not wait for writers of tables.
        let counters = maps.take("COUNTERS")?;
        let counters_again = reopen(&counters)?;
        let tables = Tables {
            pods: typed(maps.take("PODS")?)?,
            counters: typed(counters)?,
            allow: typed(maps.take("ALLOW")?)?,
            flows: typed(maps.take("FLOWS")?)?,
            clients: typed(maps.take("CLIENTS")?)?,
            networks: typed(maps.take("NETWORKS")?)?,
            slots: typed(maps.take("SLOT")?)?,
            // Slot 0 is nobody's.
            taken: (0..weir_ebpf::pod::SLOTS).map(|slot| slot == 0).collect(),
        };
        let processes = typed(maps.take("PROCESSES")?)?;
        let datapath = Self {
            programs: Mutex::new(programs),
            tables: Mutex::new(tables),
            counters: typed(counters_again)?,
            processes,
        };
        Ok((datapath, ring))
    }

    /// What was remembered of a process, while the table still holds it.
    #[must_use]
    pub fn process(&self, key: ProcessKey) -> Option<Process> {
        let process = self.processes.get(&Kernel(key), 0).ok()?.0;
        (process.ready == 1).then_some(process)
    }
}

/// The offsets for the programs; all zero, which switches the reads off, where the kernel has no BTF.
fn kernel_offsets() -> KernelOffsets {
    let offsets = std::fs::read(KERNEL_BTF)
        .map_err(|source| source.to_string())
        .and_then(|bytes| btf::kernel_offsets(&bytes).map_err(|source| source.to_string()));
    offsets.unwrap_or_else(|reason| {
        tracing::warn!(reason, "binary and ancestry of processes will not be recorded");
        KernelOffsets::default()
    })
}

struct MapTaker<'a>(&'a mut Ebpf);

impl MapTaker<'_> {
    fn take(&mut self, name: &'static str) -> Result<Map, DatapathError> {
        self.0.take_map(name).ok_or(DatapathError::Missing(name))
    }
}

fn typed<T: TryFrom<Map, Error = aya::maps::MapError>>(map: Map) -> Result<T, DatapathError> {
    T::try_from(map).map_err(DatapathError::map("opening a kernel table"))
}

fn reopen(map: &Map) -> Result<Map, DatapathError> {
    let Map::Array(data) = map else { return Err(DatapathError::Missing("COUNTERS")) };
    let id = data.info().map_err(DatapathError::map("reading a map's id"))?.id();
    MapData::from_id(id).map(Map::Array).map_err(DatapathError::map("opening a map again"))
}
