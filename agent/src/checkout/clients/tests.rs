//! Clients that answer, hang, fail, or lie inside the checkout. The real ones are asked in the end-to-end suites.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::checkout::findings::NotAsked;
use crate::checkout::tests::project;
use crate::checkout::{Suggestion, suggest};

/// A program of this name that runs `script`, with the machine's programs.
fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The clients whose programs are in `folder`.
fn clients(folder: &Path) -> Clients {
    Clients { programs: vec![folder.to_path_buf()], ..Clients::default() }
}

const MANIFEST: (&str, &str) = ("package.json", r#"{"dependencies": {"a": "1"}}"#);

/// The suggestion for a project that needs npm's default, where npm is `script`.
fn suggested(script: &str) -> Suggestion {
    let programs = tempfile::tempdir().unwrap();
    program(programs.path(), "npm", script);
    suggest(project(&[MANIFEST]).path(), "a", &clients(programs.path())).unwrap()
}

#[track_caller]
fn check(script: &str, expected: &str) {
    let text = suggested(script).text;
    assert!(text.contains(expected), "{script}: {text}");
}

#[test]
fn a_client_is_asked_for_its_default() {
    let entry =
        "        # `npm config get registry`, package.json:1\n        - \"npm.example.com\"\n";
    let answer = "echo https://npm.example.com/";
    check(answer, entry);
    check(&format!("echo warning; {answer}; echo; echo https://no.example.com >&2"), entry);
    check("[ \"$*\" = 'config get registry' ] && echo https://npm.example.com/", entry);
}

#[test]
fn a_client_is_far_from_the_checkout_and_from_the_network() {
    let proof = |test: &str| format!("{test} && echo https://npm.example.com/");
    for test in [
        "[ \"$PWD\" = / ]",
        "[ \"${https_proxy#http://127.0.0.1:}\" -gt 0 ]",
        "[ \"${HTTPS_PROXY#http://127.0.0.1:}\" -gt 0 ]",
        "[ -z \"$NO_PROXY$no_proxy\" ]",
        "[ \"$YARN_IGNORE_PATH$GOTOOLCHAIN$COREPACK_ENABLE_NETWORK\" = 1local0 ]",
        "! read line",
    ] {
        check(&proof(test), "- \"npm.example.com\"");
        check(&proof(&format!("! {{ {test}; }}")), "could not be asked, because it failed");
    }
}

#[test]
fn what_is_no_answer_stays_open() {
    check("echo undefined", "could not be asked, because its answer names no host");
    check("", "its answer names no host");
    check("echo https://npm.example.com/; exit 3", "because it failed");
    check("printf '\\377\\n'", "its answer names no host");
    // Nobody reads more than a mebibyte.
    check("exec yes https://npm.example.com/", "because it failed");
    let text = suggested("echo 'https://x\u{1b}[31m.example.com'").text;
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_program_of_the_checkout_is_never_started() {
    let trap = "touch started; echo https://npm.example.com/";
    let folder = project(&[MANIFEST]);
    let bin = folder.path().join("node_modules/.bin");
    fs::create_dir_all(&bin).unwrap();
    program(&bin, "npm", trap);
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(bin.join("npm"), outside.path().join("npm")).unwrap();
    fs::write(outside.path().join("pip3"), "not executable").unwrap();
    for programs in [&bin, outside.path()] {
        let text = suggest(folder.path(), "a", &clients(programs)).unwrap().text;
        assert!(text.contains("because it is not installed here"), "{text}");
    }
}

#[test]
fn a_project_that_is_the_root_folder_has_clients_asked_nothing() {
    let programs = tempfile::tempdir().unwrap();
    program(programs.path(), "npm", "echo https://npm.example.com/");
    let programs = [programs.path().to_path_buf()];
    let found = Asker::new(&programs, Path::new("/")).find(Client::Npm, &["npm"]);
    assert_eq!(found.unwrap_err(), NotAsked::RootFolder);
}

#[test]
fn a_client_that_hangs_is_ended_with_all_that_it_started() {
    let programs = tempfile::tempdir().unwrap();
    let pids = programs.path().join("pids");
    let script =
        format!("sleep 600 & echo $! >> {0}; sleep 600 & echo $! >> {0}; wait", pids.display());
    program(programs.path(), "npm", &script);
    let folders = [programs.path().to_path_buf()];
    let asker = Asker::new(&folders, Path::new("/nowhere")).limit(Duration::from_secs(2));
    let question = asker.find(Client::Npm, &["npm"]).unwrap();
    let started = Instant::now();
    assert_eq!(asker.output(&question), Err(NotAsked::TooSlow));
    assert_eq!(asker.first_contact(&question, |_| Ok(())), Err(NotAsked::TooSlow));
    assert!(started.elapsed() < Duration::from_secs(20));
    let pids = fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().count(), 4);
    // Reaped by whoever inherits orphans here, or left for that.
    let runs = |pid: &str| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    while pids.lines().any(runs) {
        assert!(started.elapsed() < Duration::from_secs(20), "still running: {pids}");
        std::thread::yield_now();
    }
}

/// What the refusing proxy heard from `script`.
fn contact(script: &str) -> String {
    let programs = tempfile::tempdir().unwrap();
    program(programs.path(), "cargo", script);
    let folders: [PathBuf; 1] = [programs.path().to_path_buf()];
    let asker = Asker::new(&folders, Path::new("/nowhere"));
    let question = asker.find(Client::Cargo, &["cargo"]).unwrap();
    format!("{:?}", asker.first_contact(&question, |_| Ok(())))
}

#[test]
fn the_first_host_that_a_client_asks_its_proxy_for_is_heard() {
    let heard = contact("exec curl -s -m 10 https://index.example.com:8443/config.json");
    assert!(heard.contains("index.example.com") && heard.contains("8443"), "{heard}");
    let heard = contact("exec curl -s -m 10 http://index.example.com/");
    assert!(heard.contains("index.example.com") && heard.contains("80"), "{heard}");
    // Whatever it is, it is a proxy that refuses.
    let refused =
        contact("curl -s -m 10 -o /dev/null -w '%{http_connect}' https://a.example.com > x");
    assert!(refused.contains("a.example.com"), "{refused}");
    assert_eq!(contact("true"), "Err(NoAnswer)");
}

#[test]
fn connections_that_ask_for_nothing_are_passed_over() {
    let nonsense = "port=${http_proxy##*:}; printf 'x\\r\\n\\r\\n' | nc -w 2 127.0.0.1 $port >&2; nc -z 127.0.0.1 $port; \
                    head -c 20000 /dev/zero | nc -w 2 127.0.0.1 $port; exec curl -s -m 10 https://b.example.com";
    assert!(contact(nonsense).contains("b.example.com"));
}
