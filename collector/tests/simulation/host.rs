//! A machine, the agent on it, and its state directory.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_agent::conversation::{Conversation, Next};
use evenkeel_agent::delivery::Delivery;
use evenkeel_agent::home::Home;
use evenkeel_agent::uplink::UplinkError;
use evenkeel_facts::{Digest, FactPath, Section, SectionBuilder, Snapshot};
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::{CheckInRequest, SectionContent};
use jiff::Timestamp;
use tonic::Status;
use uuid::Uuid;

use crate::random::Random;

/// Facts that vary, by section. Of few values, so that machines become again what they were.
const FACTS: &[(&str, &[&str])] = &[
    ("kernel", &["kernel.release", "kernel.version"]),
    ("os", &["os.id", "os.version_id"]),
    (
        "sysctl.net",
        &[
            "sysctl.net.core.somaxconn",
            "sysctl.net.core.netdev_max_backlog",
            "sysctl.net.ipv4.tcp_syncookies",
            "sysctl.net.ipv4.ip_forward",
            "sysctl.net.ipv4.tcp_fin_timeout",
            "sysctl.net.ipv4.tcp_keepalive_time",
        ],
    ),
    ("sysctl.vm", &["sysctl.vm.swappiness", "sysctl.vm.overcommit_memory", "sysctl.vm.dirty_ratio"]),
    ("time", &["time.zone", "tzdata.version"]),
];
const VALUES: usize = 3;

/// A machine with its agent.
pub(crate) struct Host {
    pub(crate) id: Uuid,
    pub(crate) environment: &'static str,
    pub(crate) name: String,
    /// Which value each fact has; a section that is `None` is not there.
    machine: Vec<Option<Vec<usize>>>,
    /// What it was before it changed last.
    earlier: Option<Vec<Option<Vec<usize>>>>,
    directory: PathBuf,
    pub(crate) backup: Option<PathBuf>,
    pub(crate) agent: Option<Agent>,
    /// Every state that the agent saw, in order.
    pub(crate) seen: Vec<Digest>,
    /// The last that was acknowledged to it.
    pub(crate) acknowledged: Option<Digest>,
    /// Whether its state directory was once set back.
    pub(crate) set_back: bool,
    /// How far its clock is off, in seconds.
    pub(crate) clock: i64,
    version: usize,
}

/// A running agent.
pub(crate) struct Agent {
    delivery: Delivery,
    instance: [u8; 8],
    talk: Option<Talk>,
}

struct Talk {
    call: u64,
    conversation: Conversation,
}

/// What an agent does after an answer.
#[derive(Debug)]
pub(crate) enum Then {
    Acknowledged,
    CheckIn(Box<CheckInRequest>),
    Put(Vec<SectionContent>),
    /// It goes on in a later boot epoch.
    Behind,
    /// It tries again later.
    Failed,
}

impl Host {
    pub(crate) fn new(number: usize, environment: &'static str, directory: &Path) -> Self {
        let directory = directory.join(format!("host-{number}"));
        fs::create_dir_all(&directory).expect("a directory is made");
        Self {
            id: Uuid::from_u128(number as u128 + 1),
            environment,
            name: format!("host-{number}"),
            machine: FACTS.iter().map(|(_, paths)| Some(vec![0; paths.len()])).collect(),
            earlier: None,
            directory,
            backup: None,
            agent: None,
            seen: Vec::new(),
            acknowledged: None,
            set_back: false,
            clock: 0,
            version: 0,
        }
    }

    /// Something on the machine becomes something else, or what it was before.
    pub(crate) fn change(&mut self, random: &mut Random) {
        let now = self.machine.clone();
        match self.earlier.replace(now) {
            Some(earlier) if random.happens(35) => self.machine = earlier,
            _ => self.change_something(random),
        }
    }

    fn change_something(&mut self, random: &mut Random) {
        let at = random.below(FACTS.len());
        match &mut self.machine[at] {
            Some(_) if random.happens(10) => self.machine[at] = None,
            Some(values) => {
                let fact = random.below(values.len());
                values[fact] = random.below(VALUES);
            }
            None => self.machine[at] = Some(vec![random.below(VALUES); FACTS[at].1.len()]),
        }
        // Several sections at once, now and then: an upgrade.
        if random.happens(30) {
            self.change_something(random);
        }
    }

    /// What the machine is.
    pub(crate) fn sections(&self) -> Vec<Section> {
        let mut identity = SectionBuilder::new("identity");
        identity.present(FactPath::known("identity.hostname"), self.name.as_str());
        let mut sections = vec![identity.finish()];
        for ((name, paths), values) in FACTS.iter().zip(&self.machine) {
            let Some(values) = values else { continue };
            let mut section = SectionBuilder::new(name);
            for (path, value) in paths.iter().zip(values) {
                section.present(FactPath::known(path), format!("{value}"));
            }
            sections.push(section.finish());
        }
        sections.sort_by(|a, b| a.name().cmp(b.name()));
        sections
    }

    /// The agent starts. What it kept must be there: what was seen last and not acknowledged.
    pub(crate) fn start(&mut self, random: &mut Random) -> Result<(), String> {
        let home = Home::open(&self.directory).map_err(|error| error.to_string())?;
        let mut delivery = Delivery::begin(home).map_err(|error| error.to_string())?;
        let pending = delivery.take_up_pending().map_err(|error| error.to_string())?;
        let pending = pending.then(|| delivery.newest().map(Snapshot::root)).flatten();
        if self.set_back {
            self.seen.extend(pending);
        } else if let Some(last) = self.seen.last().filter(|last| self.acknowledged != Some(**last))
            && pending != Some(*last)
        {
            return Err(format!("P2: {} forgot {last} before it was acknowledged", self.name));
        }
        self.version += usize::from(random.happens(20));
        self.agent = Some(Agent { delivery, instance: random.number().to_be_bytes(), talk: None });
        Ok(())
    }

    /// Kill -9, or a power cut: all that it writes, it writes through to the disk.
    pub(crate) fn kill(&mut self) {
        self.agent = None;
    }

    /// The state directory is copied; or becomes what it was when it was copied.
    pub(crate) fn back_up(&mut self) {
        let backup = self.directory.with_extension("backup");
        let _ = fs::remove_dir_all(&backup);
        copy(&self.directory, &backup);
        self.backup = Some(backup);
    }

    pub(crate) fn set_back(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.kill();
        fs::remove_dir_all(&self.directory).expect("it was there");
        copy(&backup, &self.directory);
        self.set_back = true;
        true
    }

    /// The agent looks at the machine.
    pub(crate) fn look(&mut self, now: Timestamp) {
        let (sections, name, version) = (self.sections(), self.name.clone(), self.version);
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.talk.is_none()) else { return };
        let before = agent.delivery.take_newest();
        let old = before.as_ref().map(Snapshot::root);
        let mut replaced = before.map(|before| before.sections).unwrap_or_default();
        replaced.retain(|old| {
            sections.iter().all(|new| (new.name(), new.digest()) != (old.name(), old.digest()))
        });
        let snapshot = Snapshot {
            taken_at: now.saturating_add(jiff::SignedDuration::from_secs(self.clock)).unwrap_or(now),
            agent: format!("0.1.{version}"),
            host: name,
            environment: None,
            role: String::new(),
            sections,
        };
        let root = snapshot.root();
        agent.delivery.saw(old, snapshot, replaced, Vec::new());
        if self.seen.last() != Some(&root) {
            self.seen.push(root);
        }
    }

    /// Whether the agent waits for an answer.
    pub(crate) fn talks(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.talk.is_some())
    }

    /// Begins to report.
    pub(crate) fn begin(&mut self, call: u64) -> Option<CheckInRequest> {
        let agent = self.agent.as_mut().filter(|agent| agent.talk.is_none())?;
        let mut conversation = Conversation::begin(&agent.delivery, agent.instance, None)?;
        let request = conversation.request().ok()?;
        agent.talk = Some(Talk { call, conversation });
        Some(request)
    }

    /// Nothing came: whatever was asked is asked anew some time.
    pub(crate) fn give_up(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.talk = None;
        }
    }

    /// An answer to this call came; `None`: nobody waits for it.
    pub(crate) fn answered(
        &mut self,
        call: u64,
        next_call: u64,
        answer: Result<Option<Answer>, Status>,
    ) -> Option<Then> {
        let agent = self.agent.as_mut()?;
        let talk = agent.talk.as_mut().filter(|talk| talk.call == call)?;
        let next = match answer {
            Ok(answer) => talk.conversation.answered(&agent.delivery, answer),
            Err(status) if talk.conversation.refused(&agent.delivery, &status) => Ok(Next::CheckIn),
            Err(status) => Err(UplinkError::Call(Box::new(status))),
        };
        let then = match next {
            Ok(Next::CheckIn) => talk.conversation.request().map(|request| Then::CheckIn(Box::new(request))),
            Ok(Next::Put(contents)) => Ok(Then::Put(contents)),
            Ok(Next::Acknowledged) => {
                agent.delivery.acknowledged();
                self.acknowledged = agent.delivery.newest().map(Snapshot::root);
                Ok(Then::Acknowledged)
            }
            Err(error) => Err(error),
        };
        let then = match then {
            Err(UplinkError::EpochBehind(heard)) => {
                agent.delivery.behind(heard).expect("the disk takes it");
                Then::Behind
            }
            Err(_) => Then::Failed,
            Ok(then) => then,
        };
        match then {
            Then::CheckIn(_) | Then::Put(_) => talk.call = next_call,
            _ => agent.talk = None,
        }
        Some(then)
    }

    /// The contents were taken, or not.
    pub(crate) fn taken(&mut self, call: u64, next_call: u64, result: &Result<(), Status>) -> Option<Then> {
        let agent = self.agent.as_mut()?;
        let talk = agent.talk.as_mut().filter(|talk| talk.call == call)?;
        if let (Ok(()), Ok(request)) = (result, talk.conversation.request()) {
            talk.call = next_call;
            return Some(Then::CheckIn(Box::new(request)));
        }
        agent.talk = None;
        Some(Then::Failed)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file is copied");
    }
}
