//! One run from beginning to end.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, gethostname},
};

use super::{
    bpffs, command, complain,
    error::RunError,
    launch,
    leftovers::{self, Belongings, NOTES, Note},
    preflight,
    signals::{Arrived, Signals, hold},
    suggest, summary,
};
use crate::{
    datapath::{Datapath, attach::Attachment, events::EventRing, guard::Guard, slot::PodLimits},
    events::{
        record::{Kind, Scope},
        sink::Sink,
    },
    pod::{
        EnforcedPod, ListenerAddress, Reach, Surroundings, records::Recorder, subject::Subject,
        sweep::Sweeper,
    },
    policy::{Mode, Profile},
    resolver::{Listener, Resolver, ResolverSettings, Server, Upstreams, serve},
    system::{addresses::AddressChanges, cgroup, clock::monotonic_ns},
};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What `weir run` was asked to do.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// The profile; without one everything is denied.
    pub profile: Option<PathBuf>,
    /// Let pass and report, whatever the profile's mode.
    pub audit: bool,
    /// Where records go; `-` is standard output.
    pub events: Option<PathBuf>,
    /// Where to write a profile that allows what was seen.
    pub suggest: Option<PathBuf>,
    /// Name servers to ask instead of those of resolv.conf.
    pub upstreams: Vec<SocketAddr>,
    /// Leave the command its capabilities.
    pub keep_capabilities: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The command's exit code, 128 and the signal's number when a signal ended it.
    pub code: u8,
    /// Distinct violations, audited ones included.
    pub violations: u64,
}

/// Runs a command under a policy of its own.
///
/// # Errors
///
/// [`RunError`]; the command was not started, or could not be waited for.
pub fn run(settings: &RunSettings) -> Result<RunOutcome, RunError> {
    // Before any thread is started: a signal goes to any thread that does not hold it back.
    hold().map_err(|error| RunError::system("holding signals back")(error.into()))?;
    let plan = Plan::read(settings)?;
    preflight::check()?;
    leftovers::clear()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir")
        .enable_all()
        .build()
        .map_err(RunError::system("starting the runtime"))?;
    runtime.block_on(Session::run(settings, plan))
}

/// Everything that a person can get wrong, read before anything is made.
struct Plan {
    profile: Arc<Profile>,
    scope: Scope,
    upstreams: Upstreams,
    sink: Arc<Sink>,
}

impl Plan {
    fn read(settings: &RunSettings) -> Result<Self, RunError> {
        let (profile, scope) = match &settings.profile {
            Some(path) => (read_profile(path, settings.audit)?, Scope::Command),
            None => (Arc::new(with_audit(Profile::deny_all(), settings.audit)), Scope::Default),
        };
        let upstreams = if settings.upstreams.is_empty() {
            let text = fs::read_to_string(RESOLV_CONF)
                .map_err(RunError::path("reading", Path::new(RESOLV_CONF)))?;
            Upstreams::from_resolv_conf(&text)?
        } else {
            Upstreams::from_addrs(&settings.upstreams)?
        };
        if let Some(path) = &settings.suggest {
            suggest::check_writable(path)?;
        }
        let sink = match &settings.events {
            Some(path) => Sink::open(path)?,
            None => Sink::none(),
        };
        let sink = Arc::new(sink);
        Ok(Self { profile, scope, upstreams, sink })
    }
}

fn surroundings() -> Result<Surroundings, RunError> {
    Surroundings::of_this_machine()
        .map_err(RunError::system("reading the addresses of this machine"))
}

fn read_profile(path: &Path, audit: bool) -> Result<Arc<Profile>, RunError> {
    Ok(Arc::new(with_audit(Profile::from_file(path)?, audit)))
}

fn with_audit(profile: Profile, audit: bool) -> Profile {
    if audit { profile.with_mode(Mode::Audit) } else { profile }
}

/// A run whose command is alive. Fields are dropped in order: names first, then links, then what is on
/// the machine.
struct Session<'a> {
    settings: &'a RunSettings,
    server: Option<Server>,
    pod: Arc<EnforcedPod>,
    sweeper: Sweeper,
    ring: EventRing,
    signals: Signals,
    addresses: AddressChanges,
    attachment: Attachment,
    /// Held for its links.
    _guard: Guard,
    note: Note,
    sink: Arc<Sink>,
}

impl Session<'_> {
    async fn run(settings: &RunSettings, plan: Plan) -> Result<RunOutcome, RunError> {
        let mut session = Session::prepare(settings, plan)?;
        let cgroup = session.note.belongings().cgroup.clone();
        let hidden = [bpffs::folder()?, PathBuf::from(NOTES)];
        let mut child =
            command::start(&cgroup, settings.keep_capabilities, &hidden, &settings.command)?;
        session.pod.recorder().set_root(child.id());
        let code = session.until_exit(&mut child).await?;
        session.finish(code)
    }

    /// Makes everything, closed first and opened last.
    fn prepare(settings: &RunSettings, plan: Plan) -> Result<Session<'_>, RunError> {
        let id = format!("{}-{:x}", std::process::id(), monotonic_ns());
        let belongings = Belongings {
            cgroup: cgroup::own()?.join(format!("weir-run-{id}")),
            pins: bpffs::folder()?.join(format!("run-{id}")),
        };
        let (datapath, ring) = Datapath::load()?;
        let guard = datapath.guard(None);
        let datapath = Arc::new(datapath);
        let limits = PodLimits::default();
        let slot = datapath.prepare_slot(limits)?;
        let note = Note::write(belongings, &id)?;
        let Belongings { cgroup, pins } = note.belongings();
        let attachment = datapath.attach(cgroup, slot.number(), Some(pins))?;

        let listener = Listener::bind_loopback()
            .map_err(RunError::system("opening the DNS listener on loopback"))?;
        let reachable_at = ListenerAddress {
            v4: std::net::Ipv4Addr::LOCALHOST,
            v6: listener.has_v6().then_some(std::net::Ipv6Addr::LOCALHOST),
            port: listener.port(),
            reach: Reach::Machine,
        };
        let machine = gethostname().map(|name| name.to_string_lossy().into_owned());
        let recorder = Recorder::new(
            Arc::clone(&plan.sink),
            machine.unwrap_or_else(|_error| "localhost".to_owned()),
            plan.scope,
            Subject::default(),
        );
        let entries = usize::try_from(limits.entries).unwrap_or(usize::MAX);
        let pod = EnforcedPod::new(datapath, slot, plan.profile, reachable_at, entries, recorder);
        let pod = Arc::new(pod.with_lacks(guard.lacks()));
        let sweeper = Sweeper::start(limits);
        sweeper.add(&pod);
        let resolver = Resolver::new(plan.upstreams, ResolverSettings::default());
        let server = serve(resolver, Arc::clone(&pod), listener)
            .map_err(RunError::system("serving DNS on loopback"))?;
        let addresses = AddressChanges::subscribe()
            .map_err(RunError::system("watching this machine's addresses"))?;
        pod.enforce(surroundings()?)?;
        pod.record_phase(Kind::Attach);
        Ok(Session {
            settings,
            server: Some(server),
            pod,
            sweeper,
            ring: EventRing::new(ring)?,
            signals: Signals::new().map_err(RunError::system("watching signals"))?,
            addresses,
            attachment,
            _guard: guard,
            note,
            sink: plan.sink,
        })
    }

    /// Serves the command until it ends; its exit code.
    async fn until_exit(&mut self, child: &mut Child) -> Result<u8, RunError> {
        loop {
            tokio::select! {
                batch = self.ring.next_batch() => {
                    for event in batch? {
                        self.pod.record_event(&event);
                    }
                }
                arrived = self.signals.next() => {
                    let arrived = arrived.map_err(RunError::system("reading signals"))?;
                    self.on_signal(arrived, child)?;
                    let ended = child.try_wait().map_err(RunError::system("waiting for the command"))?;
                    if let Some(status) = ended {
                        return Ok(launch::exit_code(status));
                    }
                }
                changed = self.addresses.changed() => {
                    changed.map_err(RunError::system("watching this machine's addresses"))?;
                    self.pod.enforce(surroundings()?)?;
                }
            }
        }
    }

    fn on_signal(&self, arrived: Arrived, child: &Child) -> Result<(), RunError> {
        match arrived.signal {
            Signal::SIGCHLD => Ok(()),
            Signal::SIGHUP if self.settings.profile.is_some() => {
                self.reload();
                Ok(())
            }
            _ if arrived.from_terminal => Ok(()),
            signal => {
                let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
                match kill(pid, signal) {
                    Ok(()) | Err(Errno::ESRCH) => Ok(()),
                    Err(error) => Err(RunError::system("passing a signal on")(error.into())),
                }
            }
        }
    }

    /// Reads the profile again. One that cannot be used changes nothing.
    fn reload(&self) {
        let Some(path) = &self.settings.profile else { return };
        let replaced = read_profile(path, self.settings.audit)
            .and_then(|profile| Ok(self.pod.replace(&profile)?));
        match replaced {
            Ok(()) => complain("the profile was read again and is in force"),
            Err(error) => {
                complain(&format!("the profile stays as it was: {}", summary::chain(&error)));
            }
        }
    }

    /// Tells what was, and removes what is left.
    fn finish(mut self, code: u8) -> Result<RunOutcome, RunError> {
        for event in self.ring.drain() {
            self.pod.record_event(&event);
        }
        let accounts = self.pod.settle();
        self.pod.record_phase(Kind::Detach);
        let profile = self.pod.current_profile();
        let counters = self.pod.datapath().counters(self.pod.slot()).unwrap_or_default();
        summary::print(&profile, &accounts, &counters, self.settings.keep_capabilities);
        if let Some(path) = &self.settings.suggest {
            suggest::write(path, &accounts)?;
        }
        let violations = self.pod.recorder().violations();

        if let Some(server) = self.server.take() {
            server.shutdown();
        }
        drop(self.attachment);
        drop(self.note);
        drop(self.sweeper);
        self.pod.release();
        drop(self.pod);
        if let Some(sink) = Arc::into_inner(self.sink) {
            let report = sink.finish();
            if let (1.., Some(path)) = (report.dropped, &self.settings.events) {
                let reason = report.error.map(|error| format!(": {error}")).unwrap_or_default();
                complain(&format!(
                    "{} event records could not be written to {}{reason}",
                    report.dropped,
                    path.display()
                ));
            }
        }
        Ok(RunOutcome { code, violations })
    }
}
