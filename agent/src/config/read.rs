//! From YAML nodes to a [`Config`]: which keys there are and what each means.
//!
//! A key that is missing leaves its default; whatever is wrong is reported, and the rest is still read.

use super::problem::{Problem, Problems};
use super::value::{self, Meaning};
use super::{Config, ConfigError, LogFormat, PolicyMode};
use crate::yaml::{
    Fault, Field, Node, Report, Span, Text, boolean, entries, fields, nearest, parse, shown, text,
    texts,
};

pub(super) fn config(source_name: &str, source: &str) -> Result<Config, ConfigError> {
    let mut problems = Problems::default();
    let mut config = Config::default();
    match parse(source, "configuration") {
        Ok(Some(root)) => Reader(&mut problems).root(root, &mut config),
        Ok(None) => {}
        Err(diagnostic) => problems.push(diagnostic.span, diagnostic.problem),
    }
    if problems.len() == 0 {
        return Ok(config);
    }
    Err(ConfigError::Invalid(Report::new(source_name, source, problems)))
}

/// Reads, and reports what is wrong.
struct Reader<'p>(&'p mut Problems);

impl Reader<'_> {
    fn root(&mut self, node: Node<'_>, config: &mut Config) {
        let keys = [
            "node",
            "containerd",
            "cgroupRoot",
            "bpffs",
            "policy",
            "select",
            "dns",
            "hardBlocks",
            "limits",
            "require",
            "gitlab",
            "kubernetes",
            "events",
            "jobPage",
            "http",
            "control",
            "log",
        ];
        let Some(found) = fields(node, "the configuration", keys, 0, self.0) else { return };
        let [
            node,
            containerd,
            cgroup_root,
            bpffs,
            policy,
            select,
            dns,
            hard_blocks,
            limits,
            require,
            gitlab,
            kubernetes,
            events,
            job_page,
            http,
            control,
            log,
        ] = found;
        self.set_or(node, "`node`", "auto", &value::NODE, &mut config.node);
        self.containerd(containerd, config);
        self.set_or(cgroup_root, "`cgroupRoot`", "auto", &value::PATH, &mut config.cgroup_root);
        self.set(bpffs, "`bpffs`", &value::PATH, &mut config.bpffs);
        self.policy(policy, config);
        self.select(select, config);
        self.dns(dns, config);
        if let Some([metadata, dot]) =
            self.section(hard_blocks, "`hardBlocks`", ["metadata", "dot"])
        {
            self.switch(metadata, "`hardBlocks`", &mut config.hard_blocks.metadata);
            self.switch(dot, "`hardBlocks`", &mut config.hard_blocks.dot);
        }
        self.limits(limits, config);
        if let Some([lsm, veth]) = self.section(require, "`require`", ["lsm", "veth"]) {
            self.switch(lsm, "`require`", &mut config.require.lsm);
            self.switch(veth, "`require`", &mut config.require.veth);
        }
        let keys = ["trustAnnotations", "trustLabels"];
        if let Some([annotations, labels]) = self.section(gitlab, "`gitlab`", keys) {
            self.switch(annotations, "`gitlab`", &mut config.gitlab.trust_annotations);
            self.switch(labels, "`gitlab`", &mut config.gitlab.trust_labels);
        }
        let keys = ["enabled", "kubeconfig"];
        if let Some([enabled, path]) = self.section(kubernetes, "`kubernetes`", keys) {
            let to = &mut config.kubernetes;
            self.set(enabled, "`kubernetes.enabled`", &value::SWITCH, &mut to.enabled);
            self.set_or_null(path, "`kubernetes.kubeconfig`", &value::PATH, &mut to.kubeconfig);
        }
        self.events(events, config);
        if let Some([help]) = self.section(job_page, "`jobPage`", ["help"]) {
            let (what, meaning) = ("`jobPage.help`", &value::HELP);
            self.set_or_null(help, what, meaning, &mut config.job_page.help);
        }
        self.set_or_null(http, "`http`", &value::ADDRESS, &mut config.http);
        self.set(control, "`control`", &value::SOCKET, &mut config.control);
        self.log(log, config);
    }

    fn events(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let keys = ["stdout", "file", "fileMebibytes", "fileKeep", "otlp"];
        let Some([stdout, file, size, keep, otlp]) = self.section(field, "`events`", keys) else {
            return;
        };
        let events = &mut config.events;
        self.switch(stdout, "`events`", &mut events.stdout);
        self.set_or_null(file, "`events.file`", &value::PATH, &mut events.file);
        let bounds = (1, value::FILE_MEBIBYTES);
        self.number(size, "`events.fileMebibytes`", bounds, &mut events.file_mebibytes);
        self.number(keep, "`events.fileKeep`", (1, value::FILE_KEEP), &mut events.file_keep);
        self.set_or_null(otlp, "`events.otlp`", &value::COLLECTOR, &mut events.otlp);
    }

    fn containerd(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let Some([socket, namespace]) =
            self.section(field, "`containerd`", ["socket", "namespace"])
        else {
            return;
        };
        let containerd = &mut config.containerd;
        self.set(socket, "`containerd.socket`", &value::SOCKET, &mut containerd.socket);
        let (what, meaning) = ("`containerd.namespace`", &value::CONTAINERD_NAMESPACE);
        self.set(namespace, what, meaning, &mut containerd.namespace);
    }

    fn policy(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let keys = ["dir", "mode", "default", "namespaces"];
        let Some([dir, mode, default, namespaces]) = self.section(field, "`policy`", keys) else {
            return;
        };
        let policy = &mut config.policy;
        self.set(dir, "`policy.dir`", &value::PATH, &mut policy.dir);
        let modes = [PolicyMode::Profiles, PolicyMode::Audit].map(|mode| (mode.as_str(), mode));
        self.word(mode, "`policy.mode`", &modes, "`profiles` or `audit`", &mut policy.mode);
        self.set(default, "`policy.default`", &value::PROFILE, &mut policy.default);
        let Some(field) = namespaces else { return };
        let what = "`policy.namespaces`";
        for (key, node) in entries(field.node, what, self.0) {
            let namespace = self.meaning(&key, what, &value::NAMESPACE);
            let what = format!("`policy.namespaces.{}`", shown(&key.text));
            let Some(profile) = text(node, &what, self.0) else { continue };
            let profile = self.meaning(&profile, &what, &value::PROFILE);
            policy.namespaces.extend(namespace.zip(profile));
        }
    }

    fn select(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let Some([namespaces, labels]) =
            self.section(field, "`select`", ["namespaces", "podLabels"])
        else {
            return;
        };
        if let Some(field) = namespaces {
            let what = "`select.namespaces`";
            config.select.namespaces.clear();
            for entry in texts(field.node, what, "a list of Kubernetes namespaces", self.0) {
                let Some(namespace) = self.meaning(&entry, what, &value::NAMESPACE) else {
                    continue;
                };
                if !config.select.namespaces.insert(namespace) {
                    self.twice(what, &entry);
                }
            }
        }
        if let Some(field) = labels {
            let what = "`select.podLabels`";
            for (key, node) in entries(field.node, what, self.0) {
                let name = self.meaning(&key, what, &value::LABEL_KEY);
                let what = format!("`select.podLabels.{}`", shown(&key.text));
                let Some(label) = text(node, &what, self.0) else { continue };
                let label = self.meaning(&label, &what, &value::LABEL_VALUE);
                config.select.pod_labels.extend(name.zip(label));
            }
        }
    }

    fn dns(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let Some([upstreams, cache]) = self.section(field, "`dns`", ["upstreams", "cacheEntries"])
        else {
            return;
        };
        if let Some(field) = upstreams {
            let what = "`dns.upstreams`";
            for entry in texts(field.node, what, "a list of name servers", self.0) {
                let Some(server) = self.meaning(&entry, what, &value::UPSTREAM) else { continue };
                if config.dns.upstreams.contains(&server) {
                    self.twice(what, &entry);
                } else {
                    config.dns.upstreams.push(server);
                }
            }
        }
        self.number(cache, "`dns.cacheEntries`", (1, 1 << 24), &mut config.dns.cache_entries);
    }

    fn limits(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let keys = ["entriesPerPod", "podSlots", "processes"];
        let Some([entries, slots, processes]) = self.section(field, "`limits`", keys) else {
            return;
        };
        let limits = &mut config.limits;
        self.number(entries, "`limits.entriesPerPod`", (64, 1 << 20), &mut limits.entries_per_pod);
        let most = super::POD_SLOTS.get();
        self.number(slots, "`limits.podSlots`", (2, most), &mut limits.pod_slots);
        let most = super::PROCESSES.get();
        self.number(processes, "`limits.processes`", (256, most), &mut limits.processes);
    }

    fn log(&mut self, field: Option<Field<'_>>, config: &mut Config) {
        let Some([format]) = self.section(field, "`log`", ["format"]) else { return };
        let formats = [LogFormat::Text, LogFormat::Json].map(|format| (format.as_str(), format));
        let to = &mut config.log.format;
        self.word(format, "`log.format`", &formats, "`text` or `json`", to);
    }

    /// One of a few words, each with what it means.
    fn word<T: Copy, const N: usize>(
        &mut self,
        field: Option<Field<'_>>,
        what: &'static str,
        words: &[(&'static str, T); N],
        expected: &'static str,
        to: &mut T,
    ) {
        let Some(field) = field else { return };
        let Some(found) = text(field.node, what, self.0) else { return };
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == found.text) {
            *to = *meant;
            return;
        }
        let nearest = nearest(&found.text, &words.map(|(word, _)| word));
        let shown = shown(&found.text);
        self.0.push(found.span, Fault::UnknownValue { what, found: shown, expected, nearest });
    }

    /// The keys of a map that may be left out.
    fn section<'a, const N: usize>(
        &mut self,
        field: Option<Field<'a>>,
        place: &str,
        keys: [&'static str; N],
    ) -> Option<[Option<Field<'a>>; N]> {
        fields(field?.node, place, keys, 0, self.0)
    }

    fn set<T>(&mut self, field: Option<Field<'_>>, what: &str, meaning: &Meaning<T>, to: &mut T) {
        let Some(field) = field else { return };
        let Some(found) = text(field.node, what, self.0) else { return };
        if let Some(value) = self.meaning(&found, what, meaning) {
            *to = value;
        }
    }

    /// As [`Self::set`], with a word that leaves the choice to weir.
    fn set_or<T>(
        &mut self,
        field: Option<Field<'_>>,
        what: &str,
        word: &str,
        meaning: &Meaning<T>,
        to: &mut Option<T>,
    ) {
        let Some(field) = field else { return };
        let Some(found) = text(field.node, what, self.0) else { return };
        if found.text == word {
            *to = None;
        } else if let Some(value) = self.meaning(&found, what, meaning) {
            *to = Some(value);
        }
    }

    /// As [`Self::set`], and `null` switches it off.
    fn set_or_null<T>(
        &mut self,
        field: Option<Field<'_>>,
        what: &str,
        meaning: &Meaning<T>,
        to: &mut Option<T>,
    ) {
        let Some(field) = field else { return };
        if field.node.is_null() {
            *to = None;
            return;
        }
        let Some(found) = text(field.node, what, self.0) else { return };
        if let Some(value) = self.meaning(&found, what, meaning) {
            *to = Some(value);
        }
    }

    fn switch(&mut self, field: Option<Field<'_>>, place: &str, to: &mut bool) {
        if let Some((value, _)) = field.and_then(|field| boolean(&field, place, self.0)) {
            *to = value;
        }
    }

    fn number(
        &mut self,
        field: Option<Field<'_>>,
        what: &'static str,
        (min, max): (u32, u32),
        to: &mut std::num::NonZeroU32,
    ) {
        let Some(field) = field else { return };
        let Some(Text { text, span }) = text(field.node, what, self.0) else { return };
        match value::number(&text, min, max) {
            Some(number) => *to = number,
            None => self.0.push(span, Problem::Number { what, found: shown(&text), min, max }),
        }
    }

    fn meaning<T>(&mut self, found: &Text<'_>, what: &str, meaning: &Meaning<T>) -> Option<T> {
        let value = (meaning.parse)(&found.text);
        if value.is_none() {
            self.wrong(found.span, what, &found.text, meaning.expected);
        }
        value
    }

    fn wrong(&mut self, span: Span, what: &str, found: &str, expected: &'static str) {
        self.0.push(span, Problem::Value { what: what.to_owned(), found: shown(found), expected });
    }

    fn twice(&mut self, what: &'static str, entry: &Text<'_>) {
        self.0.push(entry.span, Problem::Twice { what, entry: shown(&entry.text) });
    }
}
