//! Times what hooks of security modules do, for `cargo xtask bench`; where tracing programs load and they do not, too.
//!
//! `guard_bench ROUNDS` prints one JSON line per round: nanoseconds of a program that does nothing (`nothing`), of what
//! every hook does for processes of nobody's (`stranger`), and of a connect in a pod (`connect`), each without the first;
//! of the tracepoint of `execve` in a pod (`exec`), with what every program costs; and of those that see a process of a pod
//! be born and end, in the way of kernels before Linux 7.0 (`forked`) and from then on (`woken`, from Linux 6.1 on).
//! The kernel must account for the time of programs. `guard_bench account` has it do so until its input ends.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, ensure};
use weir::datapath::Datapath;
use weir::datapath::attach::Attachment;
use weir::datapath::measure::{self, Births, LifeMeter, Spent};
use weir::datapath::slot::{PodLimits, Slot};
use weir::system::cgroup;

const CALLS: u32 = 200_000;
const CONNECTS: u32 = 2000;
const EXECS: u32 = 1000;
const LIVES: u32 = 300;

/// A cgroup, for as long as this lives.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> anyhow::Result<Self> {
        let path = cgroup::own()?.join(format!("weir-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

/// A cgroup that a datapath holds for a pod's.
struct Held {
    cgroup: Cgroup,
    _slot: Slot,
    _attachment: Attachment,
}

impl Held {
    fn new(datapath: &Datapath, name: &str) -> anyhow::Result<Self> {
        let cgroup = Cgroup::new(name)?;
        let slot = datapath.prepare_slot(PodLimits::default())?;
        datapath.set_state(&slot, &measure::enforced(0, 0))?;
        let attachment = datapath.attach(&cgroup.0, slot.number(), None)?;
        Ok(Self { cgroup, _slot: slot, _attachment: attachment })
    }

    /// Runs this program in it.
    fn run(&self, words: [&str; 2]) -> anyhow::Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 0 > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"]);
        command.arg(&self.cgroup.0).arg(std::env::current_exe()?).args(words);
        let ended = command.status().context("starting a process of the pod")?;
        ensure!(ended.success(), "the process of the pod: {ended}");
        Ok(())
    }

    /// Nanoseconds that a life of a process takes those who see it.
    fn life(&self, meter: &LifeMeter<'_>) -> anyhow::Result<f64> {
        let before = meter.read()?;
        self.run(["execute", &LIVES.to_string()])?;
        let spent = meter.read()?.saturating_sub(before);
        ensure!(!spent.is_zero(), "nothing was spent on {LIVES} lives");
        Ok(spent.as_secs_f64() * 1e9 / f64::from(LIVES))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        cgroup::remove(&self.0).ok();
    }
}

/// As a process of the pod: connects to `port` here, again and again.
fn connect(port: u16) -> anyhow::Result<()> {
    for _ in 0..CONNECTS {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    }
    Ok(())
}

/// As a process of the pod: starts a program `count` times.
fn execute(count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        ensure!(Command::new("/bin/true").arg("an argument").status()?.success(), "true is not");
    }
    Ok(())
}

/// Has programs timed until there is no more input.
fn account() -> anyhow::Result<()> {
    let _held = measure::account()?;
    writeln!(std::io::stdout(), "accounting")?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Nanoseconds of each run between two readings.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds and runs of a minute")]
fn per_run(before: Spent, after: Spent, runs: u64) -> f64 {
    after.time.saturating_sub(before.time).as_nanos() as f64 / runs as f64
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds: u32 = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["connect", port] => return connect(port.parse()?),
        ["execute", count] => return execute(count.parse()?),
        ["account"] => return account(),
        [rounds] => rounds.parse()?,
        _ => anyhow::bail!("ROUNDS is missing"),
    };

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let (datapath, _ring) = Datapath::load()?;
    let followed = datapath.guard(None);
    followed.processes.as_ref().map_err(|error| anyhow::anyhow!("following processes: {error}"))?;
    let pod = Held::new(&datapath, "acts")?;
    let (forking, _forking_ring) = Datapath::load()?;
    let forked = (Held::new(&forking, "forked")?, forking.measure_lives(Births::Forked)?);
    let (waking, _waking_ring) = Datapath::load()?;
    let woken = if Births::Woken.can_be_seen() {
        Some((Held::new(&waking, "woken")?, waking.measure_lives(Births::Woken)?))
    } else {
        None
    };
    let meter = datapath.measure_guard()?;

    let mut out = std::io::stdout().lock();
    for _ in 0..rounds {
        let before = meter.read()?;
        for _ in 0..CALLS {
            std::hint::black_box(nix::unistd::getppid());
        }
        let after = meter.read()?;
        let runs = after.nothing.runs - before.nothing.runs;
        ensure!(runs >= u64::from(CALLS), "{runs} runs of {CALLS}: are programs timed?");
        let nothing = per_run(before.nothing, after.nothing, runs);
        let stranger =
            per_run(before.stranger, after.stranger, after.stranger.runs - before.stranger.runs);

        let before = meter.read()?;
        pod.run(["connect", &port.to_string()])?;
        let after = meter.read()?;
        let runs = after.connect.runs - before.connect.runs;
        ensure!(runs >= u64::from(CONNECTS), "{runs} changes of state by {CONNECTS} connects");
        // Every change of state is a run, and all but one for each connect do nothing.
        let changes = f64::from(u32::try_from(runs)?) / f64::from(CONNECTS);
        let connect = per_run(before.connect, after.connect, u64::from(CONNECTS));

        let before = meter.read()?;
        pod.run(["execute", &EXECS.to_string()])?;
        let after = meter.read()?;
        let runs = after.exec.runs - before.exec.runs;
        ensure!(runs >= u64::from(EXECS), "{runs} runs by {EXECS} programs");
        let exec = per_run(before.exec, after.exec, runs);
        let nanoseconds = |(pod, meter): &(Held, LifeMeter<'_>)| pod.life(meter);
        let line = serde_json::json!({
            "nothing": nothing,
            "stranger": stranger - nothing,
            "connect": nothing.mul_add(-changes, connect),
            "exec": exec,
            "forked": nanoseconds(&forked)?,
            "woken": woken.as_ref().map(nanoseconds).transpose()?,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
