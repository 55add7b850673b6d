//! Whom a socket is connected to, as the socket itself has it.

use aya_ebpf::bindings::bpf_sock;
use weir_ebpf::{
    address::Address,
    packet::{Packet, Shape},
    socket::SocketTag,
};

/// Whether the packet goes where its socket is connected to. Connect hooks that rewrite an address, ours
/// and those of load balancers, have done so before the socket takes it; what translates or wraps packets
/// changes only the packets.
#[inline(always)]
pub(crate) fn receives(socket: *mut bpf_sock, tag: &SocketTag, packet: &Packet) -> bool {
    let destination = &packet.destination;
    // SAFETY: a field of a socket that the kernel handed out for this run.
    let port = u16::from_be(unsafe { (&raw const (*socket).dst_port).read_volatile() });
    let same_address = match destination.address.v4_be() {
        // SAFETY: as above.
        Some(v4) => v4 == unsafe { (&raw const (*socket).dst_ip4).read_volatile() },
        None => destination.address == address_v6(socket),
    };
    let same_port = port == destination.port || matches!(packet.shape, Shape::Fragment);
    same_address && same_port && tag.peer.protocol == destination.protocol
}

#[inline(always)]
fn address_v6(socket: *mut bpf_sock) -> Address {
    // SAFETY: fields of a socket that the kernel handed out for this run, each read as one aligned word.
    unsafe {
        let words = (&raw const (*socket).dst_ip6).cast::<u32>();
        Address([
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ])
    }
}
