//! The Debian packages on booted hosts, by the commands of docs/install.md and docs/operate.md: from the first installation to the
//! purge, through everything that happens to a service in between.

mod debs;
mod disturbed;
mod site;

use debs::Debs;
use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::skip::{asked_for_all, skipped};
use evenkeel_tests::harness::wait;
pub(crate) use site::root_of;
use site::{AGENT, COLLECTOR, Site};

use crate::dist::Release;
use crate::document::Document;

/// Promise: on Debian 12 who follows the documents has a node that reports; state and settings outlast a reboot, an upgrade with a
/// report in flight, a downgrade, a restoration and a removal; a purge leaves nothing; and the journal has no warning.
#[test]
fn a_life_with_the_packages_on_bookworm() {
    let Some(site) = site("bookworm") else { return };
    let begun = youth(&site);
    if asked_for_all("packages: what comes after an upgrade") {
        old_age(&site, &begun);
    }
}

/// Promise: the same on Debian 13.
#[test]
fn a_life_with_the_packages_on_trixie() {
    if asked_for_all("packages: trixie") {
        let Some(site) = site("trixie") else { return };
        let begun = youth(&site);
        old_age(&site, &begun);
    }
}

/// Promise: a service that is killed, or hangs, runs again by itself and reports what has changed meanwhile.
#[test]
fn killed_and_hung_services_run_again() {
    if asked_for_all("packages") {
        for release in ["bookworm", "trixie"] {
            let Some(site) = site(release) else { return };
            disturbed::killed(&site);
            disturbed::hung(&site);
        }
    }
}

/// Promise: the tarball, unpacked as docs/install.md says, makes the same services of a host that has no packages.
#[test]
fn the_tarball_does_what_the_packages_do() {
    if !asked_for_all("packages") {
        return;
    }
    let Some(release) = Release::make() else { return };
    let root = match root_of("bookworm") {
        Ok(root) => root,
        Err(why) => return skipped("packages", &why),
    };
    let tarball = release.file("evenkeel-", ".tar.gz");
    let name = format!("/desk/{}", tarball.file_name().unwrap().to_str().unwrap());
    let host = Booted::up("tarball", &root, &[(&tarball, &name)]);
    let commands = Document::read("docs/install.md").block("The tarball", 0);
    host.run(&format!("cd /desk; {commands}")).ok();
    host.run("evenkeel token create --env dev --token-file /root/token").ok();
    host.run("evenkeel-agent enroll --collector https://127.0.0.1:7444 --token-file /root/token").ok();
    host.run("systemctl enable --now evenkeel-agent").ok();
    wait::until(|| match host.run("evenkeel nodes").stdout {
        nodes if nodes.contains("fresh") => Ok(()),
        nodes => Err(nodes),
    });
    // As the packages' own: of a user that may read nothing else.
    let users = host.run("ps -o user:30= -o comm= -C evenkeel-agent,evenkeel-collec").ok();
    let users: Vec<_> = users.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(users, ["evenkeel-collector", "evenkeel-agent"]);
}

/// A collector and a node as docs/install.md makes them; `None`, and said so, where they cannot be made.
fn site(release: &str) -> Option<Site> {
    match Site::installed(release, Debs::make()) {
        Ok(site) => Some(site),
        Err(why) => {
            skipped("packages", &why);
            None
        }
    }
}

/// What must stay as it is: which node it is, and what both configuration files hold.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    node: String,
    settings: [String; 2],
}

impl Kept {
    fn of(site: &Site) -> Self {
        let sum = |file: &str| format!("sha256sum /etc/evenkeel/{file}.toml");
        let settings = [site.node.run(&sum("agent")).ok(), site.collector.run(&sum("collector")).ok()];
        Self { node: site.only_node().id, settings }
    }
}

/// From the installation to an upgrade.
fn youth(site: &Site) -> Kept {
    let operate = Document::read("docs/operate.md");
    site.shows_change("1111");
    site.is_sandboxed();
    site.is_quiet("an installation", &[]);

    let begun = Kept::of(site);
    site.collector.reboot();
    site.node.reboot();
    site.shows_change("2222");
    site.is_quiet("a reboot", &[site::UNREACHED]);

    site.bring("2");
    site.on_collector(&operate.block("Upgrade", 0));
    assert_eq!(site.version(COLLECTOR), "0.1.1-test");
    site.shows_change("3333");
    site.is_quiet("an upgrade of the collector", &[site::UNREACHED]);
    site.upgrade_with_a_report_in_flight(&operate.block("Upgrade", 1), "4444");
    assert_eq!(site.version(AGENT), "0.1.1-test");
    site.shows_change("5555");
    assert_eq!(Kept::of(site), begun);
    begun
}

/// From a downgrade to the purge.
fn old_age(site: &Site, begun: &Kept) {
    let (install, operate) = (Document::read("docs/install.md"), Document::read("docs/operate.md"));
    site.bring("1");
    site.forget_complaints();
    site.on_collector(&operate.block("Roll back", 0));
    site.on_node(&operate.block("Roll back", 1));
    assert_eq!((site.version(COLLECTOR), site.version(AGENT)), ("0.1.0".to_owned(), "0.1.0".to_owned()));
    site.shows_change("6666");
    assert_eq!(Kept::of(site), *begun);
    site.is_quiet("a downgrade", &[site::UNREACHED]);

    restored(site, &operate);
    rotated(site, &operate);

    // Removed and installed again it is what it was; purged it has never been there.
    let away = install.block("Away again", 0);
    let (remove, purge) = away.trim().split_once('\n').unwrap();
    site.on_node(remove);
    site.node.run("test -s /var/lib/evenkeel-agent/node.key -a -s /etc/evenkeel/agent.toml").ok();
    assert_ne!(site.node.run("command -v evenkeel-agent || pgrep evenkeel").code, Some(0));
    site.on_node("apt-get install ./evenkeel-agent_*.deb");
    site.shows_change("7777");
    assert_eq!(Kept::of(site), *begun);
    site.is_quiet("a removal", &[site::UNREACHED]);
    site.on_node(purge);
    site.on_collector("apt-get purge evenkeel-collector evenkeel");
    site.has_never_been_there();
}

/// As docs/operate.md has it: the machine is lost, a backup is there; agents go on by themselves.
fn restored(site: &Site, operate: &Document) {
    site.on_collector(&operate.block("Backup", 0));
    site.shows_change("1234");
    site.on_collector(&operate.block("Restore", 0));
    let owners = site.collector.run("find /var/lib/evenkeel-collector ! -user evenkeel-collector").ok();
    assert_eq!(owners, "", "all of it is the service's");
    site.shows_change("4321");
    site.on_collector(&operate.block("Restore", 1));
    site.on_collector(&operate.block("Health", 0));
    site.is_quiet("a restoration", &[site::UNREACHED]);
}

/// As docs/operate.md has it: a step at a time, each when the one before has reached the node.
fn rotated(site: &Site, operate: &Document) {
    for step in operate.block("Certificates", 0).lines() {
        wait::until(|| match site.collector.run(step) {
            done if done.code == Some(0) => Ok(()),
            refused => Err(format!("{step}: {refused:#?}")),
        });
    }
    site.shows_change("6543");
}
