//! The node agent on a real containerd: what a pod's start waits for, and what pods cost while they run.

mod barrier;
mod pods;
mod start;
mod throughput;

use anyhow::Result;

use super::{Ground, Row, Target};
use crate::agent::{Agent, AgentSpec};
use crate::lab::Lab;
use crate::node::{Node, Options};
use crate::profile::Profile;

/// The namespace whose pods are enforced, and one whose pods are not.
const ENFORCED: &str = "ci";
const FREE: &str = "free";

/// A lab of its own, with a node and an agent.
struct Stage {
    lab: Lab,
    node: Node,
    agent: Agent,
}

impl Stage {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let node = Node::start(&lab, &Options::default())?;
        let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80", "5201"]);
        let agent = AgentSpec::default().namespace(ENFORCED, &profile.text()).start(&node)?;
        Ok(Self { lab, node, agent })
    }
}

pub(super) fn rows(_: &Ground) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let mut rows = start::rows(&stage)?;
    rows.extend(barrier::rows(&stage)?);
    rows.extend(throughput::rows(&stage)?);
    rows.extend(pods::rows(stage)?);
    Ok(rows)
}

/// The value below which the fraction `part` of the values lies.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index into a few hundred values"
    )]
    let index = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

fn milliseconds(name: String, value: f64, target: Target) -> Row {
    Row { name, unit: "ms", value, against: None, target }
}
