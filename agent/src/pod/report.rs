//! What a pod's page tells: the same accounts as the records, while the pod lives.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use weir_ebpf::{
    flow::{Flow, FlowKey, Outcome},
    reason::Reason,
};

use super::{EnforcedPod, account::Account, lock};
use crate::{
    events::record::{Destination, RecordReason, protocol_name},
    page::report::{self, DESTINATIONS, ProfileInfo, Program, Refusal, Report, SUGGESTED, moment},
    policy::{HostName, Provenance, RuleIndex, Suggestion},
};

/// Flows of which the names and processes are looked up; those that came later are counted.
const FLOWS: usize = 2048;

impl EnforcedPod {
    /// What the pod was refused and what audit mode let pass, until now. `None` when its counters cannot be read:
    /// what is not known must not look like nothing.
    ///
    /// Reads the pod's tables; must be called on a thread that may wait, and before the slot is given back.
    pub(super) fn refusals(&self) -> Option<Report> {
        let counters = match self.datapath.counters(&self.slot) {
            Ok(counters) => counters,
            Err(error) => {
                tracing::warn!(%error, "a pod's counters cannot be read for its page");
                return None;
            }
        };
        let is_told = |(key, _): &(FlowKey, Flow)| key.outcome != Outcome::Allowed as u8;
        let flows = lock(&self.swept).account(self.slot.flows());
        let mut flows: Vec<_> = flows.into_iter().filter(is_told).collect();
        flows.sort_by_key(|(_, flow)| flow.first_ns);
        let beyond = flows.len().saturating_sub(FLOWS);
        flows.truncate(FLOWS);
        let names = self.recorder.names();
        let mut accounts = names.accounts();
        accounts.extend(flows.iter().filter_map(|(key, flow)| self.account(key, flow)));
        let mut rows = Rows::of(accounts);
        rows.omitted += beyond;
        let profile = self.current_profile();
        Some(Report {
            schema: report::SCHEMA_VERSION,
            pod: self.recorder.pod(),
            profile: ProfileInfo {
                name: profile.name().to_owned(),
                mode: profile.mode(),
                bundle: profile.provenance().bundle().to_owned(),
            },
            refused: counters.all_refused() + names.refused(),
            audited: counters.all_audited() + names.audited(),
            suggestion: rows.suggestion(),
            omitted: u64::try_from(rows.omitted).unwrap_or(u64::MAX),
            refusals: rows.rows.iter().map(|row| self.refusal(row)).collect(),
            help: self.help.as_ref().map(|help| Arc::clone(help).as_ref().to_owned()),
        })
    }

    fn refusal(&self, row: &Row) -> Refusal {
        let Row { account, processes } = row;
        Refusal {
            verdict: account.outcome.into(),
            reason: RecordReason(row.reason()),
            profile: account.provenance.profile().to_owned(),
            rule_id: account.rule_id().to_owned(),
            destination: Destination {
                host: account.hosts.last().cloned(),
                other_hosts: Vec::new(),
                ip: account.ip,
                port: (account.port != 0).then_some(account.port),
                proto: account.protocol.map_or_else(|| "dns".to_owned(), protocol_name),
            },
            count: account.count,
            first: moment(account.first),
            last: moment(account.last),
            process: program(account),
            processes: u64::try_from(processes.len()).unwrap_or(u64::MAX),
            container: self.recorder.container_of(&account.process),
        }
    }
}

/// What is told as one: a destination, why it was refused, and by which rule, to which program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    outcome: u8,
    reason: Option<Reason>,
    host: Option<String>,
    /// Where there is no name.
    ip: Option<IpAddr>,
    protocol: Option<u8>,
    port: u16,
    provenance: Arc<Provenance>,
    rule: RuleIndex,
    program: Option<Program>,
    container: Option<std::num::NonZeroU64>,
}

impl Key {
    fn of(account: &Account) -> Self {
        let host = account.hosts.last().cloned();
        Self {
            outcome: account.outcome as u8,
            reason: account.reason,
            ip: account.ip.filter(|_| host.is_none()),
            host,
            protocol: account.protocol,
            port: account.port,
            provenance: Arc::clone(&account.provenance),
            rule: account.rule,
            program: program(account),
            container: account.process.container,
        }
    }
}

/// All that is told as one.
#[derive(Debug)]
struct Row {
    /// The first of it, with the counts of all.
    account: Account,
    processes: HashSet<u32>,
}

impl Row {
    /// Why; what is refused without a known reason could not be parsed.
    fn reason(&self) -> Reason {
        self.account.reason.unwrap_or(Reason::Unparsable)
    }
}

#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    /// Accounts that found no room.
    omitted: usize,
}

impl Rows {
    /// Puts together what is told as one, by first sight.
    fn of(mut accounts: Vec<Account>) -> Self {
        accounts.sort_by_key(|account| account.first);
        let mut rows = Self::default();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for account in accounts {
            let key = Key::of(&account);
            let known = places.get(&key).and_then(|place| rows.rows.get_mut(*place));
            if let Some(row) = known {
                row.account.count = row.account.count.saturating_add(account.count);
                row.account.last = row.account.last.max(account.last);
                row.processes.insert(account.process.pid);
            } else if rows.rows.len() < DESTINATIONS {
                places.insert(key, rows.rows.len());
                let processes = HashSet::from([account.process.pid]);
                rows.rows.push(Row { account, processes });
            } else {
                rows.omitted += 1;
            }
        }
        rows
    }

    /// Rules that would allow what a rule can allow of the first of them.
    fn suggestion(&self) -> Option<String> {
        let mut wanted = Suggestion::default();
        // What is on the profile's own deny list is refused whatever is allowed.
        let is_for_a_rule =
            |row: &&Row| row.account.rule != RuleIndex::DENY && is_for_a_rule(row.reason());
        let rows: Vec<&Row> = self.rows.iter().take(SUGGESTED).filter(is_for_a_rule).collect();
        for Row { account, .. } in &rows {
            for observation in account.observations() {
                wanted.reached(&observation);
            }
        }
        // Then the names of which no connection told the port.
        for row in rows {
            let account = &row.account;
            let name = account.hosts.last().filter(|_| account.ip.is_none());
            if let Some(name) = name.and_then(|name| HostName::parse(name).ok()) {
                wanted.wanted(&name, row.reason() == Reason::PrivateAnswer, &account.seen());
            }
        }
        wanted.rules()
    }
}

/// Whether another rule would have changed the verdict, or says why none can.
const fn is_for_a_rule(reason: Reason) -> bool {
    match reason {
        Reason::DomainNotInAllowlist
        | Reason::DirectIpNoDns
        | Reason::PortNotAllowed
        | Reason::PrivateAnswer
        | Reason::ProtocolNotAllowed
        | Reason::NamesBudget
        | Reason::MetadataService
        | Reason::DnsBypass
        | Reason::Dot => true,
        // A rule is there already, or none has a say.
        Reason::Expired
        | Reason::RawSocket
        | Reason::Unparsable
        | Reason::BpfDenied
        | Reason::CredentialRead
        | Reason::CgroupLeft
        | Reason::ProcessLimit => false,
    }
}

fn program(account: &Account) -> Option<Program> {
    let process = &account.process;
    (process.pid != 0)
        .then(|| Program { comm: process.comm.clone(), binary: process.binary.clone() })
}

#[cfg(test)]
mod tests;
