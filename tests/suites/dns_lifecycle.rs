//! How long an answer's permission lasts: past its TTL for what is open, not for what is new, and not
//! past a change of policy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::dns::Records;
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::vm::patient;

const SHORT: u32 = 1;

/// Seconds after which an answer with the shortest TTL allows nothing new: TTL, grace, and one more.
const EXPIRED: u64 = 4;

fn profile() -> Profile {
    Profile::deny_all()
        .domains_at(&["files.example.com"], &["443", "80"])
        .spec("  dns: { grace: 1s, maxTtl: 2s }")
}

#[test]
fn a_download_outlives_its_ttl() -> Result<()> {
    let lab = Lab::new()?;
    for family in ["-4", "-6"] {
        lab.zone().set("files.example.com", Records::ttl(SHORT).pair(addresses::WEB[0]))?;
        let argv = ["curl", "-sS", family, "-N", "-m", "8", "https://files.example.com/drip/100"];
        let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
        // 28 is curl's own time limit: the download would have gone on.
        ensure!(outcome.output.code == 28, "{}", outcome.describe());
        ensure!(outcome.output.stdout.len() > 6_000, "{} bytes", outcome.output.stdout.len());
        ensure!(outcome.violations().count() == 0, "{}", outcome.describe());
    }
    Ok(())
}

#[test]
fn a_new_connection_after_expiry_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    lab.zone().set("files.example.com", Records::ttl(SHORT).pair(addresses::WEB[0]))?;
    let probe = Program::Probe.path()?;
    for (family, address) in ["A", "AAAA"].into_iter().zip(addresses::WEB[0].both()) {
        let script = format!(
            "dig +short files.example.com {family}; {probe} tcp {address} 80; \
             sleep {EXPIRED}; {probe} tcp {address} 80; \
             dig +short files.example.com {family}; {probe} tcp {address} 80"
        );
        let outcome = lab.weir().profile(&profile().text())?.run(&["sh", "-c", &script])?;
        let results: Vec<&str> =
            outcome.output.stdout.lines().filter(|line| line.starts_with('{')).collect();
        let [fresh, late, again] = results.as_slice() else {
            anyhow::bail!("three attempts expected: {}", outcome.describe());
        };
        ensure!(fresh.contains("\"ok\""), "before expiry: {}", outcome.describe());
        ensure!(late.contains("EPERM"), "after expiry: {}", outcome.describe());
        ensure!(again.contains("\"ok\""), "after a new lookup: {}", outcome.describe());
        let expired = outcome.violation("expired", |event| event.reason() == "expired")?;
        ensure!(expired.ip() == address.to_string(), "{expired}");
        ensure!(expired.host() == "files.example.com", "{expired}");
    }
    Ok(())
}

#[test]
fn the_ttl_that_the_client_sees_is_no_longer_than_the_permission() -> Result<()> {
    let lab = Lab::new()?;
    lab.zone().set("files.example.com", Records::ttl(86_400).pair(addresses::WEB[0]))?;
    let argv = ["dig", "+noall", "+answer", "files.example.com"];
    let outcome = lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
    let ttl = outcome.output.stdout.split_whitespace().nth(1).context("no answer")?;
    ensure!(ttl.parse::<u32>()? <= 2, "maxTtl is 2 s: {}", outcome.output.stdout);
    Ok(())
}

#[test]
fn a_changed_profile_revokes_open_sockets() -> Result<()> {
    let lab = Lab::new()?;
    let file = lab.client.home().join("download");
    let target = file.to_string_lossy().into_owned();
    let weir = lab.weir().profile(&profile().text())?;
    let address = addresses::WEB[0].v4;
    let argv = ["curl", "-sS", "-4", "-N", "-o", &target, "https://files.example.com/drip/100"];
    let started = weir.start(&argv)?;
    wait_until("the download began", || Ok(size(&file) > 500))?;

    std::fs::write(weir.profile_path(), Profile::deny_all().text())?;
    started.process().signal(Signal::SIGHUP)?;
    // Segments under way may still arrive; then nothing.
    wait_until("the download stopped", || {
        let before = size(&file);
        std::thread::sleep(Duration::from_millis(1500));
        Ok(size(&file) == before)
    })?;
    let outcome = stop(started)?;
    outcome.violation("of the revoked download", |event| event.ip() == address.to_string())?;
    Ok(())
}

#[test]
fn a_flow_is_named_by_the_profile_that_allowed_it() -> Result<()> {
    let lab = Lab::new()?;
    let old = Profile::deny_all().domains(&["api.example.com"]).domains(&["files.example.com"]);
    let new = Profile::deny_all().domains(&["files.example.com", "mirror.example.com"]);
    let first = lab.client.home().join("first");
    // That another name is allowed shows that the new profile is in force.
    let script = format!(
        "fetch() {{ curl -sS -o /dev/null https://$1.example.com/; }}; \
         fetch files && touch {}; until fetch mirror; do sleep 0.1; done; fetch files",
        first.display()
    );
    let weir = lab.weir().profile(&old.text())?;
    let started = weir.start(&["sh", "-c", &script])?;
    wait_until("the first transfer", || Ok(first.exists()))?;
    std::fs::write(weir.profile_path(), new.text().replace("rule-", "new-"))?;
    started.process().signal(Signal::SIGHUP)?;
    let outcome = started.finish(Duration::from_secs(20))?.expect_code(0)?;
    let flow = |rule: &str| {
        let mut flows = outcome.events.iter().filter(|event| event.kind() == "flow");
        flows.find(|event| {
            event.host() == "files.example.com" && event.text("/policy/rule_id") == rule
        })
    };
    let before = flow("rule-1").with_context(|| format!("no rule-1: {}", outcome.describe()))?;
    let after = flow("new-0").with_context(|| format!("no new-0: {}", outcome.describe()))?;
    ensure!(before.text("/policy/bundle") != after.text("/policy/bundle"), "{before} {after}");
    Ok(())
}

#[test]
fn a_broken_profile_keeps_the_last_good_one() -> Result<()> {
    let lab = Lab::new()?;
    let file = lab.client.home().join("download");
    let target = file.to_string_lossy().into_owned();
    let weir = lab.weir().profile(&profile().text())?;
    let argv = ["curl", "-sS", "-N", "-o", &target, "https://files.example.com/drip/100"];
    let started = weir.start(&argv)?;
    wait_until("the download began", || Ok(size(&file) > 500))?;
    std::fs::write(weir.profile_path(), "apiVersion: weir.dev/v1\nkind: Nonsense\n")?;
    started.process().signal(Signal::SIGHUP)?;
    let mark = size(&file);
    wait_until("the download went on", || Ok(size(&file) > mark + 2_000))?;
    let outcome = stop(started)?;
    ensure!(outcome.output.stderr.contains("Nonsense"), "{}", outcome.describe());
    Ok(())
}

fn stop(started: weir_tests::weir::Started) -> Result<weir_tests::weir::Outcome> {
    started.process().signal(Signal::SIGTERM)?;
    started.finish(Duration::from_secs(10))
}

fn size(file: &std::path::Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Polls `done` for at most thirty seconds.
fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + patient(Duration::from_secs(30));
    while !done()? {
        ensure!(Instant::now() < deadline, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
