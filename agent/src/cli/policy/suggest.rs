//! `weir policy suggest`.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::project;
use crate::{
    checkout::Clients,
    events::read::Source,
    learn::{self, Learned, Lesson, Per, files, write_all},
    policy::{Base, Chain, Wildcards, is_profile_name},
};

/// Exit code when records, profile or folder are wrong.
const WRONG: u8 = 2;

/// Arguments of `weir policy suggest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Records of an audit run tell the most: what passed is suggested, what was refused is only listed. Names stay names, \
unless so many were seen directly below one owner's domain that `*.domain` is the honest rule.\n\n\
Exit code: 0 when profiles were written, 2 when records, profile or folder are wrong.")]
pub(super) struct SuggestArgs {
    /// Files of event records, in the order of time; `-` is standard input.
    #[arg(required_unless_present = "project", value_name = "EVENTS")]
    events: Vec<PathBuf>,
    /// Instead of records, the folder of a checkout. Its files are read, nothing in it is run; defaults that only a client
    /// knows (npm, pip, cargo, go, mvn) are asked of the ones installed here, without network.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["events", "per", "merge", "wildcards_from"])]
    project: Option<PathBuf>,
    /// Write a profile for each project, or for each profile that was in force.
    #[arg(long, value_enum, requires = "out")]
    per: Option<PerArg>,
    /// The folder for these profiles; none of its files is overwritten.
    #[arg(long, value_name = "DIR", requires = "per")]
    out: Option<PathBuf>,
    /// Print this profile with what it does not allow yet added to it.
    #[arg(long, value_name = "PROFILE", conflicts_with = "per")]
    merge: Option<PathBuf>,
    /// The name of the printed profile.
    #[arg(long, default_value = "suggested", value_parser = profile_name, conflicts_with_all = ["per", "merge"])]
    name: String,
    /// Suggest `*.domain` where at least N names directly below it were seen; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 10)]
    wildcards_from: usize,
}

/// What gets a profile of its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PerArg {
    /// Each project of the CI platform.
    Project,
    /// Each profile that was in force.
    Profile,
}

impl From<PerArg> for Per {
    fn from(per: PerArg) -> Self {
        match per {
            PerArg::Project => Self::Project,
            PerArg::Profile => Self::Profile,
        }
    }
}

impl SuggestArgs {
    fn wildcards(&self) -> Wildcards {
        NonZeroUsize::new(self.wildcards_from).map_or(Wildcards::Never, Wildcards::From)
    }
}

fn profile_name(text: &str) -> Result<String, &'static str> {
    if is_profile_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a profile's name is a-z, 0-9, `.`, `_`, `-` in parts separated by `/`")
    }
}

/// Reads the records and prints or writes what they suggest; the exit code.
pub(super) fn run(
    args: &SuggestArgs,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    if let Some(project) = &args.project {
        return project::run(project, &args.name, &Clients::of_this_machine(), out, errors);
    }
    // A profile that is wrong should be known before gigabytes are read.
    let base = match args.merge.as_deref().map(Base::from_file).transpose() {
        Ok(base) => base,
        Err(error) => return wrong(&error, errors),
    };
    let sources: Vec<Source> = args.events.iter().cloned().map(Source::from).collect();
    let learned = match learn::learn(&sources, args.per.map(Per::from)) {
        Ok(learned) => learned,
        Err(error) => return wrong(&error, errors),
    };
    for warning in learned.warnings() {
        writeln!(errors, "weir: warning: {warning}")?;
    }
    if learned.records == 0 {
        writeln!(errors, "weir: there is no event record in what was read")?;
        return Ok(WRONG);
    }
    match (&args.out, &base, learned.all()) {
        (Some(folder), ..) => into_folder(args, folder, &learned, out, errors),
        (None, Some(base), Some(lesson)) => merged(args, base, lesson, out, errors),
        (None, None, Some(lesson)) => {
            let written = lesson.suggestion.write(&lesson.heading(&args.name), args.wildcards());
            out.write_all(written.text.as_bytes())?;
            out.flush()?;
            writeln!(
                errors,
                "weir: records: {}, rules: {}, refused and only listed: {}",
                learned.records, written.rules, written.refused
            )?;
            Ok(0)
        }
        (None, _, None) => Ok(WRONG),
    }
}

fn into_folder(
    args: &SuggestArgs,
    folder: &Path,
    learned: &Learned,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    let files = files(learned, args.wildcards());
    if let Err(error) = write_all(folder, &files) {
        return wrong(&error, errors);
    }
    for file in &files {
        let (path, profile) = (folder.join(&file.name), &file.profile);
        writeln!(
            out,
            "{}: rules: {}, refused and only listed: {}",
            path.display(),
            profile.rules,
            profile.refused
        )?;
    }
    Ok(0)
}

fn merged(
    args: &SuggestArgs,
    base: &Base,
    lesson: &Lesson,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    match lesson.suggestion.merge_into(base, args.wildcards()) {
        Ok(merged) => {
            out.write_all(merged.text.as_bytes())?;
            out.flush()?;
            writeln!(errors, "weir: rules added: {}", merged.added)?;
            Ok(0)
        }
        Err(error) => wrong(&error, errors),
    }
}

fn wrong(error: &dyn std::error::Error, errors: &mut dyn Write) -> io::Result<u8> {
    writeln!(errors, "weir: {}", Chain(error))?;
    Ok(WRONG)
}

#[cfg(test)]
mod tests;
