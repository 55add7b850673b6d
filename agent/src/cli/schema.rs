//! `weir schema`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use crate::{events, page, run::summary::chain};

/// Arguments of `weir schema`.
#[derive(Clone, Copy, Debug, Args)]
pub struct SchemaArgs {
    /// Of what.
    #[arg(value_enum, default_value = "records")]
    of: Subject,
}

/// What there is a schema of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The event records, one a line.
    Records,
    /// The report that a job gets from `http://weir.internal/?format=json`.
    Page,
}

/// Prints a schema.
#[must_use]
pub fn run(args: SchemaArgs, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    match print(args.of, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told.
            let _unread = writeln!(errors, "weir: printing the schema: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn print(of: Subject, out: &mut dyn Write) -> io::Result<()> {
    let text = match of {
        Subject::Records => events::schema::text(),
        Subject::Page => page::report::schema(),
    };
    out.write_all(text.map_err(io::Error::other)?.as_bytes())?;
    out.flush()
}
