//! Maven's default repository stands in its own model. It is asked for a plug-in that nobody has, through the refusing
//! proxy.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::Client;
use super::asker::Asker;
use crate::checkout::endpoint::Endpoint;
use crate::checkout::findings::{Findings, Gap, NotAsked, Places};
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;
use crate::checkout::read::own_file;
use crate::checkout::sources::maven;

/// Size of the user's own settings, in bytes.
const SETTINGS: u64 = 1024 * 1024;
const SETTINGS_NAME: &str = "~/.m2/settings.xml";

/// Notes the default repository, or the mirrors of the user's settings, if the checkout needs it.
pub(super) fn answer(asker: &Asker<'_>, home: Option<&Path>, findings: &mut Findings) {
    if findings.unsettled(Client::Maven).is_empty() {
        return;
    }
    if let Some(home) = home
        && let Ok(text) = own_file(&home.join(".m2/settings.xml"), SETTINGS)
        && let Err(error) = maven::settings(&text, &mut Notes::new(findings, SETTINGS_NAME))
    {
        findings.warn_of(SETTINGS_NAME, &error);
    }
    let places = findings.unsettled(Client::Maven);
    if places.is_empty() {
        return;
    }
    match repository(asker) {
        Ok(repository) => {
            let places = Places::answer("the first connection of `mvn`", &places);
            findings.lead(Purpose::Maven, Ok(repository), &places);
        }
        Err(why) => findings.gap(Gap::Default(Client::Maven, why), &places),
    }
}

fn repository(asker: &Asker<'_>) -> Result<Endpoint, NotAsked> {
    let question = asker.find(Client::Maven, &["mvn"])?;
    let scratch = tempfile::tempdir().map_err(|_error| NotAsked::Failed)?;
    let settings = scratch.path().join("settings.xml");
    let path = settings.to_str().ok_or(NotAsked::Failed)?;
    let question =
        question.arguments(&["--batch-mode", "--settings", path, "com.example.weir:probe:1:probe"]);
    let prepare = |proxy| fs::write(&settings, settings_of(proxy, scratch.path()));
    asker.first_contact(&question, prepare)?.map_err(|_none| NotAsked::NoAnswer)
}

/// Settings with the proxy, and with a repository of their own so that the user's is left alone. The element of
/// the hosts that go past a proxy is left out, which means none.
fn settings_of(proxy: SocketAddr, scratch: &Path) -> String {
    let proxies = ["http", "https"].map(|protocol| {
        format!(
            "<proxy><id>{protocol}</id><active>true</active><protocol>{protocol}</protocol>\
             <host>{}</host><port>{}</port></proxy>",
            proxy.ip(),
            proxy.port()
        )
    });
    format!(
        "<settings><localRepository>{}/repository</localRepository><proxies>{}</proxies></settings>\n",
        scratch.display(),
        proxies.concat()
    )
}
