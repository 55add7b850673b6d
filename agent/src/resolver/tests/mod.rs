//! The resolver as a client meets it: real sockets on both sides.

mod answers;
mod audit;
mod decision;
mod guarding;
mod limits;
mod odd;
mod page;
mod transport;
mod upstreams;
