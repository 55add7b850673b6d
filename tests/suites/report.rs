//! `weir report`: its page in a real browser without a network, its numbers against the records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::browser::Page;
use weir_tests::exec::{self, DEFAULT_LIMIT, Output};
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::weir::{self, Event};

/// Runs `weir report`.
fn report(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(weir::binary()?);
    command.arg("report").args(arguments);
    exec::run(command, DEFAULT_LIMIT)
}

/// The page of these lines of records, in a folder that goes with it.
fn page_of(lines: &[u8]) -> Result<(Page, PathBuf, TempDir)> {
    let folder = tempfile::tempdir()?;
    let (events, html) = (folder.path().join("events.jsonl"), folder.path().join("report.html"));
    fs::write(&events, lines)?;
    let words = [path(&events)?, "--html", path(&html)?];
    report(&words)?.expect_code(0)?;
    Ok((Page::open(&html)?, html, folder))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Records of runs that reach, are refused, and are let pass.
fn real_events() -> Result<Vec<Event>> {
    let lab = Lab::new()?;
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]).text();
    let attacker = addresses::ATTACKER.v4;
    let script = format!(
        "curl -sS -o /dev/null http://files.example.com/bytes/300000; \
         for n in 1 2 3; do curl -sS -m 2 http://collector.example.net/; done; \
         for n in 1 2; do curl -sS -m 2 http://{attacker}:4000/; done; \
         curl -sS -m 2 -o /dev/null http://api.example.com/bytes/2000; true"
    );
    let block = lab.weir().profile(&profile)?.run(&["sh", "-c", &script])?;
    let audit = lab.weir().profile(&profile)?.audit().run(&["sh", "-c", &script])?;
    Ok([block.events, audit.events].concat())
}

fn lines(events: &[Event]) -> String {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What the page should say, added up here from the accounts alone: at the end of a run everything has one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    refused: u64,
    audited: u64,
    allowed: u64,
    sent: u64,
    received: u64,
}

impl Sums {
    fn add(&mut self, event: &Event) {
        let count = match event.verdict() {
            "block" => &mut self.refused,
            "audit" => &mut self.audited,
            _ => &mut self.allowed,
        };
        *count += event.number("/count");
        self.sent += event.number("/bytes_up");
        self.received += event.number("/bytes_down");
    }

    const fn numbers(&self) -> [u64; 5] {
        [self.refused, self.audited, self.allowed, self.sent, self.received]
    }
}

fn by<K: Ord>(events: &[Event], key: impl Fn(&Event) -> K) -> BTreeMap<K, Sums> {
    let mut sums: BTreeMap<K, Sums> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind() == "flow") {
        sums.entry(key(event)).or_default().add(event);
    }
    sums
}

/// Where a record went, as the page calls it.
fn destination(event: &Event) -> (String, String) {
    let host = if event.host().is_empty() { event.ip() } else { event.host() };
    let port = match (event.proto(), event.port()) {
        ("dns", _) => "question".to_owned(),
        (proto, 0) => proto.to_owned(),
        (proto, port) => format!("{port}/{proto}"),
    };
    (host.to_owned(), port)
}

/// The rows of the table of the section with this id: each cell as it is seen, or its exact value where it has one.
fn rows(page: &mut Page, id: &str) -> Result<Vec<Vec<String>>> {
    let found = page.evaluate(&format!(
        "Array.from(document.querySelectorAll(\"section[aria-labelledby='{id}'] tbody tr\")).map(row =>
            Array.from(row.cells).map(cell => cell.querySelector('data')?.value ?? cell.innerText.trim()))"
    ))?;
    Ok(serde_json::from_value(found)?)
}

fn texts(numbers: [u64; 5]) -> Vec<String> {
    numbers.iter().map(ToString::to_string).collect()
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_records() -> Result<()> {
    let events = real_events()?;
    let (mut page, html, _folder) = page_of(lines(&events).as_bytes())?;

    let total = by(&events, |_| ()).remove(&()).context("no account")?;
    ensure!(total.numbers().iter().all(|number| *number > 0), "nothing to see: {total:?}");
    let shown = page.evaluate(
        "['total-refused', 'total-audited', 'total-allowed', 'total-sent', 'total-received'].map(id => {
            const data = document.getElementById(id);
            return data.getClientRects().length > 0 ? data.value : 'hidden'; })",
    )?;
    ensure!(shown == json!(texts(total.numbers())), "{shown}, not {total:?}");
    let seen = page.evaluate("document.getElementById('total-refused').innerText")?;
    ensure!(seen == json!(total.refused.to_string()), "{seen}");

    let mut expected: Vec<Vec<String>> = by(&events, destination)
        .into_iter()
        .filter(|(_, sums)| sums.sent + sums.received > 0)
        .map(|((host, port), sums)| [vec![host, port], texts(sums.numbers())].concat())
        .collect();
    let mut found = rows(&mut page, "destinations")?;
    let bytes = |row: &Vec<String>| -> u64 {
        row[5..].iter().map(|cell| cell.parse::<u64>().unwrap_or_default()).sum()
    };
    ensure!(found.is_sorted_by_key(|row| u64::MAX - bytes(row)), "{found:?}");
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?}\n{expected:?}");

    let mut found = rows(&mut page, "processes")?;
    let mut expected: Vec<Vec<String>> = by(&events, |event| event.comm().to_owned())
        .into_iter()
        .map(|(comm, sums)| [vec![comm], texts(sums.numbers())].concat())
        .collect();
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?}\n{expected:?}");

    let refusals: Vec<Event> =
        events.iter().filter(|event| event.verdict() != "allow").cloned().collect();
    let mut found: Vec<Vec<String>> =
        rows(&mut page, "reasons")?.into_iter().map(|row| row[..3].to_vec()).collect();
    let mut expected: Vec<Vec<String>> = by(&refusals, |event| event.reason().to_owned())
        .into_iter()
        .map(|(reason, sums)| vec![reason, sums.refused.to_string(), sums.audited.to_string()])
        .collect();
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?}\n{expected:?}");

    let mut found: Vec<Vec<String>> =
        rows(&mut page, "attempts")?.into_iter().map(|row| row[1..7].to_vec()).collect();
    let attempt = |event: &Event| {
        let (host, port) = destination(event);
        let verdict = if event.verdict() == "block" { "refused" } else { "audited" };
        [host, port, verdict.to_owned(), event.reason().to_owned(), event.comm().to_owned()]
    };
    let mut expected: Vec<Vec<String>> = by(&refusals, attempt)
        .into_iter()
        .map(|(key, sums)| [key.to_vec(), vec![(sums.refused + sums.audited).to_string()]].concat())
        .collect();
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?}\n{expected:?}");

    let parts = page.evaluate(
        "Array.from(document.querySelectorAll('#timeline-numbers tbody tr')).map(row =>
            Array.from(row.cells).slice(2).map(cell => Number(cell.textContent)))",
    )?;
    let parts: Vec<[u64; 3]> = serde_json::from_value(parts)?;
    let sum = |at: usize| parts.iter().map(|part| part[at]).sum::<u64>();
    ensure!([sum(0), sum(1), sum(2)] == total.numbers()[..3], "{parts:?}");
    needs_nothing(&page, &html)
}

/// The page asked for itself alone, and the browser had nothing against it.
fn needs_nothing(page: &Page, html: &Path) -> Result<()> {
    ensure!(page.requests() == [format!("file://{}", html.display())], "{:?}", page.requests());
    ensure!(page.complaints().is_empty(), "{:?}", page.complaints());
    Ok(())
}

/// A record with a text in every place that a job can write to.
fn hostile(template: &Value, text: &str) -> Result<Value> {
    let mut record = template.clone();
    let changes = json!({
        "kind": "violation",
        "verdict": "block",
        "reason": "domain_not_in_allowlist",
        "count": 1,
        "node": text,
        "process": { "comm": text, "binary": text, "pid": 7, "ancestry": [text, text] },
        "destination": { "host": text, "ip": null, "port": null, "proto": text },
        "pod": { "namespace": text, "name": text, "uid": text },
        "gitlab": {
            "project": text, "project_id": 42, "pipeline_id": null, "job_id": 1, "job_name": text,
            "ref": text, "job_url": text, "untrusted": [],
        },
    });
    let Value::Object(changes) = changes else { bail!("no object") };
    record.as_object_mut().context("a record that is no object")?.extend(changes);
    Ok(record)
}

const SCRIPT: &str = "<script>window.ran = 1</script>";

#[test]
fn hostile_text_is_seen_and_does_nothing() -> Result<()> {
    let events = real_events()?;
    let template: Value = serde_json::from_str(&events.first().context("no record")?.to_string())?;
    let texts = [
        SCRIPT.to_owned(),
        "\"'><img src=x onerror=\"window.ran = 1\">".to_owned(),
        "</td></table></style><svg onload=\"window.ran = 1\">".to_owned(),
        "javascript:window.ran=1".to_owned(),
        "<style>* { display: none }</style><meta http-equiv=refresh content=0;url=https://example.com>"
            .to_owned(),
        "\u{1b}[31m\nred\u{202e}".to_owned(),
        "\u{1f600}<b>".repeat(9 * 1024),
    ];
    let mut lines = Vec::new();
    for text in &texts {
        lines.extend_from_slice(hostile(&template, text)?.to_string().as_bytes());
        lines.push(b'\n');
    }
    // A name of the wrong bytes, as a broken pipeline leaves it.
    let odd = hostile(&template, "odd#")?.to_string().replace('#', "\u{0}");
    lines.extend(odd.bytes().map(|byte| if byte == 0 { 0xff } else { byte }));
    lines.push(b'\n');
    let (mut page, html, folder) = page_of(&lines)?;

    ensure!(page.evaluate("typeof window.ran")? == json!("undefined"), "a script has run");
    let found = page.evaluate(
        "document.querySelectorAll('script, img, iframe, object, embed, form, [onload], [onerror], td svg').length
            + document.querySelectorAll('style').length + document.querySelectorAll('a[href^=javascript]').length",
    )?;
    // The page's own style.
    ensure!(found == json!(1), "{found} elements that nobody wrote");
    let rows = rows(&mut page, "attempts")?;
    ensure!(rows.len() == texts.len() + 1, "{rows:?}");
    for wanted in [SCRIPT, "\\u{1b}[31m\\nred\\u{202e}", "odd\u{fffd}", "javascript:window.ran=1"] {
        let is_seen = rows.iter().any(|row| row[1] == wanted && row[5] == wanted);
        ensure!(is_seen, "{wanted:?} is not in {rows:?}");
    }
    let size = fs::metadata(&html)?.len();
    ensure!(size < 100 * 1024, "{size} bytes");
    needs_nothing(&page, &html)?;

    let events = folder.path().join("events.jsonl");
    let markdown = report(&[path(&events)?, "--markdown"])?.expect_code(0)?.stdout;
    ensure!(markdown.contains(&format!("`{SCRIPT}`")), "{markdown}");
    ensure!(!markdown.chars().any(|c| c.is_control() && c != '\n'), "{markdown:?}");
    Ok(())
}

#[test]
fn the_page_forbids_itself_what_it_does_not_need() -> Result<()> {
    let (mut page, _, _folder) = page_of(lines(&real_events()?).as_bytes())?;
    let refused = page.evaluate(
        "new Promise(resolve => {
            const refused = new Set();
            document.addEventListener('securitypolicyviolation', event => {
                refused.add(event.effectiveDirective);
                if (refused.size === 3) resolve(Array.from(refused).sort());
            });
            document.body.insertAdjacentHTML('beforeend',
                '<img src=\"https://example.com/a.png\" onerror=\"window.ran = 1\"><p id=late style=\"color: red\">x</p>');
        })",
    )?;
    ensure!(refused == json!(["img-src", "script-src-attr", "style-src-attr"]), "{refused}");
    ensure!(page.evaluate("typeof window.ran")? == json!("undefined"), "a script has run");
    let late = page.evaluate("getComputedStyle(document.getElementById('late')).color")?;
    ensure!(late != json!("rgb(255, 0, 0)"), "a style came in late");
    Ok(())
}

#[test]
fn the_page_is_readable_in_light_in_dark_and_on_paper() -> Result<()> {
    let (mut page, _, _folder) = page_of(lines(&real_events()?).as_bytes())?;
    let mut seen = Vec::new();
    for (media, scheme) in [("screen", "light"), ("screen", "dark"), ("print", "light")] {
        page.show_as(media, scheme)?;
        let style = page.evaluate(
            "(() => { const body = getComputedStyle(document.body);
                return [body.backgroundColor, body.color, body.padding]; })()",
        )?;
        // The contrast of text that stands back, by WCAG 2: at least 4.5.
        let contrast = page.evaluate(
            "(() => {
                const light = color => { const parts = color.match(/[0-9.]+/g).slice(0, 3)
                        .map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; };
                const ground = light(getComputedStyle(document.body).backgroundColor);
                const ratios = Array.from(document.querySelectorAll('p, td, th, dt, dd, caption, small, time, a'))
                    .map(element => light(getComputedStyle(element).color))
                    .map(ink => (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05));
                return Math.min(...ratios); })()",
        )?;
        ensure!(contrast.as_f64() >= Some(4.5), "{media} {scheme}: {contrast}");
        seen.push(style);
    }
    seen.dedup();
    ensure!(seen.len() == 3, "{seen:?}");
    let unnamed = page.evaluate(
        "document.querySelectorAll('table:not(:has(caption)):not(details table), svg:not([aria-labelledby]), th:not([scope])').length
            + (document.documentElement.lang === 'en' ? 0 : 1) + (document.title ? 0 : 1)",
    )?;
    ensure!(unnamed == json!(0), "{unnamed} elements that a screen reader could not name");
    Ok(())
}
