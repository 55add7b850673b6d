//! A small bare git repository, served as plain files (git's "dumb" HTTP transport).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec::{self, DEFAULT_LIMIT};

const FILE: &str = "a file of the lab's repository\n";

/// Makes a repository with one commit as `project.git` of the folder, without holding up who serves.
pub(super) async fn make(folder: &Path) -> Result<()> {
    let bare = folder.join("project.git");
    tokio::task::spawn_blocking(move || create(&bare)).await?
}

fn create(bare: &Path) -> Result<()> {
    let parent = bare.parent().context("a repository without a folder")?;
    let work = parent.join("work");
    std::fs::create_dir_all(&work)?;
    std::fs::write(work.join("README"), FILE)?;
    git(&work, &["init", "--quiet", "--initial-branch=main"])?;
    git(&work, &["add", "README"])?;
    git(&work, &["commit", "--quiet", "--message", "Add a file"])?;
    let target = bare.to_str().context("a folder name that is not UTF-8")?;
    git(&work, &["clone", "--quiet", "--bare", ".", target])?;
    git(bare, &["update-server-info"])
}

fn git(folder: &Path, args: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=lab", "-c", "user.email=lab@example.com"]);
    // The machine's own settings could sign commits or run hooks.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command.args(args);
    exec::run(command, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(())
}
