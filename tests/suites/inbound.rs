//! Connections that come in: answered for sources that the profile names, and for nobody else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Result, ensure};
use tokio::io::AsyncReadExt;
use weir_tests::exec;
use weir_tests::jobs::Jobs;
use weir_tests::lab::{Lab, addresses};
use weir_tests::node::PodSpec;
use weir_tests::profile::Profile;
use weir_tests::skip::{self, Skip};
use weir_tests::traces;
use weir_tests::vm::{self, Series};

const PORT: u16 = 4444;
const LIMIT: Duration = Duration::from_secs(60);

/// Connects to an allowed server, dissolves that association, and makes the same socket a listener: its
/// admission must not pass to whom it accepts. With `fresh`, a plain listener. Says `never` where the kernel makes none of
/// a socket that was ever used, as 6.18.44 does not.
const LISTENER: &str = "
import ctypes, errno, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
if sys.argv[1] == 'used':
    s.connect((sys.argv[2], 443))
    libc = ctypes.CDLL(None, use_errno=True)
    unspecified = (ctypes.c_ubyte * 16)()
    assert libc.connect(s.fileno(), unspecified, 16) == 0, ctypes.get_errno()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', int(sys.argv[3])))
try:
    s.listen(4)
except OSError as error:
    if sys.argv[1] != 'used' or error.errno != errno.EINVAL:
        raise
    print('never', flush=True)
    sys.exit()
print('up', flush=True)
s.settimeout(4)
try:
    c, _ = s.accept()
    c.sendall(b'bytes that must not get out')
    c.close()
    print('accepted', flush=True)
except TimeoutError:
    print('nobody', flush=True)
";

/// What a stranger on the attacker's host reads from the client's listener.
fn stranger_reads(lab: &Lab, client: IpAddr) -> Result<io::Result<Vec<u8>>> {
    lab.attacker.host().run(async move {
        let attempt = async {
            let mut stream = tokio::net::TcpStream::connect(SocketAddr::new(client, PORT)).await?;
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await?;
            Ok(read)
        };
        tokio::time::timeout(Duration::from_secs(3), attempt)
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    })
}

fn profile() -> Profile {
    Profile::deny_all().domains(&["files.example.com"]).cidrs_at(
        &[&format!("{}/32", addresses::WEB[0].v4), &format!("{}/128", addresses::WEB[0].v6)],
        &["443"],
    )
}

/// Whether the kernel let such a listener be; if so, it answered nobody.
fn refused(kind: &str) -> Result<bool> {
    let lab = Lab::new()?;
    for (server, client) in addresses::WEB[0].both().into_iter().zip(addresses::CLIENT.both()) {
        let server = server.to_string();
        let port = PORT.to_string();
        let argv = ["/usr/bin/python3", "-c", LISTENER, kind, &server, &port];

        let off = lab.client.spawn(&argv)?;
        if off.wait_for_line(LIMIT, |line| line == "up" || line == "never")? == "never" {
            return Ok(false);
        }
        let read = stranger_reads(&lab, client)??;
        ensure!(!read.is_empty(), "without weir nothing was read");
        off.finish(LIMIT)?.expect_code(0)?;

        let started = lab.weir().profile(&profile().text())?.start(&argv)?;
        started.process().wait_for_line(LIMIT, |line| line == "up")?;
        let watch = lab.watch(lab.attacker.host())?;
        let read = stranger_reads(&lab, client)?;
        let arrived = watch.take()?;
        let outcome = started.finish(LIMIT)?;
        ensure!(read.is_err(), "{read:?} was read from {client}: {}", outcome.describe());
        ensure!(arrived.is_empty(), "{arrived:?} arrived from {client}: {}", outcome.describe());
        ensure!(outcome.output.stdout.contains("nobody"), "{}", outcome.describe());
    }
    Ok(true)
}

#[test]
fn a_stranger_gets_no_answer_from_a_listener() -> Result<()> {
    ensure!(refused("fresh")?, "no listener");
    Ok(())
}

/// Where this machine's kernel has closed the way, on one that has not.
#[test]
fn a_listener_that_was_once_admitted_answers_no_stranger() -> Result<()> {
    const OPEN: Series = Series::V5_10;
    const CASE: &str = "a_listener_that_was_once_admitted_answers_no_stranger";
    if refused("used")? {
        return Ok(());
    }
    if vm::guest_folder().is_some() {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        ensure!(!release.starts_with(&OPEN.to_string()), "{release} has closed the way, too");
        return skip::record(&format!("inbound::{CASE}"), Skip::NoUsedListener);
    }
    vm::acts_on(OPEN, vm::Options::default(), CASE, || Ok(()))
}

#[test]
fn a_source_that_inbound_names_is_answered() -> Result<()> {
    let lab = Lab::new()?;
    for (source, client) in addresses::ATTACKER.both().into_iter().zip(addresses::CLIENT.both()) {
        let bits = if source.is_ipv4() { 32 } else { 128 };
        let profile = profile().spec(&format!("  inbound: [\"{source}/{bits}\"]"));
        let server = addresses::WEB[0].both()[usize::from(source.is_ipv6())].to_string();
        let port = PORT.to_string();
        let argv = ["/usr/bin/python3", "-c", LISTENER, "fresh", &server, &port];
        let started = lab.weir().profile(&profile.text())?.start(&argv)?;
        started.process().wait_for_line(LIMIT, |line| line == "up")?;
        let read = stranger_reads(&lab, client)?;
        let outcome = started.finish(LIMIT)?;
        ensure!(read.is_ok_and(|read| !read.is_empty()), "{}", outcome.describe());
        ensure!(outcome.violations().count() == 0, "{}", outcome.describe());
    }
    Ok(())
}

/// What the node reads from what a pod of this namespace listens with, at each of the pod's addresses.
fn node_reads(jobs: &Jobs, namespace: &str) -> Result<Vec<Option<String>>> {
    let spec = PodSpec { namespace: namespace.to_owned(), ..PodSpec::new(namespace) };
    let pod = jobs.pod(spec)?;
    let listens =
        format!("mkdir /www; echo hello > /www/file; exec busybox httpd -f -p {PORT} -h /www");
    let job = pod.start(jobs.container("build").shell(&listens))?;
    let is_up = format!("until wget -q -O- http://127.0.0.1:{PORT}/file; do sleep 0.1; done");
    job.exec(&["/bin/sh", "-c", &is_up])?.expect_code(0)?;
    let read = |ip: &IpAddr| {
        let mut curl = jobs.node.command("curl");
        let url = format!("http://{}/file", SocketAddr::new(*ip, PORT));
        curl.args(["-sS", "-g", "-m", "3", &url]);
        let output = exec::run(curl, LIMIT)?;
        Ok((output.code == 0).then_some(output.stdout))
    };
    let all = pod.ips().iter().map(read).collect::<Result<_>>()?;
    pod.remove()?;
    Ok(all)
}

#[test]
fn the_node_is_answered_unless_the_profile_says_otherwise() -> Result<()> {
    let jobs = Jobs::new()?;
    let nobody = Profile::deny_all().spec("  inbound: []");
    let agent = Jobs::allowing(&[]).namespace("nobody", &nobody.text()).start(&jobs.node)?;
    let hello = || Some("hello\n".to_owned());
    // One pod beside the other: what one grants is no other's.
    let read = node_reads(&jobs, "ci")?;
    ensure!(read == [hello(), hello()], "the node is not answered: {read:?}");
    ensure!(node_reads(&jobs, "nobody")? == [None, None], "the node is answered");
    ensure!(node_reads(&jobs, "ci")? == [hello(), hello()], "the node is not answered again");
    agent.stop()?;
    traces::none(&jobs.node)
}
