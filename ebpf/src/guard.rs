//! What a process of an enforced pod may ask of `bpf()`: what a container runtime inside the pod needs for its device
//! filters, and nothing that could reach programs, links or maps of others.

/// Commands (`enum bpf_cmd` in `include/uapi/linux/bpf.h`).
mod command {
    pub(super) const MAP_CREATE: u32 = 0;
    pub(super) const MAP_GET_NEXT_KEY: u32 = 4;
    pub(super) const PROG_LOAD: u32 = 5;
    pub(super) const PROG_ATTACH: u32 = 8;
    pub(super) const PROG_DETACH: u32 = 9;
    pub(super) const PROG_GET_FD_BY_ID: u32 = 13;
    pub(super) const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub(super) const PROG_QUERY: u32 = 16;
    pub(super) const BTF_LOAD: u32 = 18;
}

/// `BPF_PROG_TYPE_SOCKET_FILTER`: what libraries load to learn what the kernel can do.
const SOCKET_FILTER: u32 = 1;
/// `BPF_PROG_TYPE_CGROUP_SKB`.
const CGROUP_SKB: u32 = 8;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`, the attach type.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// A descriptor that nobody has.
const NOBODYS: u32 = u32::MAX;

/// The first words of `union bpf_attr`.
pub type Attributes = [u32; 3];

/// Whether a call with these first words may go on. What a descriptor by id leads to is asked again, with
/// [`may_hold`].
#[inline(always)]
#[must_use]
pub const fn may_call(command: u32, attributes: Attributes) -> bool {
    let [first, second, third] = attributes;
    match command {
        // Maps are named by descriptors, and those of others cannot be had.
        command::MAP_CREATE..=command::MAP_GET_NEXT_KEY
        | command::PROG_GET_FD_BY_ID
        | command::OBJ_GET_INFO_BY_FD
        | command::BTF_LOAD => true,
        command::PROG_LOAD => may_hold(first) || is_trial(command, attributes),
        // Nothing can be attached to what nobody has: runc asks so whether the kernel can replace programs.
        command::PROG_ATTACH => third == ATTACH_CGROUP_DEVICE || first == NOBODYS,
        command::PROG_DETACH => third == ATTACH_CGROUP_DEVICE,
        command::PROG_QUERY => second == ATTACH_CGROUP_DEVICE,
        _ => false,
    }
}

/// Whether the call loads what may be loaded and held, and neither be attached nor be had by its id: runc loads a program
/// that sees packets to learn whether the kernel attaches programs at all. It is of the type of weir's own.
#[inline(always)]
#[must_use]
pub const fn is_trial(command: u32, attributes: Attributes) -> bool {
    command == command::PROG_LOAD && attributes[0] == CGROUP_SKB
}

/// Whether a descriptor of a program of this type may be had.
#[inline(always)]
#[must_use]
pub const fn may_hold(program_type: u32) -> bool {
    program_type == SOCKET_FILTER || program_type == CGROUP_DEVICE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_filters_are_left_to_container_runtimes() {
        assert!(may_call(command::PROG_LOAD, [CGROUP_DEVICE, 0, 0]));
        assert!(may_call(command::PROG_ATTACH, [3, 4, ATTACH_CGROUP_DEVICE]));
        assert!(may_call(command::PROG_DETACH, [3, 4, ATTACH_CGROUP_DEVICE]));
        assert!(may_call(command::PROG_QUERY, [3, ATTACH_CGROUP_DEVICE, 0]));
        assert!(may_call(command::PROG_GET_FD_BY_ID, [7, 0, 0]));
    }

    #[test]
    fn a_runtime_may_learn_what_the_kernel_can_do() {
        assert!(may_call(command::PROG_LOAD, [SOCKET_FILTER, 0, 0]));
        let trial = [CGROUP_SKB, 2, 0];
        assert!(may_call(command::PROG_LOAD, trial) && is_trial(command::PROG_LOAD, trial));
        // To nothing, at BPF_CGROUP_INET_INGRESS.
        assert!(may_call(command::PROG_ATTACH, [NOBODYS, 4, 0]));
        // And not by its id, as it would have weir's.
        assert!(!is_trial(command::PROG_GET_FD_BY_ID, [CGROUP_SKB, 0, 0]) && !may_hold(CGROUP_SKB));
        assert!(!may_call(command::PROG_DETACH, [NOBODYS, 4, 0]));
    }

    #[test]
    fn nothing_leads_to_what_others_have_loaded_or_into_the_kernel() {
        // Programs of traffic, tracing and security modules; the attach type of weir's own hooks.
        for kind in (0..64).filter(|kind| !may_hold(*kind) && *kind != CGROUP_SKB) {
            assert!(!may_call(command::PROG_LOAD, [kind, 0, 0]), "{kind}");
        }
        for kind in (0..64).filter(|kind| *kind != ATTACH_CGROUP_DEVICE) {
            assert!(!may_call(command::PROG_ATTACH, [3, 4, kind]), "{kind}");
            assert!(!may_call(command::PROG_DETACH, [3, 4, kind]), "{kind}");
        }
        // Pins (6, 7), maps, links and BTF by id (14, 19, 30), the lists of ids (11, 12, 23, 31), links (28, 29, 34), raw
        // tracepoints (17), tokens (36), and whatever comes.
        for command in [6, 7, 11, 12, 14, 17, 19, 20, 23, 28, 29, 30, 31, 34, 35, 36, 37, 1000] {
            assert!(!may_call(command, [0; 3]), "{command}");
        }
    }
}
