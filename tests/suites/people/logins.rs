//! Invitations, logins, contexts, revocation, and what the audit says of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_render::audit::Audit;
use evenkeel_render::contexts::Contexts;
use evenkeel_render::users::Users;
use evenkeel_runtime::keys;
use evenkeel_tests::harness::{Cli, Collector, Minted, Outcome, wait};
use jiff::{SignedDuration, Timestamp};

/// An invitation in a file.
pub(super) fn invite(collector: &Collector, name: &str, arguments: &[&str]) -> PathBuf {
    let file = collector.directory().join(format!("{name}.invitation"));
    let shown = file.display().to_string();
    collector.cli().ok(&[&["user", "invite", name, "--token-file", &shown], arguments].concat());
    file
}

/// `evenkeel login` with this invitation.
fn login(person: &Cli, collector: &Collector, invitation: &Path) -> Outcome {
    let (url, file) = (collector.enroll_url(), invitation.display().to_string());
    person.run(&["login", "--collector", &url, "--token-file", &file])
}

/// Somebody who was invited with these arguments, and has logged in.
pub(super) fn logged_in(collector: &Collector, name: &str, arguments: &[&str]) -> Cli {
    let home = collector.directory().join(format!("{name}.home"));
    fs::create_dir_all(&home).unwrap();
    let person = Cli::person(&home);
    login(&person, collector, &invite(collector, name, arguments)).ok();
    person
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Promise: who is invited logs in with one command, asks from then on without naming anything, logs in again when the
/// certificate nears its end, and is refused on the next call once revoked. The audit has it all.
#[test]
fn from_the_invitation_to_the_end() {
    let collector = Collector::default();
    let home = tempfile::tempdir().unwrap();
    let person = Cli::person(home.path());
    let invitation = invite(&collector, "ada", &["--role", "operator"]);
    assert_eq!(mode(&invitation), 0o600);
    let users: Users = collector.cli().json(&["user", "list"]);
    assert_eq!((users.users.len(), users.users[0].standing.as_str()), (1, "invited"));

    let said = login(&person, &collector, &invitation);
    let begin = format!("Logged in to {} as ada, operator until ", collector.url());
    assert!(said.stderr.starts_with(&begin), "{said:#?}");
    person.ok(&["report"]);
    let contexts: Contexts = person.json(&["context", "list"]);
    let [context] = contexts.contexts.as_slice() else { panic!("{contexts:#?}") };
    assert_eq!((context.user.as_deref(), context.role.as_deref()), (Some("ada"), Some("operator")));
    assert_eq!((&context.collector, context.current), (&collector.url(), true));
    let kept = home.path().join("evenkeel");
    let own = kept.join("contexts").join(&context.name);
    for (file, expected) in [("key.pem", 0o600), ("cert.pem", 0o600), ("ca.pem", 0o600), ("", 0o700)] {
        assert_eq!(mode(&own.join(file)), expected, "{file}");
    }
    assert_eq!(mode(&kept.join("config.toml")), 0o600);

    let before = fs::read(own.join("cert.pem")).unwrap();
    person.ok(&["login"]);
    assert_ne!(fs::read(own.join("cert.pem")).unwrap(), before, "a login gives a new certificate");
    person.ok(&["token", "create", "--env", "dev"]);

    collector.cli().ok(&["user", "revoke", "ada", "--reason", "left the team"]);
    for arguments in [&["report"][..], &["login"], &["nodes"]] {
        let refused = person.run(arguments);
        let said = format!("evenkeel: the collector at {} refuses: the certificates of ada", collector.url());
        assert_eq!((refused.code, refused.stderr.starts_with(&said)), (Some(2), true), "{refused:#?}");
        assert!(refused.stderr.contains(" by admin root: left the team\n"), "{refused:#?}");
    }
    let users: Users = collector.cli().json(&["user", "list"]);
    let ada = &users.users[0];
    assert_eq!((ada.standing.as_str(), ada.reason.as_str()), ("revoked", "left the team"));

    let audit: Audit = collector.cli().json(&["audit"]);
    let entries: Vec<(&str, &str)> =
        audit.entries.iter().rev().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect();
    assert_eq!(
        entries,
        [
            ("admin root", "user.invited"),
            ("operator ada", "user.login"),
            ("operator ada", "user.login"),
            ("operator ada", "token.created"),
            ("admin root", "user.revoked"),
        ]
    );
    let audit: Audit = collector.cli().json(&["audit", "--who", "ada"]);
    assert_eq!(audit.entries.len(), 3);
    let later = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let audit: Audit = collector.cli().json(&["audit", "--since", &later]);
    assert_eq!(audit.entries, []);
    person.ok(&["context", "delete", &context.name]);
    assert!(!own.exists());
}

/// Promise: who was revoked may be invited again, at once.
#[test]
fn revoked_and_invited_again() {
    let collector = Collector::default();
    let person = logged_in(&collector, "ada", &[]);
    collector.cli().ok(&["user", "revoke", "ada"]);
    assert_eq!(person.run(&["nodes"]).code, Some(2));
    login(&person, &collector, &invite(&collector, "ada", &["--role", "admin"])).ok();
    person.ok(&["user", "list"]);
    collector
        .cli()
        .run(&["user", "revoke", "bob"])
        .refused(2, "evenkeel: there is no user \"bob\": see evenkeel user list\n");
}

/// Promise: a revocation outlasts a restart of the collector, and concerns nobody else.
#[test]
fn a_revocation_outlasts_a_restart() {
    let mut collector = Collector::default();
    let (ada, bob) = (logged_in(&collector, "ada", &[]), logged_in(&collector, "bob", &[]));
    collector.cli().ok(&["user", "revoke", "ada"]);
    collector.kill();
    collector.restart();
    bob.ok(&["nodes"]);
    assert_eq!((ada.run(&["nodes"]).code, ada.run(&["login"]).code), (Some(2), Some(2)));
}

/// Promise: whose eight hours are over is told to log in, and does so with the key that is there, for as long as the
/// collector says; after that an admin is needed.
#[test]
fn a_certificate_that_has_ended() {
    let collector = Collector::default();
    let person = logged_in(&collector, "ada", &[]);
    let own = collector.directory().join("ada.home/evenkeel/contexts");
    let own = fs::read_dir(own).unwrap().next().unwrap().unwrap().path();
    let ended = |ago: u64| {
        let key = keys::read_key(&own.join("key.pem")).unwrap();
        let uri = "spiffe://evenkeel.internal/user/ada/role/viewer";
        let minted = Minted::with_key(&collector, "users", uri, key, Some(Duration::from_secs(ago)));
        fs::write(own.join("cert.pem"), minted.pem()).unwrap();
    };
    ended(1);
    let said = person.run(&["report"]);
    let begin = format!("evenkeel: the certificate {} has ended at ", own.join("cert.pem").display());
    assert!(said.stderr.starts_with(&begin), "{said:#?}");
    assert!(said.stderr.ends_with("Z\nLog in again: `evenkeel login`.\n"), "{said:#?}");
    person.ok(&["login"]);
    person.ok(&["report"]);

    ended(1);
    collector.cli().ok(&["user", "revoke", "ada"]);
    let said = person.run(&["login"]);
    assert!(said.stderr.contains("the certificates of ada were revoked at "), "{said:#?}");
}

/// Promise: an invitation lets one person in, once, for as long as it says; it enrols no node, and a node's token lets
/// no person in; nothing is sent to another collector.
#[test]
fn invitations_that_let_nobody_in() {
    let collector = Collector::default();
    let home = tempfile::tempdir().unwrap();
    let person = Cli::person(home.path());
    let ask = "Ask an admin for another invitation: `evenkeel user invite NAME > FILE`.\n";
    let refused = |said: Outcome, why: &str| {
        let place = collector.enroll_url();
        said.refused(2, &format!("evenkeel: the collector at {place} does not let you in: {why}\n{ask}"));
    };
    let id = |file: &Path| fs::read_to_string(file).unwrap().split('.').nth(2).unwrap().to_owned();

    let used = invite(&collector, "ada", &[]);
    login(&person, &collector, &used).ok();
    refused(login(&person, &collector, &used), &format!("invitation {} was used already", id(&used)));

    let token = collector.token("dev", &[]);
    let why = "this token enrols a node, it invites nobody: evenkeel-agent enroll --token-file FILE";
    refused(login(&person, &collector, &token), why);
    let invitation = invite(&collector, "bob", &[]);
    let machine = evenkeel_tests::harness::Machine::new("dev-1");
    let agent = evenkeel_tests::harness::Agent::enrol(&collector, machine.node("dev"));
    let said = agent.enrol_with(&collector.enroll_url(), &invitation, &["--again"]);
    let why = "this token invites a person, it enrols no node: evenkeel login --token-file FILE";
    assert_eq!((said.code, said.stderr.contains(why)), (Some(2), true), "{said:#?}");

    let text = fs::read_to_string(&invitation).unwrap();
    let at = text.rfind('.').unwrap() + 1;
    fs::write(&invitation, format!("{}{}", &text[..at], "a".repeat(52))).unwrap();
    refused(login(&person, &collector, &invitation), "this is not an invitation of this collector");

    let short = invite(&collector, "eve", &["--ttl", "1s"]);
    let end = Timestamp::now() + SignedDuration::from_secs(1);
    wait::until(|| if Timestamp::now() > end { Ok(()) } else { Err("the invitation is good".to_owned()) });
    let said = login(&person, &collector, &short);
    assert!(said.stderr.contains(&format!("invitation {} expired at ", id(&short))), "{said:#?}");

    let revoked = invite(&collector, "eve", &[]);
    collector.cli().ok(&["user", "revoke", "eve"]);
    refused(login(&person, &collector, &revoked), &format!("invitation {} was revoked", id(&revoked)));

    let other = Collector::default();
    let foreign = invite(&other, "ada", &[]);
    let said = login(&person, &collector, &foreign);
    let why = "who answers there is another collector than the one that is trusted here";
    assert_eq!((said.code, said.stderr.contains(why)), (Some(2), true), "{said:#?}");
}

/// Promise: on the collector's own host nothing is needed to log in; contexts tell several collectors apart.
#[test]
fn contexts_tell_collectors_apart() {
    let (one, two) = (Collector::default(), Collector::default());
    let home = tempfile::tempdir().unwrap();
    let person = Cli::person(home.path());
    let data = one.data_dir().display().to_string();
    person.ok(&["login", "--data-dir", &data, "--context", "one"]);
    let (url, file) = (two.enroll_url(), invite(&two, "ada", &[]).display().to_string());
    person.ok(&["login", "--collector", &url, "--token-file", &file, "--context", "two"]);
    assert_eq!(person.ok(&["context", "current"]), "two\n");
    let contexts: Contexts = person.json(&["context", "list"]);
    let shown: Vec<_> = contexts.contexts.iter().map(|c| (c.name.as_str(), c.user.as_deref())).collect();
    assert_eq!(shown, [("one", Some("root")), ("two", Some("ada"))]);
    person.ok(&["context", "use", "one"]);
    assert_eq!(person.ok(&["context", "current"]), "one\n");
    // Ada is a viewer of the other collector, and may not.
    assert_eq!(person.run(&["user", "list", "--context", "two"]).code, Some(2));

    let again = invite(&two, "bob", &[]).display().to_string();
    let said = person.run(&["login", "--collector", &url, "--token-file", &again, "--context", "one"]);
    assert!(
        said.stderr.starts_with("evenkeel: context \"one\" is of the collector at https://"),
        "{said:#?}"
    );
    let other_home = tempfile::tempdir().unwrap();
    Cli::person(other_home.path()).ok(&["login", "--collector", &url, "--token-file", &again]);
}

/// Promise: who was made less than the certificate says does not renew what it was.
#[test]
fn a_login_does_not_bring_back_a_role() {
    let collector = Collector::default();
    let ada = logged_in(&collector, "ada", &["--role", "admin"]);
    let now = invite(&collector, "ada", &["--role", "viewer"]);
    let less = Cli::person(&{
        let home = collector.directory().join("ada.other-home");
        fs::create_dir_all(&home).unwrap();
        home
    });
    login(&less, &collector, &now).ok();
    let said = ada.run(&["login"]);
    let why = "ada is viewer by now: log in with the invitation for that";
    assert_eq!((said.code, said.stderr.contains(why)), (Some(2), true), "{said:#?}");
    less.ok(&["login"]);
    assert_eq!(less.run(&["user", "list"]).code, Some(2), "a viewer stays one");
}
