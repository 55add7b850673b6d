//! Records name who it was and whom it descends from, whatever a job does to have somebody else named, or nobody.
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method by its path is one of a single lifetime, and a case is for any"
)]

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::jobs::Jobs;
use weir_tests::kinship::{self, Kin};
use weir_tests::node::Node;
use weir_tests::{traces, vm};

/// Has a job act under an agent that refuses it everything.
fn act(privileged: bool, act: impl FnOnce(&Kin<'_>, &Node) -> Result<()>) -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).config(&kinship::limits()).start(&jobs.node)?;
    let kin = Kin::new(&jobs, &agent, "kin", privileged)?;
    act(&kin, &jobs.node)?;
    kin.end()?;
    agent.wait_for("phase=\"gone\"")?;
    agent.stop()?;
    traces::none(&jobs.node)
}

#[test]
fn orphans_are_known_by_their_ancestors() -> Result<()> {
    act(false, |kin, _| kin.orphans_are_known_by_their_ancestors())
}

#[test]
fn who_brings_a_command_is_no_ancestor() -> Result<()> {
    act(false, |kin, node| kin.who_brings_a_command_is_no_ancestor(node))
}

#[test]
fn threads_are_their_process() -> Result<()> {
    act(false, |kin, _| kin.threads_are_their_process())
}

#[test]
fn ids_that_come_again_are_told_apart() -> Result<()> {
    act(true, |kin, _| kin.ids_that_come_again_are_told_apart())
}

#[test]
fn who_sends_is_named() -> Result<()> {
    act(false, |kin, _| kin.who_sends_is_named())
}

#[test]
fn nobody_has_more_than_a_share() -> Result<()> {
    act(false, |kin, node| kin.nobody_has_more_than_a_share(node))
}

#[test]
fn nobody_is_missed_in_a_crowd() -> Result<()> {
    act(false, |kin, node| kin.nobody_is_missed_in_a_crowd(node, 10))
}

#[test]
fn whoever_ended_is_not_followed() -> Result<()> {
    act(false, |kin, node| kin.whoever_ended_is_not_followed(node))
}

#[test]
fn command_lines_are_of_their_own_in_a_rush() -> Result<()> {
    act(false, |kin, _| kin.command_lines_are_of_their_own_in_a_rush(4))
}

#[test]
fn five_hundred_short_lives_a_second_are_all_named() -> Result<()> {
    const COUNT: usize = 1500;
    const RATE: usize = 500;
    act(false, |kin, _| {
        let took = kin.short_lives_are_named(COUNT, RATE)?;
        // Emulated, nothing keeps that pace.
        let most = Duration::from_secs((COUNT / RATE) as u64 + 4);
        ensure!(vm::guest_folder().is_some() || took < most, "{COUNT} lives took {took:?}");
        Ok(())
    })
}
