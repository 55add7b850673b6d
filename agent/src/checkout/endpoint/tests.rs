//! Each spelling, and what is no endpoint.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(
    read: fn(&str) -> Result<Endpoint, NoEndpoint>,
    text: &str,
    expected: Result<&str, NoEndpoint>,
) {
    let found = read(text).map(|found| format!("{} {}", found.host, found.port));
    assert_eq!(found.as_deref(), expected.as_ref().map(|text| *text), "{text}");
}

#[test]
fn urls_lead_to_the_port_of_their_scheme() {
    let check = |text, expected| check(url, text, Ok(expected));
    check("https://registry.example.com/a/-/a-1.tgz", "registry.example.com 443");
    check("http://registry.example.com", "registry.example.com 80");
    check("https://registry.example.com:8443/x", "registry.example.com 8443");
    check("HTTPS://Registry.Example.COM./", "registry.example.com 443");
    check("ssh://git@git.example.com/a.git", "git.example.com 22");
    check("ssh://git@git.example.com:2222/a.git", "git.example.com 2222");
    check("git://git.example.com/a.git", "git.example.com 9418");
    check("git+ssh://git@git.example.com/a.git#0123", "git.example.com 22");
    check("git+ssh://git@git.example.com:group/a.git#0123", "git.example.com 22");
    check("git+https://user:p%40ss@git.example.com/a?rev=1#2", "git.example.com 443");
    check("registry+https://git.example.com/index", "git.example.com 443");
    check("sparse+https://index.example.com/", "index.example.com 443");
    check("mirror+http://deb.example.com/debian", "deb.example.com 80");
    check("https://${TOKEN}@git.example.com/a", "git.example.com 443");
    check("https://dl.example.com/{crate}/{version}", "dl.example.com 443");
    check("https://münchen.example/", "xn--mnchen-3ya.example 443");
    check("https://203.0.113.7/x", "203.0.113.7 443");
    check("https://[2001:db8::7]:8443/x", "2001:db8::7 8443");
    check("ssh://git@203.0.113.7/x", "203.0.113.7 22");
    check("ssh://git@[2001:db8::7]/x", "2001:db8::7 22");
}

#[test]
fn what_stays_here_or_cannot_be_told_is_no_url() {
    let check = |text, expected| check(url, text, Err(expected));
    for local in ["", "a", "../a", "file:../a", "file:///a", "https://localhost:8080/", "false"] {
        check(local, NoEndpoint::Local);
    }
    for local in ["https://127.0.0.1:1/", "http://[::1]/", "http://x.localhost", "http://0.0.0.0/"]
    {
        check(local, NoEndpoint::Local);
    }
    for variable in ["$REGISTRY", "${R}/x", "https://${HOST}/x", "$SCHEME://h.example.com/"] {
        check(variable, NoEndpoint::Variable);
    }
    check("https://%(host)s/simple", NoEndpoint::Variable);
    check("svn+svn://svn.example.com/x", NoEndpoint::Unsupported);
    check("https://exa mple.com/", NoEndpoint::Unsupported);
    check("https://*.example.com/", NoEndpoint::Unsupported);
    check("https:///x", NoEndpoint::Unsupported);
    check("ssh://git@:x/y", NoEndpoint::Unsupported);
    check("https://a.example.com:0/", NoEndpoint::Unsupported);
    check("https://a.example.com:99999/", NoEndpoint::Unsupported);
    check("http://169.254.169.254/latest", NoEndpoint::Closed);
    check("https://a.example.com:853/", NoEndpoint::Closed);
}

#[test]
fn git_remotes_may_be_scp_like() {
    let good = |text, expected| check(git, text, Ok(expected));
    good("git@git.example.com:group/a.git", "git.example.com 22");
    good("git.example.com:a.git", "git.example.com 22");
    good("git@[2001:db8::7]:a.git", "2001:db8::7 22");
    good("https://git.example.com/a.git", "git.example.com 443");
    let bad = |text, expected| check(git, text, Err(expected));
    bad("../sibling.git", NoEndpoint::Local);
    bad("/srv/git/a.git", NoEndpoint::Local);
    bad("./a:b", NoEndpoint::Local);
    bad("ext::sh -c x", NoEndpoint::Unsupported);
    bad("git@$HOST:a.git", NoEndpoint::Variable);
}

#[test]
fn images_name_their_registry_or_none() {
    let good = |text, expected| check(image, text, Ok(expected));
    good("registry.example.com/group/image:1", "registry.example.com 443");
    good("registry.example.com:5000/image@sha256:00", "registry.example.com 5000");
    good("registry:5000/image", "registry 5000");
    good("registry.example.com/image:$TAG", "registry.example.com 443");
    let bad = |text, expected| check(image, text, Err(expected));
    bad("debian", NoEndpoint::DefaultRegistry);
    bad("debian:12", NoEndpoint::DefaultRegistry);
    bad("node:${VERSION}", NoEndpoint::DefaultRegistry);
    bad("group/image:1", NoEndpoint::DefaultRegistry);
    bad("localhost/image", NoEndpoint::Local);
    bad("localhost:5000/image", NoEndpoint::Local);
    bad("$IMAGE", NoEndpoint::Variable);
    bad("${CI_REGISTRY}/image", NoEndpoint::Variable);
    bad("", NoEndpoint::Local);
}

#[test]
fn a_proxy_needs_no_scheme() {
    check(proxy, "proxy.example.com:3128", Ok("proxy.example.com 3128"));
    check(proxy, "http://user:pass@proxy.example.com:3128", Ok("proxy.example.com 3128"));
    check(proxy, "127.0.0.1:3128", Err(NoEndpoint::Local));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,40}", scheme in "(https|ssh|git\\+ssh)://") {
        for read in [url, git, image, proxy] {
            for text in [text.clone(), format!("{scheme}{text}"), format!("{scheme}u@{text}:x/")] {
                if let Ok(Endpoint { host: Host::Name(name), port }) = read(&text) {
                    prop_assert_eq!(HostName::parse(name.as_str()), Ok(name.clone()));
                    prop_assert!(port > 0);
                }
            }
        }
    }
}
