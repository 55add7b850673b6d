//! What the resolver asks of the pod: who asks, what may be admitted, what was refused.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use weir_ebpf::{
    address::{Endpoint, protocol},
    flow::Client,
};

use super::{EnforcedPod, Reach, State, apply::endpoint_of, lock, rules, table::Allowed};
use crate::{
    datapath::{DatapathError, slot::address},
    page::report::Report,
    policy::{HostName, Profile},
    resolver::{Admission, AdmitError, Attestation, Pod, Refusal, Transport},
    system::clock::monotonic_ns,
};

/// How long the source of a packet stays known as a client: longer than any packet waits on loopback,
/// shorter than a port takes to come into other hands and to matter.
const CLIENT_FRESH_NS: u64 = 10_000_000_000;

impl Pod for EnforcedPod {
    type Client = Client;

    fn profile(&self) -> Arc<Profile> {
        self.current_profile()
    }

    fn client(&self, peer: SocketAddr, transport: Transport) -> Option<Client> {
        let number = match transport {
            Transport::Udp => protocol::UDP,
            Transport::Tcp => protocol::TCP,
        };
        let source = Endpoint::new(address(peer.ip()), number, peer.port());
        let known = self
            .slot
            .client(source)
            .filter(|client| monotonic_ns().saturating_sub(client.at_ns) < CLIENT_FRESH_NS);
        match self.listener.reach {
            Reach::Machine => known,
            // Nobody but the pod reaches this listener. What no hook of the first layer saw has no process.
            Reach::Pod => Some(known.unwrap_or_default()),
        }
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<(), AdmitError> {
        lock(&self.hosts).learn(admission.name, admission.addresses);
        let mut state = lock(&self.state);
        if !self.profile.load().is_same(admission.profile) {
            return Err(AdmitError::Revoked);
        }
        self.admit_locked(&mut state, admission)
    }

    fn observe(&self, name: &HostName, addresses: &[IpAddr]) {
        lock(&self.hosts).learn(name, addresses);
    }

    fn search(&self) -> Option<Vec<String>> {
        self.search.clone()
    }

    fn attestation(&self) -> Option<Attestation> {
        let uid = self.uid.clone()?;
        let state = lock(&self.state);
        (state.proven && state.generation != 0).then(|| Attestation {
            uid,
            policy: self.profile.load().digest().to_owned(),
            refusal: self.datapath.refusal_errno(),
        })
    }

    fn report(&self) -> Option<Report> {
        self.refusals()
    }

    fn refuse(&self, refusal: &Refusal<'_, Client>) {
        let identify = |client: &Client| self.identify(client.process, client.comm);
        let first = self.recorder.name_refused(refusal, identify);
        if let (Some(kept), Some(journal)) = (first, &self.journal) {
            journal.refused(kept);
        }
    }
}

impl EnforcedPod {
    fn admit_locked(&self, state: &mut State, admission: &Admission<'_>) -> Result<(), AdmitError> {
        let (generation, expires) = (state.generation, admission.expires);
        let missing: Vec<(Endpoint, IpAddr, u32)> = admission
            .entries()
            .map(|(ip, port, rule)| (endpoint_of(ip, port), ip, rules::number(generation, rule)))
            .filter(|(endpoint, _, rule)| !state.table.covers(endpoint, *rule, expires))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let name = Arc::new(admission.name.clone());
        let missing: Vec<(Endpoint, Allowed)> = missing
            .into_iter()
            .map(|(endpoint, address, rule)| {
                (endpoint, Allowed { name: Arc::clone(&name), address, rule, expires })
            })
            .collect();
        let new = missing.iter().filter(|(endpoint, _)| state.table.get(endpoint).is_none());
        let leaving =
            state.table.make_room(new.count(), Instant::now()).map_err(|_full| AdmitError::Full)?;
        self.slot.revoke(leaving).map_err(unwritten)?;
        let entries = missing.iter().map(|(endpoint, allowed)| (*endpoint, allowed.for_kernel()));
        self.slot.allow(entries).map_err(unwritten)?;
        if let Some(journal) = &self.journal {
            journal.name(admission.name, admission.addresses);
        }
        for (endpoint, allowed) in missing {
            state.table.insert(endpoint, allowed);
        }
        Ok(())
    }
}

fn unwritten(error: DatapathError) -> AdmitError {
    AdmitError::Write(io::Error::other(error))
}
