//! The lab itself: everything that the other suites expect weir to refuse gets through without it,
//! and the counters see it. A refusal test that cannot fail proves nothing.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::lab::{Lab, addresses};
use weir_tests::programs::{ACTS, Families, Program};
use weir_tests::skip::{self, Skip};

#[test]
fn names_resolve_through_the_lab_alone() -> Result<()> {
    let lab = Lab::new()?;
    let output = lab.client.run(&["dig", "+short", "files.example.com", "A"])?.expect_code(0)?;
    ensure!(output.stdout.trim() == addresses::WEB[0].v4.to_string(), "{}", output.describe());
    let aliased = lab.client.run(&["dig", "+short", "www.example.com", "AAAA"])?.expect_code(0)?;
    ensure!(aliased.stdout.contains(&addresses::WEB[1].v6.to_string()), "{}", aliased.describe());
    let tcp = lab.client.run(&["dig", "+tcp", "+short", "files.example.com", "TXT"])?;
    ensure!(tcp.stdout.trim() == "\"lab\"", "{}", tcp.describe());
    let missing = lab.client.run(&["dig", "nowhere.example.org"])?.expect_code(0)?;
    ensure!(missing.stdout.contains("NXDOMAIN"), "{}", missing.describe());
    ensure!(lab.authority.count("nowhere.example.org") > 0, "the authority was not asked");
    ensure!(lab.foreign.questions().is_empty(), "the foreign resolver was asked");
    Ok(())
}

#[test]
fn curl_and_git_trust_the_lab() -> Result<()> {
    let lab = Lab::new()?;
    for family in ["-4", "-6"] {
        let argv = ["curl", "-sS", family, "https://files.example.com/"];
        let output = lab.client.run(&argv)?.expect_code(0)?;
        ensure!(output.stdout == "hello from files.example.com\n", "{}", output.describe());
    }
    let argv = ["git", "clone", "--quiet", "https://git.example.com/project.git", "copy"];
    lab.client.run(&argv)?.expect_code(0)?;
    let text = std::fs::read_to_string(lab.client.home().join("copy/README"))?;
    ensure!(text.contains("lab"), "cloned {text:?}");
    Ok(())
}

#[test]
fn uploads_are_counted() -> Result<()> {
    let lab = Lab::new()?;
    let argv = ["curl", "-sS", "--data", "0123456789", "https://files.example.com/"];
    let output = lab.client.run(&argv)?.expect_code(0)?;
    ensure!(output.stdout == "10 bytes taken\n", "{}", output.describe());
    ensure!(lab.web.uploaded() == 10, "counted {} bytes", lab.web.uploaded());
    Ok(())
}

#[test]
fn the_metadata_stand_in_is_reachable() -> Result<()> {
    let lab = Lab::new()?;
    lab.metadata.listen(80)?;
    for url in ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/latest/"] {
        lab.client.run(&["curl", "-sS", "-m", "5", url])?.expect_code(0)?;
    }
    ensure!(lab.metadata.received(80).connections == 2, "{:?}", lab.metadata.received(80));
    Ok(())
}

#[test]
fn the_foreign_resolver_answers() -> Result<()> {
    let lab = Lab::new()?;
    for server in addresses::FOREIGN.both() {
        let server = format!("@{server}");
        let argv = ["dig", &server, "+short", "collector.example.net", "A"];
        let output = lab.client.run(&argv)?.expect_code(0)?;
        ensure!(output.stdout.trim() == addresses::ATTACKER.v4.to_string());
    }
    ensure!(lab.foreign.count("collector.example.net") == 2);
    Ok(())
}

/// Acts that the kernel may not offer report "unsupported"; every other act must arrive.
#[test]
fn every_way_to_send_reaches_the_attacker() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let probe = Program::Probe.path()?;
    let watch = lab.watch(lab.attacker.host())?;
    for act in ACTS {
        for (address, detour) in targets(act.families) {
            let (address, detour) = (address.to_string(), detour.to_string());
            let argv = [&probe, act.name, &address, "4000", &detour, "4000"];
            let output = lab.client.run(&argv)?;
            let tally = watch.take()?;
            if output.code == 3 && act.optional {
                skip::record(&format!("lab::{}", act.name), Skip::ProtocolMissing)?;
                continue;
            }
            ensure!(output.code == 0, "{}: {}", act.name, output.describe());
            ensure!(act.opens_only || !tally.is_empty(), "{}: nothing arrived", act.name);
        }
    }
    let received = lab.attacker.received(4000);
    ensure!(received.tcp_bytes > 0 && received.udp_bytes > 0, "{received:?}");
    Ok(())
}

#[test]
fn nothing_arrives_when_nothing_is_sent() -> Result<()> {
    let lab = Lab::new()?;
    let watch = lab.watch(lab.attacker.host())?;
    lab.client.run(&["curl", "-sS", "https://files.example.com/"])?.expect_code(0)?;
    let tally = watch.take()?;
    ensure!(tally.is_empty(), "the attacker got {tally:?}");
    Ok(())
}

#[test]
fn the_client_link_shows_all_traffic() -> Result<()> {
    let lab = Lab::new()?;
    let watch = lab.watch_client_link()?;
    lab.client
        .run(&["curl", "-sS", "-4", "https://files.example.com/bytes/100000"])?
        .expect_code(0)?;
    lab.client.end_connections()?;
    let tally = watch.take()?;
    ensure!(tally.tcp.packets > 3 && tally.udp.packets >= 1, "{tally:?}");
    ensure!(watch.take()?.is_empty(), "old packets were counted again");
    Ok(())
}

#[test]
fn static_client_ignores_resolv_conf() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(443)?;
    let program = Program::StaticClient.path()?;
    for (transport, server) in
        [("udp", addresses::FOREIGN.v4.into()), ("tcp", IpAddr::V6(addresses::FOREIGN.v6))]
    {
        let server = server.to_string();
        let argv = [&program, transport, &server, "53", "collector.example.net", "443"];
        let output = lab.client.run(&argv)?.expect_code(0)?;
        ensure!(output.stdout.contains("\"connected\":true"), "{}", output.describe());
    }
    ensure!(lab.attacker.received(443).tcp_bytes > 0);
    ensure!(lab.foreign.count("collector.example.net") == 2);
    Ok(())
}

#[test]
fn uring_client_sends_without_socket_calls() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let program = Program::Uring.path()?;
    for address in addresses::ATTACKER.both() {
        for act in ["tcp", "udp", "tcp-polled"] {
            let output = lab.client.run(&[&program, act, &address.to_string(), "4000"])?;
            if output.code == 3 {
                return skip::record("lab::uring", Skip::IoUringDisabled);
            }
            output.expect_code(0).with_context(|| format!("{act} to {address}"))?;
        }
    }
    let received = lab.attacker.received(4000);
    ensure!(received.connections == 4 && received.datagrams == 2, "{received:?}");
    Ok(())
}

#[test]
fn dropping_the_lab_leaves_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let name = lab.client.host().netns().path();
    let sleeper = lab.client.spawn(&["sh", "-c", "echo up; exec sleep 600"])?;
    sleeper.wait_for_line(Duration::from_secs(5), |line| line == "up")?;
    let folder = lab.folder().to_path_buf();
    ensure!(name.exists() && folder.exists());
    drop(lab);
    ensure!(!name.exists() && !folder.exists(), "the lab left something");
    let output = sleeper.finish(Duration::from_secs(5))?;
    ensure!(output.code == 128 + 9, "the sleeper was not killed: {}", output.describe());
    Ok(())
}

fn targets(families: Families) -> Vec<(IpAddr, IpAddr)> {
    let [v4, v6] = addresses::ATTACKER.both();
    let [allowed4, allowed6] = addresses::WEB[0].both();
    match families {
        Families::Both => vec![(v4, allowed4), (v6, allowed6)],
        Families::V4 => vec![(v4, allowed4)],
    }
}
