//! Leaves, lines and limits of each format.

use proptest::prelude::*;

use super::*;

type Read = fn(&str, &mut Take<'_>) -> Result<(), Malformed>;

/// `a/b=text@line`, one leaf a word; and how the reading ended.
fn leaves(read: Read, text: &str) -> (String, Result<(), Malformed>) {
    let mut found = Vec::new();
    let read = read(text, &mut |leaf| {
        found.push(format!("{}={}@{}", leaf.keys.join("/"), leaf.text, leaf.line));
    });
    (found.join(" "), read)
}

#[track_caller]
fn check(read: Read, text: &str, expected: &str) {
    assert_eq!(leaves(read, text), (expected.to_owned(), Ok(())), "{text}");
}

#[test]
fn json_has_the_lines_of_its_texts() {
    let text = "{\n \"a\": {\"b\": \"x\"},\n \"l\": [\"y\",\n  {\"c\": \"z\"}, 1, null, true, 1.5],\n \"n\": -1}";
    check(json, text, "a/b=x@2 l=y@3 l/c=z@4");
    // A text with escapes is a copy, so that its line is the last one known.
    check(json, "{\"a\":\"x\",\n\"b\":\"\\u0041\"}", "a=x@1 b=A@1");
    check(json, "\u{feff}\"x\"", "=x@1");
}

#[test]
fn toml_has_tables_and_lists() {
    let text =
        "[a.b]\nc = \"x\"\n[[l]]\nd = ['y',\n 'z']\nn = 1\nt = true\n[[l]]\nd = {e = \"w\"}\n";
    check(toml, text, "a/b/c=x@2 l/d=y@4 l/d=z@5 l/t=true@7 l/d/e=w@9");
}

#[test]
fn yaml_is_read_as_programs_write_it() {
    check(yaml, "a: {b: x}\nl:\n- y\n- c: z\n- [w]\n", "a/b=x@1 l=y@3 l/c=z@4 l=w@5");
    check(yaml, "--- # one\na: x\n---\nb: y\n", "a=x@2 b=y@4");
    check(yaml, "a: &t {b: x}\nc: *t\nd: {<<: *t, e: y}\nf: *none\n", "a/b=x@1 d/e=y@3");
    check(yaml, "a: !reference [b, c]\nd: !x {e: f}\ng: !!str h\n", "g=h@3");
    check(yaml, "? [a, b]\n: x\n? {c: d}\n: - y\nz: 1\n", "?=x@2 ?=y@4 z=1@5");
    check(yaml, "", "");
}

#[test]
fn xml_has_the_texts_of_its_elements() {
    let text = "<?xml version='1.0'?>\n<p xmlns='x'>\n<r><id>a</id>\n<url>h&amp;<!-- c -->&#x69;<![CDATA[<]]></url></r>\n<x:e/></p>";
    check(xml, text, "p/r/id=a@3 p/r/url=h&i<@4");
    // What an entity stands for is not known.
    check(xml, "<!DOCTYPE p [<!ENTITY e 'x'>]><p>https://&e;/</p>", "p=https://$/@1");
}

#[test]
fn leaves_beside_each_other_share_a_map() {
    let cases: [(Read, &str); 4] = [
        (json, r#"{"l": [{"a": "1", "x": {"y": "0"}, "b": "1"}, {"a": "2", "b": "2"}]}"#),
        (toml, "[[l]]\na = '1'\nx.y = '0'\nb = '1'\n[[l]]\na = '2'\nb = '2'\n"),
        (yaml, "l:\n- {a: 1, x: {y: 0}, b: 1}\n- {a: 2, b: [2]}\n"),
        (xml, "<l><e><a>1</a><x><y>0</y></x><b>1</b></e><e><a>2</a><b>2</b></e></l>"),
    ];
    for (read, text) in cases {
        let mut maps = std::collections::BTreeMap::new();
        let read = read(text, &mut |leaf| {
            maps.entry(leaf.text.to_owned()).or_insert_with(Vec::new).push(leaf.map);
        });
        assert_eq!(read, Ok(()));
        let all: Vec<_> = maps.values().map(|maps| maps[0]).collect();
        assert_eq!(maps["1"], [maps["1"][0]; 2], "{text}");
        assert_eq!(maps["2"], [maps["2"][0]; 2], "{text}");
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{text}: {all:?}");
    }
}

#[test]
fn what_is_broken_or_too_deep_is_said_with_its_line() {
    let check = |read: Read, text: &str, format, line| {
        assert_eq!(leaves(read, text).1, Err(Malformed { format, line }), "{text:.60}");
    };
    check(json, "{\n\"a\": ", "JSON", 2);
    check(json, "{} x", "JSON", 1);
    check(toml, "a = 1\na = 2\n", "TOML", 2);
    check(yaml, "a: b\nc: ]\n", "YAML", 2);
    check(xml, "<a>\n<b></a>", "XML", 2);
    check(xml, "<a>", "XML", 1);
    check(json, &"[".repeat(100_000), "JSON", 1);
    check(toml, &format!("a = {}", "[".repeat(100_000)), "TOML", 1);
    check(yaml, &"[".repeat(100_000), "YAML", 1);
    check(xml, &"<a>".repeat(100_000), "XML", 1);
    check(yaml, &(0..300).fold(String::new(), |s, n| s + &" ".repeat(n) + "a:\n"), "YAML", 101);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[\\[\\]{}<>&!*?:|\\-'\"#%,=/ \\n\\t\\\\a-c\u{e9}\u{2028}]{0,60}") {
        for read in [json, toml, yaml, xml] {
            let lines = text.split('\n').count();
            if let (_, Err(error)) = leaves(read, &text) {
                prop_assert!(error.line >= 1 && error.line <= lines + 1);
            }
        }
    }
}
