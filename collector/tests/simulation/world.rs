//! What happens next: one seed decides all of it.

use std::collections::BTreeMap;

use evenkeel_facts::{Digest, root_digest};
use evenkeel_proto::contents;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::{CheckInRequest, SectionDelta, UpToDate};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use crate::check;
use crate::collector::{Collector, ENVIRONMENTS};
use crate::host::{Host, Then};
use crate::network::{Body, Message};
use crate::random::Random;

/// Events of one seed, before the faults end.
const EVENTS: usize = 150;
/// So many attempts an agent has to report when there are no faults any more.
const ATTEMPTS: usize = 8;
/// Messages of one attempt.
const MESSAGES: usize = 32;

/// One history.
pub(crate) struct World {
    random: Random,
    collector: Collector,
    hosts: Vec<Host>,
    wire: Vec<Message>,
    calls: u64,
    now: Timestamp,
    /// The root of each node's last answer that said: durable.
    answered: BTreeMap<Uuid, Digest>,
    /// Deltas that were sent, to be sent by mistake once more.
    deltas: Vec<SectionDelta>,
    pub(crate) trace: Vec<String>,
    pub(crate) tally: Tally,
    _directory: TempDir,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    acknowledged: u64,
    lost: u64,
    repeated: u64,
    together: u64,
    kills: u64,
    power_cuts: u64,
    agent_kills: u64,
    set_back: u64,
    behind: u64,
    refused: u64,
    deltas: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            acknowledged,
            lost,
            repeated,
            together,
            kills,
            power_cuts,
            agent_kills,
            set_back,
            behind,
            refused,
            deltas,
        } = other;
        self.acknowledged += acknowledged;
        self.lost += lost;
        self.repeated += repeated;
        self.together += together;
        self.kills += kills;
        self.power_cuts += power_cuts;
        self.agent_kills += agent_kills;
        self.set_back += set_back;
        self.behind += behind;
        self.refused += refused;
        self.deltas += deltas;
    }

    /// Whether all of it happened, and not just once.
    pub(crate) fn is_eventful(&self, seeds: u64) -> bool {
        let Self { acknowledged, lost, repeated, together, kills, power_cuts, agent_kills, .. } = self;
        let often = [acknowledged, lost, repeated, together, kills, power_cuts, agent_kills];
        let Self { set_back, behind, refused, deltas, .. } = self;
        let seldom = [set_back, behind, refused, deltas];
        often.iter().all(|count| **count >= seeds) && seldom.iter().all(|count| **count >= seeds / 100)
    }
}

impl World {
    /// Runs a seed to its end, or to what must not be.
    pub(crate) fn run(seed: u64) -> (Self, Result<(), String>) {
        let mut world = Self::new(seed);
        let outcome = world.live();
        (world, outcome)
    }

    fn new(seed: u64) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory is made");
        let mut random = Random::new(seed);
        let count = 2 + random.below(4);
        let hosts: Vec<Host> = (0..count)
            .map(|at| Host::new(at, ENVIRONMENTS[at % ENVIRONMENTS.len()], directory.path()))
            .collect();
        let now = Timestamp::from_second(1_790_000_000).expect("a time");
        let collector = Collector::new(directory.path(), &hosts, now);
        Self {
            random,
            collector,
            hosts,
            wire: Vec::new(),
            calls: 0,
            now,
            answered: BTreeMap::new(),
            deltas: Vec::new(),
            trace: Vec::new(),
            tally: Tally::default(),
            _directory: directory,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for host in 0..self.hosts.len() {
            self.hosts[host].start(&mut self.random)?;
            self.hosts[host].look(self.now);
        }
        for event in 0..EVENTS {
            self.now = self.now.saturating_add(SignedDuration::from_millis(350)).unwrap_or(self.now);
            self.event()?;
            if event % 25 == 24 {
                self.check()?;
            }
        }
        self.heal()
    }

    /// When the faults end, everything that the machines are is acknowledged, held and served.
    fn heal(&mut self) -> Result<(), String> {
        self.collector.refuse_writes(false);
        self.wire.clear();
        self.trace.push("The faults end.".to_owned());
        for host in 0..self.hosts.len() {
            self.hosts[host].give_up();
            if self.hosts[host].agent.is_none() {
                self.hosts[host].start(&mut self.random)?;
            }
            self.hosts[host].look(self.now);
            let is = root_digest(
                &self.hosts[host]
                    .sections()
                    .iter()
                    .map(|section| evenkeel_facts::SectionDigest {
                        name: section.name().to_owned(),
                        digest: section.digest(),
                    })
                    .collect::<Vec<_>>(),
            );
            let mut attempts = 0;
            loop {
                self.begin(host);
                for _ in 0..MESSAGES {
                    let Some(message) = self.wire.pop() else { break };
                    self.arrive(vec![message])?;
                }
                if self.hosts[host].acknowledged == Some(is)
                    && self.answered.get(&self.hosts[host].id) == Some(&is)
                {
                    break;
                }
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(format!(
                        "{} does not get through, though nothing fails",
                        self.hosts[host].name
                    ));
                }
                self.wire.clear();
                self.hosts[host].give_up();
            }
        }
        self.check()?;
        self.crash(false)?;
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        check::holds(&self.collector, &self.hosts, &self.answered, self.now)
    }

    fn event(&mut self) -> Result<(), String> {
        let host = self.random.below(self.hosts.len());
        match self.random.below(100) {
            0..47 => self.something_arrives()?,
            47..60 => {
                if self.random.happens(50) {
                    self.hosts[host].look(self.now);
                }
                self.begin(host);
            }
            60..70 => {
                self.hosts[host].change(&mut self.random);
                self.hosts[host].look(self.now);
                self.note(host, "changes");
            }
            70..81 => {
                // What it asked is still under way; it goes on, perhaps with news.
                self.hosts[host].give_up();
                if self.random.happens(60) {
                    self.hosts[host].change(&mut self.random);
                    self.hosts[host].look(self.now);
                }
                self.note(host, "waits no longer");
                self.begin(host);
            }
            81..84 => self.kill_agent(host)?,
            // Seldom anew: one that is old is more interesting.
            84 if self.hosts[host].backup.is_none() || self.random.happens(10) => self.hosts[host].back_up(),
            85..87 => {
                if self.hosts[host].set_back() {
                    self.tally.set_back += 1;
                    self.note(host, "is set back");
                    self.hosts[host].start(&mut self.random)?;
                }
            }
            87 => self.crash(false)?,
            88 => self.crash(true)?,
            89..91 => {
                let refuse = self.random.happens(30);
                self.collector.refuse_writes(refuse);
                self.trace.push(format!("The disk refuses writes: {refuse}"));
            }
            91..93 => {
                self.collector.is_silent(self.hosts[host].id, self.now);
                self.note(host, "was not heard");
            }
            93..96 => {
                let years = i64::try_from(self.random.below(3)).unwrap_or(0) - 1;
                self.hosts[host].clock = years * 365 * 86_400;
            }
            96..98 => {
                let hours = i64::try_from(self.random.below(2 * 8_760)).unwrap_or(0) - 8_760;
                self.now = self.now.saturating_add(SignedDuration::from_hours(hours)).unwrap_or(self.now);
                self.trace.push(format!("The collector's clock jumps to {}", self.now));
            }
            _ => self.begin(host),
        }
        Ok(())
    }

    fn note(&mut self, host: usize, what: &str) {
        let host = &self.hosts[host];
        let last = host.seen.last().map(|root| root.to_string()[..15].to_owned()).unwrap_or_default();
        self.trace.push(format!("{} {what}; it saw {last}", host.name));
    }

    /// Some of what is under way arrives: in any order, several requests at once, one of them perhaps not for the last
    /// time; or it is lost.
    fn something_arrives(&mut self) -> Result<(), String> {
        if self.wire.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.wire.len());
        if self.random.happens(8) {
            self.tally.lost += 1;
            self.wire.swap_remove(at);
            return Ok(());
        }
        let mut arriving = vec![self.wire.swap_remove(at)];
        if arriving[0].body.is_request() {
            if self.random.happens(15) {
                // Once more: later, or at the same time.
                self.tally.repeated += 1;
                let again = arriving[0].clone();
                if self.random.happens(50) { arriving.push(again) } else { self.wire.push(again) }
            }
            if self.random.happens(30) {
                let (more, rest): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.wire).into_iter().partition(|message| message.body.is_request());
                (self.wire, self.tally.together) = (rest, self.tally.together + u64::from(!more.is_empty()));
                arriving.extend(more);
            }
        }
        self.arrive(arriving)
    }

    fn arrive(&mut self, messages: Vec<Message>) -> Result<(), String> {
        let mut requests = Vec::new();
        let mut callers = Vec::new();
        for Message { host, call, body } in messages {
            match body {
                Body::CheckIn(request) => {
                    let Host { id, environment, .. } = &self.hosts[host];
                    requests.push((*id, *environment, *request));
                    callers.push((host, call));
                }
                Body::Put(contents) => {
                    let result = self.collector.put(self.hosts[host].id, contents);
                    self.wire.push(Message { host, call, body: Body::Taken(result) });
                }
                Body::Answer(answer) => {
                    self.calls += 1;
                    let then = self.hosts[host].answered(call, self.calls, *answer);
                    self.go_on(host, then)?;
                }
                Body::Taken(result) => {
                    self.calls += 1;
                    let then = self.hosts[host].taken(call, self.calls, &result);
                    self.go_on(host, then)?;
                }
            }
        }
        if requests.is_empty() {
            return Ok(());
        }
        let roots: Vec<_> = requests.iter().map(|(node, _, request)| (*node, request.root.clone())).collect();
        for (at, answer) in self.collector.check_in(requests, self.now) {
            let (host, call) = callers[at];
            self.trace.push(format!("{} {call} is answered {}", self.hosts[host].name, brief(&answer)));
            self.tally.refused += u64::from(answer.is_err());
            if let Ok(Some(Answer::UpToDate(UpToDate {}))) = answer {
                let root =
                    contents::digest_from_wire("root", &roots[at].1).map_err(|error| error.to_string())?;
                self.answered.insert(roots[at].0, root);
            }
            self.wire.push(Message { host, call, body: Body::Answer(Box::new(answer)) });
        }
        Ok(())
    }

    fn go_on(&mut self, host: usize, then: Option<Then>) -> Result<(), String> {
        match then {
            None | Some(Then::Failed) => {}
            Some(Then::Acknowledged) => {
                self.tally.acknowledged += 1;
                self.note(host, "is acknowledged");
            }
            Some(Then::CheckIn(request)) => self.send(host, *request),
            Some(Then::Put(contents)) => {
                self.wire.push(Message { host, call: self.calls, body: Body::Put(contents) });
            }
            Some(Then::Behind) => {
                self.tally.behind += 1;
                self.note(host, "goes on in a later boot epoch");
                if !self.hosts[host].set_back {
                    let name = &self.hosts[host].name;
                    return Err(format!("P3: {name} is told that its state directory is old, and it is not"));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, host: usize) {
        self.calls += 1;
        if !self.hosts[host].talks()
            && let Some(request) = self.hosts[host].begin(self.calls)
        {
            self.send(host, request);
        }
    }

    /// Now and then a delta is not what it claims to be: that is for the collector to see.
    fn send(&mut self, host: usize, mut request: CheckInRequest) {
        for delta in request.commit.iter_mut().flat_map(|commit| &mut commit.deltas) {
            self.tally.deltas += 1;
            let other = self.random.below(self.deltas.len());
            self.deltas.push(delta.clone());
            if self.random.happens(8) {
                delta.zstd.clone_from(&self.deltas[other].zstd);
            }
        }
        let place = (request.boot_epoch, request.sequence);
        let named = match &request.commit {
            None => "unchanged",
            Some(commit) if commit.base.is_empty() => "whole",
            Some(_) => "changes",
        };
        self.note(host, &format!("sends {} at {place:?}, {named}", self.calls));
        self.wire.push(Message { host, call: self.calls, body: Body::CheckIn(Box::new(request)) });
    }

    fn kill_agent(&mut self, host: usize) -> Result<(), String> {
        self.tally.agent_kills += 1;
        self.hosts[host].kill();
        self.note(host, "is killed");
        self.hosts[host].start(&mut self.random)?;
        if self.random.happens(70) {
            // What an earlier run could not deliver goes first, if it gets so far.
            self.begin(host);
        }
        Ok(())
    }

    /// The collector ends at once and starts again. What was on its way to it is lost, answers may still arrive.
    fn crash(&mut self, power: bool) -> Result<(), String> {
        *(if power { &mut self.tally.power_cuts } else { &mut self.tally.kills }) += 1;
        self.trace.push(format!("The collector is {}", if power { "cut from power" } else { "killed" }));
        self.collector.crash(power, &mut self.random)?;
        let Self { wire, random, .. } = self;
        wire.retain(|message| !message.body.is_request() && random.happens(50));
        self.check()
    }
}

fn brief(answer: &Result<Option<Answer>, tonic::Status>) -> String {
    match answer {
        Ok(Some(Answer::Send(send))) => format!("send {} contents", send.digests.len()),
        Ok(Some(answer)) => format!("{answer:?}"),
        Ok(None) => "nothing".to_owned(),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}
