//! What no file and no client could say, in words for the reviewer.

use std::fmt;

use crate::checkout::clients::Client;
use crate::checkout::purpose::Purpose;

/// Something that the profile lacks, or that a reviewer must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::checkout) enum Gap {
    /// The default of a client that could not be asked.
    Default(Client, NotAsked),
    /// A host that is a variable.
    Variable(Purpose),
    /// A place of a protocol that weir knows no port of, or a host that is none.
    Unsupported(Purpose),
    /// Images without a host.
    DefaultRegistry(Purpose),
    /// What no profile opens.
    Closed(Purpose),
    /// Poetry's own index stands in none of its files.
    PoetryIndex,
    /// pip downloads what the pages of an index link to.
    LinkedFiles,
    /// Where crates are downloaded from is said by the index itself.
    CrateDownloads,
    /// Modules that `direct` lets Go fetch from their own hosts.
    DirectModules,
    /// Modules that stand in the checkout.
    VendoredModules,
    /// Repositories of hosting services, which npm fetches as archives.
    HostedRepositories,
    /// The package sources inside an image.
    AptOfImage,
    /// Gradle's build files are programs.
    GradleBuild,
    /// CI files that GitLab itself fetches.
    RemoteInclude,
    /// A `.git` that is a file.
    GitElsewhere,
}

/// Why a client gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::checkout) enum NotAsked {
    /// No such program in `PATH`, outside the checkout.
    NotInstalled,
    /// It did not end in time.
    TooSlow,
    /// It ended with an error, or could not be started.
    Failed,
    /// What it wrote holds no host.
    NoAnswer,
    /// The project is the root folder, where clients would read its files.
    RootFolder,
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInstalled => "it is not installed here",
            Self::TooSlow => "it took too long",
            Self::Failed => "it failed",
            Self::NoAnswer => "its answer names no host",
            Self::RootFolder => "the project is the root folder",
        })
    }
}

impl Gap {
    /// What the reviewer is to do with it.
    pub(in crate::checkout) const fn heading(self) -> &'static str {
        match self {
            Self::Closed(_) | Self::VendoredModules | Self::RemoteInclude => "Left out",
            Self::LinkedFiles | Self::HostedRepositories | Self::DirectModules => "To know",
            _ => "To fill in",
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(client, why) => write!(
                f,
                "{}: the default of {} could not be asked, because {why}: run `{}` where the job runs",
                client.purpose().id(),
                client.name(),
                client.question(),
            ),
            Self::Variable(purpose) => write!(f, "{}: the host is a variable", purpose.id()),
            Self::Unsupported(purpose) => {
                write!(f, "{}: weir cannot tell host and port from what stands here", purpose.id())
            }
            Self::DefaultRegistry(purpose) => write!(
                f,
                "{}: images without a host come from the registry that the client is set up for",
                purpose.id()
            ),
            Self::Closed(purpose) => write!(
                f,
                "{}: metadata services and DNS other than weir's, which no profile can open",
                purpose.id()
            ),
            Self::PoetryIndex => f.write_str(
                "pip: poetry's own default index stands in no file, and poetry has no command that tells it; \
                 it may be the one that pip names",
            ),
            Self::LinkedFiles => f.write_str(
                "pip: an index may link to files on other hosts; the records of a first run name them",
            ),
            Self::CrateDownloads => f.write_str(
                "cargo: the index says where crates are downloaded from, and cargo has not fetched its config.json here: \
                 add the host of its `dl`",
            ),
            Self::DirectModules => f.write_str(
                "go: what the proxy does not have is fetched from the module's own host (`direct` in GOPROXY), \
                 which is not opened",
            ),
            Self::VendoredModules => {
                f.write_str("go: the modules stand in vendor/, so that builds fetch none")
            }
            Self::HostedRepositories => f.write_str(
                "npm: repositories of hosting services are fetched as archives, from hosts that npm alone knows; \
                 the records of a first run name them",
            ),
            Self::AptOfImage => f.write_str(
                "apt: packages are installed inside an image, from the sources of that image: run \
                 `apt-get indextargets --format '$(REPO_URI)'` in it",
            ),
            Self::GradleBuild => f.write_str(
                "gradle: the repositories stand in build files, which are programs; they were not run",
            ),
            Self::RemoteInclude => {
                f.write_str("job-images: CI files that GitLab itself fetches, not the job")
            }
            Self::GitElsewhere => f.write_str(
                "git: `.git` is a file that leads to a folder elsewhere, which was not read: run `git remote -v`",
            ),
        }
    }
}
