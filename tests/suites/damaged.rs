//! What others hand in, damaged: files that a person brings along, and messages of those who are let in. No panic, no
//! endless work; and what is taken all the same is taken as it stands.
//!
//! Each directory of `tests/fuzz` is a target with its seeds. An input that makes a parser panic is kept beside them, as
//! `crash-…`, to be committed with the fix. The parsers of the agent's sources have targets of their own.

mod check_ins;

use std::any::Any;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use check_ins::CheckIns;
use evenkeel_agent::config::AgentConfig;
use evenkeel_collector::ca::SigningRequest;
use evenkeel_collector::token::Token;
use evenkeel_drift::Policy;
use evenkeel_drift::affected::{osv, wanted};
use evenkeel_facts::delta::Delta;
use evenkeel_facts::{Digest, Section, bundle, encoding, snapshot_file};
use evenkeel_proto::contents;
use evenkeel_proto::fleet::{CheckInRequest, SectionContent};
use evenkeel_runtime::channel::Address;
use evenkeel_runtime::config;
use evenkeel_runtime::pin::Pin;
use evenkeel_sources::host::told_by_mounts;
use evenkeel_store::Entry;
use evenkeel_tests::harness::programs;
use evenkeel_tests::load::random::Random;
use prost::Message as _;

/// So many damaged inputs of each target, unless a time is given.
const ROUNDS: usize = 2000;
/// How long each target is to take, in seconds.
const SECONDS: &str = "EVENKEEL_FUZZ_SECONDS";
/// The one target to take.
const ONLY: &str = "EVENKEEL_FUZZ_ONLY";
/// What one message may hold, unpacked.
const MOST: usize = 4 * 1024 * 1024;

/// A directory of seeds, and what reads them.
type Target = (&'static str, fn() -> Read);
/// Reads one input.
type Read = Box<dyn Fn(&[u8])>;

const TARGETS: &[Target] = &[
    ("snapshot", || Box::new(snapshot)),
    ("section", || Box::new(section)),
    ("delta", || Box::new(delta)),
    ("bundle", || Box::new(unbundled)),
    ("message", || Box::new(message)),
    ("packed", || Box::new(packed)),
    ("check_in", || {
        let collector = CheckIns::new();
        Box::new(move |input| collector.take(input))
    }),
    ("journal", || Box::new(journal)),
    ("token", || Box::new(|input| text(input, token))),
    ("csr", || Box::new(|input| drop(SigningRequest::parse(input).map(|request| request.key_digest())))),
    ("policy", || Box::new(|input| text(input, |text| drop(Policy::parse(text))))),
    ("osv", || Box::new(|input| drop(osv::parse(input)))),
    ("affected", || Box::new(|input| text(input, |text| drop(wanted::parse(text))))),
    ("address", || Box::new(|input| text(input, |text| drop(Address::parse(text, 7443))))),
    ("agent_toml", || Box::new(|input| text(input, agent_toml))),
    ("collector_toml", || Box::new(|input| text(input, collector_toml))),
    ("mountinfo", || Box::new(mountinfo)),
];

/// Promise: nothing that anybody hands in makes a program panic, and what is read and written again is the same.
#[test]
fn no_input_makes_a_parser_panic() {
    let seconds: Option<u64> = env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("seconds"));
    let chance = seconds.and_then(|_| SystemTime::UNIX_EPOCH.elapsed().ok()).map_or(1, |now| now.as_micros());
    let mut random = Random::new(u64::try_from(chance).unwrap_or(1));
    let mut found = Vec::new();
    let only = env::var(ONLY).unwrap_or_default();
    let chosen: Vec<_> = TARGETS.iter().filter(|(name, _)| only.is_empty() || only == *name).collect();
    assert!(!chosen.is_empty(), "{ONLY} names no target: {only:?}");
    for (name, read) in chosen {
        let (directory, seeds) = seeds(name);
        let read = read();
        let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let crash = |input: &[u8]| {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| read(input)));
            let why = told(outcome.err()?.as_ref());
            let kept = directory.join(format!("crash-{}", &Digest::of(input).to_string()[7..19]));
            fs::create_dir_all(&directory).unwrap();
            fs::write(&kept, input).unwrap();
            Some(format!("{}: {why}", kept.display()))
        };
        let more = |round: &usize| until.map_or(*round < ROUNDS, |until| Instant::now() < until);
        let mut rounds = 0;
        let crashed = seeds.iter().find_map(|seed| crash(seed)).or_else(|| {
            (0..).take_while(more).find_map(|round| {
                rounds = round + 1;
                crash(&damaged(&seeds, &mut random))
            })
        });
        if seconds.is_some() {
            let outcome = if crashed.is_some() { "a crash" } else { "no crash" };
            said(&format!("{name}: {rounds} damaged inputs, {outcome}"));
        }
        found.extend(crashed);
    }
    assert_eq!(found, Vec::<String>::new());
}

/// A line of the log of a long run.
#[expect(clippy::print_stderr, reason = "a run of hours tells how far it is")]
fn said(line: &str) {
    eprintln!("{line}");
}

/// What is committed; and of what machines send to each other, what they would make of the snapshots.
fn seeds(target: &str) -> (PathBuf, Vec<Vec<u8>>) {
    let directory = programs::tree().join("tests/fuzz").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let sent = || sections().into_iter();
    match target {
        "section" => seeds.extend(sent().map(|section| encoding::encode(&section))),
        "packed" => seeds.extend(sent().map(|section| contents::compress(&encoding::encode(&section)))),
        "check_in" => seeds.extend(check_ins::seeds(sent())),
        "message" => {
            let sections: Vec<_> = sent().collect();
            let of = |section| Some(contents::to_wire(section)?.encode_to_vec());
            seeds.extend(sections.iter().filter_map(of));
            let bundles = contents::to_bundles(&sections.iter().collect::<Vec<_>>());
            seeds.extend(bundles.into_iter().flatten().map(|bundle| bundle.encode_to_vec()));
        }
        "bundle" => {
            let sections: Vec<_> = sent().collect();
            seeds.extend(sections.chunks(5).map(|sections| bundle::encode(sections.iter())));
        }
        "delta" => {
            let sections: Vec<_> = sent().collect();
            seeds.extend(sections.windows(2).map(|pair| Delta::between(&pair[0], &pair[1]).encode()));
        }
        _ => {}
    }
    assert!(!seeds.is_empty(), "no seeds in {}", directory.display());
    (directory, seeds)
}

/// The sections of the snapshots that are committed.
fn sections() -> Vec<Section> {
    let (_, files) = seeds("snapshot");
    let snapshots = files.into_iter().filter_map(|file| snapshot_file::from_json(&file).ok());
    snapshots.flat_map(|snapshot| snapshot.sections).collect()
}

fn snapshot(input: &[u8]) {
    if let Ok(snapshot) = snapshot_file::from_json(input) {
        let again = snapshot_file::from_json(snapshot_file::to_json(&snapshot).as_bytes());
        assert_eq!(again.expect("what was written can be read").root(), snapshot.root());
    }
}

/// There is one encoding of a section: whatever decodes is it, or two digests would be of one content.
fn section(input: &[u8]) {
    if let Ok(section) = encoding::decode(input) {
        assert_eq!(encoding::encode(&section), input);
    }
}

fn delta(input: &[u8]) {
    if let Ok(delta) = Delta::decode(input) {
        assert_eq!(Delta::decode(&delta.encode()).expect("what was written can be read"), delta);
    }
}

fn unbundled(input: &[u8]) {
    for (section, bytes) in bundle::decode(input, MOST).unwrap_or_default() {
        assert!(bytes <= MOST);
        assert_eq!(section.encode().len(), bytes);
    }
}

fn message(input: &[u8]) {
    if let Ok(content) = SectionContent::decode(input) {
        drop(contents::from_wire(&content));
    }
    drop(CheckInRequest::decode(input));
}

fn packed(input: &[u8]) {
    if let Ok(plain) = contents::decompress_up_to(MOST, input) {
        assert!(plain.len() <= MOST);
        section(&plain);
    }
}

fn text(input: &[u8], read: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(input) {
        read(text);
    }
}

/// An entry has one encoding, or replicas would differ.
fn journal(input: &[u8]) {
    if let Ok(entry) = Entry::decode(input) {
        assert_eq!(Entry::decode(&entry.encode()).expect("what was written can be read"), entry);
    }
}

fn token(text: &str) {
    let mut fields = text.trim().split('.');
    let pin = fields.nth(1).and_then(|pin| pin.parse::<Pin>().ok());
    if let Some(token) = Token::parse(text, |_| true) {
        let again = token.reveal(pin.expect("a token has a pin"));
        assert!(Token::parse(&again, |_| true) == Some(token), "what was written can be read");
    }
}

fn agent_toml(text: &str) {
    drop(config::parse::<AgentConfig>(text).and_then(|config| config.check()));
}

fn collector_toml(text: &str) {
    drop(config::parse::<evenkeel_collector::config::Config>(text).and_then(|config| config.check()));
}

fn mountinfo(input: &[u8]) {
    for is_empty in [true, false] {
        let (remote, hidden) = told_by_mounts(input, |_| is_empty);
        let lines = input.split(|byte| *byte == b'\n').count();
        // Of one line at most one place, or the files that a /proc of processes only lacks.
        assert!(remote.len() <= lines && hidden.len() <= 16 * lines);
    }
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// A seed with one to eight damages.
fn damaged(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const EDGES: &[u8] = b"\0\x01\x7f\x80\xff\"{}[]:,\\9-\n";
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(64)).min(input.len());
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = EDGES[random.below(EDGES.len())],
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].repeat(1 + random.below(40));
                input.splice(at..at, again);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.splice(at..end, other[from..].iter().copied().take(200));
            }
        }
    }
    input
}
