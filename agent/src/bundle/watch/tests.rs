//! A folder that people and Kubernetes change.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Whether a change is noticed, long before the folder would be looked at anyway.
async fn notices(watch: &mut FolderWatch, change: impl FnOnce()) -> bool {
    change();
    tokio::time::timeout(LOOK / 2, watch.changed()).await.is_ok()
}

async fn is_quiet(watch: &mut FolderWatch) -> bool {
    tokio::time::timeout(QUIET * 3, watch.changed()).await.is_err()
}

#[tokio::test]
async fn files_that_come_change_and_go_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = FolderWatch::new(folder.path()).unwrap();
    assert!(is_quiet(&mut watch).await);
    let file = folder.path().join("a.yaml");
    assert!(notices(&mut watch, || fs::write(&file, "1").unwrap()).await);
    assert!(notices(&mut watch, || fs::write(&file, "2").unwrap()).await);
    let other = folder.path().join("b.yaml");
    assert!(notices(&mut watch, || fs::rename(&file, &other).unwrap()).await);
    assert!(notices(&mut watch, || fs::remove_file(&other).unwrap()).await);
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test]
async fn the_new_version_of_a_config_map_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["..1", "..2"] {
        fs::create_dir(folder.path().join(version)).unwrap();
    }
    let link = folder.path().join("..data");
    symlink("..1", &link).unwrap();
    let mut watch = FolderWatch::new(folder.path()).unwrap();
    // As the kubelet does it: a new link, renamed over the old one.
    let swap = || {
        symlink("..2", folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), &link).unwrap();
    };
    assert!(notices(&mut watch, swap).await);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_comes_late_is_found_by_looking() {
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("late");
    let mut watch = FolderWatch::new(&late).unwrap();
    fs::create_dir(&late).unwrap();
    let begun = Instant::now();
    watch.changed().await;
    assert!(begun.elapsed() >= LOOK);
    fs::write(late.join("a.yaml"), "").unwrap();
    let told = watch.told();
    tokio::time::resume();
    told.await;
}
