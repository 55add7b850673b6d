//! What patterns stand for.

use proptest::prelude::*;

use super::*;

fn glob(text: &str) -> Glob {
    Glob::parse(text, Case::Kept).unwrap()
}

#[test]
fn a_star_stays_within_its_part() {
    assert!(glob("group/*").matches("group/app"));
    assert!(!glob("group/*").matches("group/sub/app"));
    assert!(!glob("group/*").matches("group"));
    assert!(glob("release/v*").matches("release/v") && glob("release/v*").matches("release/v1.2"));
    assert!(!glob("release/v*").matches("release/v1/x"));
    assert!(glob("*-api").matches("payments-api") && !glob("*-api").matches("payments-api2"));
    assert!(glob("a*b*c").matches("aXbYbZc") && !glob("a*b*c").matches("aXbYbZ"));
}

#[test]
fn two_stars_are_one_or_more_parts() {
    let all = glob("group/**");
    assert!(all.matches("group/app") && all.matches("group/sub/app"));
    assert!(!all.matches("group") && !all.matches("groups/app") && !all.matches("a/group/app"));
    let middle = glob("a/**/z");
    assert!(middle.matches("a/b/z") && middle.matches("a/b/c/z") && middle.matches("a/z/z"));
    assert!(!middle.matches("a/z") && !middle.matches("a/b/z/c"));
    let two = glob("**/x/**");
    assert!(two.matches("a/x/b") && two.matches("x/x/x") && two.matches("a/b/x/c/d"));
    assert!(!two.matches("x/a") && !two.matches("a/x"));
}

#[test]
fn paths_of_projects_know_no_case_and_branches_do() {
    let project = Glob::parse("Group/App", Case::Folded).unwrap();
    assert!(project.matches("group/app") && project.matches("GROUP/APP"));
    assert!(!glob("main").matches("Main"));
}

#[test]
fn how_much_is_literal_tells_the_narrower_one() {
    assert!(glob("group/app-*").literal() > glob("group/*").literal());
    assert!(glob("group/app").is_exact() && !glob("group/*").is_exact());
}

#[test]
fn what_stands_for_nothing_is_refused() {
    let error = |text: &str| Glob::parse(text, Case::Kept).unwrap_err();
    assert_eq!(error(""), GlobError::Length);
    assert_eq!(error(&"a".repeat(1025)), GlobError::Length);
    for text in ["/a", "a/", "a//b", "/"] {
        assert_eq!(error(text), GlobError::EmptyPart, "{text}");
    }
    for text in ["a**", "**b/c", "a/***"] {
        assert_eq!(error(text), GlobError::Doubled, "{text}");
    }
    for text in ["a b", "a\u{7}", "a\nb"] {
        assert_eq!(error(text), GlobError::Character, "{text}");
    }
}

#[test]
fn a_hostile_pattern_costs_little() {
    let begun = std::time::Instant::now();
    let part = glob(&format!("{}b", "*a".repeat(400)));
    assert!(!part.matches(&"a".repeat(20_000)));
    let parts = glob(&format!("{}/b", ["**/a"; 200].join("/")));
    assert!(!parts.matches(&vec!["a"; 5000].join("/")));
    assert!(begun.elapsed().as_secs() < 5);
}

/// What a pattern means, by the book: every way is tried.
fn by_the_book(pattern: &[&str], path: &[&str]) -> bool {
    fn part(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| part(rest, &text[taken..])),
            Some((one, rest)) => text.first() == Some(one) && part(rest, &text[1..]),
        }
    }
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => (1..=path.len()).any(|taken| by_the_book(rest, &path[taken..])),
        Some((one, rest)) => {
            !path.is_empty()
                && part(one.as_bytes(), path[0].as_bytes())
                && by_the_book(rest, &path[1..])
        }
    }
}

proptest! {
    #[test]
    fn it_matches_what_the_book_says(
        pattern in "(\\*\\*|[ab]{0,2}\\*?[ab]{1,2})(/(\\*\\*|\\*?[ab]{1,2}\\*?)){0,4}",
        path in "[ab]{0,3}(/[ab]{1,3}){0,5}",
    ) {
        let parts: Vec<_> = pattern.split('/').collect();
        let texts: Vec<_> = path.split('/').collect();
        prop_assert_eq!(glob(&pattern).matches(&path), by_the_book(&parts, &texts));
    }
}
