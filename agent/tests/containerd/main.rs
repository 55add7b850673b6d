//! The watcher against a real containerd. Needs root, containerd, runc and a static busybox.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;
use weir::containerd::{
    Change, ContainerdState, Listing, Network, Phase, SandboxError, WatchSettings, Watcher, watch,
};

mod lab;

use lab::{Lab, PATIENCE};

const UID: &str = "8a0e-12";

fn settings(lab: &Lab) -> WatchSettings {
    WatchSettings::new(lab.socket(), "k8s.io".to_owned())
}

async fn next(watcher: &mut Watcher) -> Result<Change> {
    let change = timeout(PATIENCE, watcher.changes.recv()).await;
    change.context("no change came")?.context("the watcher ended")
}

async fn relisted(watcher: &mut Watcher) -> Result<Listing> {
    match next(watcher).await? {
        Change::Relisted(listing) => Ok(listing),
        other => bail!("expected a listing, got {other:?}"),
    }
}

async fn until(
    watcher: &mut Watcher,
    what: impl FnMut(&ContainerdState) -> bool,
) -> Result<ContainerdState> {
    let state = timeout(PATIENCE, watcher.state.wait_for(what)).await;
    Ok(state.context("the state did not come")??.clone())
}

fn metadata(lab: &Lab, id: &str, uid: &str) -> Value {
    json!({ "Version": "v1", "Metadata": { "ID": id, "Config": {
        "metadata": { "name": "job", "namespace": "ci", "uid": uid },
        "labels": { "app": "build" },
        "linux": { "cgroup_parent": lab.cgroup_parent(uid) },
    } } })
}

async fn create_sandbox(lab: &Lab, id: &str, uid: &str) -> Result<()> {
    lab.create(id, Some("sandbox"), uid, Some(metadata(lab, id, uid))).await
}

#[tokio::test]
async fn a_sandbox_is_told_from_its_start_to_its_end() -> Result<()> {
    let mut lab = Lab::new()?;
    let mut watcher = watch(settings(&lab));
    // containerd is not there yet: a state, not an error.
    let state = until(&mut watcher, |state| state.trouble.is_some()).await?;
    ensure!(state.trouble.as_deref().is_some_and(|text| text.starts_with("nobody listens at")));
    ensure!(state.phase == Phase::Connecting && state.restarts == 0);

    lab.start().await?;
    let listing = relisted(&mut watcher).await?;
    ensure!(listing.sandboxes.is_empty() && listing.unreadable.is_empty());
    let state = until(&mut watcher, |state| state.phase == Phase::Following).await?;
    ensure!(state.trouble.is_none() && state.restarts == 0);

    // A container that is none of a pod's is no change; the next change is the sandbox.
    lab.create("stranger", None, UID, None).await?;
    lab.start_task("stranger").await?;
    create_sandbox(&lab, "sandbox-1", UID).await?;
    let pid = lab.start_task("sandbox-1").await?;
    let Change::Started { sandbox, received } = next(&mut watcher).await? else {
        bail!("expected a start");
    };
    ensure!(sandbox.id.as_str() == "sandbox-1" && sandbox.pid == pid);
    ensure!(sandbox.pod.namespace == "ci" && sandbox.pod.name == "job" && sandbox.pod.uid == UID);
    ensure!(sandbox.network == Network::Namespace(PathBuf::from(format!("/proc/{pid}/ns/net"))));
    ensure!(sandbox.cgroup.to_string() == lab.cgroup_parent(UID), "{}", sandbox.cgroup);
    ensure!(sandbox.cgroup.below(&weir::system::cgroup::root()?).join("sandbox-1").is_dir());
    ensure!(received.elapsed() < PATIENCE && sandbox.created.elapsed()? < PATIENCE);

    lab.create("container-1", Some("container"), UID, None).await?;
    let Change::ContainerCreated(container) = next(&mut watcher).await? else {
        bail!("expected a container that is made");
    };
    ensure!(container.name == "build" && container.sandbox == sandbox.id && container.pid == 0);
    let inner = lab.start_task("container-1").await?;
    let Change::ContainerStarted(container) = next(&mut watcher).await? else {
        bail!("expected a container's start");
    };
    ensure!(container.name == "build" && container.sandbox == sandbox.id && container.pid == inner);

    // The end of a further process is not the container's.
    lab.exec("sandbox-1").await?;
    lab.end(inner)?;
    let change = next(&mut watcher).await?;
    ensure!(
        matches!(&change, Change::ContainerGone(id) if id.as_str() == "container-1"),
        "{change:?}"
    );
    lab.end(pid)?;
    let change = next(&mut watcher).await?;
    ensure!(matches!(&change, Change::Gone(id) if id.as_str() == "sandbox-1"), "{change:?}");
    Ok(())
}

#[tokio::test]
async fn what_happens_while_containerd_is_away_is_in_the_next_listing() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.start().await?;
    create_sandbox(&lab, "sandbox-1", UID).await?;
    create_sandbox(&lab, "sandbox-2", "other").await?;
    lab.create("broken", Some("sandbox"), "broken", None).await?;
    create_sandbox(&lab, "idle", "idle").await?;
    let (first, second) = (lab.start_task("sandbox-1").await?, lab.start_task("sandbox-2").await?);
    lab.start_task("broken").await?;

    let mut watcher = watch(settings(&lab));
    let ids = |listing: &Listing| {
        let mut ids: Vec<_> =
            listing.sandboxes.iter().map(|sandbox| (sandbox.id.to_string(), sandbox.pid)).collect();
        ids.sort();
        ids
    };
    let listing = relisted(&mut watcher).await?;
    ensure!(ids(&listing) == [("sandbox-1".into(), first), ("sandbox-2".into(), second)]);
    let [unreadable] = listing.unreadable.as_slice() else { bail!("{:?}", listing.unreadable) };
    ensure!(unreadable.id == "broken" && matches!(unreadable.error, SandboxError::NoMetadata));

    lab.stop()?;
    until(&mut watcher, |state| state.phase == Phase::Connecting && state.restarts == 1).await?;
    lab.end(second)?;
    lab.start().await?;
    let listing = relisted(&mut watcher).await?;
    ensure!(ids(&listing) == [("sandbox-1".into(), first)], "{listing:?}");
    ensure!(listing.unreadable.iter().any(|unreadable| unreadable.id == "broken"));
    let state = until(&mut watcher, |state| state.phase == Phase::Following).await?;
    ensure!(state.restarts == 1 && state.trouble.is_none(), "{state:?}");

    // What was listed is told when it ends, and only once, though exit and deletion are two events.
    lab.end(first)?;
    loop {
        match next(&mut watcher).await? {
            Change::Gone(id) if id.as_str() == "sandbox-1" => break,
            // containerd may still be burying the other one.
            Change::Gone(_) => {}
            other => bail!("{other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_containerd_that_hangs_is_noticed_and_taken_up_again() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.start().await?;
    let short = Duration::from_millis(500);
    let mut watcher = watch(WatchSettings { silence: short, echo: short, ..settings(&lab) });
    relisted(&mut watcher).await?;
    until(&mut watcher, |state| state.phase == Phase::Following).await?;
    // A quiet containerd is no dead one: three silences pass, each ended by an echo.
    let lost = timeout(3 * short, watcher.state.changed()).await;
    ensure!(lost.is_err(), "a quiet stream was given up: {:?}", watcher.state.borrow());

    lab.signal(Signal::SIGSTOP)?;
    let state = until(&mut watcher, |state| state.phase == Phase::Connecting).await;
    lab.signal(Signal::SIGCONT)?;
    ensure!(state?.restarts == 1);
    relisted(&mut watcher).await?;
    until(&mut watcher, |state| state.phase == Phase::Following).await?;
    Ok(())
}

/// Starts come in bursts, and a receiver that reads nothing for long finds all of them.
#[tokio::test]
async fn a_receiver_that_sleeps_loses_nothing() -> Result<()> {
    const PODS: usize = 12;
    let mut lab = Lab::new()?;
    lab.start().await?;
    // Begun between the starts, so that listing and events overlap.
    let mut watcher = None;
    for number in 0..PODS {
        if number == PODS / 3 {
            watcher = Some(watch(settings(&lab)));
        }
        let id = format!("sandbox-{number}");
        create_sandbox(&lab, &id, &format!("uid-{number}")).await?;
        lab.start_task(&id).await?;
    }
    let mut watcher = watcher.context("no watcher")?;
    let mut seen: Vec<String> = relisted(&mut watcher)
        .await?
        .sandboxes
        .iter()
        .map(|sandbox| sandbox.id.to_string())
        .collect();
    while seen.len() < PODS {
        match next(&mut watcher).await? {
            Change::Started { sandbox, .. } => seen.push(sandbox.id.to_string()),
            other => bail!("{other:?}"),
        }
    }
    seen.sort();
    seen.dedup();
    ensure!(seen.len() == PODS, "told twice or not at all: {seen:?}");
    Ok(())
}
