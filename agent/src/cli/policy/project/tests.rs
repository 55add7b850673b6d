//! Exit codes, and where output goes.

use super::*;

/// Exit code and both streams for a folder with these files, or for what is at `place` in it.
fn said(files: &[(&str, &[u8])], place: &str, name: &str) -> (u8, String, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let project = folder.path().join(place);
    let code = run(&project, name, &Clients::none(), &mut out, &mut errors).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn the_profile_is_output_and_what_could_not_be_read_is_a_warning() {
    let files: [(&str, &[u8]); 2] = [
        (".npmrc", b"registry=https://npm.example.com/\n"),
        ("package-lock.json", b"{ \"packages\": "),
    ];
    let (code, out, errors) = said(&files, "", "build/web");
    assert_eq!(code, 0);
    assert!(out.contains("\"build/web\"") && out.contains("- \"npm.example.com\""), "{out}");
    assert_eq!(errors, "weir: package-lock.json could not be read: it is no valid JSON (line 1)\n");
}

#[test]
fn what_is_no_folder_is_an_error() {
    let (code, out, errors) = said(&[("a", b"")], "a", "x");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.contains("is not a folder; name the folder of a checkout"), "{errors}");
    let (code, out, errors) = said(&[], "none", "x");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.contains("/none: No such file or directory"), "{errors}");
}
