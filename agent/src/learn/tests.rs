//! Records in, profiles out.

use serde_json::{Value, json};

use super::*;
use crate::events::read::testing::{read_bytes, value};
use crate::policy::{Profile, Wildcards};

/// A record with these fields changed.
pub(super) fn with(changes: &[(&str, Value)]) -> Value {
    let mut value = value();
    for (pointer, new) in changes {
        if let Some(place) = value.pointer_mut(pointer) {
            *place = new.clone();
        } else {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            value.pointer_mut(parent).unwrap()[field] = new.clone();
        }
    }
    value
}

pub(super) fn learned(per: Option<Per>, records: &[Value]) -> Learned {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let (entries, passed_over) = read_bytes(lines.join("\n").as_bytes());
    assert_eq!(passed_over, PassedOver::default());
    let mut learned = Learned::new(per);
    for entry in &entries {
        learned.add(entry);
    }
    learned
}

pub(super) fn text(records: &[Value]) -> String {
    let learned = learned(None, records);
    let lesson = learned.all().unwrap();
    let text = lesson.suggestion.write(&lesson.heading("suggested"), Wildcards::default()).text;
    Profile::from_yaml("suggested.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    text
}

#[test]
fn what_was_lost_is_said() {
    let lost = with(&[("/kind", json!("lost")), ("/count", json!(7)), ("/verdict", json!(null))]);
    let text = text(&[lost.clone(), value(), lost]);
    assert!(
        text.contains(
            "# 3 records, 2026-11-22T09:02:11Z to 2026-11-22T09:02:11Z.\n\
             # WARNING: weir could not record 14 events; something may be missing here.\n"
        ),
        "{text}"
    );
}

#[test]
fn more_groups_than_are_told_apart_are_said() {
    let records: Vec<Value> = (0..GROUPS + 3)
        .map(|n| with(&[("/policy/profile", json!(format!("p{n}")))]))
        .chain([with(&[("/policy/profile", json!("p0"))])])
        .collect();
    let learned = learned(Some(Per::Profile), &records);
    assert_eq!((learned.lessons.len(), learned.of_too_many_groups), (GROUPS, 3));
    let expected = "3 records of more than 4096 groups are not used; give fewer files";
    assert_eq!(learned.warnings(), [expected]);
}
