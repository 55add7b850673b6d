//! Counts flows in place and reports the first sight of what was refused.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA},
    helpers::generated::bpf_ringbuf_query,
};
use weir_ebpf::{
    address::Endpoint,
    flow::{Event, Flow, FlowKey, Outcome, known},
    lineage::flags as lineage_flags,
    pod::{EVENTS_PER_WINDOW, PodCounters, WINDOW_NS, has_share},
    reason::Reason,
    socket::{SocketTag, flags},
    verdict::Tables as _,
};

use crate::{
    lineage,
    maps::{COUNTERS, CurrentPod, EVENTS, EVENTS_TAKEN, FLOWS},
};

/// What is added to a flow.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    /// Connects, or packets of sockets that are not connected.
    pub(crate) count: u64,
    /// IP bytes sent.
    pub(crate) up: u64,
    /// IP bytes received.
    pub(crate) down: u64,
}

/// Adds to a counter that other CPUs add to as well.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, amount: u64) {
    // The target has no read-modify-write atomics in `core`; the instruction (BPF_XADD) is in every
    // kernel.
    // SAFETY: callers pass a field of a map value: aligned, and alive for this run.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}

/// Adds to an allowed flow.
#[inline(always)]
pub(crate) fn allowed(
    pod: &CurrentPod,
    tag: &SocketTag,
    peer: Endpoint,
    rule: u32,
    amount: Amount,
) {
    let key = key(tag, peer, Outcome::Allowed, 0);
    count(pod, &key, tag, rule, amount);
}

/// Counts a packet of a socket that is not connected. The first one to a destination goes into the flow
/// table, those that follow into the socket: a second table lookup would cost as much as the verdict's.
#[inline(always)]
pub(crate) fn sent(pod: &CurrentPod, tag: &mut SocketTag, peer: Endpoint, rule: u32, bytes: u64) {
    if tag.flags & flags::COUNTING != 0 && tag.peer == peer && tag.rule == rule {
        add(&raw mut tag.packets, 1);
        add(&raw mut tag.bytes_up, bytes);
        return;
    }
    flush(pod, tag);
    allowed(pod, tag, peer, rule, Amount { count: 1, up: bytes, down: 0 });
    if tag.flags & flags::RELEASED == 0 {
        // A stale admission was for another peer: it must never be renewed for this one.
        tag.generation = 0;
        tag.peer = peer;
        tag.rule = rule;
        tag.flags = tag.flags & !flags::AUDITED | flags::COUNTING;
    }
}

/// Counts what policy refuses: reports its first sight, and says whether it passes all the same.
#[inline(always)]
pub(crate) fn refused(
    pod: &CurrentPod,
    tag: &SocketTag,
    peer: Endpoint,
    reason: Reason,
    hard: bool,
    amount: Amount,
) -> bool {
    let passes = pod.audits() && !hard;
    let outcome = if passes { Outcome::Audited } else { Outcome::Blocked };
    let key = key(tag, peer, outcome, reason as u8);
    if let Some(counters) = counters(pod) {
        // SAFETY: a field of a live map value.
        let totals = unsafe {
            if passes { &raw mut (*counters).audited } else { &raw mut (*counters).refused }
        };
        // SAFETY: the mask keeps it inside the array, whatever the number is.
        add(unsafe { totals.cast::<u64>().add(reason.place()) }, 1);
    }
    if count(pod, &key, tag, pod.state.refusing_rule, amount) {
        report(pod, tag, key);
    }
    passes
}

/// Counts what is told of and not refused: reports its first sight.
#[inline(always)]
pub(crate) fn observed(
    pod: &CurrentPod,
    tag: &SocketTag,
    what: Endpoint,
    reason: Reason,
    amount: Amount,
) {
    let key = key(tag, what, Outcome::Allowed, reason as u8);
    if count(pod, &key, tag, pod.state.refusing_rule, amount) {
        report(pod, tag, key);
    }
}

/// What is known of the process behind a tag.
#[inline(always)]
pub(crate) fn known(tag: &SocketTag) -> u32 {
    let by_lsm = if tag.flags & flags::BY_LSM == 0 { 0 } else { known::BY_LSM };
    let has_read = match lineage::of(tag.process.tgid) {
        // SAFETY: fields of a live map value.
        Some(lineage) => unsafe {
            (*lineage).process.start_ns == tag.process.start_ns
                && (*lineage).flags & lineage_flags::CREDENTIAL_READ != 0
        },
        None => false,
    };
    if has_read { by_lsm | known::AFTER_CREDENTIAL_READ } else { by_lsm }
}

/// Moves what a socket has counted into the flow table.
#[inline(always)]
pub(crate) fn flush(pod: &CurrentPod, tag: &mut SocketTag) {
    if tag.generation == 0 && tag.flags & flags::COUNTING == 0 {
        return;
    }
    let amount = Amount { count: tag.packets, up: tag.bytes_up, down: tag.bytes_down };
    tag.packets = 0;
    tag.bytes_up = 0;
    tag.bytes_down = 0;
    tag.flags &= !flags::COUNTING;
    if amount.count | amount.up | amount.down != 0 {
        settled(pod, tag, amount);
    }
}

/// Adds to the flow of an admitted socket directly, after its totals were flushed.
#[inline(always)]
pub(crate) fn settled(pod: &CurrentPod, tag: &SocketTag, amount: Amount) {
    let audited = tag.flags & flags::AUDITED != 0;
    let (outcome, reason) =
        if audited { (Outcome::Audited, tag.reason as u8) } else { (Outcome::Allowed, 0) };
    let key = key(tag, tag.peer, outcome, reason);
    count(pod, &key, tag, tag.rule, amount);
}

/// Counts bytes received by a socket that is not connected, on a flow that is already known.
#[inline(always)]
pub(crate) fn received(pod: &CurrentPod, tag: &SocketTag, peer: Endpoint, bytes: u64) {
    if tag.flags & flags::COUNTING != 0 && tag.peer == peer {
        add((&raw const tag.bytes_down).cast_mut(), bytes);
        return;
    }
    let key = key(tag, peer, Outcome::Allowed, 0);
    if let Some(flow) = FLOWS.get_value_ptr_mut(pod.slot, &key) {
        // SAFETY: a field of a live map value.
        add(unsafe { &raw mut (*flow.cast::<Flow>()).bytes_down }, bytes);
    }
}

#[inline(always)]
fn key(tag: &SocketTag, peer: Endpoint, outcome: Outcome, reason: u8) -> FlowKey {
    let process = &tag.process;
    FlowKey {
        peer,
        tgid: process.tgid,
        outcome: outcome as u8,
        reason,
        execution: process.execution(),
    }
}

/// Adds to a flow; true when this is its first sight.
#[inline(always)]
fn count(pod: &CurrentPod, key: &FlowKey, tag: &SocketTag, rule: u32, amount: Amount) -> bool {
    let Some(flows) = FLOWS.get(pod.slot) else { return true };
    let now = pod.now_ns();
    if let Some(flow) = flows.get_ptr_mut(key) {
        bump(flow.cast(), now, amount);
        return false;
    }
    let flow = Flow {
        count: amount.count,
        bytes_up: amount.up,
        bytes_down: amount.down,
        first_ns: now,
        last_ns: now,
        process: tag.process,
        comm: tag.comm,
        rule,
        known: known(tag),
    };
    if flows.insert(key, [flow], u64::from(BPF_NOEXIST)).is_ok() {
        // The agent makes room by this count, before there is none.
        if let Some(counters) = counters(pod) {
            // SAFETY: a field of a live map value.
            add(unsafe { &raw mut (*counters).flows }, 1);
        }
        return true;
    }
    // Another CPU was first, or the table gave no room.
    if let Some(flow) = flows.get_ptr_mut(key) {
        bump(flow.cast(), now, amount);
        return false;
    }
    if let Some(counters) = counters(pod) {
        // SAFETY: a field of a live map value.
        add(unsafe { &raw mut (*counters).lost_flows }, 1);
    }
    true
}

#[inline(always)]
fn bump(flow: *mut Flow, now: u64, amount: Amount) {
    // SAFETY: the kernel returned the entry for this run; counters are added to atomically, and of
    // several last sights any will do.
    unsafe {
        // Where an amount is a constant zero, nothing is left of its line.
        if amount.count != 0 {
            add(&raw mut (*flow).count, amount.count);
        }
        if amount.up != 0 {
            add(&raw mut (*flow).bytes_up, amount.up);
        }
        if amount.down != 0 {
            add(&raw mut (*flow).bytes_down, amount.down);
        }
        (*flow).last_ns = now;
    }
}

#[inline(always)]
pub(crate) fn counters(pod: &CurrentPod) -> Option<*mut PodCounters> {
    COUNTERS.get_ptr_mut(pod.slot)
}

/// Writes one event, within the pod's share of the ring.
#[inline(always)]
fn report(pod: &CurrentPod, tag: &SocketTag, flow: FlowKey) {
    let Some(counters) = counters(pod) else { return };
    let now = pod.now_ns();
    // SAFETY: fields of a live map value. Two CPUs at a window's edge may grant a few events too
    // many; the share is a bound against floods, not an exact count.
    unsafe {
        if now.wrapping_sub((*counters).window_ns) > WINDOW_NS {
            (*counters).window_ns = now;
            (*counters).window_events = 0;
        }
        (*counters).window_events += 1;
        let waiting = (*counters).events.saturating_sub(taken(pod));
        if (*counters).window_events > EVENTS_PER_WINDOW || !has_share(waiting, unread_bytes()) {
            add(&raw mut (*counters).lost_events, 1);
            return;
        }
    }
    let event = Event {
        at_ns: now,
        process: tag.process,
        comm: tag.comm,
        flow,
        slot: pod.slot,
        known: known(tag),
        padding: 0,
    };
    match EVENTS.reserve(0) {
        Some(mut entry) => {
            entry.write(event);
            // Counted first: what the agent has taken is never more than what was written.
            // SAFETY: as above.
            add(unsafe { &raw mut (*counters).events }, 1);
            entry.submit(0);
        }
        // SAFETY: as above.
        None => add(unsafe { &raw mut (*counters).lost_events }, 1),
    }
}

/// Events of the pod that the agent has taken out of the ring.
#[inline(always)]
fn taken(pod: &CurrentPod) -> u64 {
    match EVENTS_TAKEN.get_ptr(pod.slot) {
        // SAFETY: an aligned word of a live map value, which the agent writes whole.
        Some(taken) => unsafe { taken.read_volatile() },
        None => 0,
    }
}

/// Bytes that wait in the ring for the agent.
#[inline(always)]
fn unread_bytes() -> u64 {
    let ring = core::ptr::from_ref(&EVENTS).cast_mut().cast();
    // SAFETY: the map is this static; the verifier checks that again.
    unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) }
}
