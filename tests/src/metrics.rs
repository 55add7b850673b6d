//! What an agent tells Prometheus.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::exec::{self, DEFAULT_LIMIT};
use crate::node::Node;

/// The page of an agent's metrics, each sample by its name and labels.
#[derive(Debug)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// As the agent of a node tells them now.
    pub fn of(node: &Node) -> Result<Self> {
        let mut command = node.command("curl");
        command.args(["-sS", "-f", "-m", "5", "http://127.0.0.1:9411/metrics"]);
        let page = exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
        ensure!(page.ends_with("# EOF\n"), "half a page: {page}");
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let read = |line: &str| {
            let (name, value) =
                line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            let value = value.parse().with_context(|| format!("no number: {line}"))?;
            Ok((name.to_owned(), value))
        };
        samples.map(read).collect::<Result<_>>().map(Self)
    }

    /// One that must be there.
    pub fn get(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("no {name} in {self}"))
    }

    /// A count that must be there.
    pub fn count(&self, name: &str) -> Result<u64> {
        let value = self.get(name)?;
        // How a whole number is written, that is none too large.
        value.to_string().parse().with_context(|| format!("{name} is {value}"))
    }

    /// Their names, with labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(name, value)| writeln!(formatter, "{name} {value}"))
    }
}
