//! What a host is for: each purpose is a rule of the profile.

/// What the job wants of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Packages of Node.js, by npm, pnpm or yarn.
    Npm,
    /// Packages of Python, by pip, uv, poetry, pipenv or pdm.
    Pip,
    /// Crates.
    Cargo,
    /// Go modules.
    Go,
    /// Java artifacts.
    Maven,
    /// Gradle's own distribution.
    Gradle,
    /// Debian packages.
    Apt,
    /// Repositories.
    Git,
    /// Container images that a build needs.
    Images,
    /// Container images that jobs run in.
    JobImages,
    /// Single files that a Dockerfile adds.
    Downloads,
}

impl Purpose {
    /// The rule's id.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::Cargo => "cargo",
            Self::Go => "go",
            Self::Maven => "maven",
            Self::Gradle => "gradle",
            Self::Apt => "apt",
            Self::Git => "git",
            Self::Images => "images",
            Self::JobImages => "job-images",
            Self::Downloads => "downloads",
        }
    }

    /// What a reviewer should know of the rule.
    pub(super) const fn note(self) -> Option<&'static str> {
        match self {
            Self::Images => Some(
                "Base images: needed where the job itself pulls them (a daemon of its own, buildah, kaniko).",
            ),
            Self::JobImages => Some(
                "Images that jobs run in: the runner's node pulls them before the job. Remove this rule unless \
                 the job pulls them itself.",
            ),
            _ => None,
        }
    }
}
