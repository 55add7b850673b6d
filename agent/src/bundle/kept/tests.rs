//! What is kept, what is left half done, and what stays where no more can be kept.

use std::path::PathBuf;

use super::*;

fn sources(files: &[(&str, &str)]) -> Vec<(PathBuf, Source)> {
    let source = |text: &str| Source::from_text("profile", text.to_owned()).unwrap();
    files.iter().map(|(name, text)| (Path::new("/policy").join(name), source(text))).collect()
}

fn keep(kept: &Kept, files: &[(&str, &str)]) -> io::Result<()> {
    let sources = sources(files);
    kept.replace(sources.iter().map(|(path, source)| (path.as_path(), source)))
}

/// What a reader finds, and how much there is besides.
fn found(kept: &Kept) -> (Vec<(String, String)>, usize) {
    let link = kept.folder().join(VERSION);
    let mut files: Vec<_> = link
        .read_dir()
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    (files, kept.folder().read_dir().unwrap().count())
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn what_is_kept_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(dir.path().join("policy"));
    assert_eq!(kept.since(), None);
    let first = [("a.yaml", "one"), ("b.yaml", "two")];
    keep(&kept, &first).unwrap();
    assert_eq!(found(&kept), (pairs(&first), 2));
    let since = kept.since().unwrap();
    keep(&kept, &first).unwrap();
    assert_eq!(kept.since(), Some(since));
    // Files that change places are others.
    let second = [("a.yaml", "two"), ("b.yaml", "one")];
    keep(&kept, &second).unwrap();
    assert_eq!(found(&kept), (pairs(&second), 2));
    keep(&kept, &[]).unwrap();
    assert_eq!(found(&kept), (Vec::new(), 2));
}

#[test]
fn what_an_agent_left_half_done_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(dir.path().to_owned());
    let first = [("a.yaml", "one")];
    keep(&kept, &first).unwrap();
    let next = [("a.yaml", "two")];
    let half = dir
        .path()
        .join(version(sources(&next).iter().map(|(path, source)| (path.as_path(), source))));
    fs::create_dir(&half).unwrap();
    fs::write(half.join("z.yaml"), "half").unwrap();
    symlink("nowhere", dir.path().join("..new")).unwrap();
    assert_eq!(found(&kept).0, pairs(&first));
    keep(&kept, &next).unwrap();
    assert_eq!(found(&kept), (pairs(&next), 2));
}

#[test]
fn what_was_kept_stays_where_no_more_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(dir.path().to_owned());
    let first = [("a.yaml", "one")];
    keep(&kept, &first).unwrap();
    let long = "x".repeat(300);
    let error = keep(&kept, &[("a.yaml", "two"), (&long, "three")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
    assert_eq!(found(&kept).0, pairs(&first));
}
