//! The program on the host side of a veth, by TCX link and by a filter of clsact: closed until the pod has a
//! policy, open as far as that says, and one program however often it is attached.

use std::net::UdpSocket as StdUdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use weir::datapath::Datapath;
use weir::datapath::slot::{PodLimits, Slot, address};
use weir::datapath::wire::WireAttach;
use weir::netns::Netns;
use weir::netns::uplink;
use weir_ebpf::address::{Endpoint, protocol};
use weir_ebpf::pod::{AllowEntry, PodState, flags};
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::lab::Host;
use weir_tests::lab::pod::{GATEWAY, Plugin, PodLab};
use weir_tests::skip::{self, Skip};
use weir_tests::vm::patient;

const PORT: u16 = 7777;
/// Far longer than a datagram takes over a veth.
const SILENCE: Duration = Duration::from_millis(300);

/// A pod's uplink under guard.
struct Guard {
    datapath: Datapath,
    slot: Slot,
    device: u32,
    how: WireAttach,
}

impl Guard {
    /// Must be called on the node.
    fn new(netns: &Netns, how: WireAttach) -> Result<Self> {
        let side = uplink::host_side(netns)?;
        let device = side.require_veth()?.first().context("no uplink")?.host;
        let (datapath, _ring) = Datapath::load()?;
        let slot = datapath.prepare_slot(PodLimits::default())?;
        Ok(Self { datapath, slot, device, how })
    }

    fn attach(&self) -> Result<()> {
        let number = self.slot.number();
        let attached = self.datapath.attach_wire(self.device, number, None, self.how)?;
        // A link that nobody holds is gone.
        std::mem::forget(attached);
        Ok(())
    }

    fn open(&self) -> Result<()> {
        let state = PodState {
            generation: self.datapath.next_generation(),
            flags: flags::READY | flags::OWN_NETNS,
            ..PodState::default()
        };
        Ok(self.datapath.set_state(&self.slot, &state)?)
    }

    fn endpoint() -> Endpoint {
        Endpoint::new(address(GATEWAY.v4.into()), protocol::UDP, PORT)
    }
}

/// Whether a datagram of a new socket in the pod arrives at the node.
fn arrives(node: &Host, pod: &Host) -> Result<bool> {
    node.run({
        let sender = pod.netns().path();
        async move {
            let receiver = UdpSocket::bind((GATEWAY.v4, PORT)).await?;
            let socket = Netns::open(&sender)?.enter(|| StdUdpSocket::bind("0.0.0.0:0"))??;
            socket.send_to(b"x", (GATEWAY.v4, PORT))?;
            let mut buffer = [0; 16];
            anyhow::Ok(timeout(patient(SILENCE), receiver.recv_from(&mut buffer)).await.is_ok())
        }
    })?
}

fn filters_on(node: &Host, device: u32) -> Result<String> {
    let mut show = node.enter("sh");
    let script = format!(
        "name=$(ip -o link | sed -n 's/^{device}: \\([^@:]*\\).*/\\1/p'); tc filter show dev $name ingress"
    );
    show.args(["-c", &script]);
    Ok(exec::run(show, DEFAULT_LIMIT)?.expect_code(0)?.stdout)
}

fn guarded(how: WireAttach) -> Result<()> {
    let (node, pod) = PodLab::plain(Plugin::Ptp)?;
    ensure!(arrives(&node, &pod)?, "without a guard nothing arrives");
    let path = pod.netns().path();
    let guard = node.run(async move { Guard::new(&Netns::open(&path)?, how) })??;
    let on_node = |work: fn(&Guard) -> Result<()>, guard: Guard| -> Result<Guard> {
        node.run(async move { work(&guard).map(|()| guard) })?
    };
    let guard = on_node(Guard::attach, guard)?;
    ensure!(!arrives(&node, &pod)?, "a pod without a policy is open");
    guard.open()?;
    ensure!(!arrives(&node, &pod)?, "nothing is allowed");
    let entry = AllowEntry { expires: u32::MAX, rule: 1 };
    guard.slot.allow([(Guard::endpoint(), entry)])?;
    ensure!(arrives(&node, &pod)?, "an allow entry opens nothing");
    guard.slot.revoke([Guard::endpoint()])?;
    ensure!(!arrives(&node, &pod)?, "a revoked entry lets a new socket pass");
    if how == WireAttach::Clsact {
        let guard = on_node(Guard::attach, guard)?;
        ensure!(!arrives(&node, &pod)?);
        let filters = filters_on(&node, guard.device)?;
        let count = filters.matches("direct-action").count();
        ensure!(count == 1, "{count} filters after the second attachment: {filters}");
    }
    Ok(())
}

#[test]
fn a_tcx_link_guards_a_veth() -> Result<()> {
    if !has_links()? {
        return skip::record("second_layer: TCX", Skip::NoTcx);
    }
    guarded(WireAttach::Tcx)
}

#[test]
fn a_filter_of_clsact_guards_a_veth() -> Result<()> {
    guarded(WireAttach::Clsact)
}

/// Whether the kernel is one that has TCX: 6.6, or later.
fn has_links() -> Result<bool> {
    let mut release = std::process::Command::new("uname");
    release.arg("-r");
    let release = exec::run(release, DEFAULT_LIMIT)?.stdout;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(6), Some(6)))
}

#[test]
fn links_are_used_where_the_kernel_has_them() -> Result<()> {
    let (datapath, _ring) = Datapath::load()?;
    let expected = if has_links()? { WireAttach::Tcx } else { WireAttach::Clsact };
    ensure!(datapath.wire_attach() == expected, "{:?}", datapath.wire_attach());
    Ok(())
}
