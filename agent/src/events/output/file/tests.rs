//! A file that is replaced in time.

use super::*;

fn take(file: &mut RotatingFile, text: &str) -> Result<(), Refused> {
    file.take(&[text.as_bytes().into()], &|| false)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|_| "none".to_owned())
}

#[test]
fn a_file_does_not_outgrow_its_size_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let rotation = Rotation { size: 10, keep: 2 };
    let mut file = RotatingFile::open(&path, Some(rotation)).unwrap();
    for line in ["aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n", "ffff\n", "gggg\n"] {
        take(&mut file, line).unwrap();
    }
    let older = |number: u32| folder.path().join(format!("events.jsonl.{number}"));
    assert_eq!(read(&path), "gggg\n");
    assert_eq!((read(&older(1)), read(&older(2))), ("eeee\nffff\n".into(), "cccc\ndddd\n".into()));
    assert_eq!(read(&older(3)), "none");
    // One that is too long for any file has one of its own.
    take(&mut file, "too long for it\n").unwrap();
    assert_eq!((read(&path), read(&older(1))), ("too long for it\n".into(), "gggg\n".into()));
}

#[test]
fn the_next_agent_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let rotation = Some(Rotation { size: 10, keep: 0 });
    take(&mut RotatingFile::open(&path, rotation).unwrap(), "12345678\n").unwrap();
    let mut file = RotatingFile::open(&path, rotation).unwrap();
    take(&mut file, "next\n").unwrap();
    assert_eq!(read(&path), "next\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_somebody_moved_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("events.jsonl"), folder.path().join("moved"));
    let mut file = RotatingFile::open(&path, None).unwrap();
    take(&mut file, "1\n").unwrap();
    fs::rename(&path, &moved).unwrap();
    file.looked = Instant::now().checked_sub(LOOK * 2).unwrap();
    take(&mut file, "2\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("1\n".into(), "2\n".into()));
}

#[test]
fn what_cannot_be_written_is_counted_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/events.jsonl");
    fs::create_dir(folder.path().join("below")).unwrap();
    let mut file = RotatingFile::open(&path, Some(Rotation { size: 4, keep: 1 })).unwrap();
    take(&mut file, "1234\n").unwrap();
    fs::remove_dir_all(folder.path().join("below")).unwrap();
    assert_eq!(take(&mut file, "2\n").unwrap_err().records, 1);
    fs::create_dir(folder.path().join("below")).unwrap();
    file.looked = Instant::now().checked_sub(LOOK * 2).unwrap();
    file.written = 0;
    take(&mut file, "3\n").unwrap();
    assert_eq!(read(&path), "3\n");
}
