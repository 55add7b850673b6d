//! What really arrived: a packet socket that counts frames, whatever their protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
    sockopt,
};

use crate::vm::patient;

/// Payload of the datagram that marks the end of what was sent before it.
pub(super) const MARKER: &[u8] = b"weir-lab-marker";
/// `PACKET_OUTGOING` of packet(7): our own frames on their way out.
const OUTGOING: u8 = 4;

/// What is counted about one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, IP header included.
    pub bytes: u64,
}

/// Packets that arrived since the wire was last drained, by protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// TCP.
    pub tcp: Count,
    /// UDP.
    pub udp: Count,
    /// ICMP and `ICMPv6`, without neighbour discovery and multicast listener reports.
    pub icmp: Count,
    /// Any other IP protocol, and packets that cannot be parsed.
    pub other: Count,
    /// Frames that are no IP and no ARP.
    pub foreign: Count,
}

impl Tally {
    /// Every packet of every kind.
    #[must_use]
    pub fn total(&self) -> Count {
        let all = [self.tcp, self.udp, self.icmp, self.other, self.foreign];
        all.iter().fold(Count::default(), |sum, count| Count {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        })
    }

    /// Whether nothing arrived at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total().packets == 0
    }
}

/// An open packet socket of one namespace.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    ifindex: Option<usize>,
}

impl Wire {
    /// Opens the socket in the calling thread's namespace.
    pub(super) fn open(ifindex: Option<usize>) -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, flags, Some(SockProtocol::EthAll))
                .context("opening a packet socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).context("growing its buffer")?;
        Ok(Self { socket, ifindex })
    }

    /// Everything that arrived up to the marker, which the caller has sent last.
    pub(super) fn drain_to_marker(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        let deadline = Instant::now() + patient(Duration::from_secs(5));
        let mut buffer = vec![0_u8; 65_600];
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, from)) => {
                    let from = from.context("a frame without a link address")?;
                    let here = self.ifindex.is_none_or(|index| index == from.ifindex());
                    if from.pkttype() == OUTGOING || !here {
                        continue;
                    }
                    let frame = buffer.get(..length).unwrap_or_default();
                    if count(frame, &mut tally).is_break() {
                        return Ok(tally);
                    }
                }
                Err(Errno::EAGAIN) if Instant::now() < deadline => std::thread::yield_now(),
                Err(Errno::EAGAIN) => bail!("the lab's marker packet did not arrive"),
                Err(error) => return Err(error).context("reading a packet socket"),
            }
        }
    }
}

fn count(frame: &[u8], tally: &mut Tally) -> ControlFlow<()> {
    let ethertype = frame.get(12..14).and_then(|two| <[u8; 2]>::try_from(two).ok());
    let packet = frame.get(14..).unwrap_or_default();
    let parsed = match ethertype.map(u16::from_be_bytes) {
        Some(0x0800) => parse_v4(packet),
        Some(0x86dd) => parse_v6(packet),
        Some(0x0806) => return ControlFlow::Continue(()),
        _ => {
            add(&mut tally.foreign, frame.len());
            return ControlFlow::Continue(());
        }
    };
    let Some(parsed) = parsed else {
        add(&mut tally.other, packet.len());
        return ControlFlow::Continue(());
    };
    if parsed.payload.ends_with(MARKER) {
        return ControlFlow::Break(());
    }
    match parsed.protocol {
        6 => add(&mut tally.tcp, packet.len()),
        17 => add(&mut tally.udp, packet.len()),
        58 if is_housekeeping(&parsed) => {}
        1 | 58 => add(&mut tally.icmp, packet.len()),
        _ => add(&mut tally.other, packet.len()),
    }
    ControlFlow::Continue(())
}

struct Parsed<'a> {
    source: IpAddr,
    protocol: u8,
    payload: &'a [u8],
}

fn parse_v4(packet: &[u8]) -> Option<Parsed<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let source = IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?));
    Some(Parsed { source, protocol: *packet.get(9)?, payload: packet.get(header..)? })
}

fn parse_v6(packet: &[u8]) -> Option<Parsed<'_>> {
    let source = IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?));
    let mut protocol = *packet.get(6)?;
    let mut payload = packet.get(40..)?;
    // Multicast listener reports sit behind a hop-by-hop header (RFC 3810 §5).
    if protocol == 0 && payload.get(8).is_some_and(|kind| (130..=143).contains(kind)) {
        protocol = *payload.first()?;
        payload = payload.get(8..)?;
    }
    Some(Parsed { source, protocol, payload })
}

/// Neighbour discovery (RFC 4861) and multicast listener messages (RFC 3810), from a link-local or
/// unspecified source or of a solicitation kind.
fn is_housekeeping(packet: &Parsed<'_>) -> bool {
    let IpAddr::V6(source) = packet.source else { return false };
    let kind = packet.payload.first().copied().unwrap_or_default();
    matches!(kind, 130..=137 | 143) && (source.is_unicast_link_local() || source.is_unspecified())
        || matches!(kind, 135 | 136)
}

fn add(count: &mut Count, length: usize) {
    count.packets += 1;
    count.bytes += length as u64;
}
