//! pip's settings, where a checkout has them (`PIP_CONFIG_FILE` leads to them).

use crate::checkout::clients::Client;
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::ini;

/// pip.conf.
pub(super) fn settings(text: &str, notes: &mut Notes<'_>) {
    for setting in ini::settings(text) {
        match setting.key.to_ascii_lowercase().replace('_', "-").as_str() {
            "index-url" => {
                notes.url(Purpose::Pip, &setting.value, setting.line);
                notes.settles_folder(Client::Pip);
                notes.gap(Gap::LinkedFiles, setting.line);
            }
            "no-index" => notes.settles_folder(Client::Pip),
            // A list of several stands on one line or on more.
            "extra-index-url" | "find-links" => {
                for url in setting.value.split_whitespace() {
                    notes.url(Purpose::Pip, url, setting.line);
                }
            }
            "proxy" => notes.proxy(Purpose::Pip, &setting.value, setting.line),
            _ => {}
        }
    }
}
