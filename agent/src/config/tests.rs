//! The configuration, key by key, and that what is printed reads back.

use proptest::prelude::*;

use super::*;
use crate::containerd::sandbox_in;

fn read(text: &str) -> Config {
    Config::from_yaml("weir.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// Line, column and message of everything that is wrong.
fn problems(text: &str) -> Vec<(usize, usize, String)> {
    match Config::from_yaml("weir.yaml", text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(report)) => report
            .diagnostics()
            .map(|found| (found.span.line, found.span.column, found.problem.to_string()))
            .collect(),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn refuse(text: &str, column: usize, message: &str) {
    assert_eq!(problems(text), [(1, column, message.to_owned())], "{text}");
}

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "# nothing\n", "{}", "dns: {}\nselect: {}\n"] {
        assert_eq!(read(text), Config::default(), "{text:?}");
    }
}

const FULL: &str = r#"
node: node-7.example.com
containerd: { socket: /run/k3s/containerd.sock, namespace: moby }
cgroupRoot: /sys/fs/cgroup/unified
bpffs: /run/bpf/weir
policy: { dir: /srv/policy, mode: audit, default: build/node, namespaces: { ci: build/node, cd: deploy } }
select: { namespaces: [ci, cd], podLabels: { example.com/job: "yes", app: "" } }
dns: { upstreams: [192.0.2.1, "[2001:db8::1]:5353", "2001:db8::2"], cacheEntries: 1 }
hardBlocks: { metadata: false, dot: false }
limits: { entriesPerPod: 64, podSlots: 2, processes: 256 }
require: { lsm: true, veth: false }
gitlab: { trustAnnotations: true, trustLabels: true }
kubernetes: { enabled: true, kubeconfig: /etc/weir/kubeconfig }
events: { stdout: false, file: /var/log/weir.jsonl, fileMebibytes: 7, fileKeep: 2, otlp: "http://otel.example.com:4317" }
jobPage: { help: "Ask in #ci.\nOr: https://docs.example.com/egress" }
http: "[::1]:80"
control: /run/weir.sock
log: { format: json }
"#;

#[test]
fn every_key_is_read() {
    let strings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let number = |number| NonZeroU32::new(number).unwrap();
    let expected = Config {
        node: Some("node-7.example.com".into()),
        containerd: Containerd {
            socket: "/run/k3s/containerd.sock".into(),
            namespace: "moby".into(),
        },
        cgroup_root: Some("/sys/fs/cgroup/unified".into()),
        bpffs: "/run/bpf/weir".into(),
        policy: Policy {
            dir: "/srv/policy".into(),
            mode: PolicyMode::Audit,
            default: "build/node".into(),
            namespaces: strings(&[("ci", "build/node"), ("cd", "deploy")]),
        },
        select: Select {
            namespaces: ["ci".into(), "cd".into()].into(),
            pod_labels: strings(&[("example.com/job", "yes"), ("app", "")]),
        },
        dns: Dns {
            upstreams: ["192.0.2.1:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]
                .map(|server| server.parse().unwrap())
                .into(),
            cache_entries: number(1),
        },
        hard_blocks: HardBlocks { metadata: false, dot: false },
        limits: Limits {
            entries_per_pod: number(64),
            pod_slots: number(2),
            processes: number(256),
        },
        require: Require { lsm: true, veth: false },
        gitlab: Gitlab { trust_annotations: true, trust_labels: true },
        kubernetes: Kubernetes {
            enabled: Switch::On,
            kubeconfig: Some("/etc/weir/kubeconfig".into()),
        },
        events: Events {
            stdout: false,
            file: Some("/var/log/weir.jsonl".into()),
            file_mebibytes: number(7),
            file_keep: number(2),
            otlp: Some("http://otel.example.com:4317".to_owned()),
        },
        job_page: JobPage { help: Some("Ask in #ci.\nOr: https://docs.example.com/egress".into()) },
        http: Some("[::1]:80".parse().unwrap()),
        control: "/run/weir.sock".into(),
        log: Log { format: LogFormat::Json },
    };
    assert_eq!(read(FULL), expected);
    assert_eq!(read(&expected.render()), expected);
}

#[test]
fn null_switches_off_only_what_can_be_off() {
    let config = read("http: null\nevents: { file: ~ }");
    assert_eq!((config.http, config.events.file), (None, None));
    refuse("bpffs: null", 8, "`bpffs`: expected text, found nothing");
    refuse("node: null", 7, "`node`: expected text, found nothing");
    refuse("limits: null", 9, "`limits`: expected a map, found nothing");
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    refuse(
        "cgrouproot: auto",
        1,
        "unknown field `cgrouproot` in the configuration; did you mean `cgroupRoot`?",
    );
    refuse(
        "select: { podLabel: {} }",
        11,
        "unknown field `podLabel` in `select`; did you mean `podLabels`?",
    );
    refuse("require: { seccomp: true }", 12, "unknown field `seccomp` in `require`");
    refuse(
        "kubernets: {}",
        1,
        "unknown field `kubernets` in the configuration; did you mean `kubernetes`?",
    );
    refuse(
        "log: { format: jsn }",
        16,
        "`log.format`: unknown value `jsn`, expected `text` or `json`; did you mean `json`?",
    );
    refuse(
        "policy: { mode: aduit }",
        17,
        "`policy.mode`: unknown value `aduit`, expected `profiles` or `audit`; did you mean `audit`?",
    );
    refuse(
        "policy: { mode: block }",
        17,
        "`policy.mode`: unknown value `block`, expected `profiles` or `audit`",
    );
    refuse(
        "{ http: null, http: null }",
        15,
        "duplicate field `http` in the configuration; it was first given in line 1",
    );
    refuse(
        "select: { podLabels: { a: b, a: c } }",
        30,
        "duplicate key `a` in `select.podLabels`; it was first given in line 1",
    );
    refuse("[]", 1, "the configuration: expected a map, found a list");
    let second = "a second document begins here; a file holds exactly one configuration";
    assert_eq!(problems("{}\n---\n{}\n"), [(2, 1, second.to_owned())]);
}

#[test]
fn values_are_parsed_once_and_strictly() {
    let not = |key: &str, value: &str, expected: &str| {
        let message = format!("`{key}`: `{value}` is not {expected}");
        let text = match key.split_once('.') {
            Some((section, key)) => format!("{section}: {{ {key}: '{value}' }}"),
            None => format!("{key}: '{value}'"),
        };
        let found = problems(&text);
        assert!(matches!(&found[..], [(1, _, found)] if found.starts_with(&message)), "{found:?}");
    };
    for path in ["weir", "./weir", "/a/../b", "", "/a/.."] {
        not("bpffs", path, "an absolute path without `..`");
        not("control", path, "an absolute path");
    }
    let long = format!("/{}", "a".repeat(107));
    assert!(problems(&format!("control: {long}"))[0].2.contains("at most 107 bytes"));
    assert_eq!(read(&format!("policy: {{ dir: {long} }}")).policy.dir, PathBuf::from(&long));
    for address in ["9411", "localhost:80", "::1:80", "127.0.0.1", ":80", "127.0.0.1:65536"] {
        not("http", address, "ADDR:PORT");
    }
    for name in ["Node", "a..b", "-a", "a b", ""] {
        not("node", name, "`auto` or the name of a node");
    }
    for name in ["Build", "a//b", ""] {
        not("policy.default", name, "the name of a profile");
    }
    not("containerd.namespace", "a/b", "the name of a containerd namespace");
    for number in ["63", "1048577", "0", "-1", "064", "4e3", "99999999999", "4096 "] {
        let found = problems(&format!("limits: {{ entriesPerPod: '{number}' }}"));
        let expected = format!(
            "`limits.entriesPerPod`: expected a whole number from 64 to 1048576, found `{number}`"
        );
        assert_eq!(found[0].2, expected);
    }
    refuse(
        "limits: { podSlots: 257 }",
        21,
        "`limits.podSlots`: expected a whole number from 2 to 256, found `257`",
    );
    refuse(
        "limits: { podSlots: 1 }",
        21,
        "`limits.podSlots`: expected a whole number from 2 to 256, found `1`",
    );
    refuse(
        "limits: { processes: 255 }",
        22,
        "`limits.processes`: expected a whole number from 256 to 65536, found `255`",
    );
    refuse(
        "require: { veth: yes }",
        18,
        "`veth` of `require`: expected `true` or `false`, found text",
    );
    for server in ["0.0.0.0", "192.0.2.1:0", "[::]:53", "dns.example.com", "[::1]"] {
        let found = problems(&format!("dns: {{ upstreams: ['{server}'] }}"));
        assert!(
            found[0].2.starts_with(&format!("`dns.upstreams`: `{server}` is not an IP address")),
            "{found:?}"
        );
    }
    refuse(
        "dns: { upstreams: [192.0.2.1, '192.0.2.1:53'] }",
        31,
        "`dns.upstreams`: `192.0.2.1:53` is there twice",
    );
    refuse("select: { namespaces: [ci, ci] }", 28, "`select.namespaces`: `ci` is there twice");
    refuse(
        "select: { podLabels: { a b: c } }",
        24,
        "`select.podLabels`: `a b` is not the key of a Kubernetes label",
    );
    refuse(
        "select: { podLabels: { a: b c } }",
        27,
        "`select.podLabels.a`: `b c` is not the value of a Kubernetes label",
    );
    refuse(
        "policy: { namespaces: { Ci: a } }",
        25,
        "`policy.namespaces`: `Ci` is not the name of a Kubernetes namespace (RFC 1123 label)",
    );
}

#[test]
fn help_for_jobs_is_lines_of_plain_text() {
    let help = |text: &str| read(&format!("jobPage: {{ help: {text} }}")).job_page.help;
    assert_eq!(help("null"), None);
    assert_eq!(help("'null'").as_deref(), Some("null"));
    assert_eq!(help("'Frag in #ci für mehr'").as_deref(), Some("Frag in #ci für mehr"));
    let block = read("jobPage:\n  help: |\n    Ask in #ci.\n    Or write to us.\n");
    assert_eq!(block.job_page.help.as_deref(), Some("Ask in #ci.\nOr write to us.\n"));
    assert_eq!(read(&block.render()), block);
    for bad in [r#""\e[31mred""#, r#""a\r\nb""#, "'  '", &format!("'{}'", "a".repeat(2001))] {
        let found = problems(&format!("jobPage: {{ help: {bad} }}"));
        assert!(found[0].2.contains("is not text of at most 2000 bytes"), "{found:?}");
    }
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let found = problems("bpffs: a\nhttp: b\nselect: { namespaces: [C, D] }\n");
    let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, [(1, 8), (2, 7), (3, 24), (3, 27)]);
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_named() {
    let error = Config::from_file("/nonexistent/weir.yaml".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "reading configuration /nonexistent/weir.yaml");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"node: a\nbpffs: \xff\n").unwrap();
    let error = Config::from_file(file.path()).unwrap_err().to_string();
    assert_eq!(error, format!("{}:2: the file is not UTF-8 text", file.path().display()));
    std::fs::write(file.path(), vec![b' '; (1 << 20) + 1]).unwrap();
    let error = Config::from_file(file.path()).unwrap_err().to_string();
    assert!(error.ends_with("a configuration is at most 1 MiB"), "{error}");
}

#[test]
fn the_defaults_print_every_key_with_what_it_means() {
    let text = Config::default().render();
    assert_eq!(read(&text), Config::default());
    for line in text.lines() {
        let known = [
            "containerd:",
            "policy:",
            "select:",
            "dns:",
            "hardBlocks:",
            "limits:",
            "require:",
            "gitlab:",
            "kubernetes:",
            "events:",
            "jobPage:",
            "log:",
        ];
        assert!(known.contains(&line) || line.contains("  # "), "{line}");
    }
    assert!(
        text.contains("\n  podLabels: {} ") && text.contains("\nhttp: 127.0.0.1:9411 "),
        "{text}"
    );
}

#[test]
fn the_nodes_name_comes_from_the_file_then_the_environment_then_the_host() {
    let mut config = Config::default();
    let host = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    assert_eq!(config.node_name(None).unwrap(), host);
    assert_eq!(config.node_name(Some("".as_ref())).unwrap(), host);
    assert_eq!(config.node_name(Some("n1".as_ref())).unwrap(), "n1");
    config.node = Some("n2".to_owned());
    assert_eq!(config.node_name(Some("n1".as_ref())).unwrap(), "n2");
}

#[test]
fn a_pod_is_selected_by_namespace_and_all_labels() {
    let select = |text: &str| read(text).select;
    let mut pod = sandbox_in("ci");
    assert!(select("").matches(&pod));
    assert!(!select("").matches(&sandbox_in("other")));
    assert!(!select("select: { namespaces: [] }").matches(&pod));
    let two = select("select: { podLabels: { a: '1', b: '' } }");
    assert!(!two.matches(&pod));
    pod.labels.insert("a".into(), "1".into());
    assert!(!two.matches(&pod));
    pod.labels.insert("b".into(), String::new());
    assert!(two.matches(&pod));
    pod.labels.insert("a".into(), "2".into());
    assert!(!two.matches(&pod));
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(
        names in proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", "[a-z0-9]{1,4}(/[a-z0-9][a-z0-9._]{0,3}[a-z0-9]){0,2}", 0..4),
        labels in proptest::collection::btree_map("([a-z]{1,5}\\.x/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,5}[A-Za-z0-9])?", "([A-Za-z0-9]([A-Za-z0-9._-]{0,5}[A-Za-z0-9])?)?", 0..4),
        path in "/[ -~äß\u{85}\u{a0}\u{feff}\u{7f}\n\t😀]{1,12}",
        upstreams in proptest::collection::btree_set(any::<(std::net::IpAddr, u16)>(), 0..3),
        numbers in (64u32..=1 << 20, 2u32..=256, 256u32..=65_536),
        switches in any::<[bool; 8]>(),
    ) {
        let path = PathBuf::from(path);
        prop_assume!(path.components().all(|part| !matches!(part, std::path::Component::ParentDir)));
        let usable = |(ip, port): &(std::net::IpAddr, u16)| !ip.is_unspecified() && *port != 0;
        let mut config = Config::default();
        config.select.namespaces = names.keys().cloned().collect();
        config.policy.namespaces = names;
        config.select.pod_labels = labels;
        config.policy.dir = path.clone();
        config.cgroup_root = switches[0].then(|| path.clone());
        config.events.file = switches[1].then_some(path);
        config.dns.upstreams = upstreams.into_iter().filter(usable).map(SocketAddr::from).collect();
        config.limits.entries_per_pod = NonZeroU32::new(numbers.0).unwrap();
        config.limits.pod_slots = NonZeroU32::new(numbers.1).unwrap();
        config.limits.processes = NonZeroU32::new(numbers.2).unwrap();
        config.hard_blocks = HardBlocks { metadata: switches[2], dot: switches[3] };
        config.log.format = if switches[4] { LogFormat::Json } else { LogFormat::Text };
        config.http = config.http.filter(|_| switches[5]);
        config.gitlab.trust_annotations = switches[6];
        config.policy.mode = if switches[7] { PolicyMode::Audit } else { PolicyMode::Profiles };
        let text = config.render();
        match Config::from_yaml("printed", &text) {
            Ok(again) => prop_assert_eq!(again, config),
            Err(error) => prop_assert!(false, "{}\n{}", error, text),
        }
    }
}
