//! pip tells its index in the help of `pip install`, which shows the defaults in force, and its other settings in
//! `pip config list`.

use super::Client;
use super::asker::Asker;
use crate::checkout::endpoint;
use crate::checkout::findings::{Findings, Gap, NotAsked, Places};
use crate::checkout::purpose::Purpose;

/// Notes pip's index and what else its settings name, if the checkout needs it.
pub(super) fn answer(asker: &Asker<'_>, findings: &mut Findings) {
    let places = findings.unsettled(Client::Pip);
    if places.is_empty() {
        return;
    }
    findings.gap(Gap::LinkedFiles, &places);
    let heard = ask(asker, &["install", "--help"]).and_then(|help| {
        let index = index_of(&help).ok_or(NotAsked::NoAnswer)?;
        endpoint::url(index).map_err(|_none| NotAsked::NoAnswer)
    });
    match heard {
        Ok(index) => {
            let places = Places::answer("`pip install --help`", &places);
            findings.lead(Purpose::Pip, Ok(index), &places);
        }
        Err(why) => findings.gap(Gap::Default(Client::Pip, why), &places),
    }
    let places = Places::answer("`pip config list`", &places);
    for (key, value) in settings_of(&ask(asker, &["config", "list"]).unwrap_or_default()) {
        let read = match key.as_str() {
            "extra-index-url" | "find-links" => endpoint::url,
            "proxy" => endpoint::proxy,
            _ => continue,
        };
        for word in value.split_whitespace() {
            findings.lead(Purpose::Pip, read(word), &places);
        }
    }
}

fn ask(asker: &Asker<'_>, arguments: &[&str]) -> Result<String, NotAsked> {
    // The help is folded to the width of the terminal, URLs included.
    let question = asker.find(Client::Pip, &["pip3", "pip"])?.variable("COLUMNS", "10000");
    asker.output(&question.arguments(arguments))
}

/// The default in the help of `--index-url`: `… (default https://…). …`.
fn index_of(help: &str) -> Option<&str> {
    let (_, from) = help.split_once("--index-url <url>")?;
    let line = from.lines().next()?;
    line.split_once("(default ")?.1.split(')').next()
}

/// `section.key='value'` on each line; the value is written as Python writes it.
fn settings_of(list: &str) -> Vec<(String, String)> {
    list.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            let key = name.rsplit('.').next()?.to_owned();
            Some((key, value.trim_matches(['\'', '"']).replace("\\n", " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_holds_the_index() {
        let help = "  -i, --index-url <url>       Base URL of the index (default \
                    https://u:****@pip.example.com/simple). This should …\n  --extra-index-url <url> …";
        assert_eq!(index_of(help), Some("https://u:****@pip.example.com/simple"));
        assert_eq!(index_of("Usage:"), None);
    }

    #[test]
    fn the_list_holds_more() {
        let list = ":env:.extra-index-url='https://a.example.com/ https://b.example.com/'\n\
                    global.find-links='\\nhttps://c.example.com/x\\nwheels'\nnonsense\n";
        let found = settings_of(list);
        assert_eq!(found[0].1, "https://a.example.com/ https://b.example.com/");
        assert_eq!(found[1].0, "find-links");
        assert_eq!(found[1].1.split_whitespace().count(), 2);
    }
}
