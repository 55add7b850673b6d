//! The node of the lab itself, without weir: what a kubelet does works there, and nothing stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::exec;
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::{
    CgroupNames, Cni, ContainerSpec, Containerd, Image, Node, Options, Pod, PodSpec, Series,
};
use weir_tests::programs::Program;
use weir_tests::skip::{self, Skip};

const LIMIT: Duration = Duration::from_secs(30);
/// Set in the copy of a test that is going to be killed.
const VICTIM: &str = "WEIR_TEST_VICTIM";

/// A container that runs until it is killed.
fn sleeper(image: &Image) -> ContainerSpec {
    ContainerSpec::new("build", image).shell("echo up; exec sleep 600")
}

/// Sandbox, init container, job, each after the end of the one before.
fn kubelets_order(options: &Options) -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, options)?;
    let image = Image::busybox("job")
        .program(Program::StaticClient.path()?, "/bin/client")
        .program("/usr/bin/curl", "/bin/curl");
    node.import(&image)?;
    let pod = node.run_pod(PodSpec::new("job"))?;
    ensure!(pod.ips().len() == 2, "addresses {:?}", pod.ips());
    let first = pod.start(ContainerSpec::new("first", &image).shell("echo first; exit 3"))?;
    ensure!(first.expect(3)? == "first\n");
    let v6 = addresses::WEB[0].v6;
    let script = format!(
        "set -e; wget -q -O - http://files.example.com/; wget -q -O - 'http://[{v6}]/'; \
         nslookup -type=aaaa files.example.com; \
         client udp {} 53 files.example.com 80; \
         curl -sS http://files.example.com/",
        addresses::RESOLVER.v4
    );
    let said = pod.start(ContainerSpec::new("build", &image).shell(&script))?.expect(0)?;
    ensure!(said.matches("hello from").count() == 3, "{said}");
    ensure!(said.contains(&v6.to_string()), "{said}");
    ensure!(said.contains("\"connected\":true"), "{said}");
    ensure!(lab.web.connections() == 4, "{} connections", lab.web.connections());
    pod.remove()
}

/// Pods outlive containerd, and it finds them again.
fn restart(options: &Options) -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, options)?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let pod = node.run_pod(PodSpec::new("job"))?;
    let script = "until [ -e /go ]; do sleep 0.1; done; echo gone; exit 4";
    let job = pod.start(ContainerSpec::new("build", &image).shell(script))?;
    let (first, pid) = (node.containerd_pid(), job.pid()?);
    node.stop_containerd()?;
    ensure!(alive(pid), "the job ended with containerd");
    ensure!(job.pid().is_err(), "a stopped containerd answered");
    node.start_containerd()?;
    ensure!(node.containerd_pid() != first);
    job.exec(&["touch", "/go"])?.expect_code(0)?;
    ensure!(job.expect(4)? == "gone\n");
    node.restart_containerd()?;
    ensure!(job.wait(LIMIT)? == 4, "the exit code was forgotten");
    pod.remove()
}

fn series(series: Series) -> Result<()> {
    let Some(containerd) = Containerd::find(series)? else {
        return skip::record(&format!("containerd::{series:?}"), Skip::NoContainerd);
    };
    for cni in [Cni::Bridge, Cni::Ptp] {
        let options = Options { containerd: containerd.clone(), cni, ..Options::default() };
        let what = format!("containerd {} with {cni:?}", containerd.version()?);
        kubelets_order(&options).with_context(|| what.clone())?;
        removal(&options).with_context(|| what.clone())?;
    }
    restart(&Options { containerd, ..Options::default() })
}

#[test]
fn containerd_1_6_runs_pods() -> Result<()> {
    series(Series::V1_6)
}

#[test]
fn containerd_1_7_runs_pods() -> Result<()> {
    series(Series::V1_7)
}

#[test]
fn containerd_2_runs_pods() -> Result<()> {
    series(Series::V2)
}

/// Everything on the node that a pod could leave behind.
fn traces(node: &Node) -> Result<BTreeSet<String>> {
    let mut show = node.command("sh");
    show.args([
        "-c",
        "cut -d ' ' -f 2 /proc/self/mounts; ls /run/netns; ip -o link | cut -d : -f 2",
    ]);
    let seen = exec::run(show, LIMIT)?.expect_code(0)?.stdout;
    let mut traces: BTreeSet<String> = seen.lines().map(str::to_owned).collect();
    for entry in fs::read_dir(node.cgroup_root().join("kubepods/besteffort"))? {
        let path = entry?.path();
        if path.is_dir() {
            traces.insert(path.display().to_string());
        }
    }
    for entry in fs::read_dir(node.path("/run/node/cni/leases/pods"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // host-local remembers the last address that it gave, so as not to give it again at once.
        if !name.starts_with("last_reserved_ip") {
            traces.insert(name);
        }
    }
    Ok(traces)
}

/// A pod that is gone leaves the node as it was before.
fn removal(options: &Options) -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, options)?;
    let image = Image::busybox("job");
    node.import(&image)?;
    // The first pod makes what stays: the bridge and the folders.
    node.run_pod(PodSpec::new("before"))?.remove()?;
    let before = traces(&node)?;
    let pod = node.run_pod(PodSpec::new("job"))?;
    let job = pod.start(sleeper(&image))?;
    let pids = [pod.pid(), job.pid()?];
    let during = traces(&node)?;
    let fresh: Vec<_> = during.difference(&before).collect();
    // Two leases, a cgroup, a namespace twice, a veth and the mounts of two containers.
    ensure!(fresh.len() >= 8, "only {fresh:?} with a pod");
    pod.remove()?;
    let after = traces(&node)?;
    let left: Vec<_> = after.symmetric_difference(&before).collect();
    ensure!(left.is_empty(), "left or lost: {left:?}");
    ensure!(pids.iter().all(|pid| !alive(*pid)), "processes are left");
    Ok(())
}

/// Whether `pid` runs. One that has ended may wait a while for the machine's init to take note.
fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name in parentheses (proc(5)).
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn busy_node(lab: &Lab) -> Result<(Node, Pod, Vec<i32>)> {
    let node = Node::start(lab, &Options::default())?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let pod = node.run_pod(PodSpec::new("job"))?;
    let job = pod.start(sleeper(&image))?;
    let pids = vec![node.containerd_pid().context("no containerd")?, pod.pid(), job.pid()?];
    Ok((node, pod, pids))
}

#[test]
fn a_dropped_node_leaves_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let (node, pod, pids) = busy_node(&lab)?;
    let cgroup = node.cgroup_root().to_path_buf();
    ensure!(cgroup.exists() && pids.iter().all(|pid| alive(*pid)), "it does not run");
    drop((node, pod));
    ensure!(!cgroup.exists(), "{} is left", cgroup.display());
    ensure!(pids.iter().all(|pid| !alive(*pid)), "processes are left");
    Ok(())
}

#[test]
fn a_killed_test_leaves_no_process() -> Result<()> {
    let lab = Lab::new()?;
    if std::env::var_os(VICTIM).is_some() {
        let (node, _pod, pids) = busy_node(&lab)?;
        println!("victim {} {pids:?}", node.cgroup_root().display());
        std::thread::sleep(LIMIT);
        return Ok(());
    }
    let mut copy = Command::new(std::env::current_exe()?);
    copy.args(["--exact", "a_killed_test_leaves_no_process", "--nocapture"]).env(VICTIM, "1");
    let copy = exec::spawn(copy)?;
    let line = copy.wait_for_line(LIMIT, |line| line.contains("victim "))?;
    let (_, line) = line.split_once("victim ").context("no report")?;
    let (cgroup, pids) = line.split_once(' ').context("no pids")?;
    let pids: Vec<i32> = serde_json::from_str(pids)?;
    ensure!(pids.iter().all(|pid| alive(*pid)), "the copy's node does not run");
    copy.signal(Signal::SIGKILL)?;
    copy.finish(LIMIT)?;
    // The next node of anybody removes the folder and, with it, waits for the last of the processes.
    drop(Node::start(&lab, &Options::default())?);
    ensure!(!Path::new(cgroup).exists(), "{cgroup} is left");
    ensure!(pids.iter().all(|pid| !alive(*pid)), "processes are left");
    Ok(())
}

#[test]
fn two_nodes_do_not_meet() -> Result<()> {
    std::thread::scope(|scope| {
        let nodes: Vec<_> =
            (0..2).map(|_| scope.spawn(|| kubelets_order(&Options::default()))).collect();
        for node in nodes {
            node.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })
}

#[test]
fn containers_are_as_specified() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let shared = node.path("/run/node/shared");
    fs::create_dir(&shared)?;
    let pod = node.run_pod(PodSpec::new("job").label("a", "b").annotation("c", "d"))?;
    let script = "echo $GREETING > /shared/said; exec sleep 600";
    let job = ContainerSpec::new("build", &image).shell(script).env("GREETING", "hello");
    let job = pod.start(job.mount("/run/node/shared", "/shared"))?;
    let output = job.exec(&["sh", "-c", "cat /shared/said; hostname; echo oops >&2; exit 5"])?;
    let output = output.expect_code(5)?;
    ensure!(output.stdout == "hello\njob\n" && output.stderr == "oops\n", "{}", output.describe());
    ensure!(fs::read_to_string(shared.join("said"))? == "hello\n");

    let again = job.restart(&pod)?;
    ensure!(again.attempt() == 1 && again.id() != job.id(), "{again:?}");
    // 128 + SIGKILL.
    ensure!(job.wait(LIMIT)? == 137, "the first attempt was not killed");

    let members = fs::read_to_string(pod.container_cgroup_folder(&again).join("cgroup.procs"))?;
    ensure!(members == format!("{}\n", again.pid()?), "{members}");
    let netns = pod.netns().context("no network namespace")?;
    let (named, used) =
        (fs::metadata(node.path(netns))?, fs::metadata(format!("/proc/{}/ns/net", again.pid()?))?);
    ensure!(named.ino() == used.ino(), "{} is another namespace", netns.display());

    let first = (pod.pid(), fs::metadata(node.path(netns))?.ino());
    let pod = pod.recreate()?;
    let netns = pod.netns().context("no network namespace")?;
    ensure!(first != (pod.pid(), fs::metadata(node.path(netns))?.ino()), "the sandbox is the same");
    pod.start(sleeper(&image))?;
    pod.remove()
}

#[test]
fn cgroups_are_named_as_by_systemd() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let spec = PodSpec { cgroup_names: CgroupNames::Systemd, ..PodSpec::new("job") };
    let uid = spec.uid.replace('-', "_");
    let pod = node.run_pod(spec)?;
    let job = pod.start(sleeper(&image))?;
    let mut read = node.command("grep");
    read.args(["^0:", &format!("/proc/{}/cgroup", job.pid()?)]);
    let said = exec::run(read, LIMIT)?.expect_code(0)?.stdout;
    let slice = "/kubepods.slice/kubepods-besteffort.slice";
    let pod_slice = format!("{slice}/kubepods-besteffort-pod{uid}.slice");
    ensure!(said == format!("0::{pod_slice}/cri-containerd-{}.scope\n", job.id()), "{said}");
    ensure!(pod.container_cgroup_folder(&job).is_dir());
    pod.remove()
}

#[test]
fn a_privileged_pod_of_the_nodes_network_sees_the_node() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let image = Image::busybox("job");
    node.import(&image)?;
    let spec = PodSpec { host_network: true, privileged: true, ..PodSpec::new("job") };
    let pod = node.run_pod(spec)?;
    ensure!(pod.netns().is_none() && pod.ip().is_none(), "{pod:?}");
    let script = "ip -o addr show dev eth0; ls /sys/fs/cgroup; cat /proc/self/cgroup";
    let said =
        pod.start(ContainerSpec::new("build", &image).shell(script).privileged())?.expect(0)?;
    let address = addresses::CLIENT.v4.to_string();
    for word in [address.as_str(), "kubepods", "system.slice", &pod.cgroup()] {
        ensure!(said.contains(word), "no {word} in {said}");
    }
    pod.remove()
}

#[test]
fn an_agent_on_the_node_finds_its_usual_places() -> Result<()> {
    let lab = Lab::new()?;
    let node = Node::start(&lab, &Options::default())?;
    let script = "set -e; echo $$; findmnt -n -o FSTYPE /sys/fs/bpf; findmnt -n -o FSTYPE /sys/fs/cgroup; \
                  cat /proc/self/cgroup | grep ^0; ls /run/weir | wc -l; ctr version | grep -c Version; \
                  dig +short files.example.com";
    let mut command = node.command("sh");
    command.args(["-c", script]);
    let running = exec::spawn(command)?;
    let pid = running.pid();
    let output = running.finish(LIMIT)?.expect_code(0)?;
    let address = addresses::WEB[0].v4;
    let expected = format!("{pid}\nbpf\ncgroup2\n0::/system.slice\n0\n2\n{address}\n");
    ensure!(output.stdout == expected, "expected {expected}, got {}", output.describe());
    Ok(())
}
