//! What the README says of configuration and records is what the program's types say.
//!
//! With `WEIR_BLESS=1` in the environment the README is brought up to date instead.

use std::fs;
use std::path::Path;

use weir::config::Config;
use weir::events::schema;

/// Puts `text` between the two markers of a part, which stay; `None` where they are not.
fn replaced(readme: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin {part} -->\n"), format!("<!-- end {part} -->"));
    let (before, rest) = readme.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

#[test]
fn the_readme_says_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let config = format!("```yaml\n{}```\n", Config::default().render());
    let parts = [("configuration", config), ("fields", schema::table())];
    let expected = parts.iter().fold(readme.clone(), |readme, (part, text)| {
        replaced(&readme, part, text).unwrap_or_else(|| panic!("no markers of {part}"))
    });
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    assert!(
        readme == expected,
        "README.md is out of date: run `WEIR_BLESS=1 cargo test --package weir --test readme`"
    );
}
