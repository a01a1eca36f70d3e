//! A real Alertmanager.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use evenkeel_tests::harness::{Process, skip, wait};
use serde_json::Value;

use super::{PATH, fleet};

const PROGRAM: &str = "prometheus-alertmanager";

fn get(address: SocketAddr, path: &str) -> Result<Value, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: alertmanager\r\n\r\n").map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    serde_json::from_str(body).map_err(|error| format!("{error}: {text}"))
}

/// Promise: an Alertmanager holds what is open, with labels to route by, and lets go of what is over.
#[test]
fn it_holds_what_is_open() {
    if !skip::has_command(PROGRAM) {
        return skip::skipped("alerts", "prometheus-alertmanager is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = directory.path().join("alertmanager.yml");
    fs::write(&file, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.path={}", directory.path().join("data").display()));
    command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
    let _alertmanager = Process::start("alertmanager", command, &directory.path().join("log"));
    wait::until(|| get(address, "/api/v2/status").map(drop));

    let fleet = fleet(&format!(
        "[alerts]\ngroup_wait = \"0s\"\nrepeat = \"5s\"\n[[alerts.receivers]]\nname = \"am\"\nkind = \"alertmanager\"\n\
         url = \"http://{address}\"\n"
    ));
    let active = || {
        get(address, "/api/v2/alerts?active=true")
            .map(|alerts| alerts.as_array().cloned().unwrap_or_default())
    };
    assert_eq!(active().unwrap(), Vec::<Value>::new());
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    wait::until(|| match active()?.as_slice() {
        [alert] if alert["labels"]["path"] == PATH => {
            assert_eq!(alert["labels"]["environment"], "staging");
            assert_eq!(alert["labels"]["alertname"], "EvenkeelDrift");
            assert_eq!(alert["annotations"]["nodes"], "stg-1");
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    fleet.machines[0].sysctl("net.core.somaxconn", "4096");
    wait::until(|| match active()?.as_slice() {
        [] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
