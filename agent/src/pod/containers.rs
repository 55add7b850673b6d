//! Which of a pod's containers a process was in: the runtime tells names and cgroups, the kernel the ids of cgroups.
//!
//! A container is told before anything of it runs, so that its first packet is named; its cgroup is looked at when
//! that is first asked for, because the runtime makes it in between.

use std::{
    collections::VecDeque, fs, num::NonZeroU64, os::unix::fs::MetadataExt as _, path::PathBuf,
    sync::Mutex,
};

use super::lock;

/// Containers that one pod remembers, ended ones included; the oldest are forgotten first.
const CONTAINERS: usize = 128;

/// The containers of one pod.
#[derive(Debug, Default)]
pub struct Containers(Mutex<VecDeque<Container>>);

#[derive(Debug)]
struct Container {
    name: String,
    cgroup: PathBuf,
    /// Of its cgroup, once that has been there.
    id: Option<NonZeroU64>,
}

impl Containers {
    /// Remembers a container by the folder of its cgroup; one that is known is looked at again.
    pub fn add(&self, name: &str, cgroup: PathBuf) {
        let mut containers = lock(&self.0);
        if let Some(known) = containers.iter_mut().find(|known| known.cgroup == cgroup) {
            known.look();
            return;
        }
        if containers.len() >= CONTAINERS {
            containers.pop_front();
        }
        let mut container = Container { name: name.to_owned(), cgroup, id: None };
        container.look();
        containers.push_back(container);
    }

    /// The name of the container whose cgroup has this id.
    pub(super) fn name(&self, id: NonZeroU64) -> Option<String> {
        let mut containers = lock(&self.0);
        let known = containers.iter().find(|container| container.id == Some(id));
        if let Some(known) = known {
            return Some(known.name.clone());
        }
        containers.iter_mut().for_each(Container::look);
        let found = containers.iter().find(|container| container.id == Some(id));
        found.map(|container| container.name.clone())
    }
}

impl Container {
    /// The inode of a cgroup's folder is its id, and no other cgroup ever has the same.
    fn look(&mut self) {
        if self.id.is_none() {
            let inode = fs::metadata(&self.cgroup).map(|folder| folder.ino());
            self.id = inode.ok().and_then(NonZeroU64::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn id(path: &Path) -> NonZeroU64 {
        NonZeroU64::new(fs::metadata(path).unwrap().ino()).unwrap()
    }

    #[test]
    fn a_container_is_named_though_its_cgroup_comes_after_it_and_goes_before() {
        let folder = tempfile::tempdir().unwrap();
        let (build, helper) = (folder.path().join("build"), folder.path().join("helper"));
        let containers = Containers::default();
        containers.add("build", build.clone());
        containers.add("helper", helper.clone());
        fs::create_dir(&build).unwrap();
        fs::create_dir(&helper).unwrap();
        let (build_id, helper_id) = (id(&build), id(&helper));
        assert_eq!(containers.name(build_id).as_deref(), Some("build"));
        fs::remove_dir(&build).unwrap();
        fs::remove_dir(&helper).unwrap();
        assert_eq!(containers.name(build_id).as_deref(), Some("build"));
        assert_eq!(containers.name(helper_id).as_deref(), Some("helper"));
        assert_eq!(containers.name(id(folder.path())), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let containers = Containers::default();
        for number in 0..=CONTAINERS {
            containers.add("again", PathBuf::from(format!("/nowhere/{number}")));
            containers.add("again", PathBuf::from(format!("/nowhere/{number}")));
        }
        let containers = lock(&containers.0);
        assert_eq!(containers.len(), CONTAINERS);
        assert_eq!(containers.front().unwrap().cgroup, Path::new("/nowhere/1"));
    }
}
