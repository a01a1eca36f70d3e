//! What went wrong, and what to do about it.

use std::io::{self, Write};
use std::path::PathBuf;

use evenkeel_drift::affected::osv::OsvError;
use evenkeel_drift::affected::wanted::WantedError;
use evenkeel_drift::{PolicyError, QueryError};
use evenkeel_facts::snapshot_file::SnapshotFileError;
use evenkeel_proto::Malformed;
use evenkeel_render::text::escape;
use evenkeel_render::{Format, Unsuited};
use evenkeel_runtime::exit;
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::tls::TlsError;
use jiff::Timestamp;

/// Why a command failed. The text says what was tried, where, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No socket where collectors on this host have theirs.
    #[error("no collector was found on this host ({})", tried.join("; "))]
    NoCollector {
        /// Every place tried, and what was found there.
        tried: Vec<String>,
    },
    /// The address is none.
    #[error("--collector: {0}")]
    Address(String),
    /// A collector elsewhere asks who is asking.
    #[error("to ask the collector at {collector}, {flag} is needed too")]
    Credentials {
        /// Its address.
        collector: String,
        /// The argument that was not given.
        flag: &'static str,
    },
    /// The file of contexts cannot be read.
    #[error("the contexts cannot be read")]
    Contexts(#[source] FileError),
    /// No context of this name.
    #[error("there is no context {name:?}; there are: {known}")]
    NoContext {
        /// The name.
        name: String,
        /// Those that there are, with commas.
        known: String,
    },
    /// No context was chosen.
    #[error("there is no current context")]
    NoCurrent,
    /// A context's collector is no address.
    #[error("context {name:?}: {why}")]
    ContextAddress {
        /// The context.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The name is another collector's.
    #[error("context {name:?} is of the collector at {other}")]
    OtherContext {
        /// The context.
        name: String,
        /// The address that it has.
        other: String,
    },
    /// Neither XDG_CONFIG_HOME nor HOME says where contexts are kept.
    #[error("neither XDG_CONFIG_HOME nor HOME says where to keep a context")]
    NoHome,
    /// A first login has nothing to show.
    #[error("to log in to {collector} for the first time, --token-file is needed too")]
    NoInvitation {
        /// The address.
        collector: String,
    },
    /// The file has something in it.
    #[error("{} is there already, and is not empty", file.display())]
    Taken {
        /// Which file.
        file: PathBuf,
    },
    /// The file holds no token.
    #[error("{}: there is no token in it: ek1.… was expected", file.display())]
    Token {
        /// Which file.
        file: PathBuf,
    },
    /// The collector did not take the invitation.
    #[error("the collector at {place} does not let you in: {message}")]
    NotInvited {
        /// Where it is.
        place: String,
        /// What it said.
        message: String,
    },
    /// The certificate has ended.
    #[error("the certificate {} has ended at {at:.0}", cert.display())]
    Ended {
        /// Its file.
        cert: PathBuf,
        /// When.
        at: Timestamp,
        /// The context that it is of, if it is of one.
        context: Option<String>,
    },
    /// A certificate or key file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificate and key do not go together, or are of a kind that cannot be used.
    #[error("{} and {} do not make an identity", cert.display(), key.display())]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// No TLS configuration.
    #[error("cannot start")]
    Tls(#[source] TlsError),
    /// There was no way to the collector.
    #[error("cannot reach the collector at {place}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The collector was reached and did not answer in time.
    #[error("the collector at {place} did not answer within {seconds} seconds")]
    Silent {
        /// Where it is.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The caller may not do this.
    #[error("the collector at {place} refuses: {message}")]
    Forbidden {
        /// Where it is.
        place: String,
        /// What it said.
        message: String,
    },
    /// What was asked for is not there, or is asked for wrongly.
    #[error("{message}")]
    Asked {
        /// What the collector said.
        message: String,
    },
    /// The collector itself failed.
    #[error("the collector at {place} failed: {message}")]
    Collector {
        /// Where it is.
        place: String,
        /// What it said.
        message: String,
    },
    /// The answer has another form than promised.
    #[error("the collector's answer cannot be read")]
    Answer(#[from] Malformed),
    /// The answer, as JSON, has another form than promised.
    #[error("the collector's answer cannot be read")]
    AnswerJson(#[from] serde_json::Error),
    /// A file that was named to be read whole cannot be.
    #[error(transparent)]
    Input(FileError),
    /// The file is no snapshot.
    #[error("{} cannot be compared", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SnapshotFileError,
    },
    /// A directory in which there is nothing to compare.
    #[error("there is no snapshot (*.json) in {}", path.display())]
    NoSnapshots {
        /// The directory.
        path: PathBuf,
    },
    /// A snapshot that nobody has put into an environment.
    #[error("{} does not say which environment it is of", path.display())]
    NoEnvironment {
        /// The file.
        path: PathBuf,
    },
    /// The file is no policy.
    #[error("{} is no policy", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PolicyError,
    },
    /// A policy is named for what a collector judges.
    #[error("--policy holds for snapshot files; a collector judges by its own policy")]
    PolicyOfCollector,
    /// What is looked for is no module and range.
    #[error("{text:?} cannot be looked for")]
    Wanted {
        /// What was written.
        text: String,
        /// Why.
        #[source]
        source: WantedError,
    },
    /// Nothing is looked for.
    #[error("there is nothing to look for: only snapshot files were named")]
    NothingWanted,
    /// The file is no report on versions.
    #[error("{} cannot be looked for", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: OsvError,
    },
    /// Reports of a directory that cannot be read: what they name was not looked for.
    #[error("{}", unread(failed))]
    Unread {
        /// Which, and why each.
        failed: Vec<String>,
    },
    /// A directory without reports.
    #[error("there is no report (*.json) in or below {}", path.display())]
    NoReports {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing differs there.
    #[error("there is no finding at {subject:?} now: there is nothing to mend")]
    NothingToFix {
        /// What was named.
        subject: String,
    },
    /// Several findings speak of one fact, for several roles.
    #[error("{} findings speak of {subject}: {}", ids.len(), ids.join(", "))]
    SeveralFindings {
        /// The fact.
        subject: String,
        /// The findings.
        ids: Vec<String>,
    },
    /// A value that nobody could check by reading, or that some language would obey.
    #[error("the value {value:?} of {path} cannot be written safely into a command, a file or a playbook")]
    Unquotable {
        /// The fact.
        path: String,
        /// Its value.
        value: String,
    },
    /// Either of two values can be right, and nobody said which.
    #[error("{path} changes at the next boot: what runs may be right, or what the files say")]
    Choose {
        /// The fact.
        path: String,
    },
    /// There is nothing to choose from.
    #[error("--keep is for a sysctl that changes at the next boot, and {path} does not")]
    NothingToKeep {
        /// The fact.
        path: String,
    },
    /// The remedy has no such part.
    #[error("no such remedy is known for {path}")]
    NoSuchRemedy {
        /// The fact.
        path: String,
    },
    /// A scan writes files.
    #[error("a scan writes snapshots, and no directory is named for them")]
    NoDirectory,
    /// Two hosts whose files would have one name.
    #[error("{} and {} would both be written to {}", hosts[0], hosts[1], file.display())]
    SameFile {
        /// The hosts.
        hosts: [String; 2],
        /// The file.
        file: PathBuf,
    },
    /// A file of output cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that is not there.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No format is called so.
    #[error(
        "there is no format {word:?}; the formats are {}",
        Format::ALL.map(Format::word).join(", ")
    )]
    NoFormat {
        /// What it was called.
        word: String,
    },
    /// It has no such form.
    #[error(transparent)]
    Format(#[from] Unsuited),
    /// What was asked for cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// No asynchronous runtime: the system has no descriptors or threads left.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

/// So many reports that cannot be read are named.
const UNREAD_NAMED: usize = 5;

fn unread(failed: &[String]) -> String {
    let number = failed.len();
    let mut lines = vec![match number {
        1 => "a report cannot be read, and what it names was not looked for".to_owned(),
        _ => format!("{number} reports cannot be read, and what they name was not looked for"),
    }];
    lines.extend(failed.iter().take(UNREAD_NAMED).cloned());
    lines.extend((number > UNREAD_NAMED).then(|| format!("and {} more", number - UNREAD_NAMED)));
    lines.join("\n")
}

impl CliError {
    /// Whether it may pass by itself: the collector is away, or busy.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoCollector { .. }
                | Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Collector { .. }
        )
    }

    /// What to do next, where the message does not say it.
    pub fn next(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoCollector { tried } if tried.iter().any(|place| place.contains("Permission denied")) => {
                "Ask as root or as the collector's user, as a member of a group that its configuration names, or log in: \
                 `evenkeel login --collector https://HOST:7444 --token-file FILE`."
            }
            Self::NoCollector { .. } => {
                "Start one with `evenkeel-collector run`, name its data directory with --data-dir, or log in to one on \
                 another host: `evenkeel login --collector https://HOST:7444 --token-file FILE`."
            }
            Self::Address(_) => "Correct --collector, or EVENKEEL_COLLECTOR in the environment.",
            Self::Credentials { .. } => {
                "`evenkeel user create NAME`, run by an admin, makes certificate, key and roots; with an invitation, \
                 `evenkeel login` does without them."
            }
            Self::Contexts(_) | Self::ContextAddress { .. } => {
                "Correct the file: ~/.config/evenkeel/config.toml."
            }
            Self::NoContext { .. } => "`evenkeel context list` shows them, `evenkeel login` makes one.",
            Self::NoCurrent => {
                "Choose one with `evenkeel context use NAME`, or log in with `evenkeel login`."
            }
            Self::OtherContext { .. } => "Give this collector's another name with --context NAME.",
            Self::NoHome => "Set HOME.",
            Self::NoInvitation { .. } => {
                "An admin makes an invitation with `evenkeel user invite NAME > FILE`, on the collector's host or elsewhere."
            }
            Self::Taken { .. } => {
                "Remove it if the token in it is not wanted any more, or name another file."
            }
            Self::Token { .. } => "Take the file as `evenkeel user invite NAME` wrote it.",
            Self::NotInvited { .. } => {
                "Ask an admin for another invitation: `evenkeel user invite NAME > FILE`."
            }
            Self::Ended { context: Some(_), .. } => "Log in again: `evenkeel login`.",
            Self::Ended { context: None, .. } => {
                "Ask an admin for another one (`evenkeel user create NAME`), or for an invitation (`evenkeel user invite NAME`)."
            }
            Self::Input(FileError::Content { .. }) => {
                "Name the file itself: what is read here has at most 64 MiB, and a device never ends."
            }
            Self::File(FileError::Io { .. }) | Self::Input(FileError::Io { .. }) => {
                "See whether the path is right and this user may use it."
            }
            Self::File(FileError::Content { .. }) | Self::Identity { .. } => {
                "Name PEM files as `evenkeel user create NAME` writes them."
            }
            Self::Unreachable { .. } => {
                "See whether the collector runs and listens there, and whether it is the one that let you in: \
                 `evenkeel login` asks it for a new certificate."
            }
            Self::Silent { .. } => "See the collector's log and its /readyz; then ask again.",
            Self::Forbidden { .. } => {
                "Ask an admin to invite you with a role that may (`evenkeel user invite NAME --role ROLE`), or run this \
                 on the collector's host as root or as the collector's user."
            }
            // The message says what there is, or what may be written.
            Self::Asked { .. } | Self::Wanted { .. } => return None,
            Self::Collector { .. } => "See the collector's log; then ask again.",
            Self::Answer(_) | Self::AnswerJson(_) => "Use an evenkeel of the collector's version.",
            Self::Snapshot { .. } => "Take it again: `evenkeel-agent collect > SNAPSHOT.json`.",
            Self::NoSnapshots { .. } => {
                "Take some: `evenkeel scan --env ENV HOST... -o DIR`, or `evenkeel-agent collect`."
            }
            Self::NoEnvironment { .. } => "Say it: ENV=FILE.",
            Self::Policy { .. } => "Correct it there.",
            Self::PolicyOfCollector | Self::NothingToKeep { .. } => "Leave it out.",
            Self::NothingToFix { .. } => "`evenkeel report --all` lists what differs.",
            Self::SeveralFindings { .. } => "Name one of them.",
            Self::Unquotable { .. } => "See on the node what it really is, and set it by hand.",
            Self::Choose { .. } => "Say which: --keep running, or --keep persisted.",
            Self::NoSuchRemedy { .. } => "Without --as it is said what to do.",
            Self::NoDirectory => "Name one: -o DIR.",
            Self::SameFile { .. } => "Scan them one after the other, into two directories.",
            Self::NothingWanted => "Name a module as well, or reports with --osv.",
            Self::Unread { .. } => "Get them anew, or take them out of the directory.",
            Self::Report { .. } | Self::NoReports { .. } => {
                "Name a report in the OSV format, or a directory of them: an unpacked copy of a vulnerability database."
            }
            Self::Write { .. } => "See whether the directory is there and this user may write to it.",
            Self::Query(_) => "Correct the name.",
            Self::NoFormat { .. } | Self::Format(_) => "Choose one of these with --output.",
            Self::Output(_) => "See where the output goes: the device may be full.",
            Self::Tls(_) => "This is a fault of evenkeel: please report it.",
            Self::Start(_) => "See the limits of this user: `ulimit -a`.",
        })
    }

    /// Says it to a person. Nobody may be there to hear it.
    pub fn tell(&self, to: &mut dyn Write) {
        // What follows a line break is set in: nothing that is quoted can pass for a line of ours.
        let text = exit::chain(self);
        let lines: Vec<_> = text.trim_end().lines().map(escape).collect();
        let _ = writeln!(to, "evenkeel: {}", lines.join("\n  "));
        if let Some(next) = self.next() {
            let _ = writeln!(to, "{next}");
        }
    }
}
