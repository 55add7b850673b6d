//! Below which names a wildcard is honest: those that one owner has to himself.
//!
//! A wildcard over a domain in which anybody can have a name allows anybody. The Public Suffix List knows such domains:
//! the registries' (`co.uk`), and in its private section those of hosts, clouds and tunnels. What it does not know is
//! listed here.

use crate::policy::host::HostName;

/// Domains that are not in the Public Suffix List and below which many owners have names, or whose single names each
/// serve many (a cloud's own endpoints). No wildcard is suggested for one of them or for anything below it.
const SHARED: [&str; 48] = [
    // Clouds: their endpoints and what their customers run, many levels deep.
    "amazonaws.com",
    "amazonaws.com.cn",
    "aliyuncs.com",
    "azure.com",
    "azure.net",
    "azurecr.io",
    "myhuaweicloud.com",
    "myqcloud.com",
    "oraclecloud.com",
    "windows.net",
    // Object storage.
    "backblazeb2.com",
    "bunnycdn.com",
    "cloudflarestorage.com",
    "ovh.net",
    "storage.googleapis.com",
    "wasabisys.com",
    // Content delivery: a name for each customer.
    "b-cdn.net",
    "fastly.net",
    "gcdn.co",
    "hwcdn.net",
    "kxcdn.com",
    "llnwd.net",
    "stackpathcdn.com",
    // Functions, previews and hosted services.
    "appdomain.cloud",
    "firebaseio.com",
    "github.dev",
    "jfrog.io",
    "pkg.dev",
    "sharepoint.com",
    // Tunnels: a name for whoever asks.
    "devtunnels.ms",
    "lhr.life",
    "loca.lt",
    "localhost.run",
    "pinggy.link",
    "serveo.net",
    "zrok.io",
    // Receivers of whatever is sent to a name of one's own.
    "beeceptor.com",
    "burpcollaborator.net",
    "interact.sh",
    "oast.fun",
    "oast.live",
    "oast.me",
    "oast.online",
    "oast.pro",
    "oast.site",
    "oastify.com",
    "pipedream.net",
    "webhook.site",
];

/// Whether `*.domain` would allow names of one owner alone, as far as anybody knows: `domain` is registered, or below a
/// registered one, and not below one that is shared.
pub(super) fn has_one_owner(domain: &HostName) -> bool {
    // A top-level domain that nobody lists has rules that nobody knows.
    let registered = psl::domain(domain.as_str().as_bytes());
    registered.is_some_and(|registered| registered.suffix().is_known()) && !is_shared(domain)
}

/// Whether the name itself is one below which others register theirs.
pub(super) fn is_suffix(name: &HostName) -> bool {
    let bytes = name.as_str().as_bytes();
    psl::suffix(bytes).is_some_and(|suffix| suffix.as_bytes() == bytes)
}

fn is_shared(domain: &HostName) -> bool {
    let mut rest = Some(domain.as_str());
    while let Some(name) = rest {
        if SHARED.contains(&name) {
            return true;
        }
        rest = name.split_once('.').map(|(_, parent)| parent);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn a_registered_domain_has_one_owner() {
        for domain in [
            "example.com",
            "cdn.example.com",
            "example.co.uk",
            "deep.down.example.co.uk",
            // Below a shared suffix, the customer's own.
            "customer.github.io",
            "bücher.example.de",
        ] {
            assert!(has_one_owner(&name(domain)), "{domain}");
        }
    }

    #[test]
    fn a_suffix_has_many() {
        for domain in [
            "com",
            "co.uk",
            // A wildcard rule of the list, and its exception.
            "anything.ck",
            // In Unicode and as it goes over the wire.
            "公司.cn",
            "xn--55qx5d.cn",
            // The private section.
            "github.io",
            "gitlab.io",
            "s3.amazonaws.com",
            "blob.core.windows.net",
            "cloudfront.net",
            "workers.dev",
            "ngrok.io",
        ] {
            assert!(!has_one_owner(&name(domain)), "{domain}");
            assert!(is_suffix(&name(domain)), "{domain}");
        }
        assert!(has_one_owner(&name("www.ck")));
        assert!(!is_suffix(&name("example.com")));
    }

    #[test]
    fn what_clouds_and_tunnels_share_has_many_at_any_depth() {
        for domain in SHARED {
            assert!(!has_one_owner(&name(domain)), "{domain}");
            assert!(!has_one_owner(&name(&format!("customer.region.{domain}"))), "{domain}");
        }
    }

    #[test]
    fn a_top_level_domain_that_nobody_lists_is_nobodys() {
        for domain in ["svc.cluster.local", "corp.internal", "a.b.example"] {
            assert!(!has_one_owner(&name(domain)), "{domain}");
        }
    }

    #[test]
    fn what_the_public_list_knows_is_not_listed_again() {
        let known: Vec<_> = SHARED.into_iter().filter(|domain| is_suffix(&name(domain))).collect();
        assert!(known.is_empty(), "{known:?}");
    }
}
