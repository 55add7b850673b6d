//! A profile as typed: every text still unread, with its place. `resolve` turns it into a `Profile`.

use super::selector::Fact;
use crate::yaml::{Span, Text};

/// The document.
#[derive(Debug, Default)]
pub(super) struct RawProfile<'a> {
    pub(super) api_version: Option<Text<'a>>,
    pub(super) kind: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) select: Option<RawSelect<'a>>,
    /// Names of other profiles, whose rules are this one's too.
    pub(super) include: Vec<Text<'a>>,
    pub(super) mode: Option<Text<'a>>,
    pub(super) allow: Vec<RawRule<'a>>,
    pub(super) deny: Vec<Text<'a>>,
    pub(super) dns: RawDns<'a>,
    /// `None` when the key is not there, which is not the same as an empty list.
    pub(super) inbound: Option<Vec<Text<'a>>>,
    pub(super) families: Vec<Text<'a>>,
    pub(super) docker_in_docker: bool,
    /// With the place of the key.
    pub(super) credwatch: Option<(Span, RawCredwatch<'a>)>,
}

/// `spec.credwatch`.
#[derive(Debug, Default)]
pub(super) struct RawCredwatch<'a> {
    /// `None` when the key is not there, or has nothing in it that could be read.
    pub(super) paths: Option<Vec<Text<'a>>>,
    pub(super) block: bool,
}

/// `spec.select`.
#[derive(Debug)]
pub(super) struct RawSelect<'a> {
    pub(super) span: Span,
    /// Everything in it could be read.
    pub(super) is_whole: bool,
    pub(super) conditions: Vec<RawCondition<'a>>,
    /// With the place of the key.
    pub(super) labels: Option<(Span, Vec<(Text<'a>, Text<'a>)>)>,
}

/// One key of `spec.select` with its values.
#[derive(Debug)]
pub(super) struct RawCondition<'a> {
    pub(super) fact: Fact,
    pub(super) span: Span,
    pub(super) any_of: Vec<Text<'a>>,
}

/// One entry of `spec.allow`. Entries that could not be read at all are missing from its lists and
/// have been reported; the flags tell such a list from one that was left empty.
#[derive(Debug)]
pub(super) struct RawRule<'a> {
    /// How messages call the rule.
    pub(super) place: String,
    pub(super) span: Span,
    pub(super) id: Option<Text<'a>>,
    /// `domains` or `cidrs` has something in it.
    pub(super) has_target: bool,
    /// `domains` is there.
    pub(super) has_domains: bool,
    /// `ports` is there and empty.
    pub(super) no_ports: bool,
    pub(super) domains: Vec<Text<'a>>,
    pub(super) cidrs: Vec<Text<'a>>,
    pub(super) ports: Option<Vec<Text<'a>>>,
    /// With the place of the key.
    pub(super) private: Option<(bool, Span)>,
}

/// `spec.dns`.
#[derive(Debug, Default)]
pub(super) struct RawDns<'a> {
    pub(super) grace: Option<Text<'a>>,
    pub(super) max_ttl: Option<Text<'a>>,
    pub(super) names_per_wildcard: Option<Text<'a>>,
}
