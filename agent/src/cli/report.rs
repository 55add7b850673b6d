//! `weir report`.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{
    events::read::Source,
    policy::Chain,
    report::{self, to_html, to_markdown},
};

/// Exit code when records or the place for the report are wrong.
const WRONG: u8 = 2;

/// Arguments of `weir report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 when the report was written, 2 when it could not be, or there was no record."
)]
pub struct ReportArgs {
    /// Files of event records, in the order of time; `-` is standard input.
    #[arg(required = true, value_name = "EVENTS")]
    events: Vec<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// What comes out.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Form {
    /// Write one page to OUT that needs no script and no network; `-` is standard output.
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Print Markdown, for a comment or a wiki.
    #[arg(long)]
    markdown: bool,
}

/// Reads the records and writes the report; the code to exit with.
#[must_use]
pub fn run(args: &ReportArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    // Whoever closed the pipe must not take the answer for a good one.
    ExitCode::from(act(args, out, errors).unwrap_or(WRONG))
}

fn act(args: &ReportArgs, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let sources: Vec<Source> = args.events.iter().cloned().map(Source::from).collect();
    let report = match report::report(&sources) {
        Ok(report) => report,
        Err(error) => {
            writeln!(errors, "weir: {}", Chain(&error))?;
            return Ok(WRONG);
        }
    };
    for warning in report.warnings() {
        writeln!(errors, "weir: warning: {warning}")?;
    }
    if report.records() == 0 {
        writeln!(errors, "weir: there is no event record in what was read")?;
        return Ok(WRONG);
    }
    let text = if args.form.markdown { to_markdown(&report) } else { to_html(&report) };
    match &args.form.html {
        Some(path) if path.as_os_str() != "-" => {
            if let Err(error) = fs::write(path, text) {
                writeln!(errors, "weir: writing {}: {error}", path.display())?;
                return Ok(WRONG);
            }
        }
        _ => {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
