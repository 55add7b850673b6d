//! Two runs side by side: neither sees, evicts or changes what the other may reach.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::dns::Records;
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_answer_for_one_is_no_permission_for_the_other() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let address = addresses::WEB[0].v4;
    let first = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    let second = Profile::deny_all().domains_at(&["api.example.com"], &["80"]);
    let script = format!(
        "curl -sS -4 http://files.example.com/ && echo ready && sleep 3 && {probe} tcp {address} 80"
    );
    let one = lab.weir().profile(&first.text())?.start(&["sh", "-c", &script])?;
    one.process().wait_for_line(LIMIT, |line| line == "ready")?;
    // The same address, resolved a moment ago by the neighbour, and asked of the shared cache too.
    let script = format!(
        "dig +short api.example.com; dig +short files.example.com; {probe} tcp {address} 80"
    );
    let two = lab.weir().profile(&second.text())?.run(&["sh", "-c", &script])?;
    ensure!(two.output.stdout.contains("EPERM"), "{}", two.describe());
    two.violation("of the second tree", |event| event.ip() == address.to_string())?;
    let one = one.finish(LIMIT)?.expect_code(0)?;
    ensure!(one.output.stdout.contains("\"ok\""), "{}", one.describe());
    ensure!(one.violations().count() == 0, "{}", one.describe());
    Ok(())
}

#[test]
fn a_flood_of_names_evicts_nothing_of_the_neighbour() -> Result<()> {
    let lab = Lab::new()?;
    lab.zone().set("*.pool.example.com", Records::ttl(300).pair(addresses::WEB[1]))?;
    let quiet = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    let flood = Profile::deny_all()
        .domains_at(&["*.pool.example.com"], &["80"])
        .spec("  dns: { namesPerWildcard: 5000 }");
    let probe = Program::Probe.path()?;
    let address = addresses::WEB[0].v6;
    let script = format!(
        "curl -sS -6 http://files.example.com/ && echo ready && read line < gate; {probe} tcp {address} 80"
    );
    let gate = lab.client.home().join("gate");
    lab.client.run(&["mkfifo", &gate.to_string_lossy()])?.expect_code(0)?;
    let one = lab.weir().profile(&quiet.text())?.start(&["sh", "-c", &script])?;
    one.process().wait_for_line(LIMIT, |line| line == "ready")?;
    let names = "import socket\nfor n in range(3000):\n  try: socket.getaddrinfo(f'n{n}.pool.example.com', 80)\n  except OSError: pass\n";
    let argv = ["/usr/bin/python3", "-c", names];
    lab.weir().profile(&flood.text())?.limit(LIMIT).run(&argv)?.expect_code(0)?;
    std::fs::write(&gate, "go\n")?;
    let one = one.finish(LIMIT)?.expect_code(0)?;
    ensure!(one.output.stdout.contains("\"ok\""), "{}", one.describe());
    Ok(())
}

#[test]
fn the_end_of_one_is_not_the_end_of_the_other() -> Result<()> {
    let lab = Lab::new()?;
    lab.attacker.listen(4000)?;
    let probe = Program::Probe.path()?;
    let address = addresses::ATTACKER.v4;
    let gate = lab.client.home().join("gate");
    lab.client.run(&["mkfifo", &gate.to_string_lossy()])?.expect_code(0)?;
    let script = format!("echo ready; read line < gate; {probe} udp-sendto {address} 4000");
    let profile = Profile::deny_all().text();
    let survivor = lab.weir().profile(&profile)?.start(&["sh", "-c", &script])?;
    survivor.process().wait_for_line(LIMIT, |line| line == "ready")?;
    let watch = lab.watch(lab.attacker.host())?;
    lab.weir().profile(&profile)?.run(&["true"])?.expect_code(0)?;
    std::fs::write(&gate, "go\n")?;
    let outcome = survivor.finish(LIMIT)?;
    ensure!(outcome.output.stdout.contains("EPERM"), "{}", outcome.describe());
    ensure!(watch.take()?.is_empty(), "the survivor was set free: {}", outcome.describe());
    Ok(())
}
