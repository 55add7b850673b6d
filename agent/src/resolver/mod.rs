//! The resolver that a pod cannot go around (one listener per pod, one cache for all).
//!
//! A question takes this way: `udp` or `tcp` receives it, `question` reads it, `session` decides on
//! its name by the pod's profile. A refused name ends there, without a word to upstream. An allowed
//! one is answered from `cache`, or asked by `upstream` and believed as far as `answer` can check.
//! Then `guard` drops addresses that a public name must not have, the pod writes the allow entries,
//! and only then the answer leaves. A connection that speaks HTTP is none of this and goes to [`crate::page`].
//!
//! Invariants:
//! - Of what a client sends, nothing but the lower-cased name and the type of a decided question
//!   reaches upstream.
//! - In block mode no question for a name that the profile does not allow reaches upstream.
//! - No address is told that [`Pod::admit`] was not given first (audit mode's refused names aside).
//! - After [`Server::shutdown`] returns, nothing calls into the [`Pod`] any more.

mod answer;
mod budget;
mod cache;
mod entry;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod guard;
mod listener;
mod lookup;
mod noise;
mod pod;
mod question;
mod reply;
mod server;
mod session;
mod settings;
mod special;
mod statistics;
mod tcp;
mod udp;
mod upstream;
mod upstreams;
mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use listener::Listener;
pub use lookup::Resolver;
pub use pod::{Admission, AdmitError, Attestation, Pod, Refusal, Transport};
pub use server::{Server, serve};
pub use settings::ResolverSettings;
pub use statistics::{Outcome, Statistics};
#[cfg(test)]
pub(crate) use tcp::LONGEST_MESSAGE;
pub use upstreams::{Upstreams, UpstreamsError, search_list};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: what the resolver keeps under locks is whole between any two
/// statements, and one task's end must not be every pod's.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
