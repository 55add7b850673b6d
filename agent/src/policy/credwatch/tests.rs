//! Which paths are refused, and what the others match.

use proptest::prelude::*;
use weir_ebpf::credential::Walk;

use super::*;

/// Whether a pattern is met by a path, as the programs compare it.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = compile(pattern).unwrap();
    let parts: Vec<&str> = path.trim_start_matches('/').rsplit('/').collect();
    let name = |part: &str| words(part.bytes().take(NAME_BYTES - 1));
    let mask = |yes: bool| if yes { u64::MAX } else { 0 };
    let (file_name, folders) = parts.split_first().unwrap();
    let mut walk = Walk::new(1);
    walk.meet(mask(pattern.components[0].differs(&name(file_name)) == 0));
    for depth in 1..=COMPONENTS {
        let complete = mask(depth == pattern.count as usize);
        walk.rise(complete, mask(pattern.anchored == 0), mask(depth == parts.len()));
        let Some((folder, component)) = folders.get(depth - 1).zip(pattern.components.get(depth))
        else {
            break;
        };
        walk.meet(mask(component.differs(&name(folder)) == 0));
    }
    walk.found() != 0
}

/// The same by the words of the documentation.
fn naive(pattern: &str, path: &str) -> bool {
    let anywhere = pattern.starts_with("**/");
    let want: Vec<&str> =
        pattern.trim_start_matches("**/").trim_start_matches('/').split('/').collect();
    let have: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if have.len() < want.len() || !anywhere && have.len() != want.len() {
        return false;
    }
    let have = &have[have.len() - want.len()..];
    want.iter().zip(have).all(|(want, have)| match want.strip_suffix('*') {
        Some(start) => have.starts_with(start),
        None => want == have,
    })
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    for (text, error) in [
        ("", PathError::Relative),
        (".npmrc", PathError::Relative),
        ("~/.npmrc", PathError::Relative),
        ("/", PathError::EmptyPart),
        ("/root/", PathError::EmptyPart),
        ("/root//x", PathError::EmptyPart),
        ("/root/../x", PathError::EmptyPart),
        ("**/*.pem", PathError::Star),
        ("/home/**/x", PathError::Star),
        ("**/*", PathError::Everything),
        ("/a/b/c/d/e/f/g", PathError::Deep),
        ("/a\0b", PathError::Zero),
    ] {
        assert_eq!(WatchedPath::parse(text), Err(error), "{text}");
    }
    let long = "x".repeat(NAME_BYTES);
    assert_eq!(WatchedPath::parse(&format!("/{long}")), Err(PathError::LongPart));
    assert!(WatchedPath::parse(&format!("/{}", &long[1..])).is_ok());
}

#[test]
fn tokens_of_service_accounts_are_watched_with_anything_else() {
    let watch =
        CredentialWatch { paths: vec![WatchedPath::parse("/root/.npmrc").unwrap()], block: false };
    assert_eq!(watch.for_kernel().count, 2);
    assert_eq!(watch.text(0), Some("/root/.npmrc"));
    assert_eq!(watch.text(1), Some("**/serviceaccount/*/token"));
    assert_eq!(watch.text(2), None);
    assert_eq!(watch.text(kind::MEMORY), Some("/proc/*/mem"));
    let token = "/run/secrets/kubernetes.io/serviceaccount/..2026_11_27_10_00_00.1/token";
    assert!(matches(TOKENS[0], token));
}

proptest! {
    #[test]
    fn paths_are_compared_as_the_documentation_says(
        pattern in "(\\*\\*)?(/([ab]{1,2}|[ab]?\\*)){1,4}",
        path in "(/[ab]{1,3}){1,6}",
    ) {
        if compile(&pattern).is_ok() {
            prop_assert_eq!(matches(&pattern, &path), naive(&pattern, &path));
        }
    }
}
