//! Every way to send, from C: none gets a byte past the policy, on either address family.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::expect::{self, Act};
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::{self, ACTS, Families, Program};
use weir_tests::skip::{self, Skip};
use weir_tests::vm::patient;

/// UDP at the detour's port is allowed, so that a socket may begin at an allowed peer.
fn profile() -> Profile {
    let [v4, v6] = addresses::WEB[0].both();
    let (v4, v6) = (format!("{v4}/32"), format!("{v6}/128"));
    Profile::deny_all().domains(&["files.example.com"]).cidrs_at(&[&v4, &v6], &["4000/udp"])
}

fn targets(families: Families) -> Vec<(IpAddr, IpAddr)> {
    let [v4, v6] = addresses::ATTACKER.both();
    let [detour4, detour6] = addresses::WEB[0].both();
    match families {
        Families::Both => vec![(v4, detour4), (v6, detour6)],
        Families::V4 => vec![(v4, detour4)],
    }
}

fn argv(act: &programs::Act, address: IpAddr, detour: IpAddr) -> Result<Vec<String>> {
    let words = [act.name, &address.to_string(), "4000", &detour.to_string(), "4000"];
    let mut argv = vec![Program::Probe.path()?];
    argv.extend(words.map(str::to_owned));
    Ok(argv)
}

#[test]
fn unprivileged_ways_are_refused_and_recorded() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let reasons = ["direct_ip_no_dns", "protocol_not_allowed", "unparsable"];
    for act in ACTS.iter().filter(|act| !act.privileged && !act.opens_only) {
        for (address, detour) in targets(act.families) {
            let argv = argv(act, address, detour)?;
            if act.optional && lab.client.run(&argv)?.code == 3 {
                skip::record(&format!("sockets::{}", act.name), Skip::ProtocolMissing)?;
                continue;
            }
            let mut attempt = Act::new(&argv, lab.attacker.host(), &reasons).by("probe");
            if act.name == "icmp-datagram" && address.is_ipv6() {
                // The kernel does not tell the sender what became of the packet (net/ipv6/ping.c).
                attempt = attempt.exits_zero();
            }
            expect::refused(&lab, &profile(), &attempt)?;
        }
    }
    Ok(())
}

#[test]
fn privileged_ways_lack_their_capability() -> Result<()> {
    // What a spoofed packet led to comes seconds later (the router cannot reach whom the attacker answers): a lab
    // apart, so that it is taken for nothing of weir's.
    let (free, lab) = (Lab::new()?, Lab::new()?);
    for lab in [&free, &lab] {
        lab.attacker.listen(4000)?;
    }
    let free_watch = free.watch(free.attacker.host())?;
    let watch = lab.watch(lab.attacker.host())?;
    for act in ACTS.iter().filter(|act| act.privileged) {
        for (address, detour) in targets(act.families) {
            let argv = argv(act, address, detour)?;
            if free.client.run(&argv)?.code == 3 && act.optional {
                skip::record(&format!("sockets::{}", act.name), Skip::ProtocolMissing)?;
                continue;
            }
            ensure!(act.opens_only || !free_watch.take()?.is_empty(), "{} does nothing", act.name);
            let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
            ensure!(watch.take()?.is_empty(), "{} got out: {}", act.name, outcome.describe());
            ensure!(
                outcome.output.stdout.contains("EPERM"),
                "{}: {}",
                act.name,
                outcome.describe()
            );
        }
    }
    Ok(())
}

#[test]
fn raw_sockets_are_refused_even_with_capabilities() -> Result<()> {
    // As above.
    let (free, lab) = (Lab::new()?, Lab::new()?);
    let free_watch = free.watch(free.attacker.host())?;
    let watch = lab.watch(lab.attacker.host())?;
    for act in ACTS.iter().filter(|act| ["icmp-raw", "raw-udp", "raw-spoofed"].contains(&act.name))
    {
        for (address, detour) in targets(act.families) {
            let argv = argv(act, address, detour)?;
            free.client.run(&argv)?.expect_code(0)?;
            ensure!(!free_watch.take()?.is_empty(), "{} does nothing", act.name);
            let keep = lab.weir().profile(&profile().text())?.option("--keep-caps");
            let outcome = keep.run(&argv)?;
            ensure!(watch.take()?.is_empty(), "{} got out: {}", act.name, outcome.describe());
            let reasons = ["raw_socket", "protocol_not_allowed"];
            outcome.violation(act.name, |event| reasons.contains(&event.reason()))?;
        }
    }
    Ok(())
}

#[test]
fn a_refused_connect_fails_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let program = Program::Probe.path()?;
    for address in addresses::ATTACKER.both() {
        let script =
            format!("for i in 1 2 3 4 5 6 7 8 9 10; do {program} tcp {address} 4000; done");
        let outcome = lab.weir().profile(&profile().text())?.run(&["sh", "-c", &script])?;
        let lines: Vec<&str> = outcome.output.stdout.lines().collect();
        ensure!(lines.len() == 10, "{}", outcome.describe());
        for line in lines {
            let report: serde_json::Value = serde_json::from_str(line)?;
            let error = report.pointer("/result").and_then(|value| value.as_str());
            let ms = report.pointer("/ms").and_then(serde_json::Value::as_f64);
            let took = Duration::from_secs_f64(ms.context("no time")? / 1e3);
            ensure!(error == Some("EPERM"), "{line}");
            ensure!(took < patient(Duration::from_millis(10)), "{line}");
        }
    }
    Ok(())
}

#[test]
fn allowed_ways_still_work() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let [v4, v6] = addresses::ATTACKER.both();
    let (v4, v6) = (format!("{v4}/32"), format!("{v6}/128"));
    let profile = Profile::deny_all().cidrs_at(&[&v4, &v6], &["4000", "4000/udp"]);
    let watch = lab.watch(lab.attacker.host())?;
    for act in ACTS.iter().filter(|act| !act.privileged && !act.optional && !act.opens_only) {
        // ICMP has no port, so no such rule allows it.
        if act.name.starts_with("icmp") {
            continue;
        }
        for (address, _) in targets(act.families) {
            let argv = argv(act, address, address)?;
            let outcome = expect::allowed(&lab, &profile, &argv).context(act.name)?;
            ensure!(!watch.take()?.is_empty(), "{}: {}", act.name, outcome.describe());
        }
    }
    Ok(())
}

#[test]
fn hard_blocks_hold_in_audit_mode() -> Result<()> {
    let lab = Lab::new()?;
    lab.metadata.listen(80)?;
    lab.attacker.listen(853)?;
    for url in ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/latest/"] {
        let argv = ["curl", "-sS", "-m", "5", url];
        let act = Act::new(&argv, lab.metadata.host(), &["metadata_service"]).by("curl").hard();
        expect::refused(&lab, &profile(), &act)?;
    }
    // Not even a rule that names the address lifts it.
    let named = Profile::deny_all().cidrs_at(&["169.254.169.254/32"], &["80"]);
    let watch = lab.watch(lab.metadata.host())?;
    let argv = ["curl", "-sS", "-m", "5", "http://169.254.169.254/"];
    let outcome = lab.weir().profile(&named.text())?.run(&argv)?;
    ensure!(outcome.output.code != 0 && watch.take()?.is_empty(), "{}", outcome.describe());
    let program = Program::Probe.path()?;
    for address in addresses::ATTACKER.both() {
        for act in ["tcp", "udp-sendto"] {
            let argv = [program.as_str(), act, &address.to_string(), "853"];
            let act = Act::new(&argv, lab.attacker.host(), &["dot"]).by("probe").hard();
            expect::refused(&lab, &profile(), &act.to(address, 853))?;
        }
    }
    Ok(())
}
