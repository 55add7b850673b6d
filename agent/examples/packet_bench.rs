//! Times the programs of both layers on one packet of each kind, for `cargo xtask bench`.
//!
//! `packet_bench DEVICE ROUNDS` prints one JSON line per round: nanoseconds per packet of a program
//! that only lets pass (`plain`), and of weir's for each case. DEVICE is a network device, not the
//! loopback device, of the namespace that it runs in.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, ensure};
use weir::datapath::Datapath;
use weir::datapath::measure::{Baseline, Frame, Timing, enforced};
use weir::datapath::object::{LoadOptions, Sockets};
use weir::datapath::slot::{NetworkEntry, PodLimits, Slot, address};
use weir_ebpf::address::{Endpoint, protocol};
use weir_ebpf::pod::{AllowEntry, Network, NetworkPort, flags};

const REPEAT: u32 = 1_000_000;
/// The slot that the first prepared pod gets.
const FIRST_SLOT: u32 = 1;
const PORT: u16 = 443;
/// `TC_ACT_UNSPEC`: the packet passes on to whoever comes next.
const TC_NEXT: u32 = u32::MAX;

/// In the allow map of every pod here, however small.
const ALLOWED_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 7);
const ALLOWED_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const IN_NETWORK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const REFUSED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// One pod with its own copy of the programs.
struct Bench {
    datapath: Datapath,
    _slot: Slot,
}

impl Bench {
    /// A pod that allows `entries` endpoints and one network.
    fn new(sockets: Sockets, entries: u32, device: u32) -> anyhow::Result<Self> {
        let options =
            LoadOptions { slot_without_cgroup: FIRST_SLOT, sockets, ..LoadOptions::default() };
        let (datapath, _ring) = Datapath::load_with(options, None)?;
        let limits = PodLimits::default();
        let limits = PodLimits { entries: limits.entries.max(entries), ..limits };
        let slot = datapath.prepare_slot(limits)?;
        ensure!(slot.number() == FIRST_SLOT, "the first pod got slot {}", slot.number());
        slot.allow(
            (0..entries)
                .map(endpoint)
                .map(|endpoint| (endpoint, AllowEntry { expires: u32::MAX, rule: 0 })),
        )?;
        let mut network = Network { count: 1, ..Network::default() };
        if let Some(port) = network.ports.first_mut() {
            *port = NetworkPort { port: PORT, protocol: protocol::TCP, ..NetworkPort::default() };
        }
        let trusted = NetworkEntry { net: "203.0.113.0/24".parse()?, network };
        let bank = datapath.stage_networks(&slot, &[trusted])?;
        datapath.set_state(&slot, &enforced(flags::BLOCK_METADATA | flags::BLOCK_DOT, bank))?;
        datapath.guard_unattached(device, slot.number())?;
        Ok(Self { datapath, _slot: slot })
    }

    /// The same pod, its second layer on the device that the packets are said to come in by.
    fn time_wire(&self, frame: Frame<'_>) -> anyhow::Result<u128> {
        let timing = self.datapath.measure_wire(frame, REPEAT).context("running weir_wire")?;
        checked(timing, TC_NEXT)
    }

    fn time(&self, frame: Frame<'_>, passes: bool) -> anyhow::Result<u128> {
        let timing = self.datapath.measure_egress(frame, REPEAT).context("running weir_egress")?;
        checked(timing, u32::from(passes))
    }
}

/// Half of the endpoints IPv4, half IPv6; the first ten hold what is asked for.
fn endpoint(index: u32) -> Endpoint {
    let ip: IpAddr = if index.is_multiple_of(2) {
        let base = u32::from(ALLOWED_V4);
        Ipv4Addr::from(base.wrapping_add(index / 2)).into()
    } else {
        let base = u128::from(ALLOWED_V6);
        Ipv6Addr::from(base.wrapping_add(u128::from(index / 2))).into()
    };
    Endpoint::new(address(ip), protocol::TCP, PORT)
}

fn checked(timing: Timing, expected: u32) -> anyhow::Result<u128> {
    ensure!(timing.result == expected, "the packet was judged wrongly: {timing:?}");
    Ok(timing.per_run.as_nanos())
}

/// A TCP segment without data in an Ethernet frame (RFC 791, RFC 8200, RFC 9293).
fn frame(destination: IpAddr) -> Vec<u8> {
    let mut frame = vec![0_u8; 12];
    match destination {
        IpAddr::V4(destination) => {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol::TCP, 0, 0]);
            frame.extend(Ipv4Addr::new(198, 51, 100, 10).octets());
            frame.extend(destination.octets());
        }
        IpAddr::V6(destination) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol::TCP, 64]);
            frame.extend(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 10).octets());
            frame.extend(destination.octets());
        }
    }
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

/// What the kernel keeps for one pod with all its allow entries, in bytes, by the kernel's own account.
fn pod_bytes() -> anyhow::Result<u64> {
    let (datapath, _ring) = Datapath::load()?;
    let before = held_maps()?;
    let limits = PodLimits::default();
    let slot = datapath.prepare_slot(limits)?;
    let entry = AllowEntry { expires: u32::MAX, rule: 0 };
    slot.allow((0..limits.entries).map(|index| (endpoint(index), entry)))?;
    let after = held_maps()?;
    Ok(after.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, bytes)| bytes).sum())
}

/// The maps that this process holds open, by id, with the memory that proc(5) tells of each.
fn held_maps() -> anyhow::Result<BTreeMap<u64, u64>> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let device = arguments.next().context("DEVICE is missing")?;
    let rounds: u32 = arguments.next().context("ROUNDS is missing")?.parse()?;
    let ifindex = nix::net::if_::if_nametoindex(device.as_str())
        .with_context(|| format!("looking for the device {device}"))?;

    let pod_bytes = pod_bytes()?;
    let plain = Baseline::load().context("loading the program that lets pass")?;
    let admitted = Bench::new(Sockets::Admitted, 10, ifindex)?;
    let few = Bench::new(Sockets::Made, 10, ifindex)?;
    let many = Bench::new(Sockets::Made, 65_536, ifindex)?;
    let strangers = Bench::new(Sockets::AsTheyAre, 10, ifindex)?;
    let [v4, v6, network, refused] =
        [ALLOWED_V4.into(), ALLOWED_V6.into(), IN_NETWORK.into(), REFUSED.into()].map(frame);
    let on = |bytes| Frame { bytes, ifindex };

    let mut out = std::io::stdout().lock();
    for _ in 0..rounds {
        let line = serde_json::json!({
            "pod_bytes": pod_bytes,
            "plain": checked(plain.measure(on(&v4), REPEAT)?, 1)?,
            "admitted_v4": admitted.time(on(&v4), true)?,
            "admitted_v6": admitted.time(on(&v6), true)?,
            "allowed_v4": few.time(on(&v4), true)?,
            "allowed_v6": few.time(on(&v6), true)?,
            "allowed_of_many": many.time(on(&v4), true)?,
            "network": few.time(on(&network), true)?,
            "wire_admitted_v4": admitted.time_wire(on(&v4))?,
            "wire_allowed_v4": few.time_wire(on(&v4))?,
            "wire_stranger_v4": strangers.time_wire(on(&v4))?,
            "refused": few.time(on(&refused), false)?,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
