//! A real Alertmanager.

use evenkeel_tests::harness::prometheus::{ALERTMANAGER, Server};
use evenkeel_tests::harness::{skip, wait};
use serde_json::Value;

use super::{PATH, fleet};

/// Promise: an Alertmanager holds what is open, with labels to route by, and lets go of what is over.
#[test]
fn it_holds_what_is_open() {
    if !skip::has_command(ALERTMANAGER) {
        return skip::skipped("alerts", "prometheus-alertmanager is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let alertmanager = Server::alertmanager(directory.path(), config);
    let fleet = fleet(&format!(
        "[alerts]\ngroup_wait = \"0s\"\nrepeat = \"5s\"\n[[alerts.receivers]]\nname = \"am\"\nkind = \"alertmanager\"\n\
         url = \"http://{}\"\n",
        alertmanager.address
    ));
    assert_eq!(alertmanager.active().unwrap(), Vec::<Value>::new());
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    wait::until(|| match alertmanager.active()?.as_slice() {
        [alert] if alert["labels"]["path"] == PATH => {
            assert_eq!(alert["labels"]["environment"], "staging");
            assert_eq!(alert["labels"]["alertname"], "EvenkeelDrift");
            assert_eq!(alert["annotations"]["nodes"], "stg-1");
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    fleet.machines[0].sysctl("net.core.somaxconn", "4096");
    wait::until(|| match alertmanager.active()?.as_slice() {
        [] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
