//! The demonstration: real programs under `weir run` in the lab internet, and what a person should see.

mod acts;

use std::io::Write;

use anyhow::{Result, ensure};

use self::acts::Act;
use crate::lab::Lab;
use crate::weir::{Event, Outcome};

/// What the demo allows.
pub const PROFILE: &str = "\
apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: demo }
spec:
  mode: block
  allow:
    - id: downloads
      domains: [files.example.com, git.example.com]
      ports: [443]
";

/// Shows every act on `out`; whether each behaved as it should.
pub fn run(out: &mut dyn Write) -> Result<bool> {
    let lab = Lab::new()?;
    lab.attacker.listen(443)?;
    lab.attacker.listen(53)?;
    lab.metadata.listen(80)?;
    writeln!(
        out,
        "A small internet is up: a resolver, HTTPS servers, a foreign resolver, an attacker."
    )?;
    writeln!(out, "The profile:\n\n{PROFILE}")?;
    let mut good = true;
    for (number, act) in acts::all().iter().enumerate() {
        good &= show(out, &lab, number + 1, act)?;
    }
    good &= learn(out, &lab, acts::all().len() + 1)?;
    writeln!(
        out,
        "{}",
        if good { "Every act behaved as it should." } else { "Some acts did NOT." }
    )?;
    Ok(good)
}

fn show(out: &mut dyn Write, lab: &Lab, number: usize, act: &Act) -> Result<bool> {
    writeln!(out, "{number}. {}", act.title)?;
    writeln!(out, "   $ weir run --profile demo.yaml -- {}", shell_words(&act.argv))?;
    let watch = lab.watch(lab.attacker.host())?;
    let outcome = lab.weir().profile(PROFILE)?.run(&act.argv)?;
    let arrived = watch.take()?.total();
    print_outcome(out, &outcome)?;
    writeln!(out, "   the attacker received {} bytes", arrived.bytes)?;
    let good = arrived.packets == 0 && act.is_met_by(&outcome);
    verdict(out, good, &act.expectation.describe())?;
    Ok(good)
}

/// Audit, suggest, block: the way from "what does it need?" to a profile.
fn learn(out: &mut dyn Write, lab: &Lab, number: usize) -> Result<bool> {
    let clone = |target: &str| {
        ["git", "clone", "--quiet", "https://mirror.example.com/project.git", target]
            .map(str::to_owned)
    };
    writeln!(out, "{number}. What does a job need? Let it pass once, and ask for a profile.")?;
    writeln!(out, "   $ weir run --audit --suggest learned.yaml -- {}", clone("first").join(" "))?;
    let audit = lab.weir().audit().suggest().run(&clone("first"))?;
    print_outcome(out, &audit)?;
    let suggestion = audit.suggestion.clone().unwrap_or_default();
    writeln!(out, "\n   learned.yaml:")?;
    for line in suggestion.lines() {
        writeln!(out, "   | {line}")?;
    }
    writeln!(out, "\n   $ weir run --profile learned.yaml -- {}", clone("second").join(" "))?;
    ensure!(!suggestion.is_empty(), "no profile was suggested: {}", audit.describe());
    let block = lab.weir().profile(&suggestion)?.run(&clone("second"))?;
    print_outcome(out, &block)?;
    let good = audit.output.code == 0 && block.output.code == 0 && block.violations().count() == 0;
    verdict(out, good, "works in audit mode, and then in block mode with what was learned")?;
    Ok(good)
}

fn print_outcome(out: &mut dyn Write, outcome: &Outcome) -> Result<()> {
    // Of dig's answer the line that says something: the extended error.
    let telling =
        |line: &&str| !line.is_empty() && (!line.starts_with(';') || line.contains("EDE:"));
    for line in outcome.output.stdout.lines().filter(telling).take(6) {
        writeln!(out, "   {line}")?;
    }
    let seconds = outcome.output.elapsed.as_secs_f64();
    writeln!(out, "   exit code {} after {seconds:.2} s", outcome.output.code)?;
    for event in outcome.violations() {
        writeln!(out, "   {}", one_line(event))?;
    }
    Ok(())
}

/// A violation as a person reads it.
fn one_line(event: &Event) -> String {
    let place = match (event.host(), event.ip()) {
        ("", ip) => ip.to_owned(),
        (host, "") => host.to_owned(),
        (host, ip) => format!("{host} ({ip})"),
    };
    let port = event.port();
    let port = if port == 0 { String::new() } else { format!(" port {port}") };
    format!(
        "{}: {} by {}, to {place}{port}/{}",
        event.verdict(),
        event.reason(),
        event.ancestry().join(" > "),
        event.proto()
    )
}

fn verdict(out: &mut dyn Write, good: bool, expected: &str) -> Result<()> {
    let mark = if good { "as expected" } else { "NOT as expected" };
    Ok(writeln!(out, "   => {mark}: {expected}\n")?)
}

fn shell_words(argv: &[String]) -> String {
    let quoted = argv.iter().map(|word| {
        let plain = word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_./:@+[]".contains(letter));
        if plain { word.clone() } else { format!("'{word}'") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
