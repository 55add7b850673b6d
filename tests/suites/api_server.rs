//! Who made a pod only the API server knows: records wait for its word a little, and go without it rather than wait long.
//! Against a real API server, with the account and the permissions that the chart gives the agent.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use weir_tests::agent::Agent;
use weir_tests::deploy::{self, Tools};
use weir_tests::exec::{self, Output};
use weir_tests::jobs::{Jobs, LIMIT};
use weir_tests::kubernetes::{ControlPlane, NAMESPACE, NODE, Programs};
use weir_tests::node::{Pod, PodSpec};
use weir_tests::skip::{self, Skip};
use weir_tests::weir::Event;

/// The release, its namespace and its account.
const NAME: &str = "weir";
/// Where the agent finds how to reach the API server, on the node.
const KUBECONFIG: &str = "/run/weir-config/kubeconfig.json";
/// Records wait two seconds; whoever takes longer between two steps has not seen what they do meanwhile.
const IN_TIME: Duration = Duration::from_millis(1500);

/// A node, the control plane on its loopback, and the chart installed there; none of its own pods runs.
struct Cluster {
    jobs: Jobs,
    plane: ControlPlane,
    tools: Tools,
}

impl Cluster {
    /// Nothing where a program cannot be had, which is recorded.
    fn new(case: &str) -> Result<Option<Self>> {
        let Some(programs) = Programs::find()? else {
            skip::record(case, Skip::NoKubernetes)?;
            return Ok(None);
        };
        let Some(tools) = Tools::find()? else {
            skip::record(case, Skip::NoHelm)?;
            return Ok(None);
        };
        let jobs = Jobs::new()?;
        let plane = ControlPlane::start_on(jobs.lab.client.host(), &programs)?;
        let cluster = Self { jobs, plane, tools };
        let mut helm = cluster.plane.client(&cluster.tools.helm());
        helm.args(["install", NAME, "--namespace", NAME, "--create-namespace"]);
        helm.arg(deploy::path("chart"));
        helm.arg("--values").arg(deploy::path("values/old-cluster.yaml"));
        helm.args(["--set", "mode=audit"]);
        exec::run(helm, LIMIT)?.expect_code(0)?;
        cluster.kubectl(&["create", "namespace", NAMESPACE])?;
        cluster.until_there(&["serviceaccount", "default", "--namespace", NAMESPACE])?;
        Ok(Some(cluster))
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.run_kubectl(arguments)?.expect_code(0)
    }

    fn run_kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let mut kubectl = self.plane.client(&self.tools.kubectl());
        kubectl.args(arguments);
        exec::run(kubectl, LIMIT)
    }

    fn until_there(&self, what: &[&str]) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.run_kubectl(&[&["get"], what].concat())?.code != 0 {
            ensure!(Instant::now() < deadline, "{what:?} does not come");
        }
        Ok(())
    }

    /// Creates what is described, and returns it as it became.
    fn create(&self, object: &Value) -> Result<Value> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), object.to_string())?;
        let path = file.path().to_string_lossy();
        let made = self.kubectl(&["create", "--filename", &path, "--output", "json"])?;
        serde_json::from_str(&made.stdout).context("reading what was made")
    }

    /// A pod that a job of Kubernetes made, and that is on no node yet.
    fn unscheduled(&self, name: &str) -> Result<PodSpec> {
        let made = self.create(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {"team": "payments"},
                "ownerReferences": [{
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": "nightly",
                    "uid": "5e9ac2f0-0000-4000-8000-000000000000",
                    "controller": true,
                }],
            },
            "spec": {
                "schedulerName": "nobody",
                "containers": [{"name": "build", "image": "registry.example.com/job:1"}],
            },
        }))?;
        let uid = made.pointer("/metadata/uid").and_then(Value::as_str).context("no uid")?;
        Ok(PodSpec { uid: uid.to_owned(), ..PodSpec::new(name).label("team", "payments") })
    }

    /// Puts a pod on a node: from then on that node's agent may know of it.
    fn bind(&self, pod: &PodSpec, node: &str) -> Result<()> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": NAMESPACE},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), binding.to_string())?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}/binding", pod.name);
        let file = file.path().to_string_lossy();
        self.kubectl(&["create", "--raw", &path, "--filename", &file]).map(drop)
    }

    /// An agent that asks the API server by an account of this namespace.
    fn agent(&self, namespace: &str, account: &str) -> Result<Agent> {
        let token = ["create", "token", account, "--namespace", namespace];
        let token = self.kubectl(&token)?.stdout.trim().to_owned();
        let path = self.jobs.node.path(KUBECONFIG);
        fs::create_dir_all(path.parent().context("a path without a folder")?)?;
        fs::write(path, self.plane.kubeconfig(&token).to_string())?;
        Jobs::allowing(&[])
            .config(&format!("node: {NODE}"))
            .config(&format!("kubernetes: {{ enabled: true, kubeconfig: {KUBECONFIG} }}"))
            .start(&self.jobs.node)
    }

    /// The sandbox of a pod, enforced.
    fn enforced(&self, agent: &Agent, spec: PodSpec) -> Result<Pod> {
        let pod = self.jobs.node.run_pod(spec)?;
        agent.wait_for("took_us=")?;
        Ok(pod)
    }

    /// What the agent records of a job that tries what it may not.
    fn refused(&self, agent: &Agent, pod: &Pod) -> Result<Event> {
        let uid = &pod.spec().uid;
        let before = agent.records(uid, "violation")?.len();
        let flood = pod.start(self.jobs.flood(Some(2)))?;
        flood.wait(LIMIT)?;
        flood.remove()?;
        let records = agent.records_come(uid, "violation", before + 1)?;
        records.into_iter().nth(before).context("no violation")
    }

    /// Puts a pod of its own on the node and waits until the agent knows of it: what the API server told before, it knows too.
    fn all_is_told(&self, agent: &Agent, name: &str) -> Result<()> {
        let pod = self.unscheduled(name)?;
        self.bind(&pod, NODE)?;
        let pod = self.enforced(agent, pod)?;
        ensure!(is_complete(&attached(agent, &pod)?), "{name} is not known");
        pod.remove()
    }
}

/// Waits until there is one.
fn until<T>(mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "nothing within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The record of a pod's beginning, once it is written.
fn attached(agent: &Agent, pod: &Pod) -> Result<Event> {
    agent.records_come(&pod.spec().uid, "attach", 1)?.pop().context("no record")
}

fn is_complete(event: &Event) -> bool {
    event.value("/pod/owner") == Some(&json!({"kind": "Job", "name": "nightly"}))
        && event.text("/pod/labels/team") == "payments"
        && event.value("/identity").is_none()
}

fn is_pending(event: &Event) -> bool {
    event.text("/identity") == "pending" && event.value("/pod/owner").is_none()
}

#[test]
fn records_are_completed_by_a_word_that_comes_late_and_go_without_one_that_never_does() -> Result<()>
{
    let Some(cluster) = Cluster::new("the API server's word")? else { return Ok(()) };
    let agent = cluster.agent(NAME, NAME)?;

    // Known before its sandbox is.
    cluster.all_is_told(&agent, "early")?;

    // Late, while its first record waits.
    waits(&cluster, &agent)?;

    // Never: on no node, or on another.
    let elsewhere = cluster.unscheduled("elsewhere")?;
    cluster.bind(&elsewhere, "another")?;
    let elsewhere = cluster.enforced(&agent, elsewhere)?;
    let never = cluster.enforced(&agent, cluster.unscheduled("never")?)?;
    for pod in [&elsewhere, &never] {
        let event = attached(&agent, pod)?;
        ensure!(is_pending(&event), "{event}");
        let event = cluster.refused(&agent, pod)?;
        ensure!(is_pending(&event), "{event}");
    }

    // Too late for what was written, and in time for what is.
    cluster.bind(never.spec(), NODE)?;
    cluster.all_is_told(&agent, "marker")?;
    let event = cluster.refused(&agent, &never)?;
    ensure!(is_complete(&event), "{event}");
    let first = agent.records(&never.spec().uid, "violation")?.into_iter().next();
    ensure!(first.as_ref().is_some_and(is_pending), "a record that was written changed: {first:?}");

    // Twice: the first word counts, because later ones may be the job's own.
    cluster.kubectl(&[
        "label",
        "pod",
        "never",
        "--namespace",
        NAMESPACE,
        "--overwrite",
        "team=x",
    ])?;
    cluster.all_is_told(&agent, "marker-2")?;
    let uid = never.spec().uid.clone();
    never.remove()?;
    let ended = agent.records_come(&uid, "detach", 1)?.pop().context("no record")?;
    ensure!(is_complete(&ended), "{ended}");

    // Gone: whoever comes under its uid again is not known.
    let gone = cluster.unscheduled("gone")?;
    cluster.bind(&gone, NODE)?;
    let pod = cluster.enforced(&agent, gone.clone())?;
    ensure!(is_complete(&attached(&agent, &pod)?));
    cluster.kubectl(&[
        "delete",
        "pod",
        "gone",
        "--namespace",
        NAMESPACE,
        "--grace-period=0",
        "--force",
    ])?;
    cluster.all_is_told(&agent, "marker-3")?;
    pod.remove()?;
    let pod = cluster.enforced(&agent, PodSpec { attempt: 1, ..gone })?;
    let event = agent.records_come(&pod.spec().uid, "attach", 2)?.pop().context("no record")?;
    ensure!(is_pending(&event), "{event}");
    agent.stop().map(drop)
}

/// A record that is held until the API server has told of its pod. Where the machine was too slow to see it held, again.
fn waits(cluster: &Cluster, agent: &Agent) -> Result<()> {
    for attempt in 0..5 {
        let pod = cluster.unscheduled(&format!("late-{attempt}"))?;
        let pod = cluster.enforced(agent, pod)?;
        let begun = Instant::now();
        let records = agent.records(&pod.spec().uid, "attach")?;
        cluster.bind(pod.spec(), NODE)?;
        let event = attached(agent, &pod)?;
        let is_in_time = begun.elapsed() < IN_TIME;
        pod.remove()?;
        if is_in_time {
            ensure!(records.is_empty(), "nothing waited: {records:?}");
            ensure!(is_complete(&event), "{event}");
            return Ok(());
        }
    }
    bail!("each attempt took longer than records wait")
}

#[test]
fn an_api_server_that_refuses_or_goes_away_holds_up_nothing_and_is_asked_again() -> Result<()> {
    let Some(cluster) = Cluster::new("the API server's absence")? else { return Ok(()) };
    // An account without the chart's permissions.
    let agent = cluster.agent(NAMESPACE, "default")?;
    agent.wait_for("forbidden")?;
    let pod = cluster.unscheduled("stays")?;
    cluster.bind(&pod, NODE)?;
    let pod = cluster.enforced(&agent, pod)?;
    let event = attached(&agent, &pod)?;
    ensure!(is_pending(&event), "{event}");
    let binding = [
        "create",
        "clusterrolebinding",
        "allowed",
        "--clusterrole",
        NAME,
        "--serviceaccount",
        "ci:default",
    ];
    cluster.kubectl(&binding)?;
    until(|| Ok(is_complete(&cluster.refused(&agent, &pod)?).then_some(())))?;

    // Nothing waits for an API server that is away.
    let later = cluster.unscheduled("later")?;
    cluster.plane.stop_api_server()?;
    let begun = Instant::now();
    let later = cluster.enforced(&agent, later)?;
    let event = attached(&agent, &later)?;
    ensure!(is_pending(&event) && begun.elapsed() < LIMIT / 4, "{:?}: {event}", begun.elapsed());
    cluster.plane.start_api_server()?;
    cluster.bind(later.spec(), NODE)?;
    until(|| Ok(is_complete(&cluster.refused(&agent, &later)?).then_some(())))?;
    agent.stop().map(drop)
}

#[test]
fn the_charts_account_may_follow_pods_and_nothing_else() -> Result<()> {
    let Some(cluster) = Cluster::new("the chart's permissions")? else { return Ok(()) };
    let account = format!("--as=system:serviceaccount:{NAME}:{NAME}");
    let may = |verb: &str, what: &str| -> Result<bool> {
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let asked = ["auth", "can-i", verb, what, &part, "--all-namespaces", &account];
        let said = cluster.run_kubectl(&asked)?;
        match said.stdout.trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => bail!("{}", said.describe()),
        }
    };
    for verb in ["get", "list", "watch"] {
        ensure!(may(verb, "pods")?, "may not {verb} pods");
        for what in ["secrets", "configmaps", "nodes", "serviceaccounts", "pods/log"] {
            ensure!(!may(verb, what)?, "may {verb} {what}");
        }
    }
    for verb in ["create", "update", "patch", "delete"] {
        for what in ["pods", "pods/exec", "pods/ephemeralcontainers", "serviceaccounts/token"] {
            ensure!(!may(verb, what)?, "may {verb} {what}");
        }
    }
    Ok(())
}
