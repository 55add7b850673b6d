//! Who gets a profile, and by whose word.

use serde_json::{Value, json};

use crate::learn::tests::{learned, with};
use crate::learn::{Per, files};
use crate::policy::{Profile, Wildcards};

/// A record of a job of this project, with these fields no more than its word.
fn of(id: Value, path: Value, untrusted: &[&str]) -> Value {
    with(&[
        ("/verdict", json!("audit")),
        ("/gitlab/project_id", id),
        ("/gitlab/project", path),
        ("/gitlab/untrusted", json!(untrusted)),
    ])
}

/// The name of each file, its profile's name, and what selects.
#[track_caller]
fn check(per: Per, records: &[Value], expected: &[(&str, &str, Option<&str>)]) -> Vec<String> {
    let files = files(&learned(Some(per), records), Wildcards::default());
    let found: Vec<_> = files
        .iter()
        .map(|file| {
            let text = &file.profile.text;
            let profile =
                Profile::from_yaml(&file.name, text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let select = text.lines().find_map(|line| line.split_once("select: { gitlab: { "));
            let select = select.map(|(_, rest)| rest.trim_end_matches([' ', '}']).to_owned());
            (file.name.clone(), profile.name().to_owned(), select)
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(file, name, select)| {
            ((*file).to_owned(), (*name).to_owned(), select.map(str::to_owned))
        })
        .collect();
    assert_eq!(found, expected);
    files.into_iter().map(|file| file.profile.text).collect()
}

#[test]
fn a_project_that_the_platform_told_is_selected() {
    check(
        Per::Project,
        &[of(json!(42), json!("Group/app_1"), &[]), of(json!(42), json!("Group/app_1"), &[])],
        &[("project-group-app_1.yaml", "project/group/app_1", Some("project: \"Group/app_1\""))],
    );
}

#[test]
fn a_path_that_is_the_jobs_word_selects_by_the_id() {
    let records = [of(json!(42), json!("other/app"), &["project", "job_id"])];
    let texts =
        check(Per::Project, &records, &[("project-42.yaml", "project/42", Some("projectId: 42"))]);
    assert!(texts[0].contains("# Its path by the word of its jobs: other/app.\n"), "{}", texts[0]);
}

#[test]
fn a_project_that_moved_is_selected_by_its_id() {
    check(
        Per::Project,
        &[of(json!(42), json!("a/app"), &[]), of(json!(42), json!("b/app"), &[])],
        &[("project-42.yaml", "project/42", Some("projectId: 42"))],
    );
}

#[test]
fn a_project_that_is_only_the_jobs_word_is_not_selected() {
    let claims = ["project", "project_id"];
    let records = [
        of(json!(42), json!("group/app"), &["project"]),
        of(json!(42), json!("group/app"), &claims),
        of(json!(null), json!("group/app"), &claims),
    ];
    let texts = check(
        Per::Project,
        &records,
        &[
            ("project-42.yaml", "project/42", Some("projectId: 42")),
            ("claimed-42.yaml", "claimed/42", None),
            ("claimed-group-app.yaml", "claimed/group/app", None),
        ],
    );
    assert!(!texts[0].contains("only the word"), "{}", texts[0]);
    assert!(
        texts[1].contains("# WARNING: that these records are of this project is only the word")
    );
}

#[test]
fn jobs_without_a_project_share_a_profile() {
    let mut plain = with(&[("/verdict", json!("audit")), ("/gitlab", json!(null))]);
    plain["gitlab"] = json!(null);
    let bare = of(json!(null), json!(null), &[]);
    let odd = of(json!(null), json!("a/b\" } }\nspec"), &[]);
    check(Per::Project, &[plain, bare, odd], &[("no-project.yaml", "no-project", None)]);
}

#[test]
fn a_profile_that_was_in_force_gets_its_successor() {
    let of = |profile: &str| with(&[("/policy/profile", json!(profile))]);
    check(
        Per::Profile,
        &[of("build/node-22"), of("a"), of("../../etc/passwd"), of("x\nspec: {}")],
        &[
            ("a.yaml", "a", None),
            ("build-node-22.yaml", "build/node-22", None),
            ("unnamed.yaml", "unnamed", None),
        ],
    );
}

#[test]
fn names_that_would_share_a_file_are_numbered() {
    let of = |profile: &str| with(&[("/policy/profile", json!(profile))]);
    let long = "x".repeat(128);
    let also_long = format!("{}/{}", "x".repeat(63), "x".repeat(64));
    check(
        Per::Profile,
        &[of("a/b"), of("a-b"), of(&long), of(&also_long)],
        &[
            ("a-b.yaml", "a-b", None),
            ("a-b-2.yaml", "a/b-2", None),
            (&format!("{}.yaml", also_long.replace('/', "-")), &also_long, None),
            (&format!("{long}.yaml"), &long, None),
        ],
    );
    check(
        Per::Project,
        &[of_path("G/App"), of_path("g/app"), of_path("g/.app-")],
        &[
            ("project-g-app.yaml", "project/g/app", Some("project: \"G/App\"")),
            ("project-g-app-2.yaml", "project/g/app-2", Some("project: \"g/.app-\"")),
            ("project-g-app-3.yaml", "project/g/app-3", Some("project: \"g/app\"")),
        ],
    );
}

fn of_path(path: &str) -> Value {
    of(json!(null), json!(path), &[])
}
