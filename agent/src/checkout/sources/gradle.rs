//! Gradle: the wrapper names where Gradle comes from. The build files are programs, which are not run.

use crate::checkout::findings::Gap;
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::ini;

/// gradle-wrapper.properties; `\:` is a colon there.
pub(super) fn wrapper(text: &str, notes: &mut Notes<'_>) {
    for setting in ini::settings(text) {
        if setting.key == "distributionUrl" {
            notes.url(Purpose::Gradle, &setting.value.replace('\\', ""), setting.line);
        }
    }
}

/// build.gradle and its kin.
pub(super) fn build(_text: &str, notes: &mut Notes<'_>) {
    notes.gap(Gap::GradleBuild, 1);
}
