//! What containerd stores, in the forms of its releases, and in forms that it should never store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use containerd_client::services::v1::Container as Record;
use serde_json::{Value, json};

use super::*;
use crate::policy::Chain;

const UID: &str = "2c7f6a9e-30b0-4e5c-9a55-5d1d0c7f8a11";

/// 1.6 with the cgroupfs driver: the spec carries little, the metadata all of it.
fn spec_1_6() -> Value {
    json!({
        "ociVersion": "1.0.2-dev",
        "process": { "args": ["/pause"] },
        "annotations": {
            "io.kubernetes.cri.container-type": "sandbox",
            "io.kubernetes.cri.sandbox-id": "5b1a",
        },
        "linux": {
            "cgroupsPath": format!("/kubepods/besteffort/pod{UID}/5b1a"),
            "namespaces": [
                { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "network", "path": "/var/run/netns/cni-11d1" },
            ],
        },
    })
}

fn metadata_1_6() -> Value {
    json!({
        "Version": "v1",
        "Metadata": {
            "ID": "5b1a",
            "Name": "job_ci_2c7f_0",
            "Config": {
                "metadata": { "name": "job", "uid": UID, "namespace": "ci" },
                "hostname": "job",
                "labels": { "app": "build", "io.kubernetes.pod.uid": UID },
                "annotations": { "job.runner.gitlab.com/id": "42" },
                "dns_config": {
                    "servers": ["10.96.0.10"],
                    "searches": ["ci.svc.cluster.local", "svc.cluster.local"],
                    "options": ["ndots:5"],
                },
                "linux": { "cgroup_parent": format!("/kubepods/besteffort/pod{UID}"), "security_context": {} },
            },
            "NetNSPath": "/var/run/netns/cni-11d1",
            "IP": "10.88.0.5",
            "CNIResult": { "Interfaces": {} },
        },
    })
}

/// Below kind's `/kubelet`, with the systemd driver and further keys of later releases.
fn kind_2_x() -> (Value, Value) {
    let uid = UID.replace('-', "_");
    let leaf = format!("kubelet-kubepods-pod{uid}.slice");
    let (mut spec, mut metadata) = (spec_1_6(), metadata_1_6());
    spec["ociVersion"] = json!("1.2.1");
    spec["linux"]["cgroupsPath"] = json!(format!("{leaf}:cri-containerd:5b1a"));
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "cgroup" }));
    let config = &mut metadata["Metadata"]["Config"];
    config["metadata"]["attempt"] = json!(3);
    config["linux"]["cgroup_parent"] =
        json!(format!("/kubelet.slice/kubelet-kubepods.slice/{leaf}"));
    config["linux"]["overhead"] = json!({});
    metadata["Metadata"]["RuntimeHandler"] = json!("runc");
    metadata["Metadata"]["SandboxInfo"] = json!(null);
    (spec, metadata)
}

fn record(spec: &Value, metadata: &Value) -> Record {
    let mut record = Record { id: "5b1a".to_owned(), ..Record::default() };
    record.spec.get_or_insert_default().value = serde_json::to_vec(spec).unwrap();
    let stored = record.extensions.entry("io.cri-containerd.sandbox.metadata".to_owned());
    stored.or_default().value = serde_json::to_vec(metadata).unwrap();
    let created = record.created_at.get_or_insert_default();
    (created.seconds, created.nanos) = (1_700_000_000, 5);
    record
}

fn read(spec: &Value, metadata: &Value) -> Result<Sandbox, SandboxError> {
    Sandbox::read(&record(spec, metadata), 77)
}

#[test]
fn a_sandbox_of_1_6() {
    let labels = [("app", "build"), ("io.kubernetes.pod.uid", UID)];
    let annotations = [("job.runner.gitlab.com/id", "42")];
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let sandbox = read(&spec_1_6(), &metadata_1_6()).unwrap();
    assert_eq!(sandbox.id.as_str(), "5b1a");
    let pod = PodName { namespace: "ci".into(), name: "job".into(), uid: UID.into() };
    assert_eq!((sandbox.pod, sandbox.attempt, sandbox.pid), (pod, 0, 77));
    assert_eq!((sandbox.labels, sandbox.annotations), (owned(&labels), owned(&annotations)));
    assert_eq!(sandbox.cgroup.to_string(), format!("/kubepods/besteffort/pod{UID}"));
    assert_eq!(sandbox.network, Network::Namespace(PathBuf::from("/var/run/netns/cni-11d1")));
    assert_eq!(sandbox.searches, ["ci.svc.cluster.local", "svc.cluster.local"]);
    assert_eq!(sandbox.created, UNIX_EPOCH + Duration::new(1_700_000_000, 5));
}

#[test]
fn a_sandbox_of_2_x_below_a_nested_root() {
    let (spec, metadata) = kind_2_x();
    let sandbox = read(&spec, &metadata).unwrap();
    let uid = UID.replace('-', "_");
    let folder = sandbox.cgroup.below("/sys/fs/cgroup".as_ref());
    let expected = format!(
        "/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid}.slice"
    );
    assert_eq!((folder, sandbox.attempt), (PathBuf::from(expected), 3));
}

#[test]
fn a_sandbox_of_1_7_with_a_user_namespace_has_its_network_where_the_cri_pinned_it() {
    let (mut spec, mut metadata) = (spec_1_6(), metadata_1_6());
    let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.last_mut().unwrap().as_object_mut().unwrap().remove("path");
    namespaces.push(json!({ "type": "user" }));
    let network = |metadata: &Value| read(&spec, metadata).unwrap().network;
    let pinned = PathBuf::from("/var/run/netns/cni-11d1");
    assert_eq!(network(&metadata), Network::Namespace(pinned));
    metadata["Metadata"]["NetNSPath"] = json!("");
    assert_eq!(network(&metadata), Network::Namespace(PathBuf::from("/proc/77/ns/net")));
}

#[test]
fn the_hosts_network() {
    let (mut spec, mut metadata) = (spec_1_6(), metadata_1_6());
    spec["linux"]["namespaces"].as_array_mut().unwrap().pop();
    let error = read(&spec, &metadata).unwrap_err();
    assert!(matches!(error, SandboxError::Network(NetworkError::Disagree(_))), "{error}");
    metadata["Metadata"]["NetNSPath"] = json!("");
    assert_eq!(read(&spec, &metadata).unwrap().network, Network::Host);
    metadata["Metadata"].as_object_mut().unwrap().remove("NetNSPath");
    assert_eq!(read(&spec, &metadata).unwrap().network, Network::Host);
}

#[test]
fn go_writes_empty_maps_as_null_or_not_at_all() {
    let mut metadata = metadata_1_6();
    metadata["Metadata"]["Config"]["labels"] = Value::Null;
    metadata["Metadata"]["Config"].as_object_mut().unwrap().remove("annotations");
    let sandbox = read(&spec_1_6(), &metadata).unwrap();
    assert!(sandbox.labels.is_empty() && sandbox.annotations.is_empty());
}

/// A change of spec or metadata at a JSON pointer, and the error that must come of it.
#[track_caller]
fn refused(in_metadata: bool, pointer: &str, value: &Value, expected: &str) {
    let (mut spec, mut metadata) = (spec_1_6(), metadata_1_6());
    let document = if in_metadata { &mut metadata } else { &mut spec };
    *document.pointer_mut(pointer).unwrap() = value.clone();
    let error = read(&spec, &metadata).unwrap_err();
    let text = Chain(&error).to_string();
    assert!(text.contains(expected), "{pointer} {value}: {text}");
}

#[test]
fn hostile_and_missing_fields_give_errors() {
    refused(true, "/Version", &json!("v2"), "version \"v2\", weir knows `v1`");
    refused(true, "/Metadata/ID", &json!("5b1b"), "that of \"5b1b\"");
    refused(true, "/Metadata/Config", &Value::Null, "reading its CRI metadata");
    refused(true, "/Metadata/Config/metadata/uid", &json!(""), "does not name the pod");
    refused(true, "/Metadata/Config/metadata/name", &json!(7), "expected a string");
    refused(true, "/Metadata/Config/metadata/uid", &json!("other"), "not named after the pod");
    refused(true, "/Metadata/Config/linux", &Value::Null, "gave no cgroup parent");
    refused(true, "/Metadata/Config/linux/cgroup_parent", &json!("/"), "no cgroup's name");
    let other = json!(format!("/kubepods/pod{UID}"));
    refused(true, "/Metadata/Config/linux/cgroup_parent", &other, "the CRI metadata into");
    refused(false, "/linux", &Value::Null, "reading its OCI spec");
    refused(false, "/linux/cgroupsPath", &json!("/../etc/5b1a"), "no cgroup's name");
    refused(false, "/linux/cgroupsPath", &json!(""), "neither the form");
    refused(false, "/linux/namespaces/4/path", &json!("/run/../etc"), "without `..`");
    refused(false, "/linux/namespaces/4/path", &json!("netns"), "not an absolute path");
    refused(false, "/linux/namespaces/3/type", &json!("network"), "lists 2 network namespaces");
}

#[test]
fn what_is_not_stored_is_missing_and_not_guessed() {
    let whole = record(&spec_1_6(), &metadata_1_6());
    let error = |record: &Record| Sandbox::read(record, 77).unwrap_err();
    assert!(matches!(error(&Record { spec: None, ..whole.clone() }), SandboxError::NoSpec));
    let bare = Record { extensions: [].into(), ..whole.clone() };
    assert!(matches!(error(&bare), SandboxError::NoMetadata));
    assert!(matches!(
        error(&Record { id: "../5b1a".into(), ..whole.clone() }),
        SandboxError::Id(_)
    ));
    assert!(matches!(Sandbox::read(&whole, 0), Err(SandboxError::UnknownState)));
    let mut deep = whole.clone();
    deep.spec.get_or_insert_default().value = "[".repeat(1_000_000).into_bytes();
    assert!(matches!(error(&deep), SandboxError::Spec(_)));
    let mut odd = whole;
    odd.created_at.get_or_insert_default().seconds = i64::MIN;
    assert_eq!(Sandbox::read(&odd, 77).unwrap().created, UNIX_EPOCH + Duration::from_nanos(5));
}

#[test]
fn a_container_and_its_sandbox() {
    let (mut spec, metadata) = kind_2_x();
    let cgroups_path = spec["linux"]["cgroupsPath"].as_str().unwrap().replace("5b1a", "c0de");
    spec["linux"]["cgroupsPath"] = json!(cgroups_path);
    spec["annotations"]["io.kubernetes.cri.container-name"] = json!("build");
    let record = |spec: &Value| Record { id: "c0de".into(), ..record(spec, &metadata) };
    let container = Container::read(&record(&spec), 78).unwrap();
    assert_eq!((container.id.as_str(), container.sandbox.as_str()), ("c0de", "5b1a"));
    assert_eq!((container.name.as_str(), container.pid), ("build", 78));
    assert!(container.cgroup.as_path().ends_with("cri-containerd-c0de.scope"));
    spec["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("../..");
    assert!(matches!(Container::read(&record(&spec), 78), Err(ContainerError::Id(_))));
    spec["annotations"] = json!({});
    let error = Container::read(&record(&spec), 78).unwrap_err();
    assert!(matches!(error, ContainerError::NoAnnotation("io.kubernetes.cri.sandbox-id")));
}
