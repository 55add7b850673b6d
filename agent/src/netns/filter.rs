//! Which program a filter of a device runs (`tc(8)`, `cls_bpf`), on the host's side of a pod's veth.

use std::io;

use super::netlink::{Attributes, Malformed, Message, NetlinkError, Request, Socket};

/// What comes in by a device, of its clsact: `TC_H_CLSACT` and `TC_H_MIN_INGRESS` (`linux/pkt_sched.h`).
const PARENT: u32 = 0xffff_fff2;
/// Size of `struct tcmsg`.
const HEADER_BYTES: usize = 20;
/// Types of `linux/rtnetlink.h`, and of `linux/pkt_cls.h`.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;

/// One filter of a device, whatever its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterId {
    /// Filters run in the order of their priorities.
    pub priority: u16,
    /// Its handle among those of its priority.
    pub handle: u32,
}

/// Asks the kernel for filters of this network namespace.
#[derive(Debug, Default)]
pub struct Filters {
    /// Opened when there is something to ask.
    socket: Option<Socket>,
}

impl Filters {
    /// The identifier of the program that a filter runs; none if there is no such filter.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn program(&mut self, filter: FilterId, device: u32) -> io::Result<Option<u32>> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Socket::route().map_err(io::Error::other)?),
        };
        match socket.get(request(filter, device).map_err(io::Error::other)?, read) {
            Ok(program) => Ok(program),
            // No such device, clsact or filter.
            Err(NetlinkError::Refused(_)) => Ok(None),
            Err(error) => {
                // What comes later may be the answer to this.
                self.socket = None;
                Err(io::Error::other(error))
            }
        }
    }
}

fn request(filter: FilterId, device: u32) -> Result<Request, Malformed> {
    // All protocols, in network byte order (`ETH_P_ALL`).
    let protocol = u32::from(0x0003_u16.to_be());
    let info = (u32::from(filter.priority) << 16) | protocol;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    // Family and padding, then index, handle, parent, priority and protocol.
    for word in [0, device, filter.handle, PARENT, info] {
        header.extend(word.to_ne_bytes());
    }
    Request::new(libc::RTM_GETTFILTER, &header).attribute(TCA_KIND, b"bpf\0")
}

fn read(message: &Message<'_>) -> Result<Option<u32>, Malformed> {
    let (_header, attributes) = message.split(HEADER_BYTES)?;
    for attribute in attributes {
        let (TCA_OPTIONS, options) = attribute? else { continue };
        for option in Attributes::nested(options) {
            if let (TCA_BPF_ID, value) = option? {
                let id = value.try_into().map_err(|_length| Malformed)?;
                return Ok(Some(u32::from_ne_bytes(id)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
