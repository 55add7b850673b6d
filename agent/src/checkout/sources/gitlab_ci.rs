//! GitLab CI: the images of jobs and services, and other CI files.

use std::collections::HashMap;

use crate::checkout::document::{self, Leaf, Malformed};
use crate::checkout::expand::expand;
use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::dockerfile::runs_apt;
use super::{Reader, environment};

/// .gitlab-ci.yml, and what it includes from the same checkout.
pub(super) fn jobs(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut variables = HashMap::new();
    let (mut images, mut settings) = (Vec::new(), Vec::new());
    let read = document::yaml(text, &mut |leaf| {
        if let Some(name) = variable(&leaf) {
            settings.push((name.to_owned(), leaf.text.to_owned(), leaf.line));
            if leaf.keys.first().is_some_and(|key| key == "variables") {
                variables.insert(name.to_owned(), leaf.text.to_owned());
            }
        } else if is_image(&leaf) {
            images.push((leaf.text.to_owned(), leaf.line));
        } else if leaf.is(&["include", "remote"]) {
            notes.gap(Gap::RemoteInclude, leaf.line);
        } else if leaf.is(&["include", "local"]) || leaf.is(&["include"]) {
            if leaf.text.contains("://") {
                notes.gap(Gap::RemoteInclude, leaf.line);
            } else if !leaf.text.contains(['*', '$']) {
                notes.include_from_root(Reader::Document(jobs), leaf.text);
            }
        } else if matches!(leaf.key(), "script" | "before_script" | "after_script")
            && runs_apt(leaf.text)
        {
            notes.gap(Gap::AptOfImage, leaf.line);
        }
    });
    for (image, line) in images {
        // A value may be made of others.
        let image = expand(&expand(&image, &variables), &variables);
        notes.image(Purpose::JobImages, &image, line);
    }
    for (name, value, line) in settings {
        environment::note(&name, &expand(&expand(&value, &variables), &variables), line, notes);
    }
    read
}

/// The name of the variable that is set here, for all jobs or for one, as text or as a map with a `value`.
fn variable<'a>(leaf: &Leaf<'a>) -> Option<&'a str> {
    let keys = match leaf.keys {
        [keys @ .., value] if value == "value" => keys,
        keys => keys,
    };
    match keys {
        [variables, name] | [_, variables, name] if variables == "variables" => Some(name),
        _ => None,
    }
}

/// `image` and `services` of all jobs or of one, as text or as a map with a `name`.
fn is_image(leaf: &Leaf<'_>) -> bool {
    let keys = match leaf.keys {
        [keys @ .., name] if name == "name" => keys,
        keys => keys,
    };
    match keys {
        [key] | [_, key] => key == "image" || key == "services",
        _ => false,
    }
}
