//! Hosts whose libc asks a daemon for names: under weir they resolve through weir, and only there.

use anyhow::{Result, ensure};
use weir_tests::lab::{Lab, NameService};
use weir_tests::profile::Profile;

/// Starts a real nscd that caches hosts, in a /run of its own, then runs the rest.
const WITH_NSCD: &str = "mount -t tmpfs none /run; mkdir /run/nscd
printf '%s\\n' 'debug-level 1' \"logfile $1/nscd.log\" 'enable-cache hosts yes' \
  'positive-time-to-live hosts 60' 'persistent hosts no' 'shared hosts no' > \"$1/nscd.conf\"
nscd --foreground --config-file \"$1/nscd.conf\" & daemon=$!
until [ -S /run/nscd/socket ]; do sleep 0.05; done
shift; \"$@\"; code=$?; kill $daemon; exit $code";

/// Starts a stand-in for systemd-resolved's socket that resolves whatever it is asked, then runs the rest.
const WITH_RESOLVED: &str = "mount -t tmpfs none /run; mkdir -p /run/systemd/resolve
cat > \"$1/daemon.py\" <<'END'
import json, os, socket
path = '/run/systemd/resolve/io.systemd.Resolve'
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
while True:
    peer, _ = server.accept()
    name = json.loads(peer.recv(4096).rstrip(b'\\0'))['parameters']['name']
    try: reply = socket.gethostbyname(name)
    except OSError as error: reply = str(error)
    peer.sendall(reply.encode()); peer.close()
END
/usr/bin/python3 \"$1/daemon.py\" & daemon=$!
until [ -S /run/systemd/resolve/io.systemd.Resolve ]; do sleep 0.05; done
shift; \"$@\"; code=$?; kill $daemon; exit $code";

/// Asks the stand-in, as nss-resolve asks systemd-resolved.
const ASK_RESOLVED: &str = "
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect('/run/systemd/resolve/io.systemd.Resolve')
request = {'method': 'io.systemd.Resolve.ResolveHostname', 'parameters': {'name': sys.argv[1]}}
client.sendall(json.dumps(request).encode() + b'\\0')
print(client.recv(4096).decode())
";

fn profile() -> String {
    Profile::deny_all().domains(&["files.example.com"]).text()
}

/// `argv` behind one of the scripts above.
fn behind(script: &str, lab: &Lab, argv: &[String]) -> Vec<String> {
    let home = lab.client.home().to_string_lossy().into_owned();
    let mut line: Vec<String> = ["sh", "-c", script, "sh", &home].map(str::to_owned).into();
    line.extend(argv.iter().cloned());
    line
}

#[test]
fn nscd_is_asked_without_weir_and_not_with_it() -> Result<()> {
    let lab = Lab::new()?;
    let log = lab.client.home().join("nscd.log");
    let ask = |name: &str| ["getent", "ahostsv4", name].map(str::to_owned);
    let name = "collector.example.net";

    let off = lab.client.run(&behind(WITH_NSCD, &lab, &ask(name)))?.expect_code(0)?;
    ensure!(
        std::fs::read_to_string(&log)?.contains(name),
        "nscd was not asked: {}",
        off.describe()
    );

    std::fs::remove_file(&log)?;
    lab.authority.forget();
    let line = lab.weir().profile(&profile())?.command_line(&ask(name))?;
    let output = lab.client.run(&behind(WITH_NSCD, &lab, &line))?;
    ensure!(output.code != 0, "a refused name resolved: {}", output.describe());
    ensure!(!std::fs::read_to_string(&log)?.contains(name), "nscd was asked past weir");
    ensure!(lab.authority.count(name) == 0, "{:?}", lab.authority.questions());

    let line = lab.weir().profile(&profile())?.command_line(&ask("files.example.com"))?;
    let output = lab.client.run(&behind(WITH_NSCD, &lab, &line))?.expect_code(0)?;
    ensure!(output.stdout.contains("203.0.113.10"), "{}", output.describe());
    ensure!(!std::fs::read_to_string(&log)?.contains("files.example.com"), "nscd was asked");
    Ok(())
}

#[test]
fn the_socket_of_systemd_resolved_is_out_of_reach() -> Result<()> {
    let lab = Lab::new()?;
    lab.client.set_name_service(NameService::SystemdResolved)?;
    let name = "collector.example.net";
    let ask = ["/usr/bin/python3", "-c", ASK_RESOLVED, name].map(str::to_owned);

    let off = lab.client.run(&behind(WITH_RESOLVED, &lab, &ask))?.expect_code(0)?;
    ensure!(off.stdout.trim() == "203.0.113.66", "the stand-in is no way out: {}", off.describe());

    lab.authority.forget();
    let line = lab.weir().profile(&profile())?.command_line(&ask)?;
    let output = lab.client.run(&behind(WITH_RESOLVED, &lab, &line))?;
    ensure!(output.code != 0, "the daemon was reached: {}", output.describe());
    ensure!(lab.authority.count(name) == 0, "{:?}", lab.authority.questions());

    // libc has no answer from there and asks DNS, which is weir.
    let curl = ["curl", "-sS", "https://files.example.com/"].map(str::to_owned);
    let line = lab.weir().profile(&profile())?.command_line(&curl)?;
    let output = lab.client.run(&behind(WITH_RESOLVED, &lab, &line))?.expect_code(0)?;
    ensure!(output.stdout.contains("hello from files"), "{}", output.describe());
    Ok(())
}
