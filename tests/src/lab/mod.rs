//! The small internet: a router and, behind it, the client's machine, a resolver, the authority for
//! every zone, HTTPS servers, a foreign resolver, an attacker's host and a metadata service.

pub mod addresses;
mod client;
mod host;
mod netns;
pub mod pod;
pub mod question;
mod wire;

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::net::UdpSocket;

pub use self::client::{Client, NameService};
pub use self::host::Host;
pub use self::netns::Netns;
pub(crate) use self::netns::{orphans, own_prefix, sweep};
pub use self::wire::{Count, Tally};
use self::wire::{MARKER, Wire};
use crate::dns::{DnsServer, Zone};
use crate::sink::Sink;
use crate::unbound::Unbound;
use crate::web::Web;

/// The port to which marker datagrams go: discard (RFC 863).
const MARKER_PORT: u16 = 9;

/// The whole lab. Dropping it stops every server, then removes every namespace.
#[derive(Debug)]
pub struct Lab {
    /// The user's machine.
    pub client: Client,
    /// The resolver of the client's resolv.conf: a real unbound, resolving at `authority`.
    pub resolver: Unbound,
    /// The authoritative server of every zone; its zone is set by tests.
    pub authority: DnsServer,
    /// A resolver that nobody told the client of; answers from the same zone.
    pub foreign: DnsServer,
    /// HTTP and HTTPS servers, with a git repository.
    pub web: Web,
    /// Receivers of what must not get out.
    pub attacker: Sink,
    /// Stands where clouds put instance metadata.
    pub metadata: Sink,
    router: Host,
    folder: TempDir,
}

/// Counts what arrives at a host from now on.
#[derive(Debug)]
pub struct Watch {
    wire: Wire,
    from: Host,
    target: IpAddr,
}

impl Watch {
    /// What arrived since the watch began or was last asked; every packet sent before this call is in.
    pub fn take(&self) -> Result<Tally> {
        let target = self.target;
        self.from.run(async move { send_marker(target).await })??;
        self.wire.drain_to_marker()
    }
}

async fn send_marker(target: IpAddr) -> Result<()> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.send_to(MARKER, (target, MARKER_PORT)).await?;
    Ok(())
}

impl Lab {
    /// Builds the lab, with the zone of [`Zone::example`]. Needs root.
    pub fn new() -> Result<Self> {
        sweep()?;
        let folder = tempfile::Builder::new().prefix(&own_prefix()?).tempdir()?;
        let [internet, namespaces @ ..] = Netns::create_all([
            "internet",
            "client",
            "resolver",
            "authority",
            "foreign",
            "web",
            "attacker",
            "metadata",
        ])?;
        let mut lan = Lan::new(Host::start(internet, "internet", &[], true)?);
        let web_addresses: Vec<IpAddr> =
            addresses::WEB.iter().flat_map(|pair| pair.both()).collect();
        let [client, resolver, authority, foreign, web, attacker, metadata] = namespaces;
        let client = lan.join(client, "client", &addresses::CLIENT.both())?;
        let resolver = lan.join(resolver, "resolver", &addresses::RESOLVER.both())?;
        let authority = lan.join(authority, "authority", &addresses::AUTHORITY.both())?;
        let foreign = lan.join(foreign, "foreign", &addresses::FOREIGN.both())?;
        let web = lan.join(web, "web", &web_addresses)?;
        let attacker = lan.join(attacker, "attacker", &addresses::ATTACKER.both())?;
        let metadata = lan.join(metadata, "metadata", &addresses::METADATA.both())?;
        let router = lan.connect()?;

        let zone = Zone::example()?;
        let web = Web::start(web, folder.path())?;
        let authority = DnsServer::start(authority, zone.clone())?;
        let resolver = Unbound::start(resolver, folder.path(), addresses::AUTHORITY)?;
        let client = Client::new(client, folder.path(), web.ca_file())?;
        Ok(Self {
            client,
            resolver,
            authority,
            foreign: DnsServer::start(foreign, zone)?,
            web,
            attacker: Sink::new(attacker),
            metadata: Sink::new(metadata),
            router,
            folder,
        })
    }

    /// The records that authority and foreign resolver serve.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        self.authority.zone()
    }

    /// A folder of this lab, removed with it.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Lets the router send a whole IPv6 network to the web host: by its address, because a host answers
    /// neighbour solicitations for addresses, not for networks that it takes for local.
    pub fn route_to_web(&self, network: &str) -> Result<()> {
        let gateway = addresses::WEB[0].v6;
        let route = format!("route add {network} via {gateway} dev web onlink\n");
        self.router.netns().links(&route)
    }

    /// Begins to count the packets that arrive at `host`.
    pub fn watch(&self, host: &Host) -> Result<Watch> {
        let target = *host.addresses().first().context("a host without an address")?;
        Ok(Watch { wire: host.watch(None)?, from: self.router.clone(), target })
    }

    /// Begins to count whatever leaves the client's machine, its resolver's and marker's traffic included.
    pub fn watch_client_link(&self) -> Result<Watch> {
        let index = self.router.run(async { nix::net::if_::if_nametoindex("client") })??;
        let target = IpAddr::V4(ROUTER);
        Ok(Watch {
            wire: self.router.watch(Some(usize::try_from(index)?))?,
            from: self.client.host().clone(),
            target,
        })
    }
}

/// The router's own address.
const ROUTER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 51, 100, 1);

/// Hosts that are to be connected: few calls for all of them, since starting a program takes an emulated machine a while.
struct Lan {
    router: Host,
    /// What is to be set up at the router.
    outside: String,
    /// What is to be set up in each host.
    inside: Vec<(Host, String)>,
}

impl Lan {
    fn new(router: Host) -> Self {
        let outside = format!("link set lo up\naddr add {ROUTER}/32 dev lo\n");
        Self { router, outside, inside: Vec::new() }
    }

    /// A new host behind the router: its link is named after it on the router's side, eth0 on its own.
    fn join(&mut self, netns: Netns, label: &str, addresses: &[IpAddr]) -> Result<Host> {
        let host = Host::start(netns, label, addresses, false)?;
        let (name, outside) = (host.netns().name(), &mut self.outside);
        let mut inside = String::from("link set lo up\nlink set eth0 up\n");
        writeln!(outside, "link add {label} type veth peer name eth0 netns {name}")?;
        writeln!(outside, "addr add fe80::1/64 dev {label} nodad\nlink set {label} up")?;
        for address in addresses {
            let (bits, nodad) = if address.is_ipv4() { (32, "") } else { (128, "nodad") };
            writeln!(inside, "addr add {address}/{bits} dev eth0 {nodad}")?;
            writeln!(outside, "route add {address}/{bits} dev {label}")?;
        }
        writeln!(inside, "route add default via {ROUTER} dev eth0 onlink")?;
        writeln!(inside, "route add default via fe80::1 dev eth0")?;
        self.inside.push((host.clone(), inside));
        Ok(host)
    }

    /// Sets all of it up; the router.
    fn connect(self) -> Result<Host> {
        self.router.netns().links(&self.outside)?;
        for (host, inside) in self.inside {
            host.netns().links(&inside)?;
        }
        Ok(self.router)
    }
}
