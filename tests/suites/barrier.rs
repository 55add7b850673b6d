//! The barrier lets nothing pass but the whole proof: an answer for this pod, and the refused connect.
//!
//! No hook stands behind these cases: a name server of the lab plays weir's listener, and where the
//! proof shall be complete strace gives the connect its error.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, Record, RecordType};
use weir_tests::exec::Output;
use weir_tests::lab::Lab;
use weir_tests::lab::addresses::{ATTACKER, FOREIGN};
use weir_tests::programs;
use weir_tests::vm::patient;

/// Every name that a barrier asks for.
const NAMES: &str = "*.attach.weir.internal";
const UID: &str = "6c1d2c9e-0000-4000-8000-000000000001";
/// How long an answer in time is tried for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The barrier's environment.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A pod's container in the lab, asking the server that plays weir's listener.
struct Pod {
    lab: Lab,
}

impl Pod {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        lab.client.set_resolvers(&[FOREIGN.v4.into()])?;
        Ok(Self { lab })
    }

    /// Lets the listener answer with what `strings` makes of the nonce.
    fn answer(
        &self,
        strings: impl Fn(&str) -> Vec<String> + Send + Sync + 'static,
    ) -> Result<&Self> {
        self.lab.zone().custom(NAMES, move |request| reply(request, &strings))?;
        Ok(self)
    }

    /// Lets the listener answer as weir would, announcing `refusal`.
    fn attached(&self, refusal: &'static str) -> Result<&Self> {
        self.answer(move |nonce| claim(nonce, UID, refusal))
    }

    /// Runs the barrier.
    fn hold(&self, variables: Variables<'_>) -> Result<Output> {
        self.hold_behind(&[], variables)
    }

    /// Runs the barrier for one attempt, its second connect given the error `errno`. The first is the
    /// question's.
    fn hold_refused(&self, errno: &str, variables: Variables<'_>) -> Result<Output> {
        let inject = format!("inject=connect:error={errno}:when=2");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=connect", "-e", &inject];
        self.hold_once(&strace, variables)
    }

    /// Runs the barrier for one attempt; again when a busy machine answers later than its 25 ms.
    fn hold_once(&self, wrapper: &[&str], variables: Variables<'_>) -> Result<Output> {
        let variables = [variables, &[("WEIR_ATTEMPTS", "1")]].concat();
        let deadline = Instant::now() + patient(PATIENCE);
        while Instant::now() < deadline {
            let output = self.hold_behind(wrapper, &variables)?;
            if !output.stderr.contains("no name server answered in time") {
                return Ok(output);
            }
        }
        bail!("the lab's name server never answers within 25 ms")
    }

    fn hold_behind(&self, wrapper: &[&str], variables: Variables<'_>) -> Result<Output> {
        let binary = programs::target_folder()?.join("weir-initc");
        ensure!(
            binary.is_file(),
            "no {}: build it with `cargo build --package weir-initc`",
            binary.display()
        );
        let mut argv = vec!["env".to_owned()];
        argv.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
        argv.extend(wrapper.iter().map(|&word| word.to_owned()));
        argv.push(binary.to_string_lossy().into_owned());
        let output = self.lab.client.run(&argv)?;
        let lines = output.stdout.lines().chain(output.stderr.lines()).count();
        ensure!(lines == 1, "not one line: {}", output.describe());
        Ok(output)
    }
}

/// What weir's listener says.
fn claim(nonce: &str, uid: &str, refusal: &str) -> Vec<String> {
    vec![
        "weir=1".to_owned(),
        "node=ci-7".to_owned(),
        format!("nonce={nonce}"),
        format!("uid={uid}"),
        "policy=sha256:9f2c".to_owned(),
        format!("refusal={refusal}"),
    ]
}

fn reply(request: &Message, strings: &dyn Fn(&str) -> Vec<String>) -> Option<Vec<u8>> {
    let query = request.queries.first()?;
    if query.query_type() != RecordType::TXT {
        return None;
    }
    let nonce = String::from_utf8(query.name().iter().next()?.to_vec()).ok()?;
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.add_query(query.clone());
    let text = RData::TXT(TXT::new(strings(&nonce)));
    reply.add_answer(Record::from_rdata(query.name().clone(), 0, text));
    reply.to_vec().ok()
}

/// The barrier gave up, saying each of `words`.
fn gave_up(output: Output, words: &[&str]) -> Result<Output> {
    let output = output.expect_code(1)?;
    for word in words.iter().chain(&["the job must not start"]) {
        ensure!(output.stderr.contains(word), "no word of `{word}`: {}", output.describe());
    }
    Ok(output)
}

#[test]
fn the_whole_proof_opens_the_barrier() -> Result<()> {
    let pod = Pod::new()?;
    let known = [("WEIR_POD_UID", UID)];

    let output = pod.attached("ENOANO")?.hold_refused("ENOANO", &known)?.expect_code(0)?;
    for word in ["the job may start", UID, "sha256:9f2c", "with ENOANO", "1 attempt,"] {
        ensure!(output.stdout.contains(word), "no word of `{word}`: {}", output.describe());
    }
    ensure!(!output.stdout.contains("weaker"), "{}", output.describe());
    ensure!(!output.stdout.contains("not compared"), "{}", output.describe());

    let output = pod.attached("EPERM")?.hold_refused("EPERM", &[])?.expect_code(0)?;
    ensure!(output.stdout.contains("the weaker proof"), "{}", output.describe());
    ensure!(output.stdout.contains("not compared"), "{}", output.describe());
    Ok(())
}

#[test]
fn another_refusal_than_announced_is_none() -> Result<()> {
    let pod = Pod::new()?;
    for (announced, given) in [("ENOANO", "EPERM"), ("EPERM", "ENOANO"), ("EPERM", "EACCES")] {
        let output = pod.attached(announced)?.hold_refused(given, &[])?;
        gave_up(output, &["names are answered by weir", "was not refused with", announced])
            .with_context(|| format!("{announced} announced, {given} given"))?;
    }
    Ok(())
}

#[test]
fn an_answer_without_enforcement_is_no_proof() -> Result<()> {
    let pod = Pod::new()?;
    let variables = [("WEIR_DEADLINE", "1s"), ("WEIR_POD_UID", UID)];
    let output = pod.attached("ENOANO")?.hold(&variables)?;
    let words = [
        "names are answered by weir (policy sha256:9f2c), but the sentinel connect to 192.0.2.1:9 was not \
         refused with ENOANO",
        "hooks",
    ];
    gave_up(output, &words)?;

    // A firewall that refuses at once, as a prohibiting route does, is not weir.
    pod.lab.client.host().netns().links("route add prohibit 192.0.2.1/32\n")?;
    for announced in ["ENOANO", "EPERM"] {
        let output = pod.attached(announced)?.hold(&[("WEIR_ATTEMPTS", "2")])?;
        gave_up(output, &["Permission denied (os error 13)", "the last attempt allowed"])?;
    }
    Ok(())
}

#[test]
fn no_answer_ends_at_the_deadline() -> Result<()> {
    let pod = Pod::new()?;
    pod.lab.zone().custom(NAMES, |_| None)?;
    let output = pod.hold(&[("WEIR_DEADLINE", "1500ms")])?;
    let output = gave_up(output, &["no name server answered in time", "agent", "`select`"])?;
    let deadline = Duration::from_millis(1500);
    let bounds = deadline..deadline + patient(Duration::from_secs(1));
    ensure!(bounds.contains(&output.elapsed), "{}", output.describe());
    Ok(())
}

#[test]
fn a_plain_no_is_asked_again_at_a_measured_pace() -> Result<()> {
    let pod = Pod::new()?;
    let output = pod.hold(&[("WEIR_DEADLINE", "1s")])?;
    let output = gave_up(output, &["203.0.113.153 answered NXDOMAIN", "(the deadline)"])?;
    ensure!(output.elapsed >= Duration::from_secs(1), "{}", output.describe());
    // After 25, 50, 100, 200 and 400 ms, and in what is left of the second where anything is.
    let asked = pod.lab.foreign.questions();
    ensure!((5..=6).contains(&asked.len()), "{asked:?}");
    ensure!(asked.iter().all(|question| question.kind == "TXT" && !question.tcp), "{asked:?}");
    Ok(())
}

#[test]
fn answers_for_others_are_no_proof() -> Result<()> {
    let pod = Pod::new()?;
    let variables = [("WEIR_POD_UID", UID)];

    pod.answer(|_| claim("00112233445566778899aabbccddeeff", UID, "ENOANO"))?;
    gave_up(pod.hold_refused("ENOANO", &variables)?, &["another nonce", "WEIR_POD_UID"])?;

    pod.answer(|nonce| claim(nonce, "other\u{1b}[2J\n", "ENOANO"))?;
    let output = pod.hold_refused("ENOANO", &variables)?;
    gave_up(output, &[r"for the pod `other\x1b[2J\n`, not for this one"])?;

    pod.answer(|nonce| claim(nonce, UID, "EACCES"))?;
    gave_up(pod.hold_refused("EACCES", &variables)?, &["announces the refusal `EACCES`"])?;
    Ok(())
}

#[test]
fn a_silent_name_server_holds_nobody_up() -> Result<()> {
    let pod = Pod::new()?;
    // Echoes every datagram: nothing that could be taken for an answer.
    pod.lab.attacker.listen(53)?;
    pod.lab.client.set_resolvers(&[
        ATTACKER.v4.into(),
        ATTACKER.v6.into(),
        FOREIGN.v6.into(),
        FOREIGN.v4.into(),
    ])?;
    // One attempt is one slot of 25 ms: whoever asked one after another would not come to the end.
    let output = pod.attached("ENOANO")?.hold_once(&[], &[])?;
    gave_up(output, &["names are answered by weir", "1 attempt ("])?;
    // Both in each attempt, of which a busy machine needs more than one.
    let asked = pod.lab.attacker.received(53).datagrams;
    ensure!(asked > 0 && asked % 2 == 0, "the echo was not asked by both addresses: {asked}");
    Ok(())
}

#[test]
fn a_wrong_environment_is_told_apart() -> Result<()> {
    let pod = Pod::new()?;
    pod.attached("ENOANO")?;
    for (name, value) in [("WEIR_DEADLINE", "180s"), ("WEIR_ATTEMPTS", "0"), ("WEIR_POD_UID", "")] {
        let output = pod.hold(&[(name, value)])?.expect_code(2)?;
        ensure!(output.stderr.contains(name), "{}", output.describe());
    }
    pod.lab.client.set_resolvers(&[])?;
    let output = pod.hold(&[])?.expect_code(2)?;
    ensure!(output.stderr.contains("names no name server"), "{}", output.describe());
    ensure!(pod.lab.foreign.questions().is_empty(), "something was asked");
    Ok(())
}
