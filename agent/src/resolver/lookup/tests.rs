//! How long a kept answer is believed.

use super::super::entry::EntryBuilder;
use super::*;

const KEY: &[u8] = b"\x01a\x00\x00\x01";

#[tokio::test]
async fn what_landed_since_the_cache_was_asked_is_not_asked_for_again() {
    // Nobody answers there: whoever goes upstream comes back with a failure.
    let upstreams = Upstreams::from_addrs(&[([127, 0, 0, 1], 9).into()]).unwrap();
    let resolver = Resolver::new(upstreams, ResolverSettings::default());
    let landed = Arc::new(EntryBuilder::new(3, 0, Instant::now()).finish(Duration::from_secs(60)));
    resolver.cache.insert(KEY, Arc::clone(&landed));
    let answer = resolver.ask(b"\x01a\x00", 1, KEY, Duration::from_secs(60)).await;
    assert!(Arc::ptr_eq(&answer, &landed));
}

#[test]
fn an_answer_ends_with_its_lifetime_or_the_profiles_whichever_is_shorter() {
    let upstreams = Upstreams::from_addrs(&[([127, 0, 0, 1], 53).into()]).unwrap();
    let resolver = Resolver::new(upstreams, ResolverSettings::default());
    let now = Instant::now();
    let seconds = Duration::from_secs;
    let entry = EntryBuilder::new(3, 0, now).finish(seconds(60));
    resolver.cache.insert(KEY, Arc::new(entry));
    for (max_ttl, age, believed) in [
        (3600, 0, true),
        (3600, 59, true),
        (3600, 60, false),
        (3600, 6000, false),
        (10, 9, true),
        (10, 10, false),
        (3600, 59, true),
        (0, 0, false),
    ] {
        let found = resolver.cached(KEY, seconds(max_ttl), now + seconds(age));
        assert_eq!(found.is_some(), believed, "{max_ttl} {age}");
    }
}
