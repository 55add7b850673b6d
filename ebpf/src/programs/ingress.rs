//! `cgroup_skb/ingress`: bytes down, the mark of connections that came in from outside, and none of strangers over IPv6.

use aya_ebpf::{macros::cgroup_skb, programs::SkBuffContext};
use weir_ebpf::{
    address::protocol,
    packet::{Packet, Shape},
    socket::{SocketTag, flags},
    verdict::{Admission, Ruling, judge_packet, may_connect},
};

use crate::{
    account::{self, Amount},
    egress,
    headers::{self, Start},
    maps::{CurrentPod, TAGS},
};

const PASS: i32 = 1;
const DROP: i32 = 0;

/// `TCP_LISTEN` (`include/net/tcp_states.h`).
const TCP_LISTEN: u32 = 10;

#[cgroup_skb(ingress)]
pub(crate) fn weir_ingress(ctx: SkBuffContext) -> i32 {
    let Some(pod) = CurrentPod::get() else { return DROP };
    let Some(socket) = egress::socket(&ctx) else { return PASS };
    // SAFETY: a full socket that the kernel handed out for this run.
    let tag = unsafe { TAGS.of(socket, false) };
    // SAFETY: the kernel returned it for this run; its counters are added to atomically.
    let mut tag = tag.map(|tag| unsafe { &mut *tag });
    // SAFETY: a field of a full socket.
    let state = unsafe { (&raw const (*socket).state).read_volatile() };
    if state == TCP_LISTEN
        && let Some(tag) = &mut tag
    {
        // A socket that was connected, disconnected and made to listen keeps its tag, and a socket that
        // it accepts inherits it: a connection from outside would pass as the old one.
        account::flush(&pod, tag);
        tag.generation = 0;
    }
    let bytes = u64::from(ctx.skb.len());
    if let Some(tag) = &tag
        && tag.generation != 0
    {
        received(&pod, tag, bytes);
        return PASS;
    }
    let packet = headers::parse(ctx.skb.skb, Start::Network);
    if !matches!(packet.shape, Shape::Transport) {
        return PASS;
    }
    if state == TCP_LISTEN && packet.source.protocol == protocol::TCP {
        if may_connect(pod.state, &packet.source.address, &pod) {
            // SAFETY: as above. The mark is copied to the socket that is accepted (BPF_F_CLONE).
            if let Some(tag) = unsafe { TAGS.of(socket, true) } {
                // SAFETY: a word of a live map value; the only bit that a listener ever gets.
                unsafe { (*tag).flags |= flags::INBOUND };
            }
        } else if !may_be_answered(&ctx, &pod, tag.as_deref(), &packet) {
            return DROP;
        }
    } else if let Some(tag) = tag {
        account::received(&pod, tag, packet.source, bytes);
    }
    PASS
}

/// Whether the answer to what came to a listener passes, as far as nobody else asks. Before Linux 6.6 the hook of egress is
/// not called for the first one over IPv6 (`BPF_CGROUP_RUN_PROG_INET_EGRESS`): a stranger would be connected, and what is
/// said to him wait in the kernel until the hooks are gone.
#[inline(always)]
fn may_be_answered(
    ctx: &SkBuffContext,
    pod: &CurrentPod,
    tag: Option<&SocketTag>,
    packet: &Packet,
) -> bool {
    if packet.source.address.v4_be().is_some() || pod.audits() {
        return true;
    }
    // SAFETY: a word of the context.
    let ifindex = unsafe { (&raw const (*ctx.skb.skb).ifindex).read_volatile() };
    let on_loopback = ifindex == egress::LOOPBACK_IFINDEX;
    let answer =
        Packet { source: packet.destination, destination: packet.source, shape: packet.shape };
    let verdict = judge_packet(pod.state, &answer, on_loopback, Admission::None, pod);
    let hard = match verdict.ruling {
        Ruling::Refused => false,
        Ruling::HardBlocked => true,
        _ => return true,
    };
    let amount = Amount { count: 1, up: 0, down: 0 };
    let tag = tag.unwrap_or(&egress::UNKNOWN);
    account::refused(pod, tag, answer.destination, verdict.reason, hard, amount)
}

#[inline(always)]
fn received(pod: &CurrentPod, tag: &SocketTag, bytes: u64) {
    if tag.flags & flags::RELEASED == 0 {
        account::add((&raw const tag.bytes_down).cast_mut(), bytes);
    } else {
        account::settled(pod, tag, Amount { count: 0, up: 0, down: bytes });
    }
}
