//! The timeline as bars, and as a table for whoever does not see bars.

use super::markup::Markup;
use crate::{
    report::timeline::{Counts, Part, Timeline},
    system::utc,
};

/// Of a drawing, in its own units.
const HEIGHT: u64 = 160;
/// What one part takes.
const STEP: u64 = 8;
/// Left free between bars.
const GAP: u64 = 1;
/// The least height of a bar that is not 0, so that one in a million is seen.
const LEAST: u64 = 2;

/// One drawing: what it is called, and what of the counts it shows from the bottom up.
struct Chart {
    id: &'static str,
    title: &'static str,
    bars: fn(Counts) -> [(&'static str, u64); 2],
}

/// What is allowed is usually far more than what is not, so each has a scale of its own.
const CHARTS: [Chart; 2] = [
    Chart {
        id: "chart-attempts",
        title: "Refused and audited",
        bars: |counts| [("refused", counts.refused), ("audited", counts.audited)],
    },
    Chart {
        id: "chart-allowed",
        title: "Allowed",
        bars: |counts| [("allowed", counts.allowed), ("allowed", 0)],
    },
];

/// Draws the timeline.
pub(super) fn timeline(page: &mut Markup, timeline: &Timeline) {
    page.raw("<section aria-labelledby=\"timeline\">\n<h2 id=\"timeline\">Timeline</h2>\n");
    let parts = timeline.parts();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        page.raw("<p>Nothing.</p>\n</section>\n");
        return;
    };
    page.raw(
        "<p class=\"legend\"><span class=\"refused\">refused</span> <span class=\"audited\">audited</span> \
         <span class=\"allowed\">allowed</span></p>\n",
    );
    for chart in CHARTS {
        draw(page, &chart, &parts);
    }
    page.raw("<p class=\"axis\">").time(first.from).time(last.to).raw("</p>\n");
    numbers(page, &parts);
    page.raw("</section>\n");
}

fn draw(page: &mut Markup, chart: &Chart, parts: &[Part]) {
    let sum = |part: &Part| {
        let [(_, first), (_, second)] = (chart.bars)(part.counts);
        first.saturating_add(second)
    };
    let highest = parts.iter().map(sum).max().unwrap_or(0);
    page.raw("<figure>\n<figcaption>").raw(chart.title).raw(", at most ").number(highest);
    page.raw("</figcaption>\n<svg role=\"img\" preserveAspectRatio=\"none\" aria-labelledby=\"")
        .raw(chart.id);
    let width = STEP * u64::try_from(parts.len()).unwrap_or(1);
    page.raw("\" viewBox=\"0 0 ")
        .number(width)
        .raw(" ")
        .number(HEIGHT)
        .raw("\">\n<title id=\"")
        .raw(chart.id);
    page.raw("\">").raw(chart.title).raw(" over time; the table below has the numbers</title>\n");
    for (part, number) in parts.iter().zip(0..) {
        bar(page, chart, part, number * STEP, highest);
    }
    page.raw("</svg>\n</figure>\n");
}

/// One part.
fn bar(page: &mut Markup, chart: &Chart, part: &Part, x: u64, highest: u64) {
    let bars = (chart.bars)(part.counts);
    if bars.iter().all(|(_, count)| *count == 0) {
        return;
    }
    page.raw("<g><title>").text(&utc::format(part.from)).raw(": ");
    let mut separator = "";
    for (class, count) in bars.into_iter().filter(|(_, count)| *count > 0) {
        page.raw(separator).number(count).raw(" ").raw(class);
        separator = ", ";
    }
    page.raw("</title>");
    let mut bottom = HEIGHT;
    for (class, count) in bars {
        let height = scaled(count, highest).min(bottom);
        if height == 0 {
            continue;
        }
        bottom -= height;
        page.raw("<rect class=\"")
            .raw(class)
            .raw("\" x=\"")
            .number(x)
            .raw("\" y=\"")
            .number(bottom);
        page.raw("\" width=\"").number(STEP - GAP).raw("\" height=\"").number(height).raw("\"/>");
    }
    page.raw("</g>\n");
}

/// The height of a bar.
fn scaled(count: u64, highest: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let height = u128::from(count) * u128::from(HEIGHT) / u128::from(highest.max(1));
    u64::try_from(height).unwrap_or(HEIGHT).clamp(LEAST, HEIGHT)
}

fn numbers(page: &mut Markup, parts: &[Part]) {
    page.raw("<details>\n<summary>The numbers of the timeline</summary>\n<table id=\"timeline-numbers\">\n<thead><tr>");
    page.raw("<th scope=\"col\">From</th><th scope=\"col\">To</th>");
    for heading in ["Refused", "Audited", "Allowed"] {
        page.raw("<th scope=\"col\" class=\"number\">").raw(heading).raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for part in parts.iter().filter(|part| part.counts.sum() > 0) {
        page.raw("<tr><th scope=\"row\">")
            .time(part.from)
            .raw("</th><td>")
            .time(part.to)
            .raw("</td>");
        for count in [part.counts.refused, part.counts.audited, part.counts.allowed] {
            page.raw("<td class=\"number\">").number(count).raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody>\n</table>\n</details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_seen_and_the_most_fits() {
        assert_eq!(scaled(0, 10), 0);
        assert_eq!(scaled(1, 1_000_000), LEAST);
        assert_eq!(scaled(5, 10), HEIGHT / 2);
        assert_eq!(scaled(u64::MAX, u64::MAX), HEIGHT);
    }
}
