//! `weir policy which`: the profile that a job would get.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::bundle::Bundle;
use crate::config::{self, Config};
use crate::events::record::Scope;
use crate::identity::{GithubTraits, GitlabTraits, Traits};
use crate::policy::{Chain, Level};

/// Exit code when there are no policies to ask.
const UNUSABLE: u8 = 2;

/// Arguments of `weir policy which`.
#[derive(Debug, Args)]
pub(super) struct WhichArgs {
    /// The agent's configuration, which says where the policies are and what the default is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy folder, in place of the configuration's.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The path of the job's GitLab project: `group/app`.
    #[arg(long, value_name = "PATH")]
    project: Option<String>,
    /// Its id.
    #[arg(long, value_name = "ID")]
    project_id: Option<u64>,
    /// The job's branch or tag.
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The repository that a GitHub runner is registered for: `owner/name`.
    #[arg(long, value_name = "REPOSITORY", conflicts_with_all = ["project", "project_id", "reference"])]
    github_repository: Option<String>,
    /// The organization that it is registered for.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["project", "project_id", "reference"])]
    github_organization: Option<String>,
    /// The name of its runner scale set.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["project", "project_id", "reference"])]
    github_scale_set: Option<String>,
    /// The pod's Kubernetes namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// A label of the pod; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn run(args: &WhichArgs, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let read = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::from_file);
    let mut config = match read {
        Ok(config) => config,
        Err(error) => {
            writeln!(errors, "{}", Chain(&error))?;
            return Ok(UNUSABLE);
        }
    };
    if args.config.is_none() {
        // What a configuration would say of it is not known; what was given is taken for true.
        config.gitlab = config::Gitlab { trust_annotations: true, trust_labels: true };
    }
    if let Some(dir) = &args.dir {
        config.policy.dir.clone_from(dir);
    }
    let bundle = match Bundle::load(&config.policy, config.gitlab, None) {
        Ok(bundle) => bundle,
        Err(error) => {
            writeln!(errors, "{}", Chain(&error))?;
            return Ok(UNUSABLE);
        }
    };
    let traits = traits(args, config.gitlab, errors)?;
    tell(&bundle, &traits, out)?;
    Ok(0)
}

/// What the agent would believe of such a pod.
fn traits(args: &WhichArgs, trust: config::Gitlab, errors: &mut dyn Write) -> io::Result<Traits> {
    let is_gitlabs =
        args.project.is_some() || args.project_id.is_some() || args.reference.is_some();
    let mut gitlab = GitlabTraits {
        project_id: args.project_id.map(|id| id.to_string()),
        project: args.project.clone(),
        reference: args.reference.clone(),
    };
    if !trust.trust_annotations && (gitlab.project.is_some() || gitlab.reference.is_some()) {
        writeln!(
            errors,
            "--project and --ref decide nothing: `gitlab.trustAnnotations` is false in the configuration"
        )?;
        gitlab = GitlabTraits { project: None, reference: None, ..gitlab };
    }
    let mut labels: BTreeMap<_, _> = args.labels.iter().cloned().collect();
    if is_gitlabs && !trust.trust_labels && !labels.is_empty() {
        writeln!(
            errors,
            "--label decides nothing for a job of GitLab: `gitlab.trustLabels` is false in the configuration"
        )?;
        labels.clear();
    }
    Ok(Traits {
        namespace: args.namespace.clone(),
        labels,
        gitlab,
        github: GithubTraits {
            repository: args.github_repository.clone(),
            organization: args.github_organization.clone().or_else(|| {
                let (owner, _) = args.github_repository.as_deref()?.split_once('/')?;
                Some(owner.to_owned())
            }),
            scale_set: args.github_scale_set.clone(),
        },
    })
}

/// The profile, then each one with how it stands to the job.
fn tell(bundle: &Bundle, traits: &Traits, out: &mut dyn Write) -> io::Result<()> {
    let choice = bundle.choose(traits);
    let by = match choice.scope {
        Scope::Default => "it is the default, and no other is for this job",
        _ => "it is the narrowest of those for this job",
    };
    writeln!(out, "{} ({}): {by}", choice.profile.name(), choice.profile.mode().as_str())?;
    for weighed in bundle.weigh(traits) {
        let (profile, selects) = (weighed.profile(), weighed.selects());
        match weighed.result() {
            Ok(rank) => writeln!(out, "  {profile}: {}: {selects}", level(rank.level))?,
            Err(mismatch) => writeln!(out, "  {profile}: not for this job: {mismatch}")?,
        }
    }
    writeln!(out, "  {}: default", bundle.default_profile().name())
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Project => "by project",
        Level::Group => "by group",
        Level::Labels => "by labels",
        Level::Namespace => "by namespace",
    }
}
