//! From one record to what a suggestion takes in.

use weir_ebpf::reason::Reason;

use crate::{
    events::{
        read::Entry,
        record::{Destination, Kind, RecordVerdict},
    },
    identity::told,
    policy::{HostName, LeftOut, Observation, Port, Protocol, Seen, Suggestion},
};

/// Takes a record in, if it tells of a destination.
pub(super) fn observe(suggestion: &mut Suggestion, entry: &Entry) {
    let record = &entry.record;
    let (Kind::Violation | Kind::Flow, Some(verdict), Some(destination)) =
        (record.kind, record.verdict, &record.destination)
    else {
        return;
    };
    let seen = Seen {
        count: entry.fresh,
        process: record.process.as_ref().map(|process| process.comm.clone()),
        job: told::job(record),
        first: entry.since,
        last: entry.at,
    };
    let reason = record.reason.map(|reason| reason.0);
    if destination.proto == "dns" {
        question(suggestion, destination, verdict, reason, &seen);
    } else {
        connection(suggestion, destination, verdict, reason, &seen);
    }
}

fn question(
    suggestion: &mut Suggestion,
    destination: &Destination,
    verdict: RecordVerdict,
    reason: Option<Reason>,
    seen: &Seen,
) {
    let Some(name) = &destination.host else { return };
    if reason == Some(Reason::NamesBudget) {
        suggestion.leave_out(LeftOut::Budget, name);
    }
    match verdict {
        RecordVerdict::Block => suggestion.refused_name(name, word(reason), seen),
        RecordVerdict::Audit | RecordVerdict::Allow => suggestion.asked(name, seen),
    }
}

fn connection(
    suggestion: &mut Suggestion,
    destination: &Destination,
    verdict: RecordVerdict,
    reason: Option<Reason>,
    seen: &Seen,
) {
    let Some(address) = destination.ip else { return };
    let protocol = match destination.proto.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        other => return suggestion.leave_out(LeftOut::Protocol, &format!("{address} {other}")),
    };
    let port = match protocol {
        Protocol::Icmp => Port::ICMP,
        protocol => Port { protocol, number: destination.port.unwrap_or(0) },
    };
    let observation =
        |host: Option<HostName>| Observation { host, address, port, seen: seen.clone() };
    let mut observations = Vec::new();
    let names = destination.other_hosts.iter().chain(&destination.host);
    for name in names {
        match HostName::parse(name) {
            Ok(host) => observations.push(observation(Some(host))),
            Err(_) => suggestion.leave_out(LeftOut::NoName, name),
        }
    }
    if destination.host.is_none() {
        observations.push(observation(None));
    }
    for observation in &observations {
        match verdict {
            RecordVerdict::Audit if reason == Some(Reason::Unparsable) => {
                suggestion.leave_out(LeftOut::Unparsable, &format!("{address} {port}"));
            }
            RecordVerdict::Block => suggestion.refused(observation, word(reason)),
            RecordVerdict::Audit | RecordVerdict::Allow => suggestion.reached(observation),
        }
    }
}

fn word(reason: Option<Reason>) -> &'static str {
    reason.map_or("refused", Reason::as_str)
}

#[cfg(test)]
mod tests;
