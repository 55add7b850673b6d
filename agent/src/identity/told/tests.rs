//! Facts and claims are told apart.

use std::borrow::Cow;

use super::*;
use crate::events::read::testing::record;

fn gitlab(untrusted: &[&'static str]) -> GitlabInfo {
    let mut gitlab = record().gitlab.unwrap();
    gitlab.untrusted = untrusted.iter().map(|field| Cow::Borrowed(*field)).collect();
    gitlab
}

#[test]
fn each_field_is_a_fact_unless_it_is_listed() {
    let told = gitlab(&[]);
    assert_eq!(told.told_project(), Some(Told::Fact("group/app")));
    assert_eq!(told.told_project_id(), Some(Told::Fact(42)));
    assert_eq!(told.told_job_id(), Some(Told::Fact(388_420)));
    assert_eq!(told.told_job_name(), Some(Told::Fact("install")));
    let told = gitlab(&["project", "project_id", "job_id", "job_name", "job_url"]);
    assert_eq!(told.told_project(), Some(Told::Claim("group/app")));
    assert_eq!(told.told_project_id(), Some(Told::Claim(42)));
    assert_eq!(told.told_job_id(), Some(Told::Claim(388_420)));
    assert_eq!(told.told_job_name(), Some(Told::Claim("install")));
    assert_eq!(told.told_job_url().and_then(Told::fact), None);
    assert_eq!(gitlab(&["project"]).told_project_id(), Some(Told::Fact(42)));
}

#[test]
fn a_job_is_named_by_the_best_that_is_known() {
    let mut record = record();
    let url = "https://gitlab.example.com/group/app/-/jobs/388420";
    record.gitlab = Some(gitlab(&[]));
    assert_eq!(job(&record).as_deref(), Some(url));
    record.gitlab = Some(gitlab(&["job_url"]));
    assert_eq!(job(&record), Some(format!("{url} (the job's word)")));
    record.gitlab.as_mut().unwrap().job_url = None;
    assert_eq!(job(&record).as_deref(), Some("job 388420"));
    record.gitlab = None;
    assert_eq!(job(&record).as_deref(), Some("pod ci/runner-x1"));
    record.pod = None;
    assert_eq!(job(&record), None);
}
