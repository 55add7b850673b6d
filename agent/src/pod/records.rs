//! What is told of a pod: each first sight as it happens, and the account at the end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use weir_ebpf::{
    address::Endpoint,
    flow::{Client, Event, Flow, FlowKey, Outcome, known},
    process::{COMM_BYTES, ProcessKey},
    reason::Reason,
};

use super::{
    EnforcedPod,
    account::{self, Account},
    containers::Containers,
    destination::{destination, past_ip},
    lock,
    refused::{KeptName, RefusedNames, Sight},
    subject::{Subject, SubjectInfo},
};
use crate::{
    attribution::{self, Identity},
    datapath::slot::ip,
    events::{
        queue::Share,
        record::{
            Attribution, Destination, Kind, Lack, PodInfo, PolicyInfo, ProcessInfo, Record,
            RecordReason, RecordVerdict, Scope, protocol_name,
        },
        sink::Sink,
    },
    policy::{Mode, Provenance, RuleIndex},
    resolver::Refusal,
    system::clock::wall_clock,
};

/// How long the account of a pod waits for room among the records.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the records of one pod.
#[derive(Debug)]
pub struct Recorder {
    sink: Arc<Sink>,
    /// What waits of this pod's records to be written.
    share: Arc<Share>,
    node: String,
    scope: Mutex<Scope>,
    subject: Subject,
    /// The pod's containers.
    containers: Arc<Containers>,
    /// Process above which no ancestor is shown.
    root: OnceLock<u32>,
    names: RefusedNames,
    violations: AtomicU64,
    lost: AtomicU64,
}

impl Recorder {
    /// A recorder that writes to a sink.
    #[must_use]
    pub fn new(sink: Arc<Sink>, node: String, scope: Scope, subject: Subject) -> Self {
        Self {
            sink,
            share: Arc::default(),
            node,
            scope: Mutex::new(scope),
            subject,
            containers: Arc::default(),
            root: OnceLock::new(),
            names: RefusedNames::default(),
            violations: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Has processes be named with their containers.
    #[must_use]
    pub fn with_containers(self, containers: Arc<Containers>) -> Self {
        Self { containers, ..self }
    }

    /// Says how the profile was chosen that is in force from now on.
    pub fn set_scope(&self, scope: Scope) {
        *lock(&self.scope) = scope;
    }

    pub(super) fn write(&self, record: Record) {
        self.write_until(record, None);
    }

    /// Writes a record, and counts it when there is no room for it.
    pub(super) fn write_until(&self, record: Record, until: Option<Instant>) {
        self.write_all(&self.subject.name(record), until);
    }

    fn write_all(&self, records: &[Record], until: Option<Instant>) {
        for record in records {
            if !self.sink.write(&self.share, record, until) {
                self.lose(1);
            }
        }
    }

    /// Whether records wait until it is known whom they are of.
    #[must_use]
    pub fn awaits_subject(&self) -> bool {
        self.subject.is_awaited()
    }

    /// Takes what is known now of whom the records are of, and writes those that waited for it.
    pub fn complete_subject(&self, complete: impl FnOnce(&mut SubjectInfo)) {
        self.write_all(&self.subject.complete(complete), Some(Instant::now() + PATIENCE));
    }

    /// Writes what waits, as it is.
    pub fn wait_no_longer(&self) {
        self.write_all(&self.subject.give_up(), Some(Instant::now() + PATIENCE));
    }

    /// Counts what could not be told.
    pub(super) fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Names the process whose descendants the ancestries begin with.
    pub fn set_root(&self, pid: u32) {
        let _already_set = self.root.set(pid);
    }

    /// Violations so far, audited ones included; each first sight counts once.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// Names that were refused or audited.
    pub(super) const fn names(&self) -> &RefusedNames {
        &self.names
    }

    /// The pod, in Kubernetes.
    pub(super) fn pod(&self) -> Option<PodInfo> {
        self.subject.pod()
    }

    /// The name of the container that a process was in.
    pub(super) fn container_of(&self, process: &Identity) -> Option<String> {
        process.container.and_then(|id| self.containers.name(id))
    }

    /// Events that were lost on the way to the records.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records a refused question: its first sight at once, repeats in the account. What the journal is to keep of it.
    pub(super) fn name_refused(
        &self,
        refusal: &Refusal<'_, Client>,
        identify: impl FnOnce(&Client) -> Identity,
    ) -> Option<KeptName> {
        let sight = match self.names.note(refusal, identify) {
            Sight::First(sight) => sight,
            Sight::Repeated => return None,
            Sight::NoRoom => {
                self.lose(1);
                return None;
            }
        };
        self.violations.fetch_add(1, Ordering::Relaxed);
        let audited = refusal.verdict == Mode::Audit;
        let destination = Destination {
            host: Some(refusal.name.to_owned()),
            other_hosts: Vec::new(),
            ip: refusal.answer,
            port: None,
            proto: "dns".to_owned(),
        };
        let provenance = refusal.profile.provenance();
        let mut record = self.record(Kind::Violation, sight.at, provenance, sight.rule);
        record.verdict = Some(if audited { RecordVerdict::Audit } else { RecordVerdict::Block });
        record.reason = Some(RecordReason(refusal.reason));
        record.destination = Some(destination);
        record.count = 1;
        let kept = KeptName::new(refusal, &sight);
        self.name_process(&mut record, sight.process, refusal.client.known);
        self.write(record);
        Some(kept)
    }

    pub(super) fn record(
        &self,
        kind: Kind,
        at: SystemTime,
        provenance: &Provenance,
        rule: RuleIndex,
    ) -> Record {
        let policy = PolicyInfo {
            scope: *lock(&self.scope),
            profile: provenance.profile().to_owned(),
            rule_id: provenance.rule_id(rule).to_owned(),
            bundle: provenance.bundle().to_owned(),
        };
        Record::new(kind, at, self.node.clone(), policy)
    }

    pub(super) fn name_process(&self, record: &mut Record, process: Identity, known: u32) {
        if process.pid == 0 {
            return;
        }
        let by_lsm = known & known::BY_LSM != 0;
        record.attribution = if by_lsm { Attribution::Lsm } else { Attribution::Cgroup };
        record.after_credential_read = known & known::AFTER_CREDENTIAL_READ != 0;
        record.container = self.container_of(&process);
        record.process = Some(ProcessInfo {
            comm: process.comm,
            binary: process.binary,
            pid: process.pid,
            arguments: process.arguments.map(|digest| format!("fnv1a:{digest:016x}")),
            ancestry: process.ancestry,
        });
    }
}

impl EnforcedPod {
    /// Names a process of this pod.
    pub(super) fn identify(&self, key: ProcessKey, comm: [u8; COMM_BYTES]) -> Identity {
        // The table first: while a process is moved it is in both.
        let remembered = self.slot.process(key).or_else(|| lock(&self.swept).process(&key));
        attribution::identify(remembered.as_ref(), key, comm, self.recorder.root.get().copied())
    }

    /// Tells that enforcement began, or ended.
    pub fn record_phase(&self, kind: Kind) {
        let profile = self.current_profile();
        let rule = RuleIndex::DEFAULT_DENY;
        let mut record = self.recorder.record(kind, SystemTime::now(), profile.provenance(), rule);
        let has_modules = !self.lacks.contains(&Lack::Lsm);
        record.attribution = if has_modules { Attribution::Lsm } else { Attribution::Cgroup };
        if kind == Kind::Attach {
            record.lacks.clone_from(&self.lacks);
        }
        record.count = 1;
        self.recorder.write_until(record, Some(Instant::now() + PATIENCE));
    }

    /// Records the first sight of a refused or audited flow.
    pub fn record_event(&self, event: &Event) {
        self.tell(event);
        self.arrivals.note();
    }

    fn tell(&self, event: &Event) {
        let (Some(outcome), Some(reason)) =
            (Outcome::from_code(event.flow.outcome), Reason::from_code(event.flow.reason))
        else {
            return;
        };
        if lock(&self.swept).knows(&event.flow, event.at_ns) {
            // A flow that was moved out of the table and came back.
            return;
        }
        if reason == Reason::CredentialRead {
            return self.tell_of_read(event, outcome);
        }
        let profile = self.current_profile();
        let refined = self.refine(&event.flow.peer, reason);
        let rule = RuleIndex::DEFAULT_DENY;
        let mut record = self.recorder.record(
            Kind::Violation,
            wall_clock(event.at_ns),
            profile.provenance(),
            rule,
        );
        record.verdict = Some(outcome.into());
        record.reason = Some(RecordReason(refined));
        record.destination = Some(match past_ip(reason, &event.flow.peer) {
            Some(proto) => destination(Vec::new(), None, 0, proto),
            None => self.destination(&event.flow.peer),
        });
        record.count = 1;
        let process = self.identify(event.process, event.comm);
        self.recorder.name_process(&mut record, process, event.known);
        self.recorder.violations.fetch_add(1, Ordering::Relaxed);
        self.recorder.write(record);
    }

    /// All that was counted, and a `flow` record of each; with what was lost on the way. The counts of what was refused
    /// add up to all that was, for one more record of each reason has those that found no room to be told apart.
    #[must_use]
    pub fn settle(&self) -> Vec<Account> {
        let flows = lock(&self.swept).account(self.slot.flows());
        let names = self.recorder.names.accounts();
        let untold = self.untold(&flows, &names);
        let mut accounts: Vec<Account> =
            flows.iter().filter_map(|(key, flow)| self.account(key, flow)).collect();
        accounts.extend(names);
        accounts.sort_by_key(|a| a.first);
        let records = accounts.iter().map(|account| self.recorder.flow_record(account));
        let until = Some(Instant::now() + PATIENCE);
        for record in records.chain(untold) {
            self.recorder.write_until(record, until);
        }
        self.tell_last_repairs(until);
        self.recorder.wait_no_longer();
        self.record_lost(self.current_profile().provenance());
        accounts
    }

    /// Records of the refusals that are in none of these flows and names.
    fn untold(&self, flows: &HashMap<FlowKey, Flow>, names: &[Account]) -> Vec<Record> {
        let blocked = Outcome::Blocked;
        let flows = flows
            .iter()
            .filter(|(key, _)| Outcome::from_code(key.outcome) == Some(blocked))
            .filter_map(|(key, flow)| Some((Reason::from_code(key.reason)?, flow.count)));
        let names = names
            .iter()
            .filter(|name| name.outcome == blocked)
            .filter_map(|name| Some((name.reason?, name.count)));
        // Read after the flows: what comes between is then counted, and never twice.
        let untold = account::untold(&self.totals().refused, flows.chain(names));
        let profile = self.current_profile();
        let record = |(reason, count)| {
            let rule = RuleIndex::DEFAULT_DENY;
            let record =
                self.recorder.record(Kind::Flow, SystemTime::now(), profile.provenance(), rule);
            let (verdict, reason) = (Some(blocked.into()), Some(RecordReason(reason)));
            Record { verdict, reason, count, ..record }
        };
        untold.into_iter().map(record).collect()
    }

    pub(super) fn account(&self, key: &FlowKey, flow: &Flow) -> Option<Account> {
        let outcome = Outcome::from_code(key.outcome)?;
        if key.reason == Reason::CredentialRead as u8 {
            // Each was told of once, and leads nowhere.
            return None;
        }
        let past_ip = Reason::from_code(key.reason).and_then(|reason| past_ip(reason, &key.peer));
        let reason = Reason::from_code(key.reason).map(|reason| self.refine(&key.peer, reason));
        let known = lock(&self.state).history.find(flow.rule);
        let (provenance, rule) = known.unwrap_or_else(|| {
            (Arc::clone(self.current_profile().provenance()), RuleIndex::DEFAULT_DENY)
        });
        let address = ip(key.peer.address);
        Some(Account {
            process: self.identify(flow.process, flow.comm),
            hosts: lock(&self.hosts).names(address).to_vec(),
            ip: past_ip.is_none().then_some(address),
            protocol: Some(key.peer.protocol),
            port: if past_ip.is_none() { key.peer.port } else { 0 },
            past_ip,
            known: flow.known,
            outcome,
            reason,
            provenance,
            rule,
            count: flow.count,
            bytes_up: flow.bytes_up,
            bytes_down: flow.bytes_down,
            first: wall_clock(flow.first_ns),
            last: wall_clock(flow.last_ns),
        })
    }

    /// What the kernel could not know: whether a name or another port led to the address.
    fn refine(&self, peer: &Endpoint, reason: Reason) -> Reason {
        if reason != Reason::DirectIpNoDns {
            return reason;
        }
        let address = ip(peer.address);
        if lock(&self.state).table.knows_address(address, Instant::now()) {
            return Reason::PortNotAllowed;
        }
        if lock(&self.hosts).names(address).is_empty() {
            reason
        } else {
            Reason::DomainNotInAllowlist
        }
    }

    fn destination(&self, peer: &Endpoint) -> Destination {
        let address = ip(peer.address);
        let hosts = lock(&self.hosts).names(address).to_vec();
        destination(hosts, Some(address), peer.port, protocol_name(peer.protocol))
    }

    fn record_lost(&self, provenance: &Provenance) {
        let kernel = self.datapath.counters(&self.slot).unwrap_or_default();
        let lost =
            kernel.lost_events + kernel.lost_flows + self.recorder.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let rule = RuleIndex::DEFAULT_DENY;
            let mut record = self.recorder.record(Kind::Lost, SystemTime::now(), provenance, rule);
            record.count = lost;
            self.recorder.write_until(record, Some(Instant::now() + PATIENCE));
        }
    }
}

impl Recorder {
    fn flow_record(&self, account: &Account) -> Record {
        let mut record = self.record(Kind::Flow, account.last, &account.provenance, account.rule);
        record.verdict = Some(account.outcome.into());
        record.reason = account.reason.map(RecordReason);
        let named = || account.protocol.map_or_else(|| "dns".to_owned(), protocol_name);
        let proto = account.past_ip.clone().unwrap_or_else(named);
        record.destination =
            Some(destination(account.hosts.clone(), account.ip, account.port, proto));
        record.count = account.count;
        record.bytes_up = account.bytes_up;
        record.bytes_down = account.bytes_down;
        let duration = account.last.duration_since(account.first).unwrap_or_default();
        record.duration_ms = Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        self.name_process(&mut record, account.process.clone(), account.known);
        record
    }
}
