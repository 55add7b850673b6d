//! `--suggest`: a profile that allows what was seen to pass.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use weir_ebpf::{flow::Outcome, reason::Reason};

use super::error::RunError;
use crate::{
    events::record::protocol_name,
    pod::account::Account,
    policy::{Heading, LeftOut, Suggestion, Wildcards},
};

/// Name of the suggested profile.
const NAME: &str = "suggested";

/// Makes sure before the run that the suggestion can be written after it.
pub(super) fn check_writable(path: &Path) -> Result<(), RunError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(drop)
        .map_err(RunError::path("opening the file for the suggested profile", path))
}

/// Writes the profile.
pub(super) fn write(path: &Path, accounts: &[Account]) -> Result<(), RunError> {
    fs::write(path, render(accounts)).map_err(RunError::path("writing the suggested profile", path))
}

fn render(accounts: &[Account]) -> String {
    let mut suggestion = Suggestion::default();
    for account in accounts {
        add(&mut suggestion, account);
    }
    let heading = Heading { name: NAME.to_owned(), ..Heading::default() };
    suggestion.write(&heading, Wildcards::default()).text
}

fn add(suggestion: &mut Suggestion, account: &Account) {
    let seen = account.seen();
    let reason = account.reason.map_or("", Reason::as_str);
    let (Some(address), Some(number)) = (account.ip, account.protocol) else {
        for name in &account.hosts {
            match account.outcome {
                Outcome::Blocked => suggestion.refused_name(name, reason, &seen),
                Outcome::Allowed | Outcome::Audited => suggestion.asked(name, &seen),
            }
        }
        return;
    };
    let observations = account.observations();
    if observations.is_empty() {
        let what = format!("{address} {}", protocol_name(number));
        return suggestion.leave_out(LeftOut::Protocol, &what);
    }
    for observation in observations {
        match account.outcome {
            Outcome::Audited if account.reason == Some(Reason::Unparsable) => {
                let what = format!("{address} {}", observation.port);
                suggestion.leave_out(LeftOut::Unparsable, &what);
            }
            Outcome::Blocked => suggestion.refused(&observation, reason),
            Outcome::Allowed | Outcome::Audited => suggestion.reached(&observation),
        }
    }
}
