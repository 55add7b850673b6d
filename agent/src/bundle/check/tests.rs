//! What is said of good and bad files and folders.

use super::check;

fn with_spec(spec: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: test }}\nspec:\n  {spec}\n"
    )
}

#[test]
fn check_reads_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = ["a.yaml", "b.yaml", "c.yaml"].map(|name| folder.path().join(name)).into();
    std::fs::write(&files[0], with_spec("mode: x")).unwrap();
    std::fs::write(&files[1], with_spec("allow: [{ id: a, domains: [a.b, '*.c.d'] }]")).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    assert!(!check(&files, &mut out, &mut errors).unwrap());
    let (out, errors) = (String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap());
    let counts = "rules: 1, names: 1, wildcards: 1, prefixes: 0, denied: 0";
    assert_eq!(out, format!("{}: OK: profile test (block); {counts}\n", files[1].display()));
    assert!(errors.contains("a.yaml:5:9: `mode`") && errors.contains("c.yaml: No such file"));
    assert!(check(&files[1..2], &mut Vec::new(), &mut Vec::new()).unwrap());
}
