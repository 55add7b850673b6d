//! XML, by the crate quick-xml. Names stand without their namespace's prefix, attributes are passed over, and of
//! references only characters and the five predefined ones are resolved.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::lines::Lines;
use super::{Leaf, Malformed, NESTING, Take};

/// Takes the text of every element that holds any, at its end.
pub(in crate::checkout) fn xml(text: &str, take: &mut Take<'_>) -> Result<(), Malformed> {
    let lines = Lines::of(text);
    let mut reader = Reader::from_str(text);
    let mut keys: Vec<String> = Vec::new();
    // For each open element its number, and its text so far.
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut elements = 0;
    loop {
        let offset = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let malformed = || Malformed { format: "XML", line: lines.at(offset) };
        match reader.read_event().map_err(|_error| malformed())? {
            Event::Start(start) => {
                if open.len() >= NESTING {
                    return Err(malformed());
                }
                keys.push(start.local_name().as_ref().to_owned());
                elements += 1;
                open.push((elements, String::new()));
            }
            Event::End(_) => {
                let Some((_, text)) = open.pop() else { return Err(malformed()) };
                let text = text.trim();
                if !text.is_empty() {
                    let map = open.last().map_or(0, |(number, _)| *number);
                    take(Leaf { keys: &keys, text, line: lines.at(offset), map });
                }
                keys.pop();
            }
            Event::Text(part) => append(&mut open, &part.xml_content(XmlVersion::Explicit1_0)),
            Event::CData(part) => append(&mut open, &part.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(reference) => {
                match reference.resolve_char_ref().map_err(|_error| malformed())? {
                    Some(character) => append(&mut open, character.encode_utf8(&mut [0; 4])),
                    None => append(&mut open, resolve_predefined_entity(&reference).unwrap_or("$")),
                }
            }
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err(malformed()),
            _ => {}
        }
    }
}

fn append(open: &mut [(usize, String)], text: &str) {
    if let Some((_, whole)) = open.last_mut() {
        whole.push_str(text);
    }
}
