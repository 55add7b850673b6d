//! Records: what is told of refusals and flows, one JSON object a line; written by pods, read back for people.

mod output;
pub mod queue;
pub mod read;
pub mod record;
pub mod schema;
pub mod sink;
