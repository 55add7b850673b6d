//! The control socket: how `weir pods` asks the agent. Root only.
//!
//! One connection is one question: a line of JSON there, a line of JSON back (`protocol`). The socket's
//! folder and mode keep others out, and the kernel tells who asks.

mod client;
mod listen;
mod protocol;
mod server;
mod table;
#[cfg(test)]
mod tests;

pub use client::{AskError, pods};
pub use listen::{ControlError, ControlSocket};
pub use protocol::{PodState, PodStatus, VERSION};
pub use server::PodsSource;
pub use table::{to_json, to_text};
