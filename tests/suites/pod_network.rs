//! What the agent does in a pod's network namespace, on real namespaces: every question ends at the pod's
//! listener, and nobody outside gets an answer from it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use weir::netns::follow::FollowedLinks;
use weir::netns::nftables::{self, Capture};
use weir::netns::uplink::{self, HostSide, PodAddresses};
use weir::netns::{Netns, listener};
use weir::page;
use weir_tests::exec::{DEFAULT_LIMIT, run};
use weir_tests::lab::pod::{GATEWAY, INNER, INNER_GATEWAY, POD, Plugin, PodLab, address};
use weir_tests::lab::question::{
    LIMIT, OTHER, POD_LISTENER, SILENCE, Transport, answer_tcp, answer_udp, answered, ask, serve,
};
use weir_tests::lab::{Host, addresses::FOREIGN};
use weir_tests::vm::{patient, repetitions};

/// The agent's view of a lab, its host's end being the lab's node.
fn on_node<T: Send + 'static>(
    node: &Host,
    pod: &Host,
    work: impl FnOnce(&Netns) -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = pod.netns().path();
    node.run(async move { work(&Netns::open(&path)?) })?
}

/// A pod with listener and capture, and who answers there.
struct Captured {
    netns: Netns,
    side: HostSide,
    capture: Capture,
    runtime: Runtime,
}

fn captured(lab: &PodLab) -> Result<Captured> {
    let side = on_node(&lab.node, &lab.pod, |netns| Ok(uplink::host_side(netns)?))?;
    side.require_veth()?;
    let netns = Netns::open(&lab.pod.netns().path())?;
    let (addresses, entrances) = (side.uplink_addresses(), side.entrances());
    ensure!(addresses == PodAddresses { v4: Some(POD.v4), v6: Some(POD.v6) }, "{addresses:?}");
    let listener = netns.enter(|| listener::open(addresses, 0, &entrances))??;
    let capture = capture(addresses, listener.port(), entrances);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (udp, tcp) = listener.into_sockets();
    {
        let _inside = runtime.enter();
        for socket in udp {
            socket.set_nonblocking(true)?;
            runtime.spawn(answer_udp(UdpSocket::from_std(socket)?, POD_LISTENER));
        }
        for socket in tcp {
            runtime.spawn(answer_tcp(TcpListener::from_std(socket)?, POD_LISTENER));
        }
    }
    netns.enter(|| nftables::install(&capture))??;
    Ok(Captured { netns, side, capture, runtime })
}

fn capture(addresses: PodAddresses, port: u16, entrances: BTreeSet<u32>) -> Capture {
    Capture {
        v4: addresses.v4.map(|address| SocketAddrV4::new(address, port)),
        v6: addresses.v6.map(|address| SocketAddrV6::new(address, port, 0, 0)),
        entrances,
    }
}

fn flush(pod: &Host) -> Result<()> {
    let mut command = pod.enter("nft");
    command.args(["flush", "ruleset"]);
    run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(())
}

fn every_question_ends_at_the_listener(plugin: Plugin) -> Result<()> {
    let lab = PodLab::new(plugin, "eth0")?;
    let captured = captured(&lab)?;
    for is_v6 in [false, true] {
        for server in [FOREIGN, GATEWAY, POD] {
            answered(&lab.pod, (address(server, is_v6), 53), Some(POD_LISTENER))?;
        }
        for server in [FOREIGN, GATEWAY, POD, INNER_GATEWAY] {
            answered(&lab.inner, (address(server, is_v6), 53), Some(POD_LISTENER))?;
        }
    }
    // The twin: without the capture nobody answers there.
    captured.netns.enter(nftables::remove)??;
    for host in [&lab.pod, &lab.inner] {
        answered(host, (FOREIGN.v4, 53), None)?;
        answered(host, (FOREIGN.v6, 53), None)?;
    }
    Ok(())
}

#[test]
fn every_question_ends_at_the_listener_behind_a_bridge() -> Result<()> {
    every_question_ends_at_the_listener(Plugin::Bridge)
}

#[test]
fn every_question_ends_at_the_listener_behind_a_ptp_link() -> Result<()> {
    every_question_ends_at_the_listener(Plugin::Ptp)
}

#[test]
fn questions_to_loopback_and_other_ports_are_left_alone() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "eth0")?;
    let _captured = captured(&lab)?;
    let docker = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 11), 53));
    for host in [&lab.pod, &lab.inner] {
        for at in [docker, SocketAddr::from((Ipv6Addr::LOCALHOST, 53))] {
            serve(host, at)?;
            answered(host, at, Some(OTHER))?;
        }
    }
    let elsewhere = SocketAddr::from((GATEWAY.v4, 5353));
    serve(&lab.node, elsewhere)?;
    answered(&lab.pod, elsewhere, Some(OTHER))
}

/// Who answers at an address, by one transport.
fn heard(host: &Host, at: (IpAddr, u16), transport: Transport) -> Result<Option<String>> {
    host.run(ask(at.into(), transport, SILENCE))?
}

#[test]
fn requests_for_the_page_end_at_the_listener_and_nothing_else_there_does() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "eth0")?;
    let captured = captured(&lab)?;
    for at in [IpAddr::V4(page::V4), IpAddr::V6(page::V6)] {
        for host in [&lab.pod, &lab.inner] {
            let by = host.run(ask((at, page::PORT).into(), Transport::Tcp, LIMIT))??;
            ensure!(by.as_deref() == Some(POD_LISTENER), "{at}: {by:?}");
            ensure!(heard(host, (at, page::PORT), Transport::Udp)?.is_none(), "{at} by UDP");
            ensure!(heard(host, (at, 443), Transport::Tcp)?.is_none(), "{at} at 443");
        }
    }
    // A neighbour that takes the pod for the way there.
    lab.neighbour.netns().links(&format!(
        "route add {} via {}\nroute add {} via {}\n",
        page::V4,
        POD.v4,
        page::V6,
        POD.v6
    ))?;
    for at in [IpAddr::V4(page::V4), IpAddr::V6(page::V6)] {
        ensure!(heard(&lab.neighbour, (at, page::PORT), Transport::Tcp)?.is_none(), "{at}");
        ensure!(heard(&lab.node, (at, page::PORT), Transport::Tcp)?.is_none(), "{at}");
    }
    // The twin: without the table nobody answers there.
    captured.netns.enter(nftables::remove)??;
    ensure!(heard(&lab.inner, (page::V4.into(), page::PORT), Transport::Tcp)?.is_none());
    Ok(())
}

#[test]
fn nobody_outside_is_answered() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "eth0")?;
    let captured = captured(&lab)?;
    let port = captured.capture.v4.context("no IPv4")?.port();
    // The twin: the way from the neighbour to the pod is open.
    for is_v6 in [false, true] {
        let open = SocketAddr::from((address(POD, is_v6), 8053));
        serve(&lab.pod, open)?;
        answered(&lab.neighbour, open, Some(OTHER))?;
        // One that listens on port 53 of the pod is the pod's own affair, and not captured.
        let own = SocketAddr::from((address(POD, is_v6), 53));
        serve(&lab.pod, own)?;
        answered(&lab.neighbour, own, Some(OTHER))?;
    }
    let unanswered = || -> Result<()> {
        for is_v6 in [false, true] {
            for host in [&lab.neighbour, &lab.node] {
                answered(host, (address(POD, is_v6), port), None)?;
            }
        }
        Ok(())
    };
    unanswered()?;
    // By the filters on the sockets alone.
    flush(&lab.pod)?;
    unanswered()?;
    for is_v6 in [false, true] {
        answered(&lab.pod, (address(POD, is_v6), port), Some(POD_LISTENER))?;
        answered(&lab.inner, (address(POD, is_v6), port), Some(POD_LISTENER))?;
    }
    Ok(())
}

#[test]
fn the_table_alone_keeps_outsiders_away() -> Result<()> {
    let lab = PodLab::new(Plugin::Ptp, "eth0")?;
    let side = on_node(&lab.node, &lab.pod, |netns| Ok(uplink::host_side(netns)?))?;
    let netns = Netns::open(&lab.pod.netns().path())?;
    // Sockets without filters.
    for is_v6 in [false, true] {
        serve(&lab.pod, (address(POD, is_v6), 4053).into())?;
        answered(&lab.neighbour, (address(POD, is_v6), 4053), Some(OTHER))?;
    }
    netns
        .enter(|| nftables::install(&capture(side.uplink_addresses(), 4053, side.entrances())))??;
    for is_v6 in [false, true] {
        answered(&lab.neighbour, (address(POD, is_v6), 4053), None)?;
        answered(&lab.pod, (address(POD, is_v6), 4053), Some(OTHER))?;
    }
    Ok(())
}

#[test]
fn an_uplink_enslaved_to_a_bridge_stays_an_entrance() -> Result<()> {
    let lab = PodLab::new(Plugin::Ptp, "eth0")?;
    lab.pod.netns().links(
        "link add br7 type bridge\nlink set br7 up\nlink set eth0 master br7\n\
         link add link br7 name mac7 type macvlan\n\
         link add veth7 type veth peer name veth8\n",
    )?;
    let side = on_node(&lab.node, &lab.pod, |netns| Ok(uplink::host_side(netns)?))?;
    let mut names = Vec::new();
    for index in side.entrances() {
        let name = lab.pod.run(async move { nix::net::if_::if_indextoname(index) })??;
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(names == ["br7", "eth0", "mac7"], "{names:?}");
    Ok(())
}

#[test]
fn installing_again_leaves_no_gap() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "eth0")?;
    let captured = captured(&lab)?;
    ensure!(captured.netns.enter(|| nftables::is_installed(&captured.capture))??);
    let server = SocketAddr::from((FOREIGN.v4, 53));
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let pod = lab.pod.clone();
    let asking = std::thread::spawn(move || {
        pod.run(async move {
            let mut asked = 0_u32;
            while stop.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                let by = ask(server, Transport::Udp, SILENCE).await?;
                ensure!(by.as_deref() == Some(POD_LISTENER), "question {asked}: {by:?}");
                asked += 1;
            }
            Ok(asked)
        })?
    });
    for _ in 0..200 {
        captured.netns.enter(|| nftables::install(&captured.capture))??;
    }
    drop(done);
    let Ok(asked) = asking.join() else { bail!("the asking thread panicked") };
    ensure!(asked? > 20);
    let mut command = lab.pod.enter("nft");
    command.args(["list", "table", "inet", "weir"]);
    let text = run(command, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
    ensure!(text.matches("dnat").count() == 12, "{text}");
    Ok(())
}

#[test]
fn it_is_known_whether_the_capture_is_there() -> Result<()> {
    let lab = PodLab::new(Plugin::Bridge, "eth0")?;
    let Captured { netns, capture, side, runtime } = captured(&lab)?;
    ensure!(netns.enter(|| nftables::is_installed(&capture))??);
    ensure!(!netns.enter(|| nftables::is_installed(&Capture { v6: None, ..capture.clone() }))??);
    let mut command = lab.pod.enter("nft");
    command.args(["flush", "chain", "inet", "weir", "prerouting"]);
    run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    ensure!(!netns.enter(|| nftables::is_installed(&capture))??);
    netns.enter(|| nftables::install(&capture))??;
    ensure!(netns.enter(|| nftables::is_installed(&capture))??);
    flush(&lab.pod)?;
    ensure!(!netns.enter(|| nftables::is_installed(&capture))??);
    netns.enter(nftables::remove)??;
    netns.enter(nftables::remove)??;
    ensure!(side.uplinks.len() == 1);
    drop(runtime);
    Ok(())
}

/// The chains that Docker makes, by either of iptables' back ends, before the capture and after.
fn docker_rules(pod: &Host, iptables: &str) -> Result<()> {
    for rule in [
        "-N DOCKER",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        "-A DOCKER -i docker0 -j RETURN",
        "-A DOCKER ! -i docker0 -p udp --dport 53 -j DNAT --to-destination 172.17.0.2:53",
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    ] {
        let mut command = pod.enter(iptables);
        command.args(["-w", "-t", "nat"]).args(rule.split(' '));
        run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn rules_of_docker_are_no_hindrance() -> Result<()> {
    for iptables in ["iptables-legacy", "iptables-nft"] {
        for is_first in [true, false] {
            let lab = PodLab::new(Plugin::Bridge, "eth0")?;
            if is_first {
                docker_rules(&lab.pod, iptables)?;
            }
            let captured = captured(&lab)?;
            if !is_first {
                docker_rules(&lab.pod, iptables)?;
            }
            for host in [&lab.pod, &lab.inner] {
                for server in [FOREIGN.v4, POD.v4] {
                    answered(host, (server, 53), Some(POD_LISTENER))?;
                }
            }
            captured.netns.enter(|| nftables::install(&captured.capture))??;
            // A published port still leads into the container.
            serve(&lab.inner, (INNER.v4, 53).into())?;
            let got = lab.neighbour.run(ask((POD.v4, 53).into(), Transport::Udp, LIMIT))??;
            ensure!(got.as_deref() == Some(OTHER), "{iptables}: {got:?}");
        }
    }
    Ok(())
}

#[test]
fn changes_inside_are_heard_outside() -> Result<()> {
    let (_node, pod) = PodLab::plain(Plugin::Ptp)?;
    let netns = Netns::open(&pod.netns().path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut links = FollowedLinks::of(&netns)?;
        // What made the pod, or one change, is several messages, of which a slow machine's last ones come later.
        let quiet = async { while timeout(SILENCE, links.changed()).await.is_ok() {} };
        timeout(patient(LIMIT), quiet).await.context("never quiet")?;
        for change in ["link add d7 type bridge\n", "addr add 10.7.0.1/24 dev d7\n"] {
            pod.netns().links(change)?;
            timeout(LIMIT, links.changed()).await.context("nothing heard")??;
        }
        // Whoever reads them then.
        let mut news = links.into_news();
        let quiet = async { while timeout(SILENCE, news.changed()).await.is_ok() {} };
        timeout(patient(LIMIT), quiet).await.context("never quiet")?;
        pod.netns().links("link del d7\n")?;
        timeout(LIMIT, news.changed()).await.context("nothing heard")??;
        Ok(())
    })
}

#[test]
fn an_address_under_test_can_be_listened_at() -> Result<()> {
    let (node, pod) = PodLab::plain(Plugin::Ptp)?;
    pod.run(async { std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "1") })??;
    pod.run(async { std::fs::write("/proc/sys/net/ipv6/conf/eth0/dad_transmits", "30") })??;
    pod.netns()
        .links("addr del 2001:db8:10::2/128 dev eth0\naddr add 2001:db8:10::2/128 dev eth0\n")?;
    let bound = pod.run(UdpSocket::bind((POD.v6, 0)))?;
    ensure!(bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrNotAvailable));
    let side = on_node(&node, &pod, |netns| Ok(uplink::host_side(netns)?))?;
    let netns = Netns::open(&pod.netns().path())?;
    let listener =
        netns.enter(|| listener::open(side.uplink_addresses(), 0, &side.entrances()))??;
    ensure!(listener.has_v6());
    Ok(())
}

#[test]
fn no_thread_changes_its_namespace() -> Result<()> {
    let (_node, pod) = PodLab::plain(Plugin::Ptp)?;
    let netns = Netns::open(&pod.netns().path())?;
    let before = Netns::current()?.id();
    let inside = netns.enter(|| Netns::current().map(|here| here.id()))??;
    ensure!(inside == netns.id() && inside != before);
    ensure!(Netns::current()?.id() == before);
    Ok(())
}

#[test]
fn a_pod_start_costs_little() -> Result<()> {
    let pods = repetitions(100);
    let mut rows: [Vec<Duration>; 6] = Default::default();
    for _ in 0..pods {
        let (node, pod) = PodLab::plain(Plugin::Ptp)?;
        let path = pod.netns().path();
        let row = node.run(async move {
            let start = Instant::now();
            let netns = Netns::open(&path)?;
            netns.enter(|| ())?;
            let entered = Instant::now();
            let side = uplink::host_side(&netns)?;
            let found = Instant::now();
            let (addresses, entrances) = (side.uplink_addresses(), side.entrances());
            let listener = netns.enter(|| listener::open(addresses, 0, &entrances))??;
            let listening = Instant::now();
            let capture = capture(addresses, listener.port(), entrances);
            netns.enter(|| nftables::install(&capture))??;
            let end = Instant::now();
            netns.enter(|| nftables::install(&capture))??;
            anyhow::Ok([
                entered - start,
                found - entered,
                listening - found,
                end - listening,
                end - start,
                end.elapsed(),
            ])
        })??;
        for (list, time) in rows.iter_mut().zip(row) {
            list.push(time);
        }
    }
    let mut all = Vec::new();
    for (name, list) in
        ["open, enter", "uplink", "listener", "install", "all", "again"].iter().zip(&mut rows)
    {
        list.sort();
        let (p50, p99) = (list[pods / 2], list[pods * 99 / 100]);
        println!("{name:12} p50 {p50:?} p99 {p99:?}");
        all.push(p50);
    }
    // Far above what it costs, far below what a pod start may wait for.
    ensure!(all[4] < patient(Duration::from_millis(50)), "{all:?}");
    Ok(())
}
