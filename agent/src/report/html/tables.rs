//! The totals and the tables.

use super::markup::Markup;
use crate::{
    identity::told::Told,
    report::{
        ATTEMPTS, Report, TOP,
        table::{Shown, Tally},
        who::{Attempt, Who},
    },
    run::summary::bytes,
};

/// The headings of a table; those of numbers are aligned with them.
enum Heading {
    Text(&'static str),
    Number(&'static str),
}

use Heading::{Number, Text};

/// What all records add up to.
pub(super) fn totals(page: &mut Markup, report: &Report) {
    page.raw("<section aria-labelledby=\"totals\">\n<h2 id=\"totals\">Totals</h2>\n<dl class=\"totals\">\n");
    let total = &report.total;
    let shown = [
        ("refused", "Refused", total.refused, report.destinations.count(|tally| tally.refused)),
        (
            "audited",
            "Let pass by audit mode",
            total.audited,
            report.destinations.count(|tally| tally.audited),
        ),
        ("allowed", "Allowed", total.allowed, report.destinations.count(|tally| tally.allowed)),
    ];
    for (class, title, count, (destinations, is_more)) in shown {
        page.raw("<div class=\"").raw(class).raw("\"><dt>").raw(title).raw("</dt><dd>");
        page.raw("<data id=\"total-").raw(class).raw("\" value=\"").number(count).raw("\">");
        page.number(count).raw("</data> <span>destinations: ");
        page.raw(if is_more { "more than " } else { "" }).text(&destinations.to_string());
        page.raw("</span></dd></div>\n");
    }
    for (id, title, count) in
        [("total-sent", "Sent", total.bytes_up), ("total-received", "Received", total.bytes_down)]
    {
        page.raw("<div><dt>").raw(title).raw("</dt><dd><data id=\"").raw(id);
        page.raw("\" value=\"").number(count).raw("\">").text(&bytes(count));
        page.raw("</data></dd></div>\n");
    }
    page.raw("</dl>\n<p>Counted are connections, packets of unconnected sockets, and questions for names.</p>\n</section>\n");
}

/// Who tried to reach what, and was refused or let pass by audit mode.
pub(super) fn attempts(page: &mut Markup, report: &Report) {
    begin(
        page,
        "attempts",
        "Who tried to reach what",
        "What no rule allows, the refused first.",
        &[
            Text("Who"),
            Text("Destination"),
            Text("Port"),
            Text("Verdict"),
            Text("Reason"),
            Text("Process"),
            Number("Count"),
            Number("Jobs"),
            Text("First and last"),
        ],
    );
    let shown = report.attempts.top(ATTEMPTS, |tally| (tally.refused, tally.audited));
    for (attempt, tally) in &shown.rows {
        attempt_row(page, attempt, tally);
    }
    end(page, 9, &shown);
}

fn attempt_row(page: &mut Markup, attempt: &Attempt, tally: &Tally) {
    page.raw("<tr><th scope=\"row\">");
    who(page, &attempt.who);
    page.raw("</th><td>").text(attempt.to.host());
    page.raw("</td><td class=\"word\">").text(&attempt.to.port());
    page.raw("</td><td class=\"word\">").text(&attempt.verdict.to_string());
    page.raw("</td><td class=\"word\">").raw(attempt.reason);
    page.raw("</td><td>").text(&attempt.process).raw("</td>");
    number(page, tally.count());
    page.raw("<td class=\"number\">");
    match &tally.last_job {
        // Only GitLab's own word leads anywhere: whatever a job says is shown and no more.
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
            page.raw("<a rel=\"noreferrer noopener\" href=\"").text(url).raw("\">");
            page.text(&tally.jobs.describe()).raw("</a>");
        }
        _ => {
            page.text(&tally.jobs.describe());
        }
    }
    page.raw("</td>");
    page.raw("<td class=\"time\">");
    if let Some((first, last)) = tally.span {
        page.time(first).raw("<br>").time(last);
    }
    page.raw("</td>");
    page.raw("</tr>\n");
}

fn who(page: &mut Markup, who: &Who) {
    match who {
        Who::Job { project, job } => {
            told(page, project);
            if let Some(job) = job {
                page.raw(" <span class=\"job\">");
                told(page, job);
                page.raw("</span>");
            }
        }
        Who::Namespace(name) => {
            page.raw("namespace ").text(name);
        }
        Who::Machine(name) => {
            page.raw("machine ").text(name);
        }
    }
}

fn told(page: &mut Markup, told: &Told<String>) {
    page.text(told.value());
    if matches!(told, Told::Claim(_)) {
        page.raw(" <small>(the job's word)</small>");
    }
}

/// How often each reason was given.
pub(super) fn reasons(page: &mut Markup, report: &Report) {
    begin(
        page,
        "reasons",
        "Reasons",
        "Why, of what no rule allows.",
        &[Text("Reason"), Number("Refused"), Number("Audited"), Number("Jobs")],
    );
    for (reason, tally) in &report.reasons {
        page.raw("<tr><th scope=\"row\">").raw(reason).raw("</th>");
        number(page, tally.refused);
        number(page, tally.audited);
        page.raw("<td class=\"number\">").text(&tally.jobs.describe()).raw("</td></tr>\n");
    }
    page.raw("</tbody>\n</table>\n</div>\n</section>\n");
}

/// Where most bytes went, and came from.
pub(super) fn destinations(page: &mut Markup, report: &Report) {
    let headings = [Text("Destination"), Text("Port")];
    begin_sums(page, "destinations", "Top destinations", "By bytes, each way together.", headings);
    let shown = report.destinations.top(TOP, Tally::bytes);
    for (to, tally) in &shown.rows {
        page.raw("<tr><th scope=\"row\">")
            .text(to.host())
            .raw("</th><td class=\"word\">")
            .text(&to.port());
        page.raw("</td>");
        sums(page, tally);
    }
    end(page, 7, &shown);
}

/// The processes that did most.
pub(super) fn processes(page: &mut Markup, report: &Report) {
    let headings = [Text("Process")];
    begin_sums(page, "processes", "Top processes", "By bytes, then by count.", headings);
    let shown = report.processes.top(TOP, |tally| (tally.bytes(), tally.count()));
    for (process, tally) in &shown.rows {
        page.raw("<tr><th scope=\"row\">").text(process).raw("</th>");
        sums(page, tally);
    }
    end(page, 6, &shown);
}

fn begin_sums<const N: usize>(
    page: &mut Markup,
    id: &'static str,
    title: &'static str,
    caption: &'static str,
    headings: [Heading; N],
) {
    let mut all: Vec<Heading> = headings.into();
    all.extend(["Refused", "Audited", "Allowed", "Sent", "Received"].map(Number));
    begin(page, id, title, caption, &all);
}

fn sums(page: &mut Markup, tally: &Tally) {
    for count in [tally.refused, tally.audited, tally.allowed] {
        number(page, count);
    }
    for count in [tally.bytes_up, tally.bytes_down] {
        page.raw("<td class=\"number\"><data value=\"").number(count).raw("\">");
        page.text(&bytes(count)).raw("</data></td>");
    }
    page.raw("</tr>\n");
}

fn number(page: &mut Markup, number: u64) {
    page.raw("<td class=\"number\">").number(number).raw("</td>");
}

fn begin(
    page: &mut Markup,
    id: &'static str,
    title: &'static str,
    caption: &'static str,
    headings: &[Heading],
) {
    page.raw("<section aria-labelledby=\"")
        .raw(id)
        .raw("\">\n<h2 id=\"")
        .raw(id)
        .raw("\">")
        .raw(title);
    // A table that is wider than the page is scrolled, also by keys.
    page.raw("</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"")
        .raw(id);
    page.raw("\">\n<table>\n<caption>").raw(caption).raw("</caption>\n<thead><tr>");
    for heading in headings {
        match heading {
            Text(text) => page.raw("<th scope=\"col\">").raw(text),
            Number(text) => page.raw("<th scope=\"col\" class=\"number\">").raw(text),
        };
        page.raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
}

fn end<K>(page: &mut Markup, columns: u64, shown: &Shown<'_, K>) {
    page.raw("</tbody>\n");
    let mut more = Vec::new();
    if shown.rows.is_empty() {
        more.push("Nothing.".to_owned());
    }
    if shown.more > 0 {
        more.push(format!("And {} more.", shown.more));
    }
    if let Some(rest) = shown.rest {
        more.push(format!(
            "More than could be told apart: {} refused, {} audited, {} allowed.",
            rest.refused, rest.audited, rest.allowed
        ));
    }
    if !more.is_empty() {
        page.raw("<tfoot><tr><td colspan=\"").number(columns).raw("\">");
        page.text(&more.join(" ")).raw("</td></tr></tfoot>\n");
    }
    page.raw("</table>\n</div>\n</section>\n");
}
