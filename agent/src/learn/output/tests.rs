//! Files are written together or not at all, and over none that is there.

use super::*;

fn file(name: &str) -> File {
    File {
        name: name.to_owned(),
        profile: Written { text: format!("# {name}\n"), rules: 0, refused: 0 },
    }
}

#[test]
fn a_folder_is_made_and_filled() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    write_all(&inner, &[file("one.yaml"), file("two.yaml")]).unwrap();
    assert_eq!(fs::read_to_string(inner.join("two.yaml")).unwrap(), "# two.yaml\n");
}

#[test]
fn what_is_there_stays_and_nothing_is_written_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("two.yaml");
    std::os::unix::fs::symlink("nowhere", &there).unwrap();
    let error = write_all(folder.path(), &[file("one.yaml"), file("two.yaml")]).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{} is there already", there.display())), "{message}");
    assert!(!folder.path().join("one.yaml").exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = write_all(&blocked, &[file("one.yaml")]).unwrap_err();
    assert!(matches!(error, OutputError::Io { .. }), "{error}");
}
