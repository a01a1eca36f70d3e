//! What happens to services: they are killed, and they hang.

use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::wait;

use super::site::{AGENT, COLLECTOR, Site, UNREACHED};

/// `kill -9`, of the one and of the other.
pub(super) fn killed(site: &Site) {
    site.forget_complaints();
    for (host, unit, value) in [(&site.node, AGENT, "2001"), (&site.collector, COLLECTOR, "2002")] {
        let old = Site::run_of(host, unit);
        host.run(&format!("systemctl kill --kill-whom=main --signal=KILL {unit}")).ok();
        // Meanwhile something changes.
        site.shows_change(value);
        runs_anew(host, unit, &old);
    }
    site.is_quiet("two kills", &[UNREACHED, "code=killed, status=9/KILL", "Failed with result 'signal'."]);
}

/// A process that is there and does nothing: only the watchdog notices.
pub(super) fn hung(site: &Site) {
    for (host, unit, value) in [(&site.node, AGENT, "3001"), (&site.collector, COLLECTOR, "3002")] {
        // As long as a busy machine may keep a healthy process from turning; the units allow minutes.
        host.run(&format!(
            "mkdir -p /run/systemd/system/{unit}.service.d
            printf '[Service]\\nWatchdogSec=20s\\n' >/run/systemd/system/{unit}.service.d/hung.conf
            systemctl daemon-reload
            systemctl restart {unit}"
        ))
        .ok();
        let old = Site::run_of(host, unit);
        host.run(&format!("systemctl kill --kill-whom=main --signal=STOP {unit}")).ok();
        runs_anew(host, unit, &old);
        let said = host.run(&format!("journalctl --no-pager --unit={unit}")).ok();
        assert!(said.contains("Failed with result 'watchdog'."), "{said}");
        assert!(!said.contains("dumped core"), "a core would hold its keys: {said}");
        site.shows_change(value);
    }
}

fn runs_anew(host: &Booted, unit: &str, old: &str) {
    wait::until(|| match (Site::run_of(host, unit), Site::state(host, unit)) {
        (new, (state, _)) if new != old && state == "active" => Ok(()),
        (_, state) => Err(format!("{unit} does not run anew: {state:?}")),
    });
}
