//! Times the programs that see packets by `BPF_PROG_TEST_RUN`, and hooks of security modules by the kernel's own account,
//! for the benchmark.
//!
//! The kernel makes the packet and a socket for it, then runs the program on them many times in a row.
//! What it does around each run costs the same for every program, so a program that only returns is
//! what the others are set against.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::Duration,
};

use aya::{
    Btf, Ebpf,
    programs::Program,
    sys::{Stats, enable_stats},
    util::KernelVersion,
};
use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_type};

use weir_ebpf::pod::{LOCAL_FAMILIES, PodState, flags};

use super::{
    attach::lock,
    error::DatapathError,
    guard::{self, BIRTHS, GuardError, Hook, Links, PREEMPTED_BIRTHS, TRACEPOINTS},
    object::Datapath,
    slot::address,
    syscall::{RunRequest, bpf},
};

/// `r0 = 1; exit`, as the kernel's 8-byte instructions (RFC 9669 §3).
const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
/// Words of `struct __sk_buff` up to and with `ifindex` (include/uapi/linux/bpf.h).
const CONTEXT_WORDS: usize = 11;

/// The state of a pod that is enforced with `more` flags, its listener on the loopback device.
#[must_use]
pub fn enforced(more: u32, bank: u32) -> PodState {
    let listener = address(Ipv4Addr::LOCALHOST.into());
    PodState {
        generation: 1,
        flags: flags::READY | more,
        bank,
        listener_port: 53,
        listener_v4: listener,
        listener_v6: listener,
        families: LOCAL_FAMILIES,
        ..PodState::default()
    }
}

/// What a program is run on.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// An Ethernet header of 14 bytes, whose type says IPv4 or IPv6, and the IP packet.
    pub bytes: &'a [u8],
    /// The device it leaves by, in the caller's network namespace; not the loopback device, whose
    /// packets take a path of their own.
    pub ifindex: u32,
}

/// What the runs gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// What the program returned.
    pub result: u32,
    /// The kernel's average over the runs.
    pub per_run: Duration,
}

/// A loaded program that only lets pass.
#[derive(Debug)]
pub struct Baseline(OwnedFd);

impl Baseline {
    /// Loads it as a `cgroup_skb/egress` program.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn load() -> io::Result<Self> {
        let mut request = LoadRequest {
            kind: bpf_prog_type::BPF_PROG_TYPE_CGROUP_SKB as u32,
            instruction_count: 2,
            instructions: PASS.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            attach_type: bpf_attach_type::BPF_CGROUP_INET_EGRESS as u32,
            ..LoadRequest::default()
        };
        // SAFETY: the request's type is the command's, and its pointers outlive the call.
        let fd = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut request) }?;
        // SAFETY: the kernel has just made it, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Runs it `repeat` times.
    ///
    /// # Errors
    ///
    /// What the kernel said; `EINTR` when a signal came in between.
    pub fn measure(&self, frame: Frame<'_>, repeat: u32) -> io::Result<Timing> {
        run(self.0.as_fd(), frame, repeat)
    }
}

impl Datapath {
    /// Runs the egress program `repeat` times. It runs in no cgroup:
    /// [`LoadOptions`](super::object::LoadOptions) says which pod it takes for its own.
    ///
    /// # Errors
    ///
    /// What the kernel said; `EINTR` when a signal came in between.
    pub fn measure_egress(&self, frame: Frame<'_>, repeat: u32) -> io::Result<Timing> {
        let programs = lock(&self.programs);
        let Some(Program::CgroupSkb(program)) = programs.program("weir_egress") else {
            return Err(io::ErrorKind::NotFound.into());
        };
        run(program.fd().map_err(io::Error::other)?.as_fd(), frame, repeat)
    }
}

impl Datapath {
    /// Makes a device's packets those of a slot, without attaching anything to it: for [`Self::measure_wire`].
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn guard_unattached(&self, device: u32, slot: u32) -> Result<(), DatapathError> {
        lock(&self.tables).set_wire(device, slot)
    }

    /// Runs the program of the second layer `repeat` times, on a packet that comes in by a device whose slot
    /// is known.
    ///
    /// # Errors
    ///
    /// What the kernel said; `EINTR` when a signal came in between.
    pub fn measure_wire(&self, frame: Frame<'_>, repeat: u32) -> io::Result<Timing> {
        let programs = lock(&self.programs);
        let Some(Program::SchedClassifier(program)) = programs.program("weir_wire") else {
            return Err(io::ErrorKind::NotFound.into());
        };
        run(program.fd().map_err(io::Error::other)?.as_fd(), frame, repeat)
    }
}

/// What hooks of security modules do, at tracepoints; the first is what the others are set against.
const MEASURED: [(&str, &str); 3] = [
    ("weir_measured_nothing", "sys_enter"),
    ("weir_measured_stranger", "sys_enter"),
    ("weir_measured_connect", "inet_sock_set_state"),
];

/// Has the kernel account for the time of all programs for as long as this is held (Linux 5.8).
///
/// # Errors
///
/// What the kernel said.
pub fn account() -> io::Result<OwnedFd> {
    enable_stats(Stats::RunTime).map_err(|error| error.io_error)
}

/// How long a program has run, and how often, by the kernel's [`account`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In all runs.
    pub time: Duration,
    /// How many.
    pub runs: u64,
}

/// Programs that do what hooks of security modules do, in force for as long as this lives.
#[derive(Debug)]
pub struct GuardMeter<'d> {
    datapath: &'d Datapath,
    _links: Links,
}

/// What they have spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardSpent {
    /// Nothing, at each system call.
    pub nothing: Spent,
    /// What every hook does for a process that is no pod's, at each system call.
    pub stranger: Spent,
    /// What a connect in a pod costs, at each change of a TCP socket's state; all but the first of a connect's cost
    /// nothing.
    pub connect: Spent,
    /// The tracepoint of `execve`, by pods and by others.
    pub exec: Spent,
}

impl Datapath {
    /// Attaches what tells the cost of hooks of security modules, whether the kernel has them or not.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn measure_guard(&self) -> Result<GuardMeter<'_>, GuardError> {
        let types = Btf::from_sys_fs().map_err(|error| GuardError::Types(error.to_string()))?;
        let links = guard::links(&mut lock(&self.programs), &MEASURED, &types, None)?;
        Ok(GuardMeter { datapath: self, _links: links })
    }
}

impl GuardMeter<'_> {
    /// What was spent so far; nothing where the kernel does not account for it.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn read(&self) -> io::Result<GuardSpent> {
        let programs = lock(&self.datapath.programs);
        let [nothing, stranger, connect] = MEASURED.map(|(name, _)| spent(&programs, name));
        Ok(GuardSpent {
            nothing: nothing?,
            stranger: stranger?,
            connect: connect?,
            exec: spent(&programs, "weir_exec")?,
        })
    }
}

/// What sees that a process of a pod is born and has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Births {
    /// The program at `sched_process_fork`, before Linux 7.0.
    Forked,
    /// Those at `sched_wakeup_new` and `sched_process_free`, from Linux 7.0 on; not before 6.1, where the first must not
    /// write.
    Woken,
}

impl Births {
    /// Whether this kernel allows it.
    #[must_use]
    pub fn can_be_seen(self) -> bool {
        match self {
            Self::Forked => true,
            Self::Woken => {
                KernelVersion::current().is_ok_and(|kernel| kernel >= KernelVersion::new(6, 1, 0))
            }
        }
    }
}

/// The process table, followed in one of both ways for as long as this lives.
#[derive(Debug)]
pub struct LifeMeter<'d> {
    datapath: &'d Datapath,
    births: &'static [Hook],
    _links: Links,
}

impl Datapath {
    /// Follows processes in this way, whatever the kernel is.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn measure_lives(&self, births: Births) -> Result<LifeMeter<'_>, GuardError> {
        let types = Btf::from_sys_fs().map_err(|error| GuardError::Types(error.to_string()))?;
        let births = match births {
            Births::Forked => &BIRTHS[..],
            Births::Woken => &PREEMPTED_BIRTHS,
        };
        let hooks = [&TRACEPOINTS, births].concat();
        let links = guard::links(&mut lock(&self.programs), &hooks, &types, None)?;
        Ok(LifeMeter { datapath: self, births, _links: links })
    }
}

impl LifeMeter<'_> {
    /// What births and ends have taken so far, of everybody's threads and processes; exec not included.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn read(&self) -> io::Result<Duration> {
        let programs = lock(&self.datapath.programs);
        let names = self.births.iter().map(|(name, _)| *name).chain(["weir_exit"]);
        names.map(|name| spent(&programs, name).map(|spent| spent.time)).sum()
    }
}

/// What a program at a tracepoint has spent.
fn spent(programs: &Ebpf, name: &str) -> io::Result<Spent> {
    let Some(Program::BtfTracePoint(program)) = programs.program(name) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let info = program.info().map_err(io::Error::other)?;
    Ok(Spent { time: info.run_time(), runs: info.run_count() })
}

fn run(program: BorrowedFd<'_>, frame: Frame<'_>, repeat: u32) -> io::Result<Timing> {
    let mut context = [0_u32; CONTEXT_WORDS];
    if let Some(ifindex) = context.last_mut() {
        *ifindex = frame.ifindex;
    }
    let size = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let mut request = RunRequest {
        program: u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?,
        data_bytes: size(frame.bytes.len())?,
        data: frame.bytes.as_ptr() as u64,
        repeat,
        context_bytes: size(size_of_val(&context))?,
        context: context.as_ptr() as u64,
        ..RunRequest::default()
    };
    // SAFETY: the request's type is the command's, and its pointers outlive the call.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut request) }?;
    Ok(Timing {
        result: request.result,
        per_run: Duration::from_nanos(u64::from(request.nanoseconds)),
    })
}

/// The fields of `union bpf_attr` that `BPF_PROG_LOAD` reads; the kernel takes the rest for zero.
#[derive(Debug, Default)]
#[repr(C)]
struct LoadRequest {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}
