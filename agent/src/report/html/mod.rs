//! The report as one HTML page: markup and style in one file, no script, nothing to fetch.
//!
//! The page forbids itself everything else by its content security policy, so that even markup that got in would
//! neither run nor load anything.

mod chart;
mod markup;
mod tables;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use self::markup::Markup;
use super::Report;
use crate::system::utc;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Markup::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        BASE64_STANDARD.encode(Sha256::digest(STYLE))
    );
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"").text(&policy).raw("\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n");
    page.raw("<title>Egress report</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
    header(&mut page, report);
    page.raw("<main>\n");
    tables::totals(&mut page, report);
    chart::timeline(&mut page, &report.timeline);
    tables::attempts(&mut page, report);
    tables::reasons(&mut page, report);
    tables::destinations(&mut page, report);
    tables::processes(&mut page, report);
    page.raw("</main>\n</body>\n</html>\n");
    page.into_string()
}

fn header(page: &mut Markup, report: &Report) {
    page.raw("<header>\n<h1>Egress report</h1>\n<p>");
    if let Some((first, last)) = report.span {
        page.time(first).raw(" to ").time(last).raw(". ");
    }
    page.raw("Records: ").number(report.records);
    page.raw("; machines: ").text(&report.nodes.describe());
    page.raw("; pods: ").text(&report.pods.describe()).raw(".</p>\n");
    let lost = (report.lost > 0).then(|| {
        format!("weir could not record {} events: what is shown may not be all.", report.lost)
    });
    for warning in report.warnings.iter().chain(&lost) {
        page.raw("<p class=\"warning\" role=\"note\"><strong>Warning:</strong> ");
        page.text(warning).raw("</p>\n");
    }
    page.raw("</header>\n");
}

impl Markup {
    /// A time, to the second.
    fn time(&mut self, time: std::time::SystemTime) -> &mut Self {
        let text = utc::format(time);
        self.raw("<time datetime=\"").text(&text).raw("\">").text(&text).raw("</time>")
    }
}

#[cfg(test)]
mod tests;
