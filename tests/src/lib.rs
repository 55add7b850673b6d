//! The lab: a small internet on network namespaces, and what the end-to-end suites, the demo and the
//! benchmark share.
//!
//! Invariant: everything made here carries the pid and start time of the process that made it, is
//! removed when its owner is dropped (a panic included), and is swept by the next process if its
//! owner was killed. Nothing here reaches past the namespaces it made.

pub mod agent;
pub mod bench;
pub mod browser;
pub mod collector;
pub mod demo;
pub mod deploy;
pub mod dice;
pub mod dns;
pub mod download;
pub mod exec;
pub mod expect;
pub mod jobs;
pub mod kinship;
pub mod kubernetes;
pub mod lab;
pub mod looks;
pub mod metrics;
pub mod neighbours;
pub mod node;
mod packages;
pub mod profile;
pub mod programs;
pub mod registry;
pub mod relay;
pub mod sink;
pub mod skip;
pub mod traces;
pub mod unbound;
pub mod vm;
pub mod web;
pub mod weir;
pub mod world;
