//! Loads a packet's headers for the parser that the host tests share.

use core::mem::{MaybeUninit, transmute};

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use weir_ebpf::packet::{IPV4_WORDS, IPV6_WORDS, Packet, Shape, parse_ipv4, parse_ipv6};

pub(crate) const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
pub(crate) const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
pub(crate) const ETH_P_ARP: u32 = 0x0806_u16.to_be() as u32;

/// Length of an Ethernet header, in bytes.
pub(crate) const ETHERNET_BYTES: u32 = 14;

/// Where the bytes of a packet begin for a program.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// At the IP header: hooks of sockets.
    Network,
    /// At the Ethernet header: hooks of devices.
    Link,
}

impl Start {
    #[inline(always)]
    const fn network_offset(self) -> u32 {
        match self {
            Self::Network => 0,
            Self::Link => ETHERNET_BYTES,
        }
    }
}

/// The protocol of the packet, in network order as the kernel gives it.
#[inline(always)]
pub(crate) fn protocol(skb: *mut __sk_buff) -> u32 {
    // SAFETY: a word of the context.
    unsafe { (&raw const (*skb).protocol).read_volatile() }
}

/// Parses the packet's headers; what cannot be loaded is unparsable.
#[inline(always)]
pub(crate) fn parse(skb: *mut __sk_buff, start: Start) -> Packet {
    let at = start.network_offset();
    let zero = zero(skb);
    let packet = match protocol(skb) {
        ETH_P_IP => match load::<IPV4_WORDS>(skb, at) {
            Some(words) => parse_ipv4(&words, zero),
            None => Packet::unparsable(zero),
        },
        ETH_P_IPV6 => match load::<IPV6_WORDS>(skb, at) {
            Some(words) => {
                parse_ipv6(&words, zero, |offset| load::<2>(skb, offset.wrapping_add(at)))
            }
            None => Packet::unparsable(zero),
        },
        _ => Packet::unparsable(zero),
    };
    // SAFETY: `zero` is 0, so the number is that of the shape.
    let shape = unsafe { transmute::<u32, Shape>(packet.shape as u32 | zero) };
    Packet { shape, ..packet }
}

/// The zero that [`weir_ebpf::packet`] wants: what is read from a context twice the verifier takes for two numbers.
#[inline(always)]
pub(crate) fn zero(skb: *mut __sk_buff) -> u32 {
    // SAFETY: a word of the context, which nothing changes while the program runs.
    let length = || unsafe { (&raw const (*skb).len).read_volatile() };
    length() ^ length()
}

/// Loads words of the packet, counted from where its bytes begin.
#[inline(always)]
pub(crate) fn load<const WORDS: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u32; WORDS]> {
    // Not zeroed first: the target's `memset` is a loop over bytes, dearer than the helper itself.
    let mut words = MaybeUninit::<[u32; WORDS]>::uninit();
    // SAFETY: the buffer is as long as what is asked for.
    let result = unsafe {
        bpf_skb_load_bytes(
            skb.cast_const().cast(),
            offset,
            words.as_mut_ptr().cast(),
            size_of::<[u32; WORDS]>() as u32,
        )
    };
    // SAFETY: on success the helper has written all of the buffer.
    if result == 0 { Some(unsafe { words.assume_init() }) } else { None }
}
