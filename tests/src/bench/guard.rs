//! What the programs cost that see the whole machine, by the kernel's own account. Of hooks of security modules it is the
//! same paths at tracepoints, which load where security modules do not, and on an emulated machine nobody could measure.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::accounts::Accounts;
use super::{Ground, Rounds, Row, Target, example};
use crate::exec;
use crate::vm::patient;

/// Odd: the median is one of them.
const ROUNDS: &str = "9";
const LIMIT: Duration = Duration::from_secs(60);

/// A process of nobody's meets a hook, one of a pod connects, one becomes another program, and one is born and ends: as
/// it is seen before Linux 7.0, against the way from then on where this kernel allows that.
pub(super) fn rows(_ground: &Ground) -> Result<Vec<Row>> {
    let _accounts = Accounts::open()?;
    let mut command = Command::new(example("guard_bench")?);
    command.arg(ROUNDS);
    let output = exec::run(command, patient(LIMIT))?.expect_code(0)?;
    let rounds = Rounds::read(&output)?;
    let row = |case: &str, name: &str, most| -> Result<Row> {
        Ok(Row {
            name: name.to_owned(),
            unit: "ns",
            value: rounds.median(case)?,
            against: None,
            target: Target::AtMost(most),
        })
    };
    let life = Row {
        name: "tracepoints: a birth and an end in a pod".to_owned(),
        unit: "ns",
        value: rounds.median("forked")?,
        against: rounds.median("woken").ok().map(|woken| ("from Linux 7.0 on", woken)),
        target: Target::Shown,
    };
    Ok(vec![
        row("stranger", "security hook: an open outside pods", 50.0)?,
        row("connect", "security hook: a connect in a pod", 300.0)?,
        row("exec", "tracepoint: an exec in a pod", 2000.0)?,
        life,
    ])
}
