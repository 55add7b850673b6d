//! Paths of both drivers, and paths that no kubelet writes.

use super::*;

const ID: &str = "0f3c";
const UID: &str = "8a0e-12";

#[track_caller]
fn check(cgroups_path: &str, parent: &str, expected: &str) {
    let found = CgroupPath::of_pod(cgroups_path, ID, parent, UID);
    assert_eq!(found.as_ref().map(CgroupPath::as_path), Ok(Path::new(expected)), "{cgroups_path}");
}

#[track_caller]
fn refuse(cgroups_path: &str, parent: &str) -> CgroupPathError {
    CgroupPath::of_pod(cgroups_path, ID, parent, UID).unwrap_err()
}

#[test]
fn cgroupfs_paths_of_every_class() {
    for class in ["", "burstable/", "besteffort/"] {
        let pod = format!("kubepods/{class}pod8a0e-12");
        check(&format!("/{pod}/{ID}"), &format!("/{pod}"), &pod);
    }
    check(
        &format!("/kubelet/kubepods/pod{UID}/{ID}"),
        &format!("/kubelet/kubepods/pod{UID}"),
        "kubelet/kubepods/pod8a0e-12",
    );
}

#[test]
fn slices_are_expanded_dash_by_dash() {
    let name = "kubepods-pod8a0e_12.slice";
    let path = "kubepods.slice/kubepods-pod8a0e_12.slice";
    check(&format!("{name}:cri-containerd:{ID}"), &format!("/{path}"), path);
    // The kubelet may name the last slice alone.
    check(&format!("{name}:cri-containerd:{ID}"), name, path);
    let kind = "kubelet-kubepods-besteffort-pod8a0e_12.slice";
    let path = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod8a0e_12.slice";
    check(&format!("{kind}:cri-containerd:{ID}"), &format!("/{path}"), path);
}

#[test]
fn a_pod_without_a_cgroup_of_its_own_is_refused() {
    // What containerd and the kubelet write with cgroupsPerQOS off.
    assert_eq!(refuse("/k8s.io/0f3c", ""), CgroupPathError::NoParent);
    assert!(matches!(refuse("/0f3c", "/"), CgroupPathError::Form(_) | CgroupPathError::Part(_)));
    for shared in
        ["/kubepods", "/kubepods/pod8a0e-123", "/kubepods/xpod8a0e-12", "/kubepods/pod8a0e_12"]
    {
        let error = refuse(&format!("{shared}/{ID}"), shared);
        assert!(matches!(error, CgroupPathError::NotThePods { .. }), "{shared}: {error}");
    }
    for shared in ["kubepods.slice", "kubepods-pod8a0e.slice", "kubepods-pod8a0e_1.slice"] {
        let error = refuse(&format!("{shared}:cri-containerd:{ID}"), shared);
        assert!(matches!(error, CgroupPathError::NotThePods { .. }), "{shared}: {error}");
    }
    assert!(CgroupPath::of_pod("/kubepods/pod/0f3c", ID, "/kubepods/pod", "").is_err());
}

#[test]
fn the_spec_and_the_kubelet_must_agree() {
    let disagree = |path: &str, parent: &str| {
        let error = refuse(path, parent);
        assert!(matches!(error, CgroupPathError::Disagree { .. }), "{path} {parent}: {error}");
    };
    disagree("/kubepods/pod8a0e-12/0f3c", "/kubepods/besteffort/pod8a0e-12");
    disagree("kubepods-pod8a0e_12.slice:cri-containerd:0f3c", "/kubepods-pod8a0e_12.slice");
    disagree(
        "kubepods-pod8a0e_12.slice:cri-containerd:0f3c",
        "kubepods-besteffort-pod8a0e_12.slice",
    );
}

#[test]
fn hostile_paths_are_refused() {
    for path in [
        "",
        "0f3c",
        "/",
        "//0f3c",
        "/a/../0f3c",
        "/./0f3c",
        "/a//0f3c",
        "a/b/0f3c",
        "/a\0b/0f3c",
        "/a\n/0f3c",
        "a.slice:0f3c",
        "a.slice:b:c:0f3c",
        "a:cri-containerd:0f3c",
        "-.slice:cri-containerd:0f3c",
        ".slice:cri-containerd:0f3c",
        "a--b.slice:cri-containerd:0f3c",
        "-a.slice:cri-containerd:0f3c",
        "a-.slice:cri-containerd:0f3c",
        "../a.slice:cri-containerd:0f3c",
        "a.slice:..:0f3c",
        "a.slice::0f3c",
        "a.slice:x/y:0f3c",
        "/a/other",
        "a.slice:cri-containerd:other",
    ] {
        assert!(CgroupPath::of_container(path, ID).is_err(), "{path:?}");
        assert!(CgroupPath::of_pod(path, ID, "/a", UID).is_err(), "{path:?}");
    }
}

#[test]
fn a_containers_own_cgroup() {
    let check = |path: &str, expected: &str| {
        assert_eq!(CgroupPath::of_container(path, ID).unwrap().as_path(), Path::new(expected));
    };
    check("/kubepods/pod1/0f3c", "kubepods/pod1/0f3c");
    check("a-pod1.slice:cri-containerd:0f3c", "a.slice/a-pod1.slice/cri-containerd-0f3c.scope");
}
