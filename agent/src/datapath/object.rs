//! Loads the kernel programs once, and holds the tables that all pods share.

use std::{
    fmt::Write as _,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapError, RingBuf},
};
use sha2::{Digest as _, Sha256};
use weir_ebpf::{
    address::Endpoint,
    credential::{FileKey, PathPatterns, WatchedFile, WatchedFolder},
    flow::{Client, Flow, FlowKey, WireFlow, WireKey},
    lineage::{Lineage, Member, ProcessLimits},
    offsets::GuardOffsets,
    pod::{AllowEntry, Network, NetworkKey, PodCounters, PodState},
    process::{Process, ProcessKey},
};

use super::{
    attach::{HOOKS, lock},
    cgroup_slots::CgroupSlots,
    error::DatapathError,
    events::LoadedRing,
    kernel::Kernel,
    locked_memory,
    members::Members,
    offsets,
    outer::PodMaps,
    places::Places,
    probe::{HelperKind, Probe, ProgramKind, Support},
    syscall,
    tables::{Tables, Written},
    watched::Watched,
    wire,
};
use crate::system::clock;

/// The object that `build.rs` made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("WEIR_PROGRAMS"));

/// The tables that outlive the agent where they are pinned, by their names in the object.
const SHARED: [&str; 22] = [
    "PODS",
    "CGROUPS",
    "COUNTERS",
    "ALLOW",
    "FLOWS",
    "PROCESSES",
    "WIRE_FLOWS",
    "WIRES",
    "CLIENTS",
    "NETWORKS",
    "SLOT",
    "TAGS",
    "EVENTS",
    "EVENTS_TAKEN",
    "BLANK_PROCESS",
    "MEMBERS",
    "MEMBER_COUNTS",
    "LINEAGE",
    "PROCESS_COUNTS",
    "WATCHED_PATHS",
    "WATCHED_FILES",
    "WATCHED_FOLDERS",
];

/// Processes of one tree that are kept.
const PROCESSES_OF_ONE: u32 = 4096;

/// How many entries the tables of the whole machine have room for where one tree alone is followed.
const ONE_TREE: [(&str, u32); 3] =
    [("LINEAGE", PROCESSES_OF_ONE), ("MEMBERS", 256), ("WATCHED_FILES", 1024)];

/// The loaded programs and their shared tables.
pub struct Datapath {
    pub(super) programs: Mutex<Ebpf>,
    pub(super) ids: ProgramIds,
    pub(super) tables: Mutex<Tables>,
    pub(super) counters: Array<MapData, Kernel<PodCounters>>,
    pub(super) pod_maps: AllPodMaps,
    process_limits: ProcessLimits,
    /// Slots are given out below this number.
    pub(super) slots: usize,
    /// Generations are given once for all pods: a socket of one pod means nothing to another.
    last_generation: AtomicU32,
    chooses_errno: bool,
    /// What the programs that see the whole machine read, or why that is not known.
    pub(super) guard_offsets: Result<GuardOffsets, String>,
    /// Whether a program may find out which map it has before it.
    knows_maps: bool,
    places: OnceLock<Option<Places>>,
}

/// The identifiers that the kernel has given the loaded programs.
#[derive(Debug)]
pub(super) struct ProgramIds {
    /// Of each hook, in their order.
    pub(super) hooks: Vec<u32>,
    /// Of the second layer.
    pub(super) wire: u32,
}

/// What pods have tables of their own for.
pub(super) struct AllPodMaps {
    pub(super) allow: PodMaps<Endpoint, AllowEntry>,
    pub(super) flows: PodMaps<FlowKey, Flow>,
    pub(super) processes: PodMaps<ProcessKey, Process>,
    pub(super) wire_flows: PodMaps<WireKey, WireFlow>,
    pub(super) clients: PodMaps<Endpoint, Client>,
}

impl std::fmt::Debug for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datapath").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// What the programs are told before they are loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// How many processes pods may have.
    pub processes: ProcessLimits,
    /// The slot that a program outside any cgroup takes for its own; only a benchmark sets it.
    pub slot_without_cgroup: u32,
    /// What the egress program takes every socket for; only a benchmark sets it.
    pub sockets: Sockets,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            processes: ProcessLimits::of_one(PROCESSES_OF_ONE),
            slot_without_cgroup: 0,
            sockets: Sockets::default(),
        }
    }
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
    pub fn load() -> Result<(Self, LoadedRing), DatapathError> {
        Self::load_with(LoadOptions::default(), None)
    }

    /// [`Self::load`] with tables that are pinned in a folder of bpffs, or will be: what an earlier agent left
    /// in them holds on. For many pods, of all of which so many processes are kept.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_pinned(tables: &Path, processes: u32) -> Result<(Self, LoadedRing), DatapathError> {
        let processes = ProcessLimits::of_many(processes);
        Self::load_with(LoadOptions { processes, ..LoadOptions::default() }, Some(tables))
    }

    /// [`Self::load`] with other options.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_with(
        options: LoadOptions,
        pins: Option<&Path>,
    ) -> Result<(Self, LoadedRing), DatapathError> {
        // Before the first map is made, which the limit may be too low for.
        let _told_once_it_matters = locked_memory::raise();
        Self::load_object(options, pins).map_err(locked_memory::explain)
    }

    fn load_object(
        options: LoadOptions,
        pins: Option<&Path>,
    ) -> Result<(Self, LoadedRing), DatapathError> {
        let known = offsets::of_this_kernel();
        let guard = Kernel(known.guard.clone().unwrap_or_default());
        let sockets = options.sockets as u32;
        let coarse_clock = Probe::Helper(ProgramKind::CgroupSkb, HelperKind::KtimeGetCoarseNs);
        let coarse_clock = u32::from(coarse_clock.run() == Support::Yes);
        let chooses_errno = chooses_errno();
        let prover = std::process::id();
        let mut loader = EbpfLoader::new();
        for name in SHARED.into_iter().filter(|_| pins.is_some()) {
            loader.map_pin_path(name, pins.unwrap_or(Path::new("")).join(name));
        }
        // One tree needs less than a node; most of their memory they take as they fill.
        for (name, entries) in ONE_TREE.into_iter().filter(|_| pins.is_none()) {
            loader.map_max_entries(name, entries);
        }
        let mut programs = loader
            // The object holds no CO-RE relocations: the kernel's types need not be parsed a second time.
            .btf(None)
            .override_global("OFFSETS", &Kernel(known.all), true)
            .override_global("GUARD_OFFSETS", &guard, true)
            .override_global("MAP_ID", &known.map_id.unwrap_or_default(), true)
            .override_global("PROCESS_LIMITS", &Kernel(options.processes), true)
            .override_global("HOOKED_SINCE", &clock::boottime_ns(), true)
            .override_global("PROVER", &prover, true)
            .override_global("SLOT_WITHOUT_CGROUP", &options.slot_without_cgroup, true)
            .override_global("COARSE_CLOCK", &coarse_clock, true)
            .override_global("CHOOSES_ERRNO", &u32::from(chooses_errno), true)
            .override_global("SOCKETS", &sockets, true)
            .load(OBJECT)
            .map_err(|source| DatapathError::Load(Box::new(source)))?;
        for hook in &HOOKS {
            hook.load(&mut programs)?;
        }
        wire::load(&mut programs)?;
        let ids = ProgramIds {
            hooks: HOOKS.iter().map(|hook| hook.id(&programs)).collect::<Result<_, _>>()?,
            wire: wire::id(&mut programs)?,
        };

        #[cfg(feature = "debug-log")]
        super::debug_log::forward(&mut programs);
        let mut maps = MapTaker(&mut programs);
        maps.freeze("TAGS")?;
        let taken = maps.take("EVENTS_TAKEN")?;
        let taken_again = reopen(&taken)?;
        let ring = RingBuf::try_from(maps.take("EVENTS")?)
            .map_err(DatapathError::map("opening the event ring"))?;
        let ring = LoadedRing { ring, taken: typed(taken)? };
        // Two handles on one array: readers of counters do not wait for writers of tables.
        let counters = maps.take("COUNTERS")?;
        let counters_again = reopen(&counters)?;
        let pods: Array<MapData, Kernel<PodState>> = typed(maps.take("PODS")?)?;
        let states: Vec<PodState> = (0..pods.len())
            .map(|slot| pods.get(&slot, 0).map(|state| state.0).unwrap_or_default())
            .collect();
        let last_generation = states.iter().map(|state| state.generation).max().unwrap_or(0);
        let mut tables = Tables {
            pods,
            cgroups: typed(maps.take("CGROUPS")?)?,
            counters: typed(counters)?,
            events_taken: typed(taken_again)?,
            networks: typed(maps.take("NETWORKS")?)?,
            slots: CgroupSlots::new(maps.take("SLOT")?)?,
            wires: typed(maps.take("WIRES")?)?,
            members: Members {
                cgroups: typed(maps.take("MEMBERS")?)?,
                counts: typed(maps.take("MEMBER_COUNTS")?)?,
            },
            process_counts: typed(maps.take("PROCESS_COUNTS")?)?,
            watched: Watched::new(|name| maps.take(name))?,
            fired: typed(maps.take("FIRED")?)?,
            written: Written::default(),
            // Slot 0 is nobody's; what an earlier agent had in use stays so until somebody decides.
            taken: states
                .iter()
                .enumerate()
                .map(|(slot, state)| slot == 0 || state.flags != 0)
                .collect(),
        };
        tables.take_over()?;
        let pod_maps = AllPodMaps {
            allow: PodMaps::new(maps.take("ALLOW")?)?,
            flows: PodMaps::new(maps.take("FLOWS")?)?,
            processes: PodMaps::new(maps.take("PROCESSES")?)?,
            wire_flows: PodMaps::new(maps.take("WIRE_FLOWS")?)?,
            clients: PodMaps::new(maps.take("CLIENTS")?)?,
        };
        let datapath = Self {
            programs: Mutex::new(programs),
            ids,
            tables: Mutex::new(tables),
            counters: typed(counters_again)?,
            pod_maps,
            process_limits: options.processes,
            slots: weir_ebpf::pod::SLOTS,
            last_generation: AtomicU32::new(last_generation),
            chooses_errno,
            guard_offsets: known.guard,
            knows_maps: known.map_id.is_some(),
            places: OnceLock::new(),
        };
        Ok((datapath, ring))
    }

    /// As where no program may find out which map it has before it.
    #[cfg(test)]
    pub(super) fn without_places(self) -> Self {
        Self { knows_maps: false, ..self }
    }

    /// Gives out slots below a number only, the first of which is nobody's.
    #[must_use]
    pub fn with_slots(self, slots: usize) -> Self {
        Self { slots: slots.min(weir_ebpf::pod::SLOTS), ..self }
    }

    /// How many slots there are, slot 0 included, which serves no pod.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// A policy generation that no pod has had; never 0.
    #[must_use]
    pub fn next_generation(&self) -> u32 {
        loop {
            let next = self.last_generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if next != 0 {
                return next;
            }
        }
    }

    /// What tells which tables the slots have, loaded when it is first asked for; none where a program cannot know.
    pub(super) fn places(&self) -> Option<&Places> {
        let places = self.places.get_or_init(|| {
            let loaded = if self.knows_maps {
                Places::load(&mut lock(&self.programs)).map_err(|error| error.to_string())
            } else {
                Err("no program may read the kernel, or its types are not known".to_owned())
            };
            loaded
                .inspect_err(|reason| {
                    tracing::warn!(reason, "the tables of pods are looked at one by one, which takes long before Linux 6.8");
                })
                .ok()
        });
        places.as_ref()
    }

    /// How many processes pods may have.
    #[must_use]
    pub const fn process_limits(&self) -> ProcessLimits {
        self.process_limits
    }

    /// How many they have, of those that are kept.
    #[must_use]
    pub fn processes(&self) -> u64 {
        lock(&self.tables).process_counts.get(&0, 0).unwrap_or(0)
    }

    /// The errno by which a connect to the sentinel is refused, by its name.
    #[must_use]
    pub const fn refusal_errno(&self) -> &'static str {
        if self.chooses_errno { "ENOANO" } else { "EPERM" }
    }
}

/// Whether the address hooks of this kernel may choose the errno of a refusal (Linux 6.1).
fn chooses_errno() -> bool {
    Probe::Helper(ProgramKind::CgroupSockAddr, HelperKind::SetRetval).run() == Support::Yes
}

/// A digest of the shapes of the tables that outlive an agent: one with another digest cannot use them.
#[must_use]
pub fn layout() -> String {
    let sizes = [
        weir_ebpf::pod::SLOTS,
        weir_ebpf::pod::EVENT_RING_BYTES,
        size_of::<PodState>(),
        size_of::<PodCounters>(),
        size_of::<Endpoint>(),
        size_of::<AllowEntry>(),
        size_of::<FlowKey>(),
        size_of::<Flow>(),
        size_of::<ProcessKey>(),
        size_of::<Process>(),
        size_of::<WireKey>(),
        size_of::<WireFlow>(),
        size_of::<Client>(),
        size_of::<NetworkKey>(),
        size_of::<Network>(),
        size_of::<weir_ebpf::socket::SocketTag>(),
        size_of::<weir_ebpf::flow::Event>(),
        size_of::<Member>(),
        size_of::<Lineage>(),
        size_of::<FileKey>(),
        size_of::<PathPatterns>(),
        size_of::<WatchedFile>(),
        size_of::<WatchedFolder>(),
    ];
    let mut digest = Sha256::new();
    digest.update(weir_ebpf::LAYOUT.to_le_bytes());
    for name in SHARED {
        digest.update(name);
    }
    for size in sizes {
        digest.update(size.to_le_bytes());
    }
    let digest = digest.finalize();
    digest.iter().take(8).fold(String::from("layout-"), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

struct MapTaker<'a>(&'a mut Ebpf);

impl MapTaker<'_> {
    /// Leaves a table of sockets to the programs: nobody else may write there, who gets hold of it neither.
    fn freeze(&self, name: &'static str) -> Result<(), DatapathError> {
        let Some(Map::SkStorage(table)) = self.0.map(name) else {
            return Err(DatapathError::Missing(name));
        };
        syscall::freeze(table.fd().as_fd()).map_err(|error| {
            DatapathError::map("closing a table to others")(MapError::IoError(error))
        })
    }

    fn take(&mut self, name: &'static str) -> Result<Map, DatapathError> {
        self.0.take_map(name).ok_or(DatapathError::Missing(name))
    }
}

pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(map: Map) -> Result<T, DatapathError> {
    T::try_from(map).map_err(DatapathError::map("opening a kernel table"))
}

fn reopen(map: &Map) -> Result<Map, DatapathError> {
    let Map::Array(data) = map else { return Err(DatapathError::Missing("an array")) };
    let id = data.info().map_err(DatapathError::map("reading a map's id"))?.id();
    MapData::from_id(id).map(Map::Array).map_err(DatapathError::map("opening a map again"))
}

#[cfg(test)]
mod tests;
