//! `[alerts]` of the configuration: who is told of what, and when nobody is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_drift::report::Severity;
use evenkeel_facts::Glob;
use evenkeel_runtime::{duration, label};
use jiff::Timestamp;
use jiff::civil::Time;
use serde::Deserialize;

use super::post::Place;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// What is not critical waits for so long, so that what happens together is one message.
    #[serde(deserialize_with = "duration::deserialize")]
    pub group_wait: Duration,
    /// Other values or nodes of a finding that stays as severe as it was are said at most so often.
    #[serde(deserialize_with = "duration::deserialize")]
    pub changes_every: Duration,
    /// An Alertmanager is told so often that what is open still is.
    #[serde(deserialize_with = "duration::deserialize")]
    pub repeat: Duration,
    /// Where people find evenkeel's reports; shown as the link of a message.
    pub link: String,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// When nobody is.
    pub silences: Vec<Silence>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            group_wait: Duration::from_secs(30),
            changes_every: Duration::from_secs(600),
            repeat: Duration::from_secs(60),
            link: String::new(),
            receivers: Vec::new(),
            silences: Vec::new(),
        }
    }
}

/// Who is told, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// What it is called. Under a new name it is told of everything that is open.
    pub name: String,
    /// Which words it understands.
    pub kind: Words,
    /// Where it is. Often a secret by itself, so it may stand in a file of its own instead.
    #[serde(default)]
    pub url: Secret,
    /// The file with the URL.
    #[serde(default)]
    pub url_file: PathBuf,
    /// The file with a token that is sent along (`Authorization: Bearer`).
    #[serde(default)]
    pub token_file: PathBuf,
    /// The roots (PEM) below which its certificate is believed; without them those of the system.
    #[serde(default)]
    pub roots: PathBuf,
    /// The least severity.
    #[serde(default = "warning")]
    pub severity: Severity,
    /// Only what deviates in one of these environments; empty: all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Only these roles; empty: all.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Only paths that fit one of these globs; empty: all.
    #[serde(default, deserialize_with = "globs")]
    pub paths: Vec<Glob>,
}

/// Which words a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Words {
    /// `evenkeel.alerts/v1` as JSON.
    Webhook,
    /// As Slack's incoming webhooks, and those of Mattermost, Rocket.Chat and others.
    Slack,
    /// Alertmanager's API, version 2.
    Alertmanager,
}

/// A time in which nobody is told of some findings. What is still there when it ends is said then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Why.
    pub reason: String,
    /// From when; without it always.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when; without it for ever.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Each day between these times (UTC), such as `22:00-06:00`; without it all day.
    #[serde(default)]
    pub daily: Option<Daily>,
    /// Only what deviates in none but these environments; empty: all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Only these roles; empty: all.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Only paths that fit one of these globs; empty: all.
    #[serde(default, deserialize_with = "globs")]
    pub paths: Vec<Glob>,
    /// Only what is at most so severe.
    #[serde(default = "critical")]
    pub severity: Severity,
}

/// A time of the day, UTC. The end may be on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Daily {
    from: Time,
    until: Time,
}

impl TryFrom<String> for Daily {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not HH:MM-HH:MM");
        let (from, until) = text.split_once('-').ok_or_else(refuse)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| refuse());
        Ok(Self { from: time(from)?, until: time(until)? })
    }
}

impl Daily {
    fn holds(self, at: Timestamp) -> bool {
        let time = at.to_zoned(jiff::tz::TimeZone::UTC).time();
        let Self { from, until } = self;
        if from <= until { from <= time && time < until } else { from <= time || time < until }
    }
}

/// What must not be shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What it is.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "(secret)" })
    }
}

fn warning() -> Severity {
    Severity::Warning
}

fn critical() -> Severity {
    Severity::Critical
}

fn globs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Glob>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?.iter().map(|glob| Glob::new(glob)).collect())
}

/// What is said of a finding, as far as it decides who is told.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// The environments that deviate.
    pub environments: &'a [String],
    /// The role.
    pub role: &'a str,
    /// The path.
    pub path: &'a str,
    /// How bad.
    pub severity: Severity,
}

impl Receiver {
    /// Whether this is something for it.
    pub fn wants(&self, topic: Topic<'_>) -> bool {
        let Topic { environments, role, path, severity } = topic;
        severity >= self.severity
            && (self.environments.is_empty()
                || self.environments.iter().any(|own| environments.contains(own)))
            && fits(&self.roles, &self.paths, role, path)
    }

    fn check(&self, environments: &[String]) -> Result<(), String> {
        let at = format!("alerts.receivers {:?}", self.name);
        if !label::is_label(&self.name) {
            return Err(format!("{at}: it is not a name of a-z, 0-9, '.', '_' and '-'"));
        }
        match (self.url.reveal().is_empty(), self.url_file.as_os_str().is_empty()) {
            (true, true) => return Err(format!("{at}: url or url_file is needed")),
            (false, false) => return Err(format!("{at}: only one of url and url_file")),
            (true, false) => {}
            (false, true) => {
                let place = Place::parse(self.url.reveal()).map_err(|why| format!("{at}: url: {why}"))?;
                place
                    .check_token(!self.token_file.as_os_str().is_empty())
                    .map_err(|why| format!("{at}: {why}"))?;
            }
        }
        known(&self.environments, environments).map_err(|why| format!("{at}: {why}"))
    }
}

impl Silence {
    /// Whether nobody is told of this now.
    pub fn holds(&self, topic: Topic<'_>, now: Timestamp) -> bool {
        let Topic { environments, role, path, severity } = topic;
        self.from.is_none_or(|from| from <= now)
            && self.until.is_none_or(|until| now < until)
            && self.daily.is_none_or(|daily| daily.holds(now))
            && severity <= self.severity
            && (self.environments.is_empty()
                || environments.iter().all(|one| self.environments.contains(one)))
            && fits(&self.roles, &self.paths, role, path)
    }
}

fn fits(roles: &[String], paths: &[Glob], role: &str, path: &str) -> bool {
    (roles.is_empty() || roles.iter().any(|own| own == role))
        && (paths.is_empty() || paths.iter().any(|glob| glob.matches(path)))
}

fn known(named: &[String], environments: &[String]) -> Result<(), String> {
    match named.iter().find(|one| !environments.contains(one)) {
        Some(unknown) => Err(format!("there is no environment {unknown:?}")),
        None => Ok(()),
    }
}

impl AlertsConfig {
    /// Whether it can be used with these environments. The error is a sentence.
    pub fn check(&self, environments: &[String]) -> Result<(), String> {
        let mut names = Vec::new();
        for receiver in &self.receivers {
            receiver.check(environments)?;
            if names.contains(&&receiver.name) {
                return Err(format!("alerts.receivers: {:?} stands twice", receiver.name));
            }
            names.push(&receiver.name);
        }
        for silence in &self.silences {
            let at = format!("alerts.silences {:?}", silence.reason);
            known(&silence.environments, environments).map_err(|why| format!("{at}: {why}"))?;
            if silence.reason.trim().is_empty() {
                return Err("alerts.silences: each needs a reason".to_owned());
            }
            if let (Some(from), Some(until)) = (silence.from, silence.until)
                && until <= from
            {
                return Err(format!("{at}: it ends before it begins"));
            }
        }
        let bounds = Duration::from_secs(5)..=Duration::from_secs(3600);
        if !bounds.contains(&self.repeat) {
            return Err("alerts.repeat: between 5 seconds and an hour".to_owned());
        }
        Ok(())
    }

    /// Whether nobody is told of this now.
    pub fn is_silent(&self, topic: Topic<'_>, now: Timestamp) -> bool {
        self.silences.iter().any(|silence| silence.holds(topic, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::config;

    fn topic<'a>(environments: &'a [String], path: &'a str, severity: Severity) -> Topic<'a> {
        Topic { environments, role: "web", path, severity }
    }

    fn parse(text: &str) -> AlertsConfig {
        config::parse(text).unwrap()
    }

    /// Promise: routes by environment, role, path and severity.
    #[test]
    fn each_is_told_what_it_wants() {
        let config = parse(
            "[[receivers]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"https://x\"\nenvironments = [\"prod\"]\n\
             paths = [\"go.*\"]\nroles = [\"web\"]\nseverity = \"critical\"",
        );
        let [ops] = config.receivers.as_slice() else { panic!("{config:?}") };
        let (prod, both) = (["prod".to_owned()], ["dev".to_owned(), "prod".to_owned()]);
        assert!(ops.wants(topic(&prod, "go.version", Severity::Critical)));
        assert!(ops.wants(topic(&both, "go.version", Severity::Critical)));
        assert!(!ops.wants(topic(&both[..1], "go.version", Severity::Critical)));
        assert!(!ops.wants(topic(&prod, "kernel.release", Severity::Critical)));
        assert!(!ops.wants(topic(&prod, "go.version", Severity::Warning)));
        assert!(!ops.wants(Topic { role: "db", ..topic(&prod, "go.version", Severity::Critical) }));
        assert!(!format!("{config:?}").contains("https://x"), "a URL is a secret");
    }

    /// Promise: a silence holds in its time, and for nothing else than it names.
    #[test]
    fn silences_have_their_time() {
        let config = parse(
            "[[silences]]\nreason = \"nightly load test\"\ndaily = \"22:00-06:00\"\nenvironments = [\"dev\", \"test\"]\n\
             from = \"2026-11-22T00:00:00Z\"\nuntil = \"2026-12-01T00:00:00Z\"\nseverity = \"warning\"",
        );
        let (dev, prod) = (["dev".to_owned()], ["dev".to_owned(), "prod".to_owned()]);
        let warning = |environments| topic(environments, "vm.swappiness", Severity::Warning);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for night in ["2026-11-22T23:00:00Z", "2026-11-23T05:59:00Z"] {
            assert!(config.is_silent(warning(&dev), at(night)), "{night}");
            assert!(!config.is_silent(warning(&prod), at(night)), "prod deviates too");
            assert!(!config.is_silent(topic(&dev, "go.version", Severity::Critical), at(night)));
        }
        for day in ["2026-11-23T06:00:00Z", "2026-11-21T23:00:00Z", "2026-12-01T00:00:00Z"] {
            assert!(!config.is_silent(warning(&dev), at(day)), "{day}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let environments = ["prod".to_owned()];
        let refused = |text: &str| parse(text).check(&environments).unwrap_err();
        let receiver = |rest: &str| format!("[[receivers]]\nname = \"ops\"\nkind = \"slack\"\n{rest}");
        assert_eq!(refused(&receiver("")), "alerts.receivers \"ops\": url or url_file is needed");
        assert_eq!(
            refused(&receiver("url = \"ftp://x\"")),
            "alerts.receivers \"ops\": url: it begins with neither https:// nor http://"
        );
        assert_eq!(
            refused(&receiver("url = \"https://x\"\nenvironments = [\"dev\"]")),
            "alerts.receivers \"ops\": there is no environment \"dev\""
        );
        assert_eq!(
            refused(&receiver("url = \"http://example.org\"\ntoken_file = \"/t\"")),
            "alerts.receivers \"ops\": a token is not sent in the clear: use https://"
        );
        let both = receiver("url = \"https://x\"\n");
        assert_eq!(refused(&format!("{both}{both}")), "alerts.receivers: \"ops\" stands twice");
        assert_eq!(refused("[[silences]]\nreason = \" \""), "alerts.silences: each needs a reason");
        let daily = "[[silences]]\nreason = \"x\"\ndaily = \"25:00\"";
        assert!(config::parse::<AlertsConfig>(daily).unwrap_err().contains("\"25:00\" is not HH:MM-HH:MM"));
    }
}
