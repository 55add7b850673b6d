//! What the records say: every line valid by the schema, hostile text included, floods counted in place.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;

fn profile() -> String {
    Profile::deny_all().domains(&["files.example.com"]).text()
}

#[test]
fn a_run_begins_with_attach_and_ends_with_detach() -> Result<()> {
    let lab = Lab::new()?;
    let outcome = lab.weir().profile(&profile())?.run(&["true"])?.expect_code(0)?;
    let kinds: Vec<&str> = outcome.events.iter().map(weir_tests::weir::Event::kind).collect();
    ensure!(kinds.first() == Some(&"attach") && kinds.last() == Some(&"detach"), "{kinds:?}");
    Ok(())
}

#[test]
fn a_runs_beginning_says_whether_modules_hold_it() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let argv = [&probe, "tcp", &addresses::ATTACKER.v4.to_string(), "4000"];
    let outcome = lab.weir().profile(&profile())?.run(&argv)?;
    // The hooks of modules see a connect before those of the cgroup do.
    let refused = outcome.violation("of the probe", |event| event.comm() == "probe")?;
    let held = refused.text("/attribution") == "lsm";
    let attached = outcome.events.first().context("no record")?;
    ensure!(
        attached.text("/attribution") == refused.text("/attribution"),
        "{}",
        outcome.describe()
    );
    let lacks = attached.value("/lacks").and_then(Value::as_array);
    let lacking = lacks.is_some_and(|lacks| lacks.contains(&Value::from("lsm")));
    ensure!(lacking != held, "{}", outcome.describe());
    Ok(())
}

#[test]
fn without_a_file_records_go_to_standard_output() -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().profile(&profile())?.option("--events").option("-");
    let outcome = weir.run(&["true"])?.expect_code(0)?;
    let first = outcome.output.stdout.lines().next().context("nothing on standard output")?;
    let record: Value = serde_json::from_str(first)?;
    ensure!(record.get("kind").and_then(|kind| kind.as_str()) == Some("attach"), "{first}");
    Ok(())
}

#[test]
fn process_binary_and_ancestry_are_named() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let script = format!("bash -c '{probe} tcp {} 4000; true'; true", addresses::ATTACKER.v4);
    let outcome = lab.weir().profile(&profile())?.run(&["sh", "-c", &script])?;
    let event = outcome.violation("of the probe", |event| event.comm() == "probe")?;
    ensure!(event.text("/process/binary") == probe, "{event}");
    ensure!(event.ancestry() == ["sh", "bash", "probe"], "{event}");
    ensure!(event.text("/policy/profile") == "lab/test", "{event}");
    ensure!(event.text("/policy/rule_id") == "default-deny", "{event}");
    Ok(())
}

#[test]
fn a_short_lived_process_is_still_named() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let script = format!(
        "for port in $(seq 5001 5050); do {probe} udp-sendto {} $port >/dev/null; done; true",
        addresses::ATTACKER.v6
    );
    let outcome = lab.weir().profile(&profile())?.run(&["sh", "-c", &script])?;
    for port in 5001..=5050 {
        let event = outcome.violation("of a port", |event| event.port() == port)?;
        ensure!(event.comm() == "probe" && event.text("/process/binary") == probe, "{event}");
    }
    Ok(())
}

#[test]
fn hostile_names_stay_on_one_valid_line() -> Result<()> {
    let lab = Lab::new()?;
    let probe = Program::Probe.path()?;
    let folder = lab.client.home();
    for name in ["a\nb\"c", "\u{1b}[31mred", "{\"kind\":\"x\"}", "\u{7f}\u{85}\u{2028}"] {
        let copy = folder.join(name);
        std::fs::copy(&probe, &copy)?;
        let path = copy.to_string_lossy().into_owned();
        let argv = [path.as_str(), "tcp", &addresses::ATTACKER.v4.to_string(), "4000"];
        // Reading the records back already proves that each line is one valid record.
        let outcome = lab.weir().profile(&profile())?.run(&argv)?;
        outcome.violation(name, |event| event.port() == 4000)?;
        let summary = &outcome.output.stderr;
        ensure!(!summary.contains('\u{1b}') || !summary.contains("[31mred"), "{summary:?}");
    }
    Ok(())
}

#[test]
fn a_flood_is_one_record_and_a_count() -> Result<()> {
    let lab = Lab::new()?;
    let script = format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nn = 0\n\
         for _ in range(20000):\n  try: s.sendto(b'x', ('{}', 4000))\n  except PermissionError: n += 1\nprint(n)",
        addresses::ATTACKER.v4
    );
    let argv = ["/usr/bin/python3", "-c", &script];
    let outcome = lab.weir().profile(&profile())?.run(&argv)?.expect_code(0)?;
    ensure!(outcome.output.stdout.trim() == "20000", "{}", outcome.output.describe());
    ensure!(outcome.violations().count() == 1, "{}", outcome.describe());
    let flow = outcome.events.iter().find(|event| event.kind() == "flow" && event.port() == 4000);
    let flow = flow.with_context(|| format!("no account in {}", outcome.describe()))?;
    ensure!(flow.number("/count") == 20_000, "{flow}");
    Ok(())
}

#[test]
fn bytes_are_counted_each_way() -> Result<()> {
    let lab = Lab::new()?;
    let argv = ["curl", "-sS", "-o", "/dev/null", "https://files.example.com/bytes/1000000"];
    let outcome = lab.weir().profile(&profile())?.run(&argv)?.expect_code(0)?;
    let flow = outcome.events.iter().find(|event| event.kind() == "flow" && event.proto() == "tcp");
    let flow = flow.with_context(|| format!("no flow in {}", outcome.describe()))?;
    ensure!(flow.verdict() == "allow" && flow.number("/count") == 1, "{flow}");
    let (up, down) = (flow.number("/bytes_up"), flow.number("/bytes_down"));
    ensure!((1_000_000..1_200_000).contains(&down), "{down} bytes down: {flow}");
    ensure!((500..200_000).contains(&up), "{up} bytes up: {flow}");
    Ok(())
}

/// Two destinations in turn, then a child that sends on the same socket.
const ONE_SOCKET: &str = "
import os, socket, sys
a, b = ((address, 4000) for address in sys.argv[1:])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for peer in [a] * 5 + [b] * 3 + [a] * 2: s.sendto(bytes(100), peer)
child = os.fork()
if child == 0:
    for _ in range(4): s.sendto(bytes(100), a)
    os._exit(0)
os.waitpid(child, 0)
s.sendto(bytes(100), a)
";

#[test]
fn datagrams_of_one_socket_are_counted_per_destination_and_process() -> Result<()> {
    let lab = Lab::new()?;
    let [a, b] = [addresses::WEB[0].v4.to_string(), addresses::WEB[1].v4.to_string()];
    let networks = [format!("{a}/32"), format!("{b}/32")];
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    let profile = Profile::deny_all().cidrs_at(&networks, &["4000/udp"]).text();
    let argv = ["/usr/bin/python3", "-c", ONE_SOCKET, &a, &b];
    let outcome = lab.weir().profile(&profile)?.run(&argv)?.expect_code(0)?;
    let mut flows: Vec<(&str, u64, u64)> = outcome
        .events
        .iter()
        .filter(|event| event.kind() == "flow" && event.proto() == "udp")
        .map(|event| (event.ip(), event.number("/count"), event.number("/bytes_up")))
        .collect();
    flows.sort_unstable();
    // An IPv4 and a UDP header beside the 100 bytes.
    let expected = [(a.as_str(), 4, 4 * 128), (a.as_str(), 8, 8 * 128), (b.as_str(), 3, 3 * 128)];
    ensure!(flows == expected, "{flows:?}: {}", outcome.describe());
    Ok(())
}
