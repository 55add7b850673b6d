//! Two pods with different profiles on one node do not affect each other, also when one floods names, events and
//! entries, and when it ends in the middle of that.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::agent::AgentSpec;
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::lab::addresses;
use weir_tests::neighbours::{
    BUDGET, ENTRIES, Flood, LIMIT, LOUD, Neighbours, QUIET, RESET_PORT, Shell, TRIED, resolver,
    spec,
};
use weir_tests::vm::{self, patient};
use weir_tests::world::FORBIDDEN_PORT;

/// Resident memory that a flood may cost the agent: its bounded tables.
const MEMORY: u64 = 48 << 20;
/// What a quiet pod's attempts come to: each over two families and two protocols.
const REFUSED: u64 = 4 * TRIED as u64;

/// What the quiet pod reaches is reached, over both families.
fn reaches_its_own(shell: &Shell) -> Result<()> {
    for address in addresses::WEB[0].both() {
        let said = shell.run(&format!("probe tcp {address} 80"))?;
        ensure!(said.contains("\"ok\""), "{address}: {said}");
    }
    Ok(())
}

#[test]
fn each_reaches_what_its_own_profile_names_and_nothing_of_the_others() -> Result<()> {
    let node = Neighbours::begin()?;
    let pods = [node.pod(QUIET)?, node.pod(LOUD)?];
    let shells = [node.shell(&pods[0])?, node.shell(&pods[1])?];
    let names = ["files.example.com", "api.example.com"];
    let servers = [addresses::WEB[0], addresses::WEB[1]];
    let profiles = ["lab/quiet", "lab/loud"];
    // A connection of the quiet pod stays open to the address that the other one tries.
    shells[0].run(&format!(
        "(wget -q -O /dev/null http://{}/drip/10 & echo $! > /drip) > /dev/null 2>&1 < /dev/null",
        names[0]
    ))?;
    for (shell, name) in shells.iter().zip(names) {
        for family in ["-4", "-6"] {
            let said = shell.run(&format!("curl -sS {family} -m 5 http://{name}/"))?;
            ensure!(said.contains("hello from"), "{said}");
        }
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = [0, 1]
            .map(|own| {
                let (shell, other) = (&shells[own], 1 - own);
                let (own, others) = (servers[own].both(), servers[other].both());
                let name = names[other];
                scope.spawn(move || -> Result<()> {
                    for _ in 0..5 {
                        for (own, others) in own.iter().zip(&others) {
                            let said = shell.run(&format!(
                                "probe tcp {own} 80; probe tcp {others} 80; probe udp-sendto {others} 80; \
                                 curl -sS -m 5 http://{name}/ || true"
                            ))?;
                            let results: Vec<bool> =
                                said.lines().map(|line| line.contains("\"ok\"")).collect();
                            ensure!(results == [true, false, false], "{said}");
                            ensure!(said.matches("EPERM").count() == 2, "{said}");
                        }
                    }
                    Ok(())
                })
            })
            .into_iter()
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_panic| anyhow::anyhow!("a pod's thread panicked"))?
        })
    })?;
    shells[0].run("kill -0 $(cat /drip)").context("the open connection was cut")?;
    for (at, pod) in pods.iter().enumerate() {
        let (other, profile) = (1 - at, profiles[at]);
        // In each of ten rounds another process tries an address over TCP and UDP, and asks the name.
        let found = node.violations_come(pod, 30)?;
        for event in &found {
            ensure!(event.text("/policy/profile") == profile, "{event}");
            ensure!(event.text("/policy/rule_id") == "default-deny", "{event}");
            ensure!(event.text("/pod/name") == pod.spec().name, "{event}");
            let addresses = servers[other].both().map(|address| address.to_string());
            let right = if event.proto() == "dns" {
                event.host() == names[other]
            } else {
                // The neighbour's name for the address is none of this pod's business.
                addresses.contains(&event.ip().to_owned())
                    && event.port() == 80
                    && event.host().is_empty()
                    && event.reason() == "direct_ip_no_dns"
            };
            ensure!(right, "{event}");
        }
    }
    Ok(())
}

#[test]
fn a_flood_of_names_slows_no_neighbour_and_costs_it_nothing() -> Result<()> {
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let shell = node.shell(&neighbour)?;
    shell.run("curl -sS -m 5 http://files.example.com/")?;
    let (before, memory) = (node.told(&neighbour)?, node.resident_bytes()?);
    node.world.lab.authority.forget();
    let resolver = resolver();
    let pool = node.flood(&pod, "names", 2, &[&resolver, "pool.example.com"])?;
    node.until(&pod, "past its budget", |told| told.refused > 0)?;
    let floods = [
        pool,
        node.flood(&pod, "names", 2, &[&resolver, "evil.example.net"])?,
        node.flood(&pod, "streams", 2, &[&resolver, "evil.example.net"])?,
    ];
    node.until(&pod, "flooding", |told| told.refused > 20_000)?;
    let asked = shell.deluge("ask", 5, &[&resolver, "quiet.example.com", "100"])?;
    ensure!(asked.is_answered(100), "{asked}");
    reaches_its_own(&shell)?;
    for flood in floods {
        let done = flood.end()?;
        ensure!(done.count("done") > 500, "no flood: {done}");
    }
    let after = node.told(&neighbour)?;
    // The names asked led to addresses that it had; nothing was refused, and nothing of it lost.
    ensure!(after.entries == before.entries, "{before:?} became {after:?}");
    ensure!((after.refused, after.lost) == (0, 0), "{after:?}");
    let loud = node.told(&pod)?;
    ensure!(loud.lost > 0, "no more than can be told: {loud:?}");
    let mut sent: BTreeSet<String> = BTreeSet::new();
    sent.extend(node.world.lab.authority.questions().into_iter().map(|question| question.name));
    sent.retain(|name| name.ends_with(".pool.example.com"));
    ensure!(sent.len() <= BUDGET, "{} names got out", sent.len());
    ensure!(sent.len() > 100, "{} names asked: no flood", sent.len());
    let reasons: BTreeSet<String> =
        node.violations(&pod)?.iter().map(|event| event.reason().to_owned()).collect();
    ensure!(reasons.contains("names_budget"), "{reasons:?}");
    let grown = node.resident_bytes()?.saturating_sub(memory);
    ensure!(grown < MEMORY, "the agent has grown by {grown} bytes");
    Ok(())
}

#[test]
fn a_flood_of_events_hides_none_of_a_neighbours() -> Result<()> {
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let shell = node.shell(&neighbour)?;
    let watch = node.world.lab.watch(node.world.lab.attacker.host())?;
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    let flood = node.flood(&pod, "events", 4, &[&v4, &v6, "10000", "8", "10000000"])?;
    node.until(&pod, "flooding", |told| told.lost > 10_000)?;
    for round in 0..5 {
        node.all_is_told(&neighbour, &shell, 2000 + round * TRIED)?;
    }
    let told = node.told(&neighbour)?;
    ensure!((told.refused, told.lost) == (5 * REFUSED, 0), "{told:?}");
    let done = flood.end()?;
    ensure!(done.count("tries") == done.count("refused"), "{done}");
    let loud = node.told(&pod)?;
    ensure!(loud.refused == done.count("refused"), "{loud:?} of {done}");
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    let uids = [pod.spec().uid.clone(), neighbour.spec().uid.clone()];
    pod.remove()?;
    neighbour.remove()?;
    node.agent.wait_for_many("phase=\"gone\"", 2, LIMIT)?;
    node.agent.records_come(&uids[0], "detach", 1)?;
    let lost = node.agent.records(&uids[0], "lost")?;
    let counted: u64 = lost.iter().map(|event| event.number("/count")).sum();
    ensure!(counted >= loud.lost, "{counted} of {} told as lost", loud.lost);
    // Most found no room to be told apart, and none is left out of the account.
    let flows = node.agent.records(&uids[0], "flow")?;
    let refused: u64 = flows.iter().map(|event| event.number("/count")).sum();
    ensure!(refused == loud.refused, "{refused} of {} refusals accounted for", loud.refused);
    ensure!(node.agent.records(&uids[1], "lost")?.is_empty(), "the quiet pod lost something");
    Ok(())
}

/// An agent that stands still, as one does that is starved or on its way back, finds the neighbour's events when
/// it goes on.
#[test]
fn a_flood_hides_no_event_while_the_agent_stands_still() -> Result<()> {
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let shell = node.shell(&neighbour)?;
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    let flood = node.flood(&pod, "events", 2, &[&v4, &v6, "10000", "8", "10000000"])?;
    let before = node.until(&pod, "flooding", |told| told.lost > 5_000)?;
    node.agent.process().signal(Signal::SIGSTOP)?;
    // Nothing tells of a time when nothing happens.
    std::thread::sleep(Duration::from_secs(2));
    // More than half of the pod's own table, so that flows are moved out of it before their events are read.
    let (wanted, count) = (300_u32, "75");
    let tried = shell.deluge("events", 1, &[&v4, &v6, "2000", "1", count]);
    node.agent.process().signal(Signal::SIGCONT)?;
    ensure!(tried?.count("refused") == u64::from(wanted));
    node.violations_come(&neighbour, wanted.try_into()?)?;
    let told = node.told(&neighbour)?;
    ensure!((told.refused, told.lost) == (wanted.into(), 0), "{told:?}");
    flood.end()?;
    let loud = node.told(&pod)?;
    ensure!(loud.lost > before.lost, "{before:?} became {loud:?}");
    Ok(())
}

/// Whoever takes the records takes none for a while: what waits for it is not all of the loud pod's.
#[test]
fn a_flood_leaves_a_neighbours_records_their_place_before_a_slow_reader() -> Result<()> {
    let pipe = RefCell::new(None);
    let node = Neighbours::begin_with(|world| {
        let path = world.node.path(AgentSpec::EVENTS);
        fs::create_dir_all(path.parent().context("a path without a folder")?)?;
        let mut mkfifo = Command::new("mkfifo");
        mkfifo.arg(&path);
        exec::run(mkfifo, DEFAULT_LIMIT)?.expect_code(0)?;
        // Open for writing too, so that neither side waits for the other.
        pipe.replace(Some(fs::File::options().read(true).write(true).open(path)?));
        Ok(())
    })?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let shell = node.shell(&neighbour)?;
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    let floods = [
        node.flood(&pod, "names", 1, &[&resolver(), "evil.example.net"])?,
        node.flood(&pod, "events", 1, &[&v4, &v6, "10000", "8", "10000000"])?,
    ];
    // More than there is room for, if all of it were the loud pod's.
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        floods.iter().try_for_each(Flood::goes_on)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    let count = TRIED.to_string();
    let tried = shell.deluge("events", 1, &[&v4, &v6, "2000", "1", &count])?;
    ensure!(tried.count("refused") == REFUSED, "{tried}");
    node.until(&neighbour, "refused", |told| told.refused == REFUSED)?;
    let (uid, mark) = (neighbour.spec().uid.clone(), "\"kind\":\"violation\"");
    let lines = BufReader::new(pipe.into_inner().context("no pipe")?);
    let (sender, seen) = mpsc::channel();
    // Ends with the process: a pipe that is open on both sides has no end.
    std::thread::spawn(move || {
        let lines = lines.lines().map_while(Result::ok);
        lines
            .filter(|line| line.contains(&uid) && line.contains(mark))
            .try_for_each(|line| sender.send(line))
    });
    for number in 0..4 * TRIED {
        seen.recv_timeout(LIMIT).with_context(|| format!("after {number} violations"))?;
    }
    ensure!(node.told(&neighbour)?.lost == 0, "the quiet pod lost something");
    for flood in floods {
        flood.end()?;
    }
    ensure!(node.told(&pod)?.lost > 0, "the loud pod lost nothing: no flood");
    Ok(())
}

#[test]
fn a_flood_of_entries_fills_no_table_but_its_own() -> Result<()> {
    // Fewer names than may be asked: what runs out is room for their addresses.
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let (shell, louder) = (node.shell(&neighbour)?, node.shell(&pod)?);
    shell.run(
        "(curl -sS -m 60 --limit-rate 400k -o /dev/null -w '%{http_code} %{size_download}\\n' \
         http://files.example.com/bytes/2000000 > /done & echo $! > /pid) 2> /dev/null < /dev/null",
    )?;
    louder.run("curl -sS -m 5 http://api.example.com/")?;
    let before = node.until(&neighbour, "downloading", |told| told.entries > 0)?;
    let (api, port) = (addresses::WEB[1].v4.to_string(), RESET_PORT.to_string());
    let connects = node.flood(&pod, "connects", 2, &[&api, &port])?;
    let resolver = resolver();
    let entries = node.flood(&pod, "entries", 2, &[&resolver, "many.example.com", "500"])?;
    node.until(&pod, "full", |told| {
        told.entries + 64 > ENTRIES && told.refused > 100 && told.allowed > 2000
    })?;
    ensure!(node.told(&pod)?.entries <= ENTRIES);
    // The table that is full is not the neighbour's: new names of it lead to new entries.
    shell.run("kill -0 $(cat /pid)").context("the download ended before the table was full")?;
    let asked = shell.deluge("ask", 10, &[&resolver, "quiet.example.com", "100"])?;
    ensure!(asked.is_answered(100), "{asked}");
    reaches_its_own(&shell)?;
    let deadline = Instant::now() + patient(LIMIT);
    while shell.run("cat /done")?.is_empty() {
        ensure!(Instant::now() < deadline, "the download does not end");
    }
    let said = shell.run("cat /done")?;
    ensure!(said == "200 2000000\n", "{said}");
    let after = node.told(&neighbour)?;
    ensure!((after.entries, after.refused, after.lost) == (before.entries, 0, 0), "{after:?}");
    let (asked, connected) = (entries.end()?, connects.end()?);
    ensure!(asked.count("answered") > 0 && asked.count("failed") > 100, "{asked}");
    ensure!(connected.count("done") > 1000 && connected.count("refused") == 0, "{connected}");
    // What found no room was told as such, and what had room is still there.
    let full = node.violations(&pod)?;
    let told = full.iter().all(|event| event.reason() == "names_budget");
    ensure!(told && !full.is_empty(), "{full:?}");
    louder.run("curl -sS -m 5 http://api.example.com/").map(drop)
}

#[test]
fn a_pod_that_ends_in_its_flood_leaves_nothing_to_anybody() -> Result<()> {
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let shell = node.shell(&neighbour)?;
    shell.run("curl -sS -m 5 http://files.example.com/")?;
    let before = node.told(&neighbour)?;
    let _floods = node.flood_all(&pod)?;
    let uid = pod.spec().uid.clone();
    let resolver = resolver();
    let tries = node.shell(&neighbour)?;
    let asked = std::thread::scope(|scope| {
        let asking =
            scope.spawn(|| shell.deluge("ask", 20, &[&resolver, "quiet.example.com", "150"]));
        let trying = scope.spawn(|| node.all_is_told(&neighbour, &tries, 2000));
        pod.remove()?;
        node.agent.wait_for("phase=\"gone\"")?;
        trying.join().map_err(|_panic| anyhow::anyhow!("trying panicked"))??;
        asking.join().map_err(|_panic| anyhow::anyhow!("asking panicked"))?
    })?;
    ensure!(asked.is_answered(150), "{asked}");
    reaches_its_own(&shell)?;
    let after = node.told(&neighbour)?;
    ensure!(
        (after.entries, after.refused, after.lost) == (before.entries, REFUSED, 0),
        "{after:?}"
    );
    node.only_these_are_left(&[&neighbour])?;
    let ends = node.agent.records_come(&uid, "detach", 1)?;
    ensure!(ends.len() == 1, "{} ends", ends.len());

    // Every slot that is ready is taken, so the one that was given back comes round again.
    let heirs = node.sandboxes(18)?;
    node.agent.wait_for_many("took_us=", heirs.len(), LIMIT)?;
    for heir in &heirs {
        let told = node.told(heir)?;
        ensure!((told.entries, told.allowed, told.refused, told.lost) == (0, 0, 0, 0), "{told:?}");
        ensure!(node.violations(heir)?.is_empty(), "an heir has violations");
    }
    let heir = heirs.last().context("no heir")?;
    let said =
        node.world.run(heir, &format!("probe tcp {} {RESET_PORT}; true", addresses::WEB[1].v4))?;
    ensure!(said.contains("EPERM"), "{said}");
    Ok(())
}

#[test]
fn pods_come_and_go_beside_a_flood() -> Result<()> {
    let node = Neighbours::begin()?;
    let pod = node.pod(LOUD)?;
    let watch = node.world.lab.watch(node.world.lab.attacker.host())?;
    let floods = node.flood_all(&pod)?;
    for _ in 0..2 {
        let begun = Instant::now();
        let third = node.pod(QUIET)?;
        // What starts a pod shares the processors with the floods.
        ensure!(
            begun.elapsed() < patient(Duration::from_secs(20)),
            "a start took {:?}",
            begun.elapsed()
        );
        let script = format!(
            "curl -sS -m 5 http://files.example.com/; probe tcp {} {FORBIDDEN_PORT}; true",
            addresses::ATTACKER.v6
        );
        let said = node.world.run(&third, &script)?;
        ensure!(said.contains("hello from") && said.contains("EPERM"), "{said}");
        let uid = third.spec().uid.clone();
        third.remove()?;
        node.agent.wait_for("phase=\"gone\"")?;
        node.agent.records_come(&uid, "detach", 1)?;
        let found = node.agent.records(&uid, "violation")?;
        let lost = node.agent.records(&uid, "lost")?;
        // An agent that shares one emulated processor with floods may come too late to read, and then says so.
        let late = vm::guest_folder().is_some() && found.is_empty() && lost.len() == 1;
        ensure!(late || (found.len() == 1 && lost.is_empty()), "{found:?}, {lost:?}");
        ensure!(node.agent.records(&uid, "flow")?.len() >= 2, "no account of what it did");
    }
    for flood in &floods {
        flood.goes_on()?;
    }
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    Ok(())
}

/// The control: the same events where nobody enforces do arrive.
#[test]
fn the_flood_arrives_where_nobody_enforces() -> Result<()> {
    let node = Neighbours::begin()?;
    let watch = node.world.lab.watch(node.world.lab.attacker.host())?;
    let free = node.world.node.run_pod(spec("free"))?;
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    let done = node.shell(&free)?.deluge("events", 2, &[&v4, &v6, "10000", "1", "100"])?;
    ensure!(done.count("done") == 800, "{done}");
    let seen = watch.take()?;
    ensure!(seen.udp.packets >= 400 && seen.tcp.packets >= 400, "{seen:?}");
    Ok(())
}
