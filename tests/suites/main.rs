//! The end-to-end suites: the real programs, as processes. Each test says which promise it proves.
//!
//! # Layout
//!
//! - `main_job`: agents report, the collector compares, the command line shows it
//! - `alerts`: receivers are told of findings as they open, change and end
//! - `affected`: vulnerable versions, found where they are and nowhere else
//! - `boot`: a booted host, enrolled by following README.md
//! - `catalogue`: docs/facts.md is what the sources declare
//! - `change_and_back`: a change shows, with its time, and is gone when it is undone
//! - `ci`: the pipelines of docs/ci.md, run as scripts
//! - `containers`: containers report to a container; one is paused, one cut off, one killed
//! - `damaged`: what others hand in, damaged
//! - `events`: changes are seen when they are made
//! - `demo`: `make demo` tells the incident
//! - `durability`: nothing that was acknowledged is lost
//! - `dist`: a release: what is in it, and what it is made of
//! - `document`: a page of the documentation, as what it tells to do
//! - `documents`: what README and docs name exists
//! - `formats`: SARIF and JUnit, read by others
//! - `judgement`: policies, sign-off, baselines, and what was at a moment
//! - `hostile_tree`: a root made to hurt
//! - `hosts`: real hosts, real programs, held against what their own tools say
//! - `observability`: the collector is watched: metrics, rules, dashboard, traces
//! - `packages`: the Debian packages on booted hosts, from the first installation to the purge
//! - `persisted`: what sysctl.d says is what systemd sets
//! - `manifests`: what is for Kubernetes renders, is valid, and fits together
//! - `pods`: the DaemonSet's pod, played on this machine as its node
//! - `matrix`: every RPC, called by everybody who might try
//! - `overload`: ten times more than the collector takes
//! - `people`: who is let in from elsewhere, what they may see, how they are sent away
//! - `membership`: how nodes stay nodes: renewal, recovery, rotation, clones, and how they are sent away
//! - `portable`: the agent as it is shipped runs where it must
//! - `refusals`: who or what is not let in, and what a person is told
//! - `sandbox`: what is hidden from an agent is never absent
//! - `secrets`: keys and tokens are where they belong and nowhere else
//! - `scan`: hosts looked at over a real OpenSSH server
//! - `signal`: what is done on purpose is found, and what machines do by themselves is not
//! - `skew`: agents of other versions
//! - `silence`: what is not heard or may not be read is named, and is no drift
//! - `load`: a thousand nodes
//! - `service`: the agent as its unit starts it, on a booted host
//! - `structure`: the tree is what its documents say
//! - `transport`: abuse that ties up nothing, and agents that do as they are told
//! - `units`: systemd's judgement of our units
//! - `third_party`: tools that are not ours read the report

mod affected;
mod alerts;
mod boot;
mod catalogue;
mod change_and_back;
mod ci;
mod containers;
mod damaged;
mod demo;
mod dist;
mod document;
mod documents;
mod durability;
mod events;
mod formats;
mod hostile_tree;
mod hosts;
mod judgement;
mod load;
mod main_job;
mod manifests;
mod matrix;
mod membership;
mod observability;
mod overload;
mod packages;
mod people;
mod persisted;
mod pods;
mod portable;
mod refusals;
mod sandbox;
mod scan;
mod secrets;
mod service;
mod signal;
mod silence;
mod skew;
mod structure;
mod third_party;
mod transport;
mod units;
