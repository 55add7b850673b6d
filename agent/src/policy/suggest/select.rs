//! Who is to get a suggested profile.

/// The jobs of one GitLab project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By the project's path, as GitLab tells it.
    GitlabProject(ProjectPath),
    /// By the project's id.
    GitlabProjectId(u64),
}

/// The path of a GitLab project, `group/subgroup/project`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectPath(String);

impl ProjectPath {
    /// A path as GitLab makes them; none for any other text, which could mean something else in a profile.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        const LONGEST: usize = 1024;
        let is_part = |part: &str| {
            let is_of_a_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            part.bytes().any(|byte| byte != b'.') && part.bytes().all(is_of_a_path)
        };
        let is_path = path.contains('/') && path.len() <= LONGEST && path.split('/').all(is_part);
        is_path.then(|| Self(path.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Selector {
    /// The line of `spec` that selects, without indentation.
    pub(super) fn line(&self) -> String {
        let key = match self {
            Self::GitlabProject(path) => format!("project: \"{}\"", path.as_str()),
            Self::GitlabProjectId(id) => format!("projectId: {id}"),
        };
        format!("select: {{ gitlab: {{ {key} }} }}")
    }
}
