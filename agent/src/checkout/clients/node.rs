//! npm, yarn and pnpm tell their registry when asked.

use super::Client;
use super::asker::Asker;
use crate::checkout::endpoint::{self, Endpoint};
use crate::checkout::findings::{Findings, Gap, NotAsked, Places};
use crate::checkout::purpose::Purpose;

/// Notes the registry of `client`, if the checkout needs it.
pub(super) fn answer(asker: &Asker<'_>, client: Client, findings: &mut Findings) {
    let places = findings.unsettled(client);
    if places.is_empty() {
        return;
    }
    match registry(asker, client) {
        Ok(registry) => {
            let places = Places::answer(&format!("`{}`", client.question()), &places);
            findings.lead(Purpose::Npm, Ok(registry), &places);
        }
        Err(why) => findings.gap(Gap::Default(client, why), &places),
    }
}

fn registry(asker: &Asker<'_>, client: Client) -> Result<Endpoint, NotAsked> {
    let mut words = client.question().split(' ');
    let program = words.next().unwrap_or_default();
    let arguments: Vec<&str> = words.collect();
    let question = asker.find(client, &[program])?.arguments(&arguments);
    let output = asker.output(&question)?;
    // Warnings of theirs go to standard error; what is left is a line.
    let line = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    endpoint::url(line).map_err(|_none| NotAsked::NoAnswer)
}
