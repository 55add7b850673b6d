//! The policies in force on the node, and how others take their place.

use std::{path::Path, sync::Arc, time::SystemTime};

use super::{
    agent::Agent,
    enforce::chain,
    pods::{Known, Stage},
    reconcile::Done,
};
use crate::{
    bundle::{Bundle, BundleError, Choice, Kept, memory},
    config::{self, Config},
    containerd::Sandbox,
    events::{
        queue::Share,
        record::{Kind, PolicyInfo, Record, Scope},
    },
    identity::Traits,
    policy::RuleIndex,
};

/// The policies in force.
#[derive(Debug)]
pub(super) struct Policies {
    bundle: Arc<Bundle>,
    standing: Standing,
    reading: Reading,
    /// For the agent after this one.
    kept: Kept,
    /// What waits of the records about policies to be written.
    share: Arc<Share>,
}

/// How the policies in force stand to what is in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// They are what is there.
    Good,
    /// What is there cannot be used, and why; those from before stay.
    Bad(String),
    /// As above, and there were none before: everything is denied.
    Missing(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    None,
    One,
    /// The folder has changed since it began to be read.
    Stale(Cause),
}

/// Why policies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The folder may have changed.
    Noticed,
}

impl Policies {
    /// Those of a folder; where they cannot be used, those that the agent before used last, which `state` holds; where
    /// there are none, everything is denied.
    pub(super) fn read(config: &Config, state: &Path) -> Self {
        let kept = Kept::new(state.join("policy"));
        let read = Bundle::load_and_keep(&config.policy, config.gitlab, None, &kept);
        let (bundle, standing) = match read {
            Ok(bundle) => (bundle, Standing::Good),
            Err(error) => {
                let fault = chain(&error);
                last_good(config, &kept).map_or_else(
                    || (Bundle::deny_all(config.policy.mode), Standing::Missing(fault.clone())),
                    |bundle| (bundle, Standing::Bad(fault.clone())),
                )
            }
        };
        memory::give_back();
        let bundle = Arc::new(bundle);
        Self { bundle, standing, reading: Reading::None, kept, share: Arc::default() }
    }

    pub(super) fn choose(&self, sandbox: &Sandbox, config: &Config) -> Choice {
        self.bundle.choose(&Traits::of(sandbox, config.gitlab))
    }
}

/// The policies that an earlier agent used last.
fn last_good(config: &Config, kept: &Kept) -> Option<Bundle> {
    kept.since()?;
    let dir = kept.folder().to_owned();
    let policy = config::Policy { dir, ..config.policy.clone() };
    Bundle::load(&policy, config.gitlab, None)
        .inspect_err(|error| {
            tracing::warn!(error = %chain(error), "the policies that were kept cannot be used");
        })
        .ok()
}

impl Agent {
    /// Tells what the policies are that the agent begins with.
    pub(super) fn tell_first_policies(&mut self) {
        match self.policies.standing.clone() {
            Standing::Good => self.accepted("the policies were read"),
            Standing::Bad(fault) => {
                let bundle = self.policies.bundle.digest();
                tracing::error!(
                    bundle,
                    error = %fault,
                    "the policies cannot be used: those of the agent before stay in force"
                );
                let profiles = self.policies.bundle.profiles().count();
                self.work.policies_kept(profiles, self.policies.kept.since());
                self.ready.policies.holds();
                self.tell_policies(Some(fault));
            }
            Standing::Missing(fault) => {
                tracing::error!(error = %fault, "the policies cannot be used: everything is denied");
                self.policies_missing(&fault);
                self.tell_policies(Some(fault));
            }
        }
    }

    /// Reads the policies again, without making anybody wait for it.
    pub(super) fn read_policies(&mut self, cause: Cause) {
        self.policies.reading = match self.policies.reading {
            Reading::None => Reading::One,
            Reading::Stale(Cause::Asked) => return,
            Reading::One | Reading::Stale(Cause::Noticed) => {
                self.policies.reading = Reading::Stale(cause);
                return;
            }
        };
        let (config, done) = (self.config.clone(), self.done.clone());
        let (older, kept) = (Arc::clone(&self.policies.bundle), self.policies.kept.clone());
        tokio::task::spawn_blocking(move || {
            let read = Bundle::load_and_keep(&config.policy, config.gitlab, Some(&older), &kept);
            // The receiver is gone only when the agent ends.
            let _ended = done.send(Done::Policies(cause, Box::new(read)));
        });
    }

    /// Policies were read: good ones come into force at once, and bad ones change nothing.
    pub(super) fn policies_read(&mut self, cause: Cause, read: Result<Bundle, BundleError>) {
        let reading = std::mem::replace(&mut self.policies.reading, Reading::None);
        match read {
            Ok(bundle) => self.take_policies(cause, bundle),
            Err(error) => {
                let fault = chain(&error);
                let bad = match self.policies.standing {
                    Standing::Good | Standing::Bad(_) => {
                        self.work.policies_refused();
                        Standing::Bad(fault.clone())
                    }
                    Standing::Missing(_) => {
                        self.policies_missing(&fault);
                        Standing::Missing(fault.clone())
                    }
                };
                if cause == Cause::Asked || self.policies.standing != bad {
                    tracing::error!(error = %fault, "the policies stay as they were");
                    self.tell_policies(Some(fault));
                }
                self.policies.standing = bad;
            }
        }
        if let Reading::Stale(cause) = reading {
            self.read_policies(cause);
        }
    }

    fn policies_missing(&self, fault: &str) {
        self.work.policies_refused();
        self.ready.policies.fails(format!("everything is denied: {fault}"));
    }

    fn take_policies(&mut self, cause: Cause, bundle: Bundle) {
        let is_news = self.policies.standing != Standing::Good
            || bundle.digest() != self.policies.bundle.digest();
        if is_news {
            self.policies.bundle = Arc::new(bundle);
            self.policies.standing = Standing::Good;
            // Reading takes several times what it leaves, and the older policies are gone now.
            tokio::task::spawn_blocking(memory::give_back);
        }
        // Also when there is nothing new: what a pod could not be given is given again.
        for known in self.pods.values() {
            self.assign(known);
        }
        if is_news || cause == Cause::Asked {
            self.accepted("the policies were read again and are in force");
        }
    }

    /// Puts the profile into force that is the pod's now.
    fn assign(&self, known: &Known) {
        if let Stage::Enforcing(enforced) | Stage::Lingering(enforced) = &known.stage {
            enforced.assign(&self.policies.choose(&known.sandbox, &self.config));
        }
    }

    fn accepted(&mut self, message: &str) {
        let bundle = &self.policies.bundle;
        let profiles = bundle.profiles().count();
        tracing::info!(bundle = bundle.digest(), profiles, "{message}");
        if !self.config.gitlab.trust_labels {
            for profile in bundle.by_labels() {
                tracing::warn!(
                    profile,
                    "the profile selects by labels, and pods of GitLab Runner are not selected by labels, which their jobs \
                     may be able to set; where no runner lets them, set `gitlab.trustLabels: true`"
                );
            }
        }
        self.ready.policies.holds();
        self.work.policies_taken(profiles);
        self.tell_policies(None);
    }

    /// Records which policies are in force, and why others are not.
    fn tell_policies(&self, error: Option<String>) {
        let default = self.policies.bundle.default_profile();
        let policy = PolicyInfo {
            scope: Scope::Default,
            profile: default.name().to_owned(),
            rule_id: default.rule_id(RuleIndex::DEFAULT_DENY).to_owned(),
            bundle: self.policies.bundle.digest().to_owned(),
        };
        let mut record =
            Record::new(Kind::Policy, SystemTime::now(), self.enforcer.node.clone(), policy);
        record.count = 1;
        record.error = error;
        // Not waited for: this is the loop that all pods wait for. One that finds no room is counted by the sink.
        let _told = self.enforcer.sink.write(&self.policies.share, &record, None);
    }
}
