//! What a socket carries in its storage: who made it, and whether its connect was allowed.

use crate::{
    address::{Address, Endpoint},
    process::{COMM_BYTES, ProcessKey},
};

/// Socket storage: attribution and admission of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketTag {
    /// The running account: packets sent to [`Self::peer`] by a socket that is not connected. Like the
    /// bytes, what the flow table does not hold yet.
    pub packets: u64,
    /// Bytes sent (IP packet lengths).
    pub bytes_up: u64,
    /// Bytes received (IP packet lengths).
    pub bytes_down: u64,
    /// The process that last created, connected or sent on the socket.
    pub process: ProcessKey,
    /// That process's name.
    pub comm: [u8; COMM_BYTES],
    /// The endpoint that the connect named, before anything rewrote it; with [`flags::COUNTING`], the one
    /// that the last packet went to.
    pub peer: Endpoint,
    /// The name server the client asked for, when DNS capture sent it to the listener instead.
    pub captured: Endpoint,
    /// Policy generation that admitted the connect; 0 when it was not admitted.
    pub generation: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Number of the rule that allowed what [`Self::peer`] names.
    pub rule: u32,
    /// With [`flags::AUDITED`], the [`crate::reason::Reason`] that would have refused it.
    pub reason: u32,
}

const _: () = assert!(size_of::<SocketTag>() == 112);

impl SocketTag {
    /// The tag of a socket that nothing is known of: all zero.
    pub const UNKNOWN: Self = Self {
        packets: 0,
        bytes_up: 0,
        bytes_down: 0,
        process: ProcessKey { start_ns: 0, tgid: 0, exec_id: 0 },
        comm: [0; COMM_BYTES],
        peer: Endpoint::new(Address([0; 4]), 0, 0),
        captured: Endpoint::new(Address([0; 4]), 0, 0),
        generation: 0,
        flags: 0,
        rule: 0,
        reason: 0,
    };
}

/// Bits of [`SocketTag::flags`].
pub mod flags {
    /// The connect was let through by audit mode alone.
    pub const AUDITED: u32 = 1;
    /// DNS capture rewrote the destination; [`super::SocketTag::captured`] holds what was asked.
    pub const CAPTURED: u32 = 1 << 1;
    /// A connection that came in from a source whose connections may be answered.
    pub const INBOUND: u32 = 1 << 2;
    /// The owner closed the socket: its totals are in the flow table, what follows is added there.
    pub const RELEASED: u32 = 1 << 3;
    /// Not connected: [`super::SocketTag::peer`] is where its last packet was allowed to go, and the
    /// running account is of that. Never together with an admission.
    pub const COUNTING: u32 = 1 << 4;
    /// The second layer remembers where the packets of this connection really go.
    pub const WIRED: u32 = 1 << 5;
    /// A security module's hook saw the process use the socket.
    pub const BY_LSM: u32 = 1 << 6;
}
