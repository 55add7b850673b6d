//! Names are told apart as far as there is room, counted beyond it, and known to the next agent.

use weir_ebpf::process::ProcessKey;

use super::*;

fn client(tgid: u32) -> Client {
    let process = ProcessKey { start_ns: 1, tgid, exec_id: 1 };
    Client {
        process,
        comm: [0; 16],
        at_ns: 0,
        asked: weir_ebpf::address::Endpoint::default(),
        known: 0,
    }
}

fn identity(tgid: u32) -> Identity {
    Identity { comm: format!("p{tgid}"), pid: tgid, ..Identity::default() }
}

fn note(names: &RefusedNames, tgid: u32, name: &str, verdict: Mode) -> Sight {
    let (client, profile) = (client(tgid), Arc::new(Profile::deny_all()));
    let refusal = refusal(&client, &profile, name, verdict);
    names.note(&refusal, |client| identity(client.process.tgid))
}

fn refusal<'a>(
    client: &'a Client,
    profile: &'a Arc<Profile>,
    name: &'a str,
    verdict: Mode,
) -> Refusal<'a, Client> {
    let reason = Reason::DomainNotInAllowlist;
    Refusal { client, profile, name, reason, verdict, rule: Some(RuleIndex(0)), answer: None }
}

#[test]
fn a_name_is_seen_once_by_each_process_and_counted_each_time() {
    let names = RefusedNames::default();
    assert!(matches!(note(&names, 7, "a.example.net", Mode::Block), Sight::First(_)));
    assert!(matches!(note(&names, 7, "a.example.net", Mode::Block), Sight::Repeated));
    assert!(matches!(note(&names, 8, "a.example.net", Mode::Block), Sight::First(_)));
    assert!(matches!(note(&names, 7, "a.example.net", Mode::Audit), Sight::First(_)));
    assert_eq!((names.refused(), names.audited()), (3, 1));
    let mut counts: Vec<_> = names.accounts().iter().map(|account| account.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
}

#[test]
fn a_process_id_that_comes_again_is_another_process() {
    let (names, profile) = (RefusedNames::default(), Arc::new(Profile::deny_all()));
    let first = client(7);
    let mut second = first;
    second.process.start_ns += 10_000_000;
    for client in [first, second] {
        let refusal = refusal(&client, &profile, "a.example.net", Mode::Block);
        assert!(matches!(names.note(&refusal, |_| identity(7)), Sight::First(_)));
        assert!(matches!(names.note(&refusal, |_| identity(7)), Sight::Repeated));
    }
}

#[test]
fn what_finds_no_room_is_counted_all_the_same() {
    let names = RefusedNames::default();
    for number in 0..NAMES {
        note(&names, 7, &format!("{number}.example.net"), Mode::Block);
    }
    assert!(matches!(note(&names, 7, "more.example.net", Mode::Block), Sight::NoRoom));
    assert!(matches!(note(&names, 7, "1.example.net", Mode::Block), Sight::Repeated));
    assert_eq!(names.accounts().len(), NAMES);
    assert_eq!(names.refused(), u64::try_from(NAMES).unwrap() + 2);
}

#[test]
fn the_next_agent_knows_what_was_kept_and_goes_on_counting() {
    let (client, profile) = (client(7), Arc::new(Profile::deny_all()));
    let refusal = refusal(&client, &profile, "a.example.net", Mode::Block);
    let before = RefusedNames::default();
    let Sight::First(sight) = before.note(&refusal, |_| identity(7)) else { panic!() };
    let kept = KeptName::new(&refusal, &sight);
    let line = serde_json::to_string(&kept).unwrap();
    let kept: KeptName = serde_json::from_str(&line).unwrap();

    let after = RefusedNames::default();
    after.restore(&kept, &profile);
    assert_eq!(after.refused(), 1);
    assert!(matches!(note(&after, 7, "a.example.net", Mode::Block), Sight::Repeated));
    let [account] = &after.accounts()[..] else { panic!() };
    assert_eq!((account.count, account.rule, &account.process), (2, RuleIndex(0), &identity(7)));
    let lost = sight.at.duration_since(account.first).unwrap();
    assert!(lost < Duration::from_millis(1), "{lost:?}");
}

#[test]
fn a_rule_of_another_profile_is_not_taken_for_one_of_this() {
    let (client, profile) = (client(7), Arc::new(Profile::deny_all()));
    let refusal = refusal(&client, &profile, "a.example.net", Mode::Audit);
    let Sight::First(sight) = RefusedNames::default().note(&refusal, |_| identity(7)) else {
        panic!()
    };
    let kept = KeptName { profile: "sha256:of-another".into(), ..KeptName::new(&refusal, &sight) };
    let names = RefusedNames::default();
    names.restore(&kept, &profile);
    assert_eq!(names.accounts()[0].rule, RuleIndex::DEFAULT_DENY);
    assert_eq!((names.refused(), names.audited()), (0, 1));
}
