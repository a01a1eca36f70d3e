//! The RPMs on a booted host, with their scripts, from the first installation to the last file. No distribution of RPMs can be had
//! here: a booted Debian borrows this machine's rpm.

use std::fs;
use std::process::Command;

use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::skip::skipped;
use evenkeel_tests::harness::wait;

use super::Release;
use crate::packages::root_of;

/// rpm with the libraries that it was built with. Debian's own packages are in no database of rpm's: hence `--nodeps` below.
const RPM: &str = "rpm() { /run/lib/ld-linux-x86-64.so.2 --library-path /run/lib /usr/bin/rpm \"$@\"; }\n";

struct Site {
    host: Booted,
}

impl Site {
    /// What the host's commands say, which must succeed.
    fn ask(&self, commands: &str) -> String {
        self.host.run(&format!("{RPM}{commands}")).ok().trim().to_owned()
    }

    /// One start of each service.
    fn starts(&self) -> Vec<String> {
        let units = "evenkeel-agent evenkeel-collector";
        let shown = self.ask(&format!("systemctl show --property=InvocationID {units}"));
        shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Who the node is, once it is fresh, and both configuration files.
    fn kept(&self) -> String {
        wait::until(|| match self.host.run("evenkeel nodes").stdout {
            nodes if nodes.contains("fresh") => Ok(()),
            nodes => Err(nodes),
        });
        self.ask("cat /var/lib/evenkeel-agent/node.json; sha256sum /etc/evenkeel/*.toml")
    }
}

/// Promise: the RPMs make users, directories and services; an upgrade and the way back start the services anew, and keep the node
/// and what was edited; erased they leave the state and the edited settings, and nothing else; installed again it is the same
/// node. Their scripts find nothing to complain of.
#[test]
fn a_life_with_rpms() {
    let root = match root_of("bookworm") {
        Ok(root) => root,
        Err(why) => return skipped("dist", &why),
    };
    let Some(release) = Release::make() else { return };
    let upgrade = release.work.path().join("upgrade");
    let mut rpms = Command::new(tree().join("deploy/rpms.sh"));
    run(rpms.arg(release.programs()).arg(&upgrade).arg("0.1.1-test").env("LEVEL", "1")).ok();
    let libraries = fs::canonicalize("/lib/x86_64-linux-gnu").unwrap();
    let files = [
        ("/usr/bin/rpm".as_ref(), "/usr/bin/rpm"),
        ("/usr/lib/rpm".as_ref(), "/usr/lib/rpm"),
        (libraries.as_path(), "/run/lib"),
        (&release.directory(), "/rpms/1"),
        (&upgrade, "/rpms/2"),
    ];
    let site = Site { host: Booted::up("rpm", &root, &files) };

    site.ask("rpm -i --nodeps /rpms/1/*.rpm");
    assert_eq!(site.ask("rpm -Va --nodeps"), "", "everything is as it was made");
    for service in ["evenkeel-agent", "evenkeel-collector"] {
        let state = site.ask(&format!("stat -c '%U %G %a' /var/lib/{service}"));
        assert_eq!(state, format!("{service} {service} 700"));
    }
    site.ask("sed -i 's/^names = .*/names = [\"127.0.0.1\"]/' /etc/evenkeel/collector.toml");
    site.ask("systemctl enable --now evenkeel-collector");
    site.ask("evenkeel token create --env dev --token-file /root/token");
    site.ask("evenkeel-agent enroll --collector https://127.0.0.1:7444 --token-file /root/token");
    site.ask("systemctl enable --now evenkeel-agent");
    let begun = site.kept();

    for (how, version) in
        [("-U --nodeps /rpms/2", "0.1.1~test"), ("-U --nodeps --oldpackage /rpms/1", "0.1.0")]
    {
        let before = site.starts();
        site.ask(&format!("rpm {how}/*.rpm"));
        let versions = site.ask("rpm -qa --qf '%{version} ' 'evenkeel*'");
        assert_eq!(versions.split(' ').collect::<Vec<_>>(), [version; 3]);
        let after = site.starts();
        assert_eq!((before.len(), after.len()), (2, 2));
        assert!(!after.iter().any(|start| before.contains(start)), "{before:?} {after:?}");
        assert_eq!(site.kept(), begun);
    }

    site.ask("rpm -e evenkeel evenkeel-agent evenkeel-collector");
    let others = ["/rpms*", "/run/*", "/proc/*", "/sys/*", "/var/log/*", "/root/*", "/var/lib/evenkeel-*/*"];
    let others = others.map(|path| format!("! -path '{path}'")).join(" ");
    let left = site.ask(&format!("find / -xdev {others} -name '*evenkeel*'; ls /etc/evenkeel"));
    let mut left: Vec<_> = left.lines().collect();
    left.sort_unstable();
    let state = ["/var/lib/evenkeel-agent", "/var/lib/evenkeel-collector"];
    assert_eq!(left, ["/etc/evenkeel", state[0], state[1], "collector.toml.rpmsave"]);
    assert_eq!(site.host.run("pgrep evenkeel").code, Some(1), "nothing runs");

    // rpm lays the settings aside and does not take them up again: that is for who installs.
    site.ask("rpm -i --nodeps /rpms/1/*.rpm; cd /etc/evenkeel; mv collector.toml.rpmsave collector.toml");
    site.ask("systemctl enable --now evenkeel-collector evenkeel-agent");
    assert_eq!(site.kept(), begun);

    let said = site
        .ask("journalctl --quiet --no-pager --priority=warning --identifier=systemd --grep=evenkeel || :");
    assert_eq!(said, "");
}
