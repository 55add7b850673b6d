//! Service addresses: whoever turns one into a backend's, on the node, at connect time or in the pod itself, an
//! allowed service works under both layers, and nothing else opens.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::agent::{Agent, AgentSpec};
use weir_tests::dns::Records;
use weir_tests::exec::{self, DEFAULT_LIMIT, Running};
use weir_tests::lab::addresses;
use weir_tests::node::{ContainerSpec, Options, PodSpec};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::world::World;

/// Addresses that no host has.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const REFUSED: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 11);
const NAME: &str = "service.example.com";

/// Allows the service by its name alone, for one second after each answer.
fn by_name() -> Profile {
    Profile::deny_all()
        .private_domains_at(&[NAME], &["80"])
        .spec("  dns: { grace: 0s, maxTtl: 1s }")
}

/// A world whose attacker listens at port 80, with an agent under this profile.
fn world(profile: &Profile) -> Result<(World, Agent)> {
    let world = World::new(&Options::default())?;
    world.lab.attacker.listen(80)?;
    world.lab.zone().set(NAME, Records::ttl(1).ip(SERVICE))?;
    let agent = AgentSpec::default().namespace("ci", &profile.text()).start(&world.node)?;
    Ok((world, agent))
}

/// Rewrites both services on the node, as kube-proxy does.
fn translate_on_node(world: &World) -> Result<()> {
    let (web, attacker) = (addresses::WEB[0].v4, addresses::ATTACKER.v4);
    let mut nft = world.lab.client.host().enter("nft");
    nft.arg(format!(
        "table inet services {{
            chain translate {{
                type nat hook prerouting priority dstnat;
                ip daddr {SERVICE} tcp dport 80 dnat ip to {web}:80
                ip daddr {REFUSED} tcp dport 80 dnat ip to {attacker}:80
            }}
        }}"
    ));
    exec::run(nft, DEFAULT_LIMIT)?.expect_code(0)?;
    Ok(())
}

/// Rewrites a service in a hook of the node's root cgroup, where every pod of this node passes, and no other
/// process of the machine.
fn translate_at_connect(world: &World, service: Ipv4Addr, backend: Ipv4Addr) -> Result<Running> {
    let mut command = std::process::Command::new(Program::Balancer.path()?);
    command.arg(world.node.cgroup_root()).args([service.to_string(), backend.to_string()]);
    let balancer = exec::spawn(command)?;
    balancer.wait_for_line(Duration::from_secs(5), |line| line == "attached")?;
    Ok(balancer)
}

/// No record of a pod that has ended says that anything was refused.
fn no_violation(agent: &Agent) -> Result<()> {
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    ensure!(events.iter().any(|event| event.kind() == "detach"), "no end in {events:?}");
    let refused: Vec<_> = events.iter().filter(|event| event.kind() == "violation").collect();
    ensure!(refused.is_empty(), "{refused:?}");
    Ok(())
}

/// One of the events is a violation at this address.
fn violation(agent: &Agent, address: Ipv4Addr) -> Result<()> {
    agent.wait_for("phase=\"gone\"")?;
    let events = agent.events()?;
    let found =
        events.iter().any(|event| event.kind() == "violation" && event.ip() == address.to_string());
    ensure!(found, "no violation at {address} in {events:?}");
    Ok(())
}

fn nodes_service_works(profile: &Profile, url: &str) -> Result<()> {
    let (world, agent) = world(profile)?;
    translate_on_node(&world)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let said = world.run(&pod, &format!("curl -sS -m 5 {url}"))?;
    ensure!(said.contains("hello from"), "{said}");
    pod.remove()?;
    no_violation(&agent)
}

#[test]
fn a_service_of_the_node_works_by_its_network() -> Result<()> {
    let profile = Profile::deny_all().cidrs_at(&["10.96.0.10/32"], &["80"]);
    nodes_service_works(&profile, &format!("http://{SERVICE}/"))
}

#[test]
fn a_service_of_the_node_works_by_its_name() -> Result<()> {
    nodes_service_works(&by_name(), &format!("http://{NAME}/"))
}

#[test]
fn a_service_of_the_node_that_is_not_allowed_stays_closed() -> Result<()> {
    let (world, agent) = world(&by_name())?;
    translate_on_node(&world)?;
    let script = format!("curl -sS -m 3 http://{REFUSED}/");
    let free =
        world.node.run_pod(PodSpec { namespace: "free".to_owned(), ..PodSpec::new("free") })?;
    ensure!(world.run(&free, &script)?.contains("taken"), "the node does not translate");
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    world.run(&pod, &format!("{script} || true"))?;
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    pod.remove()?;
    violation(&agent, REFUSED)
}

#[test]
fn a_service_chosen_at_connect_works_and_its_backend_stays_closed() -> Result<()> {
    let (world, agent) = world(&by_name())?;
    let _balancer = translate_at_connect(&world, SERVICE, addresses::WEB[0].v4)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let script =
        format!("curl -sS -m 5 http://{NAME}/ && probe tcp {} 80; true", addresses::WEB[0].v4);
    let said = world.run(&pod, &script)?;
    ensure!(said.contains("hello from") && said.contains("EPERM"), "{said}");
    pod.remove()?;
    violation(&agent, addresses::WEB[0].v4)
}

#[test]
fn a_service_chosen_at_connect_that_is_not_allowed_stays_closed() -> Result<()> {
    let (world, agent) = world(&by_name())?;
    let _balancer = translate_at_connect(&world, REFUSED, addresses::ATTACKER.v4)?;
    let script = format!("curl -sS -m 3 http://{REFUSED}/");
    let free =
        world.node.run_pod(PodSpec { namespace: "free".to_owned(), ..PodSpec::new("free") })?;
    ensure!(world.run(&free, &script)?.contains("taken"), "nothing is translated");
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    world.run(&pod, &format!("{script} || true"))?;
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    pod.remove()?;
    violation(&agent, REFUSED)
}

/// The download is under way when a new connect is refused already.
#[test]
fn a_connection_to_a_service_outlives_its_answer() -> Result<()> {
    let (world, agent) = world(&by_name())?;
    let _balancer = translate_at_connect(&world, SERVICE, addresses::WEB[0].v4)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let script = format!(
        "curl -sSN -o /tmp/taken http://{NAME}/drip/1000 & \
         until [ -s /tmp/taken ]; do kill -0 $! || exit 1; sleep 0.1; done; \
         until probe tcp {SERVICE} 80 | grep -q EPERM; do sleep 0.2; done; \
         before=$(wc -c < /tmp/taken); \
         until [ $(wc -c < /tmp/taken) -gt $((before + 5000)) ]; do kill -0 $! || exit 1; sleep 0.1; done; \
         kill $!; echo goes on"
    );
    let said = world.run(&pod, &script)?;
    ensure!(said.contains("goes on\n"), "{said}");
    pod.remove()?;
    agent.wait_for("phase=\"gone\"")?;
    Ok(())
}

/// The pod closes first each time, so that the kernel answers the server's end in its own name.
#[test]
fn downloads_from_a_service_leave_no_violation() -> Result<()> {
    let (world, agent) = world(&by_name())?;
    let _balancer = translate_at_connect(&world, SERVICE, addresses::WEB[0].v4)?;
    let pod = world.pod(PodSpec::new("job"))?;
    let script = format!(
        "set -e; for n in $(seq 60); do curl -sS -m 5 -o /dev/null http://{NAME}/bytes/100000; done"
    );
    world.run(&pod, &script)?;
    ensure!(world.lab.web.connections() == 60, "{} connections", world.lab.web.connections());
    pod.remove()?;
    no_violation(&agent)
}

#[test]
fn a_job_that_translates_for_itself_reaches_nobody_else() -> Result<()> {
    let profile = Profile::deny_all().domains_at(&["files.example.com"], &["80"]);
    let (world, agent) = world(&profile)?;
    let watch = world.lab.watch(world.lab.attacker.host())?;
    let pod = world.pod(PodSpec::new("job"))?;
    let (web, attacker) = (addresses::WEB[0].v4, addresses::ATTACKER.v4);
    let script = format!(
        "set -e; curl -sS -4 -m 5 http://files.example.com/; \
         nft 'table ip own {{ chain translate {{ type nat hook output priority -100; \
           ip daddr {web} tcp dport 80 dnat to {attacker}:80; }}; }}'; \
         curl -sS -4 -m 3 http://files.example.com/ || echo held"
    );
    let mut job = ContainerSpec::new("build", &world.job).shell(&script);
    job.capabilities.push("NET_ADMIN".to_owned());
    let said = pod.start(job)?.expect(0)?;
    ensure!(said.contains("hello from") && said.contains("held"), "{said}");
    ensure!(watch.take()?.is_empty(), "the attacker was reached");
    pod.remove()?;
    violation(&agent, attacker)
}
