//! weir: default-deny egress control for CI runners.
//!
//! The way of the data: a [`policy`] says what may be reached. The [`datapath`] enforces it in the
//! kernel, the [`resolver`] answers names by it, and a [`pod`] joins the two for one process tree.
//! What was refused and what passed becomes [`events`], with the process named by [`attribution`].
//! A job reads what it was refused on its [`page`].
//! [`netns`] is a pod's network: where its packets leave, and where its questions are heard.
//! [`node`] does all this for the pods that [`containerd`] starts, by its [`config`] and a [`bundle`] of
//! profiles, says whose they are by [`identity`], and tells of it by [`control`] and [`health`]; [`run`] does it for one command; [`doctor`] says what of it this machine allows.
//! Where there is no profile yet, [`checkout`] suggests a first one from a project's files.

pub mod attribution;
pub mod bundle;
pub mod checkout;
pub mod cli;
pub mod config;
pub mod containerd;
pub mod control;
pub mod datapath;
pub mod doctor;
pub mod events;
pub mod health;
pub mod identity;
pub mod kubernetes;
pub mod learn;
pub mod metrics;
pub mod netns;
pub mod node;
pub mod page;
pub mod pod;
pub mod policy;
pub mod report;
pub mod resolver;
pub mod run;
pub mod system;
pub mod yaml;
