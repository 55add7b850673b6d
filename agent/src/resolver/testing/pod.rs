//! A pod that writes down what happens to it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::watch;
use weir_ebpf::reason::Reason;

use super::super::pod::{Admission, AdmitError, Pod, Refusal, Transport};
use super::lab::PATIENCE;
use crate::page::report::Report;
use crate::policy::{HostName, Mode, Profile};

/// A refusal, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Seen {
    pub(in super::super) client: u16,
    pub(in super::super) name: String,
    pub(in super::super) reason: Reason,
    pub(in super::super) verdict: Mode,
    pub(in super::super) rule: Option<String>,
    pub(in super::super) answer: Option<IpAddr>,
}

pub(in super::super) struct TestPod {
    profile: Mutex<Arc<Profile>>,
    /// Names and addresses admitted, in order.
    pub(in super::super) admitted: Mutex<Vec<(String, Vec<IpAddr>, Instant)>>,
    pub(in super::super) observed: Mutex<Vec<(String, Vec<IpAddr>)>>,
    refusals: watch::Sender<Vec<Seen>>,
    /// What the next admissions return; then all succeed.
    pub(in super::super) admit_script: Mutex<VecDeque<AdmitError>>,
    /// The policy that comes into force with the next admission, which it revokes.
    pub(in super::super) reload_at_admit: Mutex<Option<Arc<Profile>>>,
    /// Peers with this port are not of the pod.
    pub(in super::super) stranger: AtomicUsize,
    pub(in super::super) panic_once: AtomicBool,
    pub(in super::super) calls: AtomicUsize,
    /// What its page is to tell.
    pub(in super::super) report: Mutex<Option<Report>>,
}

impl TestPod {
    pub(in super::super) fn new(profile: Arc<Profile>) -> Arc<Self> {
        Arc::new(Self {
            profile: Mutex::new(profile),
            admitted: Mutex::default(),
            observed: Mutex::default(),
            refusals: watch::channel(Vec::new()).0,
            admit_script: Mutex::default(),
            reload_at_admit: Mutex::default(),
            stranger: AtomicUsize::new(0),
            panic_once: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            report: Mutex::default(),
        })
    }

    pub(in super::super) fn reload(&self, profile: Arc<Profile>) {
        *self.profile.lock().unwrap() = profile;
    }

    pub(in super::super) fn refusals(&self) -> Vec<Seen> {
        self.refusals.borrow().clone()
    }

    /// Waits until there are as many refusals, and returns all there are.
    pub(in super::super) async fn wait_refusals(&self, count: usize) -> Vec<Seen> {
        let mut seen = self.refusals.subscribe();
        let enough = seen.wait_for(|all| all.len() >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("refusals in time").unwrap().clone()
    }

    pub(in super::super) fn admitted_addresses(&self) -> Vec<IpAddr> {
        let admitted = self.admitted.lock().unwrap();
        admitted.iter().flat_map(|(_, addresses, _)| addresses.clone()).collect()
    }
}

impl Pod for TestPod {
    type Client = u16;

    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.lock().unwrap())
    }

    fn client(&self, peer: SocketAddr, _transport: Transport) -> Option<u16> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panic_once.swap(false, Ordering::SeqCst), "a test wants this");
        let stranger = self.stranger.load(Ordering::SeqCst) == usize::from(peer.port());
        (!stranger).then(|| peer.port())
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<(), AdmitError> {
        assert!(!admission.addresses.is_empty());
        if let Some(profile) = self.reload_at_admit.lock().unwrap().take() {
            self.reload(profile);
            return Err(AdmitError::Revoked);
        }
        if let Some(error) = self.admit_script.lock().unwrap().pop_front() {
            return Err(error);
        }
        let name = admission.name.as_str().to_owned();
        let addresses = admission.addresses.to_vec();
        self.admitted.lock().unwrap().push((name, addresses, admission.expires));
        Ok(())
    }

    fn observe(&self, name: &HostName, addresses: &[IpAddr]) {
        self.observed.lock().unwrap().push((name.as_str().to_owned(), addresses.to_vec()));
    }

    fn report(&self) -> Option<Report> {
        let mut report = self.report.lock().unwrap().clone()?;
        report.refused = self.refusals().len().try_into().unwrap();
        Some(report)
    }

    fn refuse(&self, refusal: &Refusal<'_, u16>) {
        let seen = Seen {
            client: *refusal.client,
            name: refusal.name.to_owned(),
            reason: refusal.reason,
            verdict: refusal.verdict,
            rule: refusal.rule.map(|rule| refusal.profile.rule_id(rule).to_owned()),
            answer: refusal.answer,
        };
        self.refusals.send_modify(|all| all.push(seen));
    }
}
