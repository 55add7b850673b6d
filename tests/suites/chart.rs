//! The Helm chart: what it renders for each documented set of values, and what it refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_tests::deploy::{self, CAPABILITIES, Chart, Manifests, Tools};
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::skip::{self, Skip};
use weir_tests::weir;

/// The documented sets of values: which files of `deploy/values` go together, and on which Kubernetes.
const SETS: [(&[&str], &[&str]); 5] = [
    (&["audit"], &["1.30.0", "1.35.0"]),
    (&["block"], &["1.30.0", "1.35.0"]),
    (&["block", "docker-in-docker"], &["1.30.0", "1.35.0"]),
    (&["audit", "old-cluster"], &["1.20.0", "1.29.9"]),
    (&["block", "old-cluster"], &["1.20.0", "1.29.9", "1.35.0"]),
];

fn chart<'t>(tools: &'t Tools, files: &[&str]) -> Chart<'t> {
    files.iter().fold(Chart::new(tools), |chart, file| chart.file(file))
}

/// Runs `case` with Helm, where there is one.
fn with_helm(name: &str, case: impl FnOnce(&Tools) -> Result<()>) -> Result<()> {
    match Tools::find()? {
        Some(tools) => case(&tools),
        None => skip::record(name, Skip::NoHelm),
    }
}

/// Reads `object` as a `T` and compares it with what a `T` can say: a key that is misspelt or in the wrong place is lost
/// on the way.
fn is_a<T: DeserializeOwned + Serialize>(object: &Value) -> Result<()> {
    let typed: T = serde_json::from_value(object.clone()).with_context(|| object.to_string())?;
    let (again, object) = (pruned(serde_json::to_value(typed)?), pruned(object.clone()));
    ensure!(again == object, "read as its type, it is\n{again}\nand was\n{object}");
    Ok(())
}

/// `value` without what is empty or null, which types may leave out or add.
fn pruned(value: Value) -> Value {
    let is_kept =
        |value: &Value| !matches!(value, Value::Null) && value != &json!({}) && value != &json!([]);
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, pruned(value)));
            fields.filter(|(_, value)| is_kept(value)).collect()
        }
        Value::Array(items) => items.into_iter().map(pruned).collect(),
        other => other,
    }
}

fn is_typed(object: &Value) -> Result<()> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "ConfigMap") => is_a::<ConfigMap>(object),
        ("v1", "ServiceAccount") => is_a::<ServiceAccount>(object),
        ("apps/v1", "DaemonSet") => is_a::<DaemonSet>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => is_a::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            is_a::<ClusterRoleBinding>(object)
        }
        ("scheduling.k8s.io/v1", "PriorityClass") => is_a::<PriorityClass>(object),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            is_a::<ValidatingAdmissionPolicy>(object)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            is_a::<ValidatingAdmissionPolicyBinding>(object)
        }
        // The operator's own types.
        ("monitoring.coreos.com/v1", "PodMonitor") => {
            ensure!(object.pointer("/spec/podMetricsEndpoints/0/port") == Some(&json!("http")));
            ensure!(object.pointer("/spec/podMetricsEndpoints/0/path") == Some(&json!("/metrics")));
            Ok(())
        }
        ("monitoring.coreos.com/v1", "PrometheusRule") => {
            let rules = object.pointer("/spec/groups/0/rules").and_then(Value::as_array);
            ensure!(rules.is_some_and(|rules| !rules.is_empty()), "no rules in {object}");
            Ok(())
        }
        (version, kind) => bail!("nobody knows {version} {kind}"),
    }
}

#[test]
fn each_documented_set_of_values_renders_as_objects_of_kubernetes() -> Result<()> {
    with_helm("chart: rendering", |tools| {
        for (files, clusters) in SETS {
            let lint = chart(tools, files).on(clusters[0]).lint()?;
            ensure!(lint.code == 0, "{files:?}: {}", lint.describe());
            for cluster in clusters {
                let rendered = chart(tools, files).on(cluster).render()?;
                for object in &rendered.objects {
                    is_typed(object).with_context(|| format!("{files:?} on {cluster}"))?;
                }
                let admission = rendered.of_kind("ValidatingAdmissionPolicyBinding").count();
                ensure!(admission == if files.contains(&"old-cluster") { 0 } else { 2 });
            }
        }
        Ok(())
    })
}

#[test]
fn every_file_of_values_is_tried() -> Result<()> {
    let tried: BTreeSet<String> =
        SETS.iter().flat_map(|(files, _)| *files).map(|&name| name.to_owned()).collect();
    let mut there = BTreeSet::new();
    for entry in deploy::path("values").read_dir()? {
        let path = entry?.path();
        there.insert(path.file_stem().context("no name")?.to_string_lossy().into_owned());
    }
    ensure!(tried == there, "tried {tried:?}, there are {there:?}");
    Ok(())
}

#[test]
fn values_that_cannot_be_meant_are_refused() -> Result<()> {
    with_helm("chart: refusals", |tools| {
        let bare = Chart::new(tools).refusal()?;
        ensure!(bare.contains("mode") && bare.contains("barrier"), "{bare}");
        let refused: [(&str, &str); 27] = [
            (r#"mode="Block""#, "/mode"),
            (r#"modes="block""#, "modes"),
            (r#"barrier.image="registry.example.com/weir/weir-initc:1""#, "/barrier/image"),
            (r#"barrier.image="""#, "/barrier/image"),
            (r#"image.digest="sha256:1234""#, "/image/digest"),
            (r#"image.pullPolicy="Sometimes""#, "/image/pullPolicy"),
            (r#"config.policy.dir="/elsewhere""#, "dir"),
            (r#"config.policy.mode="audit""#, "mode"),
            (r#"config.policy.namespaces={"Ci":"a"}"#, "'Ci'"),
            (r#"config.select.namespaces=["ci","ci"]"#, "/config/select/namespaces"),
            ("config.selct={}", "selct"),
            ("config.limits.podSlots=257", "/config/limits/podSlots"),
            (r#"config.limits.podSlots="many""#, "/config/limits/podSlots"),
            (r#"config.bpffs="/run/weir/bpf""#, "/config/bpffs"),
            (r#"config.http="9411""#, "/config/http"),
            // Prometheus would not reach it.
            (r#"config.http="127.0.0.1:9411""#, "/config/http"),
            (r#"config.events.file="events.jsonl""#, "/config/events/file"),
            // Their folders are mounted.
            (r#"config.events.file="/events.jsonl""#, "/config/events/file"),
            (r#"config.containerd.socket="/containerd.sock""#, "/config/containerd/socket"),
            (r#"policies={"a.yml":"text"}"#, "'a.yml'"),
            (r#"policies={"a.yaml":{"kind":"EgressProfile"}}"#, "/policies/a.yaml"),
            (r#"admission.actions=["Refuse"]"#, "/admission/actions"),
            (r#"admission.barrierEnv=["WEIR_POD_UID"]"#, "/admission/barrierEnv"),
            (r#"addCapabilities=["SYS_MODULE"]"#, "/addCapabilities"),
            ("maxUnavailable=0", "/maxUnavailable"),
            // Kubernetes keeps these names to itself.
            ("priorityClass.create=true", "/priorityClass/name"),
            (r#"securityContext={"privileged":true}"#, "securityContext"),
        ];
        for (assignment, place) in refused {
            let said = Chart::new(tools).file("audit").value(assignment).refusal()?;
            ensure!(said.contains(place), "{assignment}: no word of {place} in\n{said}");
        }
        let old = Chart::new(tools).file("audit").on("1.29.9").refusal()?;
        ensure!(old.contains("needs Kubernetes 1.30") && old.contains("1.29.9"), "{old}");
        let older = chart(tools, &["audit", "old-cluster"]).on("1.19.0").refusal()?;
        ensure!(older.contains("kubeVersion"), "{older}");
        Ok(())
    })
}

/// The configuration that is rendered for the agent.
fn configuration(rendered: &Manifests) -> Result<&str> {
    let map = rendered.named("ConfigMap", "weir-config")?;
    map.pointer("/data/config.yaml").and_then(Value::as_str).context("no configuration")
}

/// Lets the agent check what it would find in its pod.
fn check(rendered: &Manifests, folder: &Path) -> Result<String> {
    let policy = folder.join("policy");
    fs::create_dir_all(&policy)?;
    let profiles = rendered.named("ConfigMap", "weir-policy")?.get("data");
    for (file, text) in profiles.and_then(Value::as_object).into_iter().flatten() {
        fs::write(policy.join(file), text.as_str().context("a profile that is no text")?)?;
    }
    let place = policy.to_string_lossy().into_owned();
    let text = configuration(rendered)?.replace("/etc/weir/policy", &place);
    ensure!(text.contains(&place), "the policies are elsewhere: {text}");
    let config = folder.join("config.yaml");
    fs::write(&config, text)?;
    let mut agent = Command::new(weir::binary()?);
    agent.args(["agent", "--check-config", "--config"]).arg(config);
    Ok(exec::run(agent, DEFAULT_LIMIT)?.expect_code(0)?.stdout)
}

#[test]
fn the_agent_accepts_what_the_chart_writes_for_it() -> Result<()> {
    with_helm("chart: configuration", |tools| {
        for (files, clusters) in SETS {
            let folder = tempfile::tempdir()?;
            let said = check(&chart(tools, files).on(clusters[0]).render()?, folder.path())?;
            // Besides the built-in one.
            let profiles = if files.contains(&"block") { 3 } else { 1 };
            ensure!(said.contains(&format!("profiles: {profiles},")), "{files:?}: {said}");
        }
        let all = chart(tools, &["block"])
            .value(r#"config.events={"stdout":false,"file":"/var/log/weir/events.jsonl","fileKeep":1,"fileMebibytes":1}"#)
            .value(r#"config.events.otlp="https://collector.example.com:4317""#)
            .value(r#"config.jobPage.help="Ask in #builds.\nWith a link: yes""#)
            .value("config.kubernetes.enabled=false")
            .value(r#"config.limits={"entriesPerPod":1048576,"podSlots":2}"#)
            .value(r#"config.select={"namespaces":[],"podLabels":{"a.example.com/b":"yes","c":""}}"#)
            .value(r#"config.dns={"upstreams":["192.0.2.1","[2001:db8::1]:5353"],"cacheEntries":16777216}"#)
            .value(r#"config.http="[::]:9411""#)
            .value(r#"policies.text\.yaml="apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: text }\nspec: {}\n""#)
            .render()?;
        let folder = tempfile::tempdir()?;
        let said = check(&all, folder.path())?;
        ensure!(said.contains("profiles: 4,"), "{said}");
        ensure!(configuration(&all)?.contains("file: /var/log/weir/events.jsonl"));
        Ok(())
    })
}

/// Every key of the agent's configuration, those in sections with the section's name in front.
fn keys_of_the_agent() -> Result<BTreeSet<String>> {
    let mut print = Command::new(weir::binary()?);
    print.args(["agent", "--print-config"]);
    let printed = exec::run(print, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
    let mut keys = BTreeSet::new();
    let mut section = "";
    for line in printed.lines() {
        let (key, rest) = line.split_once(':').context("a line without a key")?;
        match key.strip_prefix("  ") {
            Some(inner) => keys.insert(format!("{section}.{inner}")),
            None if rest.is_empty() => {
                section = key;
                continue;
            }
            None => keys.insert(key.to_owned()),
        };
    }
    Ok(keys)
}

/// The keys below `config` in the schema, written like those of the agent.
fn keys_of_the_schema() -> Result<BTreeSet<String>> {
    let schema: Value = serde_json::from_str(&deploy::text("chart/values.schema.json")?)?;
    let config = schema.pointer("/properties/config/properties").and_then(Value::as_object);
    let mut keys = BTreeSet::new();
    for (key, value) in config.context("no config in the schema")? {
        match value.get("properties").and_then(Value::as_object) {
            Some(inner) => keys.extend(inner.keys().map(|inner| format!("{key}.{inner}"))),
            None => drop(keys.insert(key.clone())),
        }
    }
    Ok(keys)
}

#[test]
fn each_key_of_the_agent_is_a_value_or_the_charts_own() -> Result<()> {
    let own =
        ["cgroupRoot", "control", "kubernetes.kubeconfig", "node", "policy.dir", "policy.mode"];
    let own = own.map(str::to_owned);
    let mut expected = keys_of_the_agent()?;
    for key in &own {
        ensure!(expected.remove(key), "the agent knows no {key}");
    }
    let values = keys_of_the_schema()?;
    ensure!(values == expected, "values {values:?}\nagent {expected:?}");
    Ok(())
}

#[test]
fn the_switch_between_audit_and_block_is_the_nodes() -> Result<()> {
    with_helm("chart: mode", |tools| {
        for (file, mode) in [("audit", "audit"), ("block", "profiles")] {
            let rendered = Chart::new(tools).file(file).render()?;
            ensure!(configuration(&rendered)?.contains(&format!("  mode: {mode}\n")), "{file}");
        }
        Ok(())
    })
}

/// The pod of the agents.
fn pod_of(rendered: &Manifests) -> Result<&Value> {
    rendered.the("DaemonSet")?.pointer("/spec/template").context("a DaemonSet without a pod")
}

#[test]
fn the_agent_has_exactly_the_documented_privileges() -> Result<()> {
    with_helm("chart: privileges", |tools| {
        let guide = deploy::text("README.md")?;
        let rendered = Chart::new(tools).file("block").render()?;
        let pod = pod_of(&rendered)?;
        let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
        let context = json!({
            "runAsUser": 0,
            "runAsGroup": 0,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
            "seccompProfile": {"type": "RuntimeDefault"},
            "appArmorProfile": {"type": "Unconfined"},
        });
        ensure!(at("/spec/containers/0/securityContext") == context, "{pod}");
        ensure!(at("/spec/containers/1").is_null() && at("/spec/initContainers").is_null());

        let more = r#"addCapabilities=["SYS_PTRACE","SYS_RESOURCE"]"#;
        let rendered_with_more = Chart::new(tools).file("block").value(more).render()?;
        let added = pod_of(&rendered_with_more)?
            .pointer("/spec/containers/0/securityContext/capabilities/add")
            .and_then(Value::as_array)
            .context("no capabilities")?;
        ensure!(added.len() == CAPABILITIES.len() + 2, "{added:?}");
        for capability in added.iter().filter_map(Value::as_str) {
            ensure!(
                guide.contains(&format!("| `{capability}` |")),
                "{capability} is not explained"
            );
        }

        let volumes = at("/spec/volumes");
        let mounts = at("/spec/containers/0/volumeMounts");
        let mut seen = BTreeSet::new();
        for volume in volumes.as_array().context("no volumes")? {
            let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) else {
                continue;
            };
            let mount = mounts.as_array().into_iter().flatten();
            let mut mount = mount.filter(|mount| mount.get("name") == volume.get("name"));
            let read_only = mount.all(|mount| mount.get("readOnly") == Some(&json!(true)));
            ensure!(guide.contains(&format!("| `{path}` |")), "{path} is not explained");
            seen.insert((path.to_owned(), read_only));
        }
        let documented = [
            ("/run/containerd", true),
            ("/run/netns", true),
            ("/run/weir", false),
            ("/sys/fs/bpf", false),
            ("/sys/fs/cgroup", true),
        ];
        ensure!(seen == documented.map(|(path, ro)| (path.to_owned(), ro)).into(), "{seen:?}");
        Ok(())
    })
}

#[test]
fn the_agent_may_look_at_pods_and_nothing_else() -> Result<()> {
    with_helm("chart: rights", |tools| {
        let rendered = Chart::new(tools).file("block").render()?;
        let rules = rendered.the("ClusterRole")?.get("rules").cloned();
        let expected =
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]);
        ensure!(rules == Some(expected), "{rules:?}");
        let binding = rendered.the("ClusterRoleBinding")?;
        let subject = json!([{"kind": "ServiceAccount", "name": "weir", "namespace": "weir"}]);
        ensure!(binding.get("subjects") == Some(&subject), "{binding}");
        ensure!(rendered.of_kind("Role").count() + rendered.of_kind("RoleBinding").count() == 0);
        Ok(())
    })
}

#[test]
fn only_the_configuration_restarts_agents() -> Result<()> {
    with_helm("chart: restarts", |tools| {
        let template =
            |chart: Chart<'_>| -> Result<Value> { Ok(pod_of(&chart.render()?)?.clone()) };
        let block = || Chart::new(tools).file("block");
        let before = template(block())?;
        let other = r#"policies.deploy\.yaml.spec={"allow":[]}"#;
        ensure!(template(block().value(other))? == before, "a profile restarts the agents");
        for value in [r#"mode="audit""#, "config.hardBlocks.dot=false"] {
            ensure!(template(block().value(value))? != before, "{value} does not");
        }
        Ok(())
    })
}

#[test]
fn the_probes_ask_where_the_agent_listens() -> Result<()> {
    with_helm("chart: probes", |tools| {
        let listens = [
            ("0.0.0.0:9411", "127.0.0.1", 9411),
            ("[::]:9500", "::1", 9500),
            ("192.0.2.7:80", "192.0.2.7", 80),
            ("[2001:db8::7]:80", "2001:db8::7", 80),
        ];
        for (address, host, port) in listens {
            let chart = Chart::new(tools).file("audit");
            let rendered = chart.value(&format!("config.http=\"{address}\"")).render()?;
            let pod = pod_of(&rendered)?;
            let agent = pod.pointer("/spec/containers/0").context("no container")?;
            ensure!(agent.pointer("/ports/0/containerPort") == Some(&json!(port)), "{agent}");
            for (probe, path) in [
                ("startupProbe", "/healthz"),
                ("livenessProbe", "/healthz"),
                ("readinessProbe", "/readyz"),
            ] {
                let get = agent.pointer(&format!("/{probe}/httpGet"));
                let expected = json!({"host": host, "path": path, "port": "http"});
                ensure!(get == Some(&expected), "{probe}: {get:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn apparmor_is_told_in_the_words_of_the_cluster() -> Result<()> {
    with_helm("chart: AppArmor", |tools| {
        let told = |cluster: &str| -> Result<(bool, bool)> {
            let rendered = chart(tools, &["block", "old-cluster"]).on(cluster).render()?;
            let pod = pod_of(&rendered)?;
            let key = "container.apparmor.security.beta.kubernetes.io/agent";
            let annotation = pod.pointer("/metadata/annotations").and_then(|all| all.get(key));
            let field = pod.pointer("/spec/containers/0/securityContext/appArmorProfile");
            Ok((annotation == Some(&json!("unconfined")), field.is_some()))
        };
        ensure!(told("1.29.9")? == (true, false) && told("1.30.0")? == (false, true));
        // As clusters of some clouds call themselves.
        ensure!(told("v1.29.4-gke.1043002")? == (true, false));
        ensure!(told("v1.30.1-eks-0a1b2c3")? == (false, true));
        Ok(())
    })
}

#[test]
fn the_chart_is_of_this_release() -> Result<()> {
    let chart = deploy::text("chart/Chart.yaml")?;
    for key in ["version", "appVersion"] {
        let line = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
        ensure!(chart.contains(&line), "{key} is not {}", env!("CARGO_PKG_VERSION"));
    }
    Ok(())
}
