//! The page that tells a job what it was refused: from a job, from the containers of a Docker in it, under a flood of
//! requests, from another pod, and after an agent's death.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::exec;
use weir_tests::jobs::{Jobs, LIMIT, listeners};
use weir_tests::lab::{Lab, addresses};
use weir_tests::neighbours::{LOUD, Neighbours, QUIET, resolver};
use weir_tests::node::{
    Container, ContainerSpec, Docker, Image, Node, Options, Placement, Pod, PodSpec,
};
use weir_tests::profile::Profile;
use weir_tests::programs;
use weir_tests::skip::{self, Skip};
use weir_tests::weir::{self, Event};
use weir_tests::world::{World, files_allowed};

const PAGE: &str = "http://weir.internal";
const V4: &str = "192.0.2.80";
const V6: &str = "2001:db8::c000:250";
const EVIL: &str = "collector.example.net";

/// Runs a script in a container, to the end, with code 0.
fn run(container: &Container, script: &str) -> Result<String> {
    let output = container.exec(&["/bin/sh", "-c", script])?.expect_code(0)?;
    Ok(output.stdout)
}

/// The report that a container gets.
fn report(container: &Container) -> Result<Value> {
    weir::page(&run(container, &format!("curl -sS -m 20 '{PAGE}/?format=json'"))?)
}

/// The status of a request.
fn status(container: &Container, options: &str, path: &str) -> Result<String> {
    run(
        container,
        &format!("curl -sS -m 20 {options} -o /dev/null -w '%{{http_code}}' '{PAGE}{path}'"),
    )
}

/// What was refused to go to this name or address.
fn refusal<'a>(report: &'a Value, destination: &str) -> Result<&'a Value> {
    let list = report["refusals"].as_array().context("no list")?;
    let is_it = |one: &&Value| {
        let of = &one["destination"];
        of["host"] == destination || of["ip"] == destination
    };
    list.iter().find(is_it).with_context(|| format!("nothing of {destination} in {report}"))
}

fn number(of: &Value, key: &str) -> Result<u64> {
    of[key].as_u64().with_context(|| format!("no {key} in {of}"))
}

/// A container of a pod that waits for commands.
fn sleeper(world: &World, pod: &Pod) -> Result<Container> {
    pod.start(world.shell("build", "exec sleep 600"))
}

/// Nobody's asking for the page is a violation.
fn is_no_violation(events: &[Event]) -> Result<()> {
    for event in events {
        let of_page = event.host().contains("weir.internal") || [V4, V6].contains(&event.ip());
        ensure!(!of_page, "{event}");
    }
    Ok(())
}

#[test]
fn a_job_reads_what_it_was_refused_and_how_to_ask_for_it() -> Result<()> {
    let world = World::new(&Options::default())?;
    let help = "jobPage: { help: \"Ask in #egress.\\nA person reads it.\" }";
    let agent = files_allowed().config(help).start(&world.node)?;
    // As the cluster's pods have it: the page's name has fewer dots than `ndots` says.
    let mut spec = PodSpec::new("job");
    spec.searches = vec!["ci.svc.cluster.local".to_owned(), "svc.cluster.local".to_owned()];
    let pod = world.pod(spec)?;
    let job = sleeper(&world, &pod)?;
    run(&job, "curl -sS -m 10 http://files.example.com/")?;
    for options in ["-4", "-6", "-f"] {
        ensure!(status(&job, options, "/check")? == "200", "with {options}");
    }
    let quiet = run(&job, &format!("wget -q -O - {PAGE}/"))?;
    ensure!(
        quiet.starts_with("weir: nothing was refused\nprofile lab/ci, mode block, pod ci/job\n")
    );

    let attacker = addresses::ATTACKER.v4.to_string();
    run(
        &job,
        &format!(
            "for n in 1 2; do curl -s -m 5 http://{EVIL}/; done; probe tcp {attacker} 8443; true"
        ),
    )?;
    let failed = job.exec(&["curl", "-fsS", "-m", "20", &format!("{PAGE}/check")])?;
    ensure!(failed.code == 22, "{}", failed.describe());
    let wget = job.exec(&["wget", "-q", "-O", "-", &format!("{PAGE}/check")])?;
    ensure!(wget.code != 0, "{}", wget.describe());
    let told = run(&job, &format!("curl -sS -m 20 {PAGE}/check"))?;
    for wanted in [
        EVIL,
        &attacker,
        "refused: domain_not_in_allowlist",
        "refused: direct_ip_no_dns",
        "8443/tcp",
        "curl (/bin/curl)",
        "default-deny",
        "    - id: \"names-443-tcp\"",
        "Ask in #egress.\nA person reads it.\n",
    ] {
        ensure!(told.contains(wanted), "no {wanted:?} in\n{told}");
    }
    let report = report(&job)?;
    let name = refusal(&report, EVIL)?;
    ensure!(name["destination"]["proto"] == "dns" && name["process"]["comm"] == "curl", "{name}");
    ensure!(name["container"] == "build" && number(name, "processes")? == 2, "{name}");
    let connect = refusal(&report, &attacker)?;
    ensure!(connect["destination"]["port"] == 8443 && number(connect, "count")? == 1, "{connect}");
    ensure!(report["pod"]["uid"] == pod.spec().uid && report["profile"]["name"] == "lab/ci");
    let counted = number(name, "count")? + number(connect, "count")?;
    ensure!(number(&report, "refused")? == counted, "{report}");
    suggests(&world, &report)?;
    only_port_80(&job)?;
    let violations = agent.records_come(&pod.spec().uid, "violation", 7)?;
    let beyond = violations.iter().filter(|event| event.ip() == V4 || event.ip() == V6).count();
    ensure!(violations.len() - beyond == 3 && beyond == 4, "{violations:?}");
    ensure!(!violations.iter().any(|event| event.host().contains("weir")), "{violations:?}");
    agent.stop().map(drop)
}

/// What is suggested makes a profile that allows it.
fn suggests(world: &World, report: &Value) -> Result<()> {
    let rules = report["suggestion"].as_str().context("no suggestion")?;
    let text = format!(
        "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: {{ name: a }}\nspec:\n  allow:\n{rules}"
    );
    let path = world.lab.folder().join("suggested.yaml");
    std::fs::write(&path, &text)?;
    let explain = |target: &str| {
        let mut command = std::process::Command::new(weir::binary()?);
        command.args(["policy", "explain"]).arg(&path).arg(target);
        exec::run(command, LIMIT)?.expect_code(0).map(|output| output.stdout)
    };
    for target in [&format!("{EVIL}:443"), &format!("{}:8443", addresses::ATTACKER.v4)] {
        let said = explain(target)?;
        ensure!(said.contains("allow"), "{said}");
    }
    Ok(())
}

/// Everything else at the page's addresses is as anywhere.
fn only_port_80(job: &Container) -> Result<()> {
    for address in [V4, V6] {
        for act in [format!("probe tcp {address} 443"), format!("probe udp-sendto {address} 80")] {
            let said = run(job, &format!("{act}; true"))?;
            ensure!(said.contains("EPERM"), "{act}: {said}");
        }
    }
    Ok(())
}

#[test]
fn in_audit_mode_a_check_passes_unless_it_is_asked_for_all() -> Result<()> {
    let world = World::new(&Options::default())?;
    let profile = Profile::deny_all().text().replace("mode: block", "mode: audit");
    let agent = AgentSpec::default().namespace("ci", &profile).start(&world.node)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let job = sleeper(&world, &pod)?;
    ensure!(status(&job, "", "/check?audit=1")? == "200");
    run(&job, "curl -sS -m 10 -o /dev/null http://files.example.com/")?;
    ensure!(status(&job, "", "/check")? == "200");
    ensure!(status(&job, "", "/check?audit=1")? == "409");
    let report = report(&job)?;
    ensure!(number(&report, "refused")? == 0 && number(&report, "audited")? >= 2, "{report}");
    let rules = report["suggestion"].as_str().context("no suggestion")?;
    ensure!(rules.contains("files.example.com") && rules.contains("80/tcp"), "{rules}");
    let events = agent.records_come(&pod.spec().uid, "violation", 1)?;
    ensure!(events.iter().any(|event| event.host() == "files.example.com"), "{events:?}");
    is_no_violation(&events)
}

/// Where the pod's listener is: its IPv4 address and port.
fn listener(jobs: &Jobs, pod: &Pod) -> Result<(String, String)> {
    let ip = pod.ip().context("no address")?.to_string();
    let listening = listeners(jobs, pod)?;
    let local = listening
        .lines()
        .filter(|line| line.starts_with("tcp"))
        .find_map(|line| line.split_whitespace().nth(4).filter(|local| local.starts_with(&ip)))
        .with_context(|| format!("nobody listens: {listening}"))?;
    let port = local.rsplit(':').next().context("no port")?.to_owned();
    Ok((ip, port))
}

#[test]
fn another_pod_and_the_node_get_nothing() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let pod = jobs.pod(PodSpec::new("job"))?;
    let job = pod.start(jobs.sleeper())?;
    run(&job, &format!("curl -s -m 5 http://{EVIL}/; true"))?;
    let (ip, port) = listener(&jobs, &pod)?;
    // The pod itself is answered there, so silence is no accident.
    let own = run(&job, &format!("curl -sS -m 20 http://{ip}:{port}/"))?;
    ensure!(own.contains(EVIL), "{own}");
    let ask = |address: &str, port: &str| {
        format!(
            "curl -s -m 2 http://{address}:{port}/; curl -s -m 2 --connect-to ::{address}:{port} {PAGE}/; true"
        )
    };
    // A pod that nobody enforces may send whatever it likes.
    let free = PodSpec { namespace: "free".to_owned(), ..PodSpec::new("free") };
    let free = jobs.node.run_pod(free)?;
    let stranger = free.start(jobs.sleeper())?;
    for said in [
        run(&stranger, &ask(&ip, &port))?,
        run(&stranger, &ask(V4, "80"))?,
        run(&stranger, &format!("curl -s -m 2 {PAGE}/; true"))?,
    ] {
        ensure!(said.is_empty(), "{said}");
    }
    for address in [&ip, V4] {
        let port = if address == V4 { "80" } else { &port };
        let mut node = jobs.node.command("sh");
        node.args(["-c", &ask(address, port)]);
        let said = exec::run(node, LIMIT)?.expect_code(0)?.stdout;
        ensure!(said.is_empty(), "the node got {said}");
    }
    // One that is enforced reads of itself.
    let other = jobs.pod(PodSpec::new("other"))?;
    let other = other.start(jobs.sleeper())?;
    let found = report(&other)?;
    ensure!(number(&found, "refused")? == 0 && found["pod"]["name"] == "other", "{found}");
    let said = run(&other, &ask(&ip, &port))?;
    ensure!(said.is_empty(), "{said}");
    refusal(&report(&other)?, &ip)?;
    let own = report(&job)?;
    ensure!(own["refusals"].as_array().is_some_and(|list| list.len() == 1), "{own}");
    agent.stop().map(drop)
}

#[test]
fn what_a_dead_agent_saw_the_next_one_tells_at_the_same_place() -> Result<()> {
    let jobs = Jobs::new()?;
    let agent = Jobs::allowing(&[]).start(&jobs.node)?;
    let pod = jobs.pod(PodSpec::new("job"))?;
    let job = pod.start(jobs.sleeper())?;
    let attacker = addresses::ATTACKER.v4.to_string();
    run(&job, &format!("curl -s -m 5 http://{EVIL}/; curl -s -m 5 http://{attacker}/; true"))?;
    let (before, place) = (report(&job)?, listener(&jobs, &pod)?);
    agent.kill()?;
    let silence = job.exec(&["curl", "-s", "-m", "3", &format!("http://{V4}/check")])?;
    ensure!(silence.code != 0 && silence.stdout.is_empty(), "{}", silence.describe());
    // Refused by the kernel while nobody is there to record it.
    let unseen = addresses::FOREIGN.v4.to_string();
    run(&job, &format!("curl -s -m 5 http://{unseen}/; true"))?;
    let agent = Agent::spawn(&jobs.node)?;
    agent.wait_for("enforced sandbox")?;
    ensure!(listener(&jobs, &pod)? == place, "the listener has moved");
    ensure!(status(&job, "", "/check")? == "409");
    let after = report(&job)?;
    for destination in [EVIL, &attacker] {
        let (was, is) = (refusal(&before, destination)?, refusal(&after, destination)?);
        for key in ["process", "reason", "rule_id", "first", "container"] {
            ensure!(was[key] == is[key], "{was} became {is}");
        }
    }
    refusal(&after, &unseen)?;
    run(&job, &format!("curl -s -m 5 http://{EVIL}/; true"))?;
    let later = report(&job)?;
    ensure!(number(&later, "refused")? > number(&after, "refused")?, "{later}");
    ensure!(number(refusal(&later, EVIL)?, "processes")? == 2, "{later}");
    agent.stop().map(drop)
}

#[test]
fn a_hostile_name_of_a_process_is_only_text() -> Result<()> {
    let world = World::new(&Options::default())?;
    let agent = files_allowed().start(&world.node)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let job = sleeper(&world, &pod)?;
    let script = format!(
        "name=/tmp/$(printf '\\033[2J\\r\\nweir:\\233\\177'); cp /bin/curl \"$name\"
         \"$name\" -s -m 5 http://{EVIL}/
         \"$name\" -s -m 5 http://{}:8443/; true",
        addresses::ATTACKER.v4
    );
    run(&job, &script)?;
    let said = run(&job, &format!("curl -sS -m 20 {PAGE}/"))?;
    ensure!(said.chars().all(|one| matches!(one, ' '..='~' | '\n')), "{said:?}");
    ensure!(said.lines().filter(|line| line.starts_with("weir:")).count() == 1, "{said}");
    ensure!(said.contains("\\u{1b}[2J\\r\\nweir:"), "{said}");
    let report = report(&job)?;
    let comm = refusal(&report, EVIL)?["process"]["comm"].as_str().context("no name")?.to_owned();
    ensure!(comm.starts_with("\u{1b}[2J\r\nweir:"), "{comm:?}");
    agent.stop().map(drop)
}

/// A runner pod with a Docker daemon in it, and the page from its containers.
fn inner_containers(placement: Placement) -> Result<()> {
    let lab = Lab::new()?;
    let Some(docker) = Docker::find(lab.folder())? else {
        return skip::record("job_page::docker", Skip::NoDocker);
    };
    let inner = Image::busybox("inner").program("/usr/bin/curl", "/bin/curl");
    let barrier = Image::busybox("weir-initc")
        .program(programs::target_folder()?.join("weir-initc"), "/bin/weir-initc");
    let node = Node::start(&lab, &Options::images(&[&inner, &barrier]))?;
    docker.keep(&inner)?;
    let agent = Jobs::allowing(&["files.example.com"]).start(&node)?;
    let pod = node.run_pod(PodSpec { privileged: true, ..PodSpec::new("runner") })?;
    let barrier = ContainerSpec::new("weir-initc", &barrier)
        .command(&["/bin/weir-initc"])
        .env("WEIR_POD_UID", &pod.spec().uid);
    let barrier = pod.start(barrier)?;
    ensure!(barrier.wait(LIMIT)? == 0, "the barrier: {}", barrier.logs()?);
    let daemon = docker.start(&pod, &inner, placement)?;
    daemon.load(&inner)?;
    daemon.run(&["docker", "network", "create", "made"])?.expect_code(0)?;
    for (network, host) in [("bridge", EVIL), ("made", "exfil.example.net")] {
        // What is refused by the wire alone is waited for.
        let script = format!(
            "curl -s -m 5 http://{host}/; curl -s -m 2 http://{}:8443/
             curl -sS -m 20 '{PAGE}/?format=json'",
            addresses::ATTACKER.v4
        );
        let run = |script: &str| {
            let words = ["docker", "run", "--rm", "--network", network, inner.reference()];
            daemon.run(&[&words[..], &["/bin/sh", "-c", script]].concat())
        };
        let said = run(&script)?.expect_code(0)?.stdout;
        let report = weir::page(&said).with_context(|| format!("on {network}"))?;
        let uid = report.pointer("/pod/uid").and_then(Value::as_str);
        ensure!(uid == Some(&pod.spec().uid), "{report}");
        let process = &refusal(&report, host)?["process"];
        // On a network that was made the daemon asks for its containers.
        let expected = match (placement, network) {
            (Placement::AtRoot, _) => "",
            (Placement::InPod, "bridge") => "curl",
            (Placement::InPod, _) => "dockerd",
        };
        ensure!(process["comm"].as_str().unwrap_or_default() == expected, "{process}");
        refusal(&report, &addresses::ATTACKER.v4.to_string())?;
        let check = run(&format!("curl -fsS -m 20 {PAGE}/check"))?;
        ensure!(check.code == 22, "a check passes on {network}: {}", check.describe());
    }
    is_no_violation(&agent.events()?)
}

#[test]
fn an_inner_container_below_the_pods_cgroup_reads_it() -> Result<()> {
    inner_containers(Placement::InPod)
}

#[test]
fn an_inner_container_at_the_nodes_root_reads_it() -> Result<()> {
    inner_containers(Placement::AtRoot)
}

#[test]
fn a_flood_of_requests_slows_no_neighbour_and_ends_with_its_pod() -> Result<()> {
    let node = Neighbours::begin()?;
    let (pod, neighbour) = (node.pod(LOUD)?, node.pod(QUIET)?);
    let (shell, quiet) = (node.shell(&pod)?, node.shell(&neighbour)?);
    quiet.run("curl -sS -m 5 http://files.example.com/")?;
    // Tables that are full make a report as long as it can be.
    let [v4, v6] = addresses::ATTACKER.both().map(|address| address.to_string());
    node.flood(&pod, "events", 2, &[&v4, &v6, "2000", "8", "100000"]).and_then(|flood| {
        node.until(&pod, "refused", |told| told.refused > 50_000)?;
        flood.end()
    })?;
    let before = node.told(&pod)?.refused;
    node.flood(&pod, "names", 2, &[&resolver(), "evil.example.net"]).and_then(|flood| {
        node.until(&pod, "full", |told| told.refused > before + 20_000)?;
        flood.end()
    })?;
    let memory = node.resident_bytes()?;
    for kind in ["whole", "slow"] {
        let floods = [V4, V6].map(|address| node.flood(&pod, "requests", 2, &[address, kind]));
        let asked = quiet.deluge("ask", 20, &[&resolver(), "quiet.example.com", "100"])?;
        println!("beside {kind} requests: {asked}");
        ensure!(asked.is_answered(100), "{kind}: {asked}");
        let said = quiet.run(&format!("curl -sS -m 20 {PAGE}/check"))?;
        ensure!(said.starts_with("weir: nothing was refused\n"), "{said}");
        for flood in floods {
            let done = flood?.end()?;
            println!("{kind}: {done}");
            ensure!(done.count("tries") > 1000 && done.count("refused") == 0, "no flood: {done}");
            // Those that end are answered; how often depends on what else the machine does.
            ensure!(kind == "slow" || done.count("answered") > 0, "no answer: {done}");
        }
    }
    let told = node.told(&neighbour)?;
    ensure!((told.refused, told.lost) == (0, 0), "{told:?}");
    let grown = node.resident_bytes()?.saturating_sub(memory);
    ensure!(grown < 48 << 20, "the agent has grown by {grown} bytes");
    // What comes after the flood is answered, and counts all.
    let report = weir::page(&shell.run(&format!("curl -sS -m 20 '{PAGE}/?format=json'"))?)?;
    let (refused, listed) = (number(&report, "refused")?, report["refusals"].as_array());
    let (listed, omitted) = (listed.map(Vec::len), number(&report, "omitted")?);
    let told = node.told(&pod)?.refused;
    ensure!(refused == told, "{refused} of {told}");
    ensure!(listed == Some(256) && omitted > 4000, "{listed:?} are listed, {omitted} omitted");
    node.flood(&pod, "requests", 2, &[V4, "whole"])?;
    pod.remove()?;
    node.agent.wait_for("phase=\"gone\"")?;
    node.only_these_are_left(&[&neighbour])
}

#[test]
fn a_command_of_weir_run_reads_it_and_nobody_else() -> Result<()> {
    let lab = Lab::new()?;
    let script = format!(
        "curl -sS -m 10 -o /dev/null -w '%{{http_code}}\\n' {PAGE}/check
         curl -s -m 5 http://{EVIL}/
         curl -s -m 5 http://{}:8443/
         for family in -4 -6; do curl -sS $family -m 10 -w '%{{http_code}}\\n' '{PAGE}/check?format=json'; done",
        addresses::ATTACKER.v4
    );
    let outcome = lab.weir().run(&["sh", "-c", &script])?.expect_code(0)?;
    let said: Vec<&str> = outcome.output.stdout.lines().collect();
    let [first, v4, second, v6, third] = said[..] else {
        anyhow::bail!("{}", outcome.describe());
    };
    ensure!([first, second, third] == ["200", "409", "409"], "{}", outcome.describe());
    for body in [v4, v6] {
        let report = weir::page(&format!("{body}\n"))?;
        refusal(&report, EVIL)?;
        refusal(&report, &addresses::ATTACKER.v4.to_string())?;
        ensure!(report["pod"].is_null(), "{report}");
    }
    is_no_violation(&outcome.events)
}
