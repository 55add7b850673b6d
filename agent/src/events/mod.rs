//! Records: what is told of refusals and flows, one JSON object a line.

mod output;
pub mod queue;
pub mod record;
pub mod schema;
pub mod sink;
