//! Security module hooks: what no hook of a cgroup sees. They run for the whole machine, and are over after one lookup for
//! whoever is not of an enforced pod.

mod files;
mod folders;
mod leaving;
mod machinery;
mod measured;
mod patterns;
mod processes;
mod senders;
mod sockets;
