//! A pod's DNS sockets: opened inside its namespace, deaf to whatever comes from outside the pod.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt::IpFreebind},
};

use super::uplink::PodAddresses;
use crate::resolver::Listener;

#[cfg(test)]
mod tests;

/// The sockets could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The pod has no address to listen at.
    #[error("the pod has no global address")]
    NoAddress,
    /// The filter can tell at most 255 interfaces apart.
    #[error("the pod has {0} interfaces by which packets come in, too many to filter")]
    Entrances(usize),
    /// The system refused.
    #[error("opening the DNS sockets of a pod")]
    Bind(#[source] io::Error),
}

/// Opens UDP and TCP sockets at each of `addresses` in the calling thread's namespace
/// ([`Netns::enter`](super::Netns::enter)), on `port` or, if that is 0 or taken, on one that is free.
///
/// While no agent runs the port of the last one is free for any socket of the pod, one that connects and needs a port
/// among them. Whoever has it then keeps it.
///
/// What comes in by one of `entrances` is dropped by a filter on the sockets, in place before they have
/// an address. Unlike nftables, nobody in the pod can take it away.
///
/// # Errors
///
/// When there is no address, or no port.
pub fn open(
    addresses: PodAddresses,
    port: u16,
    entrances: &BTreeSet<u32>,
) -> Result<Listener, ListenerError> {
    let addresses: Vec<IpAddr> = addresses.iter().collect();
    if addresses.is_empty() {
        return Err(ListenerError::NoAddress);
    }
    let filter = filter(entrances).ok_or(ListenerError::Entrances(entrances.len()))?;
    let prepare = |socket: BorrowedFd<'_>| {
        // An IPv6 address is not there to bind to while its uniqueness is being tested (RFC 4862).
        // The option of IPPROTO_IP is the same bit for IPv6 sockets, in every kernel.
        setsockopt(&socket, IpFreebind, &true)?;
        attach(socket, &filter)
    };
    match Listener::bind_prepared(&addresses, port, prepare) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => {
            Listener::bind_prepared(&addresses, 0, prepare)
        }
        other => other,
    }
    .map_err(ListenerError::Bind)
}

/// Fits every jump's offset into its eight bits.
const MOST_ENTRANCES: usize = 255;

/// Classic BPF: drops a packet that came in by one of `entrances`, keeps all of any other.
///
/// Indexes are compared one by one, then comes "keep", then "drop". A packet without a device, which
/// the kernel does not bring to these sockets, ends the program at its first step and is dropped.
fn filter(entrances: &BTreeSet<u32>) -> Option<Vec<libc::sock_filter>> {
    let count = u8::try_from(entrances.len().min(MOST_ENTRANCES + 1)).ok()?;
    // SKF_AD_OFF + SKF_AD_IFINDEX: skb->dev->ifindex (socket(7), linux/filter.h).
    let interface = libc::SKF_AD_OFF.wrapping_add(libc::SKF_AD_IFINDEX).cast_unsigned();
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, interface, 0)?];
    // Over the comparisons that are left, and over "keep".
    for (offset, &index) in (1..=count).rev().zip(entrances) {
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, index, offset)?);
    }
    program.push(step(libc::BPF_RET | libc::BPF_K, u32::MAX, 0)?);
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0)?);
    Some(program)
}

fn step(code: u32, k: u32, jump_if_true: u8) -> Option<libc::sock_filter> {
    Some(libc::sock_filter { code: u16::try_from(code).ok()?, jt: jump_if_true, jf: 0, k })
}

fn attach(socket: BorrowedFd<'_>, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_too_long| io::ErrorKind::InvalidInput)?,
        // The kernel only reads it.
        filter: filter.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>())
        .map_err(|_too_long| io::ErrorKind::InvalidInput)?;
    // SAFETY: `program` points to `len` initialised instructions, which outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    Errno::result(result)?;
    Ok(())
}
