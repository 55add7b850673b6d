//! Job pods before the API server: the admission policy takes those that begin with the barrier, and refuses the rest.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use weir_tests::deploy::{AdmissionPolicy, Chart, Operation, Stage};

const PAUSE: &str = "registry.example.com/pause:3.10";

/// What happens to a good pod on its way.
type Change = fn(&mut Value) -> Result<()>;

/// Sets what is at `path` of `value`, whose parent must be there.
fn set(value: &mut Value, path: &str, to: Value) -> Result<()> {
    let (parent, key) = path.rsplit_once('/').context("no path")?;
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.with_context(|| format!("nothing above {path}"))?.insert(key.to_owned(), to);
    Ok(())
}

/// The list at `path` of `value`.
fn list<'a>(value: &'a mut Value, path: &str) -> Result<&'a mut Vec<Value>> {
    let found = value.pointer_mut(path).and_then(Value::as_array_mut);
    found.with_context(|| format!("no list {path}"))
}

/// Adds to the list at `path` of `value`.
fn add(value: &mut Value, path: &str, one: Value) -> Result<()> {
    list(value, path)?.push(one);
    Ok(())
}

/// Changes nothing.
#[expect(clippy::unnecessary_wraps, reason = "a change that fails nowhere")]
fn nothing(_: &mut Value) -> Result<()> {
    Ok(())
}

/// Changes `pod` and asks the policy; what it says.
fn refusals(policy: &AdmissionPolicy, pod: &Value, change: Change) -> Result<Vec<String>> {
    let mut pod = pod.clone();
    change(&mut pod)?;
    // Still a pod, or the API server would not have come so far.
    let _pod: Pod = serde_json::from_value(pod.clone())?;
    policy.refusals(Operation::Create, &pod, None)
}

/// Exactly one refusal, which says `text`.
fn refused(policy: &AdmissionPolicy, pod: &Value, text: &str, change: Change) -> Result<()> {
    let said = refusals(policy, pod, change)?;
    let [only] = said.as_slice() else { bail!("`{text}` is wanted, but it says {said:?}") };
    ensure!(only.contains(text), "`{text}` is wanted, but it says {only}");
    Ok(())
}

#[test]
fn patched_pods_are_admitted_and_unpatched_ones_are_not() -> Result<()> {
    Stage::with("admission: runner's pods", |stage| {
        let policy = stage.policy(&[])?;
        let with_docker = stage.policy(&["admission.allow.privileged=true"])?;
        for (name, pod) in stage.pods.iter().filter(|(name, _)| name != "pause") {
            let policy = if name == "docker" { &with_docker } else { &policy };
            let patched = stage.patched(name)?;
            let said = policy.refusals(Operation::Create, &patched, None)?;
            ensure!(said.is_empty(), "{name}: {said:?}");
            refused(policy, pod, "the first init container must be weir-initc", nothing)
                .with_context(|| name.clone())?;
        }
        refused(
            &policy,
            &stage.patched("docker")?,
            "privileged containers are not allowed",
            nothing,
        )
    })
}

#[test]
fn the_barrier_must_be_first_and_be_itself() -> Result<()> {
    Stage::with("admission: the barrier", |stage| {
        let policy = stage.policy(&[])?;
        let pod = stage.patched("attach")?;
        let first = "the first init container must be weir-initc with the image";
        let cases: [(&str, Change); 17] = [
            (first, |pod| set(pod, "/spec/initContainers", json!([]))),
            (first, |pod| {
                list(pod, "/spec/initContainers")?.swap(0, 1);
                Ok(())
            }),
            (first, |pod| {
                let other =
                    format!("registry.example.com/weir/weir-initc@sha256:{}", "1".repeat(64));
                set(pod, "/spec/initContainers/0/image", json!(other))
            }),
            (first, |pod| {
                let tag = json!("registry.example.com/weir/weir-initc:0.1.0");
                set(pod, "/spec/initContainers/0/image", tag)
            }),
            (first, |pod| {
                let digest = format!("evil.example.net/weir-initc@sha256:{}", "0".repeat(64));
                set(pod, "/spec/initContainers/0/image", json!(digest))
            }),
            ("leave out command and args", |pod| {
                set(pod, "/spec/initContainers/0/command", json!(["true"]))
            }),
            ("leave out command and args", |pod| {
                set(pod, "/spec/initContainers/0/args", json!(["--help"]))
            }),
            ("leave out restartPolicy and lifecycle", |pod| {
                set(pod, "/spec/initContainers/0/restartPolicy", json!("Always"))
            }),
            ("leave out restartPolicy and lifecycle", |pod| {
                let hook = json!({"postStart": {"exec": {"command": ["/x"]}}});
                set(pod, "/spec/initContainers/0/lifecycle", hook)
            }),
            ("the variables of weir-initc are", |pod| {
                let uid = json!([{"name": "WEIR_POD_UID", "value": "0a1b"}]);
                set(pod, "/spec/initContainers/0/env", uid)
            }),
            ("the variables of weir-initc are", |pod| {
                let label = json!({"fieldRef": {"fieldPath": "metadata.labels['uid']"}});
                let uid = json!([{"name": "WEIR_POD_UID", "valueFrom": label}]);
                set(pod, "/spec/initContainers/0/env", uid)
            }),
            ("the variables of weir-initc are", |pod| {
                add(
                    pod,
                    "/spec/initContainers/0/env",
                    json!({"name": "WEIR_POD_UID", "value": "0a1b"}),
                )
            }),
            ("the variables of weir-initc are", |pod| {
                add(
                    pod,
                    "/spec/initContainers/0/env",
                    json!({"name": "LD_PRELOAD", "value": "/x.so"}),
                )
            }),
            ("the variables of weir-initc are", |pod| {
                set(pod, "/spec/initContainers/0/env", json!([]))
            }),
            ("the variables of weir-initc are", |pod| {
                let from = json!([{"configMapRef": {"name": "theirs"}}]);
                set(pod, "/spec/initContainers/0/envFrom", from)
            }),
            ("weir-initc mounts nothing", |pod| {
                let mount = json!([{"name": "repo", "mountPath": "/etc"}]);
                set(pod, "/spec/initContainers/0/volumeMounts", mount)
            }),
            ("weir-initc mounts nothing", |pod| {
                let mount = json!([{"name": "repo", "mountPath": "/var/run/secret"}]);
                set(pod, "/spec/initContainers/0/volumeMounts", mount)
            }),
        ];
        for (number, (text, change)) in cases.into_iter().enumerate() {
            refused(&policy, &pod, text, change).with_context(|| format!("case {number}"))?;
        }
        Ok(())
    })
}

#[test]
fn what_the_cluster_adds_to_every_container_is_admitted() -> Result<()> {
    Stage::with("admission: additions", |stage| {
        let pod = stage.patched("attach")?;
        let token: Change = |pod| {
            let path = "/var/run/secrets/kubernetes.io/serviceaccount";
            let mount =
                json!([{"name": "kube-api-access-x1", "mountPath": path, "readOnly": true}]);
            set(pod, "/spec/initContainers/0/volumeMounts", mount)
        };
        ensure!(refusals(&stage.policy(&[])?, &pod, token)?.is_empty());
        let role: Change = |pod| {
            add(
                pod,
                "/spec/initContainers/0/env",
                json!({"name": "AWS_ROLE_ARN", "value": "arn:x"}),
            )
        };
        refused(&stage.policy(&[])?, &pod, "the variables of weir-initc are", role)?;
        let told = stage.policy(&[r#"admission.barrierEnv=["AWS_ROLE_ARN"]"#])?;
        ensure!(refusals(&told, &pod, role)?.is_empty());
        Ok(())
    })
}

#[test]
fn privileges_of_a_job_need_leave() -> Result<()> {
    Stage::with("admission: privileges", |stage| {
        let pod = stage.patched("attach")?;
        let host = "hostNetwork, hostPID and hostIPC are not allowed";
        let privileged = "privileged containers are not allowed";
        let cases: [(&str, Change); 5] = [
            (host, |pod| set(pod, "/spec/hostNetwork", json!(true))),
            (host, |pod| set(pod, "/spec/hostPID", json!(true))),
            (host, |pod| set(pod, "/spec/hostIPC", json!(true))),
            (privileged, |pod| {
                set(pod, "/spec/containers/2/securityContext", json!({"privileged": true}))
            }),
            (privileged, |pod| {
                set(pod, "/spec/initContainers/1/securityContext", json!({"privileged": true}))
            }),
        ];
        let strict = stage.policy(&[])?;
        let leave = [r#"admission.allow={"privileged":true,"hostNamespaces":true}"#];
        let lenient = stage.policy(&leave)?;
        for (text, change) in cases {
            refused(&strict, &pod, text, change)?;
            let said = refusals(&lenient, &pod, change)?;
            ensure!(said.is_empty(), "{said:?}");
        }
        let plain: Change = |pod| {
            set(pod, "/spec/hostNetwork", json!(false))?;
            set(pod, "/spec/containers/0/securityContext", json!({"privileged": false}))
        };
        ensure!(refusals(&strict, &pod, plain)?.is_empty());
        Ok(())
    })
}

#[test]
fn a_pod_that_runs_cannot_be_changed_past_the_policy() -> Result<()> {
    Stage::with("admission: changes", |stage| {
        let strict = stage.policy(&[])?;
        let lenient = stage.policy(&["admission.allow.ephemeralContainers=true"])?;
        let pod = stage.patched("attach")?;
        let update =
            |policy: &AdmissionPolicy, old: &Value, change: Change| -> Result<Vec<String>> {
                let mut pod = old.clone();
                change(&mut pod)?;
                policy.refusals(Operation::Update, &pod, Some(old))
            };
        let image: Change =
            |pod| set(pod, "/spec/initContainers/0/image", json!("registry.example.com/true:1"));
        let said = update(&strict, &pod, image)?;
        ensure!(said.len() == 1 && said[0].contains("cannot be changed"), "{said:?}");
        let label: Change = |pod| set(pod, "/metadata/labels/new", json!("1"));
        ensure!(update(&strict, &pod, label)?.is_empty());
        // One from before the policy can still be labelled and finished.
        ensure!(update(&strict, stage.pod("exec")?, label)?.is_empty());

        let debug: Change = |pod| {
            let container = json!([{"name": "debugger", "image": "registry.example.com/sh:1"}]);
            set(pod, "/spec/ephemeralContainers", container)
        };
        let said = update(&strict, &pod, debug)?;
        ensure!(said.len() == 1 && said[0].contains("ephemeral containers"), "{said:?}");
        ensure!(update(&lenient, &pod, debug)?.is_empty());
        let mut debugged = pod.clone();
        debug(&mut debugged)?;
        ensure!(update(&strict, &debugged, label)?.is_empty());
        let privileged: Change = |pod| {
            let all = json!([{"name": "debugger", "image": "registry.example.com/sh:1",
                "securityContext": {"privileged": true}}]);
            set(pod, "/spec/ephemeralContainers", all)
        };
        let said = update(&lenient, &pod, privileged)?;
        ensure!(said.len() == 1 && said[0].contains("privileged"), "{said:?}");
        Ok(())
    })
}

#[test]
fn a_pause_pod_needs_no_barrier_and_can_do_nothing() -> Result<()> {
    Stage::with("admission: pause pods", |stage| {
        let first = "the first init container must be weir-initc";
        let pod = stage.pod("pause")?;
        refused(&stage.policy(&[])?, pod, first, nothing)?;
        let policy = stage.policy(&[&format!("admission.pauseImages=[\"{PAUSE}\"]")])?;
        ensure!(refusals(&policy, pod, nothing)?.is_empty());
        let cases: [Change; 6] = [
            |pod| set(pod, "/metadata/labels", json!({"pause-pod": "true"})),
            |pod| set(pod, "/spec/containers/0/image", json!("registry.example.com/node:22")),
            |pod| set(pod, "/spec/containers/0/command", json!(["/pause"])),
            |pod| set(pod, "/spec/containers/0/args", json!(["-v"])),
            |pod| {
                add(
                    pod,
                    "/spec/containers",
                    json!({"name": "job", "image": "registry.example.com/node:22"}),
                )
            },
            |pod| {
                let job = json!([{"name": "job", "image": "registry.example.com/node:22"}]);
                set(pod, "/spec/initContainers", job)
            },
        ];
        for (number, change) in cases.into_iter().enumerate() {
            refused(&policy, pod, first, change).with_context(|| format!("case {number}"))?;
        }
        // A job's pod with the label is a job's pod.
        let mut job = stage.pod("attach")?.clone();
        let labels = job.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
        let labels = labels.context("no labels")?;
        labels.insert("runner.gitlab.com/pause-pod".to_owned(), json!("true"));
        refused(&policy, &job, first, nothing)
    })
}

#[test]
fn the_policy_is_bound_to_the_jobs_namespaces_and_to_the_runners_pods() -> Result<()> {
    Stage::with("admission: bindings", |stage| {
        let rendered = Chart::new(&stage.tools).file("block").render()?;
        let policy = rendered.the("ValidatingAdmissionPolicy")?;
        ensure!(policy.pointer("/spec/failurePolicy") == Some(&json!("Fail")), "{policy}");
        let resources = json!([
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                "operations": ["CREATE", "UPDATE"]},
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/ephemeralcontainers"],
                "operations": ["UPDATE"]},
        ]);
        let rules = policy.pointer("/spec/matchConstraints/resourceRules");
        ensure!(rules == Some(&resources), "{rules:?}");
        let matches = |name: &str| -> Result<Value> {
            let binding = rendered.named("ValidatingAdmissionPolicyBinding", name)?;
            ensure!(binding.pointer("/spec/policyName") == policy.pointer("/metadata/name"));
            ensure!(binding.pointer("/spec/validationActions") == Some(&json!(["Deny"])));
            Ok(binding.pointer("/spec/matchResources").cloned().unwrap_or_default())
        };
        let namespaces = json!({"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["ci", "deploy"]},
        ]}});
        ensure!(matches("weir-barrier-namespaces")? == namespaces);
        let label = "job.runner.gitlab.com/pod";
        let pods =
            json!({"objectSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]}});
        ensure!(matches("weir-barrier-runner-pods")? == pods);
        ensure!(
            stage
                .pod("attach")?
                .pointer("/metadata/labels")
                .is_some_and(|all| all.get(label).is_some())
        );
        Ok(())
    })
}
