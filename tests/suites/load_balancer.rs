//! A load balancer in a hook of a parent cgroup, which runs after weir's: it breaks nothing, and it
//! opens nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::dns::Records;
use weir_tests::exec::{self, Running};
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;

/// A service address that no host has; each case and process has its own, because the balancer sits
/// at the root of the cgroup2 hierarchy, where every process of the machine passes.
fn service(case: u8) -> Result<Ipv4Addr> {
    let own = u8::try_from(std::process::id() % 16)?;
    Ok(Ipv4Addr::new(203, 0, 113, 200 + case + 3 * own))
}

/// Only connects to `service` are touched.
fn balance(service: Ipv4Addr, backend: Ipv4Addr) -> Result<Running> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let root = mounts
        .lines()
        .find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields.get(2) == Some(&"cgroup2")).then(|| fields.get(1).copied()).flatten()
        })
        .context("no cgroup2 mount")?;
    let mut command = std::process::Command::new(Program::Balancer.path()?);
    command.args([root, &service.to_string(), &backend.to_string()]);
    let balancer = exec::spawn(command)?;
    balancer.wait_for_line(Duration::from_secs(5), |line| line == "attached")?;
    Ok(balancer)
}

#[test]
fn an_allowed_service_reaches_its_backend() -> Result<()> {
    let lab = Lab::new()?;
    let service = service(0)?;
    lab.zone().set("service.example.com", Records::ttl(300).ip(service))?;
    let url = "http://service.example.com/bytes/200000";
    let argv = ["curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{size_download}", url];
    ensure!(lab.client.run(&argv)?.code != 0, "the service address answers by itself");
    let _balancer = balance(service, addresses::WEB[0].v4)?;
    lab.client.run(&argv)?.expect_code(0)?;
    let profile = Profile::deny_all().domains_at(&["service.example.com"], &["80"]);
    let outcome = lab.weir().profile(&profile.text())?.run(&argv)?.expect_code(0)?;
    ensure!(outcome.output.stdout.trim_end() == "200000", "{}", outcome.describe());
    ensure!(outcome.violations().count() == 0, "{}", outcome.describe());
    Ok(())
}

#[test]
fn a_service_that_is_not_allowed_stays_closed() -> Result<()> {
    let lab = Lab::new()?;
    let service = service(1)?;
    lab.attacker.listen(80)?;
    let _balancer = balance(service, addresses::ATTACKER.v4)?;
    let watch = lab.watch(lab.attacker.host())?;
    let url = format!("http://{service}/");
    let argv = ["curl", "-sS", "-m", "5", &url];
    lab.client.run(&argv)?.expect_code(0)?;
    lab.client.end_connections()?;
    ensure!(!watch.take()?.is_empty(), "the balancer did not send to the attacker");
    let outcome = lab.weir().profile(&Profile::deny_all().text())?.run(&argv)?;
    let arrived = watch.take()?;
    ensure!(arrived.is_empty(), "{arrived:?} arrived: {}", outcome.describe());
    outcome.violation("of the service", |event| event.ip() == service.to_string())?;
    Ok(())
}

#[test]
fn the_backend_alone_is_not_allowed_with_the_service() -> Result<()> {
    let lab = Lab::new()?;
    let service = service(2)?;
    lab.zone().set("service.example.com", Records::ttl(300).ip(service))?;
    let _balancer = balance(service, addresses::WEB[0].v4)?;
    let profile = Profile::deny_all().domains_at(&["service.example.com"], &["80"]);
    let probe = Program::Probe.path()?;
    let script = format!(
        "curl -sS -o /dev/null http://service.example.com/ && {probe} tcp {} 80",
        addresses::WEB[0].v4
    );
    let outcome = lab.weir().profile(&profile.text())?.run(&["sh", "-c", &script])?;
    ensure!(outcome.output.stdout.contains("EPERM"), "{}", outcome.describe());
    Ok(())
}
