//! The chart on a real API server: the pod of its `DaemonSet` enforces jobs, takes up other profiles as they come, and
//! leaves jobs enforced when it is replaced.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir_tests::agent::Agent;
use weir_tests::deploy::{self, CAPABILITIES, Tools};
use weir_tests::exec;
use weir_tests::kubernetes::{ControlPlane, Kind, Kubelet, NODE, PodState, Watch};
use weir_tests::node::Image;
use weir_tests::weir;

use super::{ATTEMPT, BARRIER, HELLO, JOB, LIMIT, Stage, act, all_refused, in_order, shell};

/// The release, its namespace, its `DaemonSet`, and its image.
const NAME: &str = "weir";
/// A node with this label runs an agent: the other acts come first, without one.
const LABEL: &str = "example.com/egress";
/// Where the host writes the image for the guest.
const FOLDER: &str = "agent";
/// Numbers of capabilities (linux/capability.h).
const NUMBERS: [(&str, u32); 2] = [("NET_ADMIN", 12), ("SYS_ADMIN", 21)];

/// The profile of the jobs, which may reach one name or nothing.
fn profile(allow: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: lab/ci }}\nspec: {{ allow: [{allow}] }}\n"
    )
}

const FILES: &str = "{ id: files, domains: [files.example.com], ports: [80] }";

/// The agent's image, as its chart wants it: the program is what is started, whatever the arguments.
fn image() -> Result<Image> {
    Ok(Image::busybox(NAME).program(weir::binary()?, "/weir").entry_point("/weir"))
}

/// Installs the chart. No node has the label yet.
pub(super) fn install(plane: &ControlPlane, tools: &Tools) -> Result<()> {
    image()?.write(&plane.folder().join(FOLDER))?;
    let values = json!({
        "mode": "block",
        "image": {"repository": format!("registry.example.com/{NAME}"), "tag": "lab", "pullPolicy": "Never"},
        "config": {"policy": {"namespaces": {"ci": "lab/ci"}}},
        "policies": {"ci.yaml": profile(FILES)},
        "nodeSelector": {LABEL: NAME},
    });
    let file = plane.folder().join("values.json");
    fs::write(&file, values.to_string())?;
    let mut helm = plane.client(&tools.helm());
    helm.args(["install", NAME, "--namespace", NAME, "--create-namespace"]);
    helm.arg(deploy::path("chart")).arg("--values").arg(deploy::path("values/old-cluster.yaml"));
    helm.arg("--values").arg(file);
    let said = exec::run(helm, LIMIT)?.expect_code(0)?.stdout;
    ensure!(
        said.contains("weir runs in BLOCK mode") && said.contains("NO ADMISSION POLICY"),
        "{said}"
    );
    Ok(())
}

/// Takes it away again; the API server has nothing of it left.
pub(super) fn uninstall(plane: &ControlPlane, tools: &Tools) -> Result<()> {
    let mut helm = plane.client(&tools.helm());
    helm.args(["uninstall", NAME, "--namespace", NAME]);
    exec::run(helm, LIMIT)?.expect_code(0)?;
    let mut kubectl = plane.client(&tools.kubectl());
    let kinds =
        "daemonsets,configmaps,serviceaccounts,clusterroles,clusterrolebindings,priorityclasses";
    kubectl.args(["get", kinds, "--all-namespaces", "--output", "name"]);
    kubectl.args(["--selector", "app.kubernetes.io/name=weir"]);
    let left = exec::run(kubectl, LIMIT)?.expect_code(0)?.stdout;
    ensure!(left.trim().is_empty(), "left: {left}");
    Ok(())
}

impl Stage<'_> {
    /// All acts with the chart's agent.
    pub(super) fn installed(&self, folder: &Path) -> Result<()> {
        act("the chart's agent gets ready, with no more than it needs", || {
            self.agent_of_chart(folder)
        })?;
        act("the chart's agent enforces a job", || self.job_of_chart())?;
        act("the chart's agent takes up other profiles", || self.other_profiles())?;
        act("an agent that is replaced leaves its jobs enforced", || self.replaced())
    }

    fn agent_of_chart(&self, folder: &Path) -> Result<()> {
        self.node.import_written(&image()?, &folder.join(FOLDER).join("image.tar"))?;
        // As systemd leaves a node's mounts: containerd asks for it where what is mounted later must be seen.
        let mut share = self.node.command("mount");
        share.args(["--make-rshared", "/"]);
        exec::run(share, LIMIT)?.expect_code(0)?;
        Kubelet::lead_to_api_server(self.node)?;
        let labels = json!({"metadata": {"labels": {LABEL: NAME}}});
        self.api.merge(&format!("/api/v1/nodes/{NODE}"), &labels)?;
        self.daemon_set()?
            .until(LIMIT, |set| ready(set) == 1)
            .with_context(|| self.about_agent())?;
        let (uid, container) = self.agent()?;
        let cgroup = format!("kubepods/burstable/pod{uid}/{container}/cgroup.procs");
        let pids = fs::read_to_string(self.node.cgroup_root().join(cgroup))?;
        let pid = pids.lines().next().context("an agent without a process")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        ensure!(CAPABILITIES == NUMBERS.map(|(name, _)| name));
        let mask: u64 = NUMBERS.iter().map(|(_, number)| 1 << number).sum();
        for line in [
            format!("CapEff:\t{mask:016x}"),
            format!("CapBnd:\t{mask:016x}"),
            "NoNewPrivs:\t1".to_owned(),
            "Seccomp:\t2".to_owned(),
        ] {
            ensure!(status.contains(&line), "no `{line}` in\n{status}");
        }
        Ok(())
    }

    /// The pod of this act stays, and goes on trying.
    fn job_of_chart(&self) -> Result<()> {
        let script = format!("{ATTEMPT}; while :; do /bin/flood $0 $1 1; sleep 1; done");
        let mut pod = self.pod("charted", "Always", Some("100s"), &shell(&script));
        let owner = json!([{
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "nightly",
            "uid": "5e9ac2f0-0000-4000-8000-000000000000",
            "controller": true,
        }]);
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.context("a pod without metadata")?.insert("ownerReferences".to_owned(), owner);
        let pod = self.api.create_pod(&pod)?;
        let running = pod.until(LIMIT, |pod| pod.runs(Kind::Ordinary, JOB))?;
        self.enforced(&running)?;
        in_order(&running)?;
        ensure!(running.container(Kind::Init, BARRIER)?.exit_code()? == 0, "{running}");
        // Which the API server alone knows: the agent may ask it for pods.
        self.agent_says(r#""owner":{"kind":"Job","name":"nightly"}"#)
    }

    fn other_profiles(&self) -> Result<()> {
        let map = json!({"data": {"ci.yaml": profile("")}});
        self.api.merge(&format!("/api/v1/namespaces/{NAME}/configmaps/{NAME}-policy"), &map)?;
        // A change of the pod has the kubelet look at its volumes now, not within a minute.
        let look = json!({"metadata": {"annotations": {"example.com/look": "now"}}});
        self.api.merge(&self.agents_path()?, &look)?;
        self.agent_says("the policies were read again")?;
        let pod = self.pod("narrow", "Never", Some("100s"), &shell(ATTEMPT));
        let pod = self.api.create_pod(&pod)?;
        let ended = pod.until(LIMIT, |pod| pod.has_ended(Kind::Ordinary, JOB))?;
        let said = self.log(&ended, Kind::Ordinary, JOB)?;
        all_refused(&said)?;
        ensure!(!said.contains(HELLO), "a name that no profile allows any more: {said}");
        self.silent()
    }

    fn replaced(&self) -> Result<()> {
        let (before, _) = self.agent()?;
        let agents = self.daemon_set()?;
        self.api.delete(&self.agents_path()?)?;
        agents.until(LIMIT, |set| ready(set) == 0)?;
        agents.until(LIMIT, |set| ready(set) == 1).with_context(|| self.about_agent())?;
        ensure!(self.agent()?.0 != before, "the same pod");
        self.agent_says("took_us")?;
        let pods = Agent::pods(self.node)?;
        let enforcing = pods.as_array().into_iter().flatten();
        let enforcing = enforcing.filter(|pod| {
            pod.get("state") == Some(&json!("enforcing"))
                && pod.get("name") == Some(&json!("charted"))
        });
        ensure!(enforcing.count() == 1, "{pods}");
        self.silent()
    }

    fn daemon_set(&self) -> Result<Watch> {
        self.api.watch(&format!("/apis/apps/v1/namespaces/{NAME}/daemonsets"), NAME)
    }

    /// The agent's pod as it is now, the newest where there are two.
    fn agents_pod(&self) -> Result<Value> {
        let list = self.api.get(&format!("/api/v1/namespaces/{NAME}/pods"))?;
        let pods = list.get("items").and_then(Value::as_array).context("no list")?;
        let created =
            |pod: &&Value| pod.pointer("/metadata/creationTimestamp").map(Value::to_string);
        Ok(pods.iter().max_by_key(created).context("no pod of the agent")?.clone())
    }

    fn agents_path(&self) -> Result<String> {
        let pod = self.agents_pod()?;
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).context("no name")?;
        Ok(format!("/api/v1/namespaces/{NAME}/pods/{name}"))
    }

    /// The pod's uid and its container's id.
    fn agent(&self) -> Result<(String, String)> {
        let pod = PodState::new(self.agents_pod()?);
        Ok((pod.uid()?.to_owned(), pod.container(Kind::Ordinary, "agent")?.id()?))
    }

    /// Waits for a line of the agent's log.
    fn agent_says(&self, text: &str) -> Result<()> {
        let pod = PodState::new(self.agents_pod()?);
        let log = self.node.path(pod.container(Kind::Ordinary, "agent")?.log()?);
        let mut tail = Command::new("tail");
        tail.args(["--lines=+1", "--follow=name", "--retry"]).arg(log);
        let tail = exec::spawn(tail)?;
        tail.wait_for_line(LIMIT, |line| line.contains(text)).map(drop)
    }

    /// For messages: the agent's pod, and what it has written.
    fn about_agent(&self) -> String {
        let Ok(pod) = self.agents_pod().map(PodState::new) else { return "no pod".to_owned() };
        let log = pod.container(Kind::Ordinary, "agent").and_then(|agent| agent.log());
        let log = log.and_then(|path| Ok(fs::read_to_string(self.node.path(path))?));
        format!("{pod}\n{}", log.unwrap_or_default())
    }
}

/// How many agents of a `DaemonSet` are ready.
fn ready(set: &Value) -> u64 {
    set.pointer("/status/numberReady").and_then(Value::as_u64).unwrap_or(0)
}

/// Whether the host has installed the chart.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(FOLDER).exists()
}
