//! Questions that cannot be answered, and people who may not ask.

use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, programs};

/// Promise: what is not there is named, with what is, or where to look for it.
#[test]
fn what_is_not_there() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    Agent::start(&collector, machine.node("prod")).wait_acknowledged();
    let environments = "the environments are dev, test, staging, prod";
    let no_node = "there is no node \"web-9\": see evenkeel nodes";
    for (arguments, said) in [
        (
            "token create --env production",
            "there is no environment \"production\"; there are: dev, test, staging, prod",
        ),
        ("report --env production", &format!("there is no environment \"production\"; {environments}")),
        ("report --reference production", &format!("there is no environment \"production\"; {environments}")),
        ("report --role web", "no node has the role \"web\"; the roles are (none)"),
        (
            "gate --from stagin --to prod",
            "\"stagin\" is neither an environment (dev, test, staging, prod) nor node/NAME, baseline/NAME or file:SNAPSHOT.json",
        ),
        ("diff node/web-9 prod", no_node),
        ("facts web-9", no_node),
        ("nodes web-9", no_node),
        ("history --node web-9", no_node),
        ("values go.verison", "no node knows a fact \"go.verison\": see evenkeel facts NODE"),
        (
            "explain f-0000000000",
            "there is no finding and no fact \"f-0000000000\" now: see evenkeel report --all",
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        collector.cli().run(&words).refused(2, &format!("evenkeel: {said}\n"));
    }
}

/// Where to look when a collector does not answer.
const DOES_IT_RUN: &str = "See whether the collector runs and listens there, and whether it is the one that let you in: \
                           `evenkeel login` asks it for a new certificate.\n";

/// Promise: a collector that cannot be reached is named, with how it was tried.
#[test]
fn nobody_there() {
    let mut collector = Collector::default();
    let remote = collector.user("ada", "viewer");
    collector.kill();
    let socket = collector.data_dir().join("collector.sock");
    let refused = |place: &str| {
        format!(
            "evenkeel: cannot reach the collector at {place}: Connection refused (os error 111)\n{DOES_IT_RUN}"
        )
    };
    collector.cli().run(&["report"]).refused(2, &refused(&socket.display().to_string()));
    remote.run(&["report"]).refused(2, &refused(&collector.url()));
    Cli::local(Path::new("/nowhere")).run(&["gate", "--from", "dev", "--to", "prod"]).refused(
        2,
        "evenkeel: no collector was found on this host (/nowhere/collector.sock: not there)\n\
         Start one with `evenkeel-collector run`, name its data directory with --data-dir, or log in to one on \
         another host: `evenkeel login --collector https://HOST:7444 --token-file FILE`.\n",
    );
}

/// Promise: who may not is told so, and by whom they could be let in.
#[test]
fn who_may_not() {
    let collector = Collector::default();
    let refused = |who: &str, method: &str, role: &str| {
        format!(
            "evenkeel: the collector at {} refuses: {who} may not call /evenkeel.admin.v1.AdminService/{method}: it \
             takes a user of role {role} or above\nAsk an admin to invite you with a role that may (`evenkeel user \
             invite NAME --role ROLE`), or run this on the collector's host as root or as the collector's user.\n",
            collector.url()
        )
    };
    let viewer = collector.user("ada", "viewer");
    viewer.ok(&["report"]);
    viewer
        .run(&["token", "create", "--env", "dev"])
        .refused(2, &refused("viewer ada", "CreateToken", "operator"));
    let operator = collector.user("bob", "operator");
    operator.ok(&["token", "create", "--env", "dev"]);
    operator
        .run(&["user", "create", "eve", "--role", "admin"])
        .refused(2, &refused("operator bob", "CreateUserCertificate", "admin"));

    // An admin of another collector is nobody here, and is told which of the two does not trust the other.
    let other = Collector::default();
    other.user("eve", "admin");
    let eve = Cli::remote(&collector.url(), other.directory(), "eve");
    let unreached = |why: &str| {
        format!("evenkeel: cannot reach the collector at {}: {why}\n{DOES_IT_RUN}", collector.url())
    };
    eve.run(&["report"])
        .refused(2, &unreached("who answers there is another collector than the one that is trusted here"));
    fs::copy(collector.directory().join("ca.pem"), other.directory().join("ca.pem")).unwrap();
    // With TLS 1.3 a client hears of its refused certificate after the handshake: as an alert, or as a closed connection.
    let heard = [
        "the connection was closed before an answer came",
        "it refuses the certificate that was shown (DecryptError)",
    ];
    eve.run(&["report"]).refused_with_one_of(2, &heard.map(unreached));
}

/// Promise: a snapshot file that was changed after it was taken, or is none, is refused; nothing is concluded from it.
#[test]
fn a_corrupt_snapshot_file() {
    let machine = Machine::new("web-1");
    let mut collect = Command::new(programs::path("evenkeel-agent"));
    let json = run(collect.arg("collect").arg("--root").arg(machine.root())).ok();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        format!("file:{}", path.display())
    };
    let good = write("good.json", &json);
    assert_eq!(Cli::alone().run(&["gate", &good, &good]).code, Some(0));
    let digest = |json: &str| {
        let at = json.find("\"name\": \"sysctl.net\"").unwrap();
        let digest = json[at..].split('"').find(|word| word.starts_with("blake3:"));
        digest.unwrap().to_owned()
    };
    let changed = json.replace("\"4096\"", "\"65535\"");
    let found = {
        machine.sysctl("net.core.somaxconn", "65535");
        let mut collect = Command::new(programs::path("evenkeel-agent"));
        digest(&run(collect.arg("collect").arg("--root").arg(machine.root())).ok())
    };
    let said = digest(&json);
    let cut = json.find("\"sections\"").unwrap();
    let cases = [
        (
            write("changed.json", &changed),
            format!(
                "section \"sysctl.net\" was changed after it was taken: the file says {said}, its facts give {found}"
            ),
        ),
        (
            write("cut.json", &json[..cut]),
            format!(
                "it is not a snapshot in JSON: EOF while parsing a value at line {} column 2",
                json[..cut].lines().count()
            ),
        ),
        (
            write("empty.json", ""),
            "it is not a snapshot in JSON: EOF while parsing a value at line 1 column 0".to_owned(),
        ),
        (
            write("other.json", "{}"),
            "it is not a snapshot in JSON: missing field `schema` at line 1 column 2".to_owned(),
        ),
        (
            write("later.json", &json.replace("evenkeel.snapshot/v1", "evenkeel.snapshot/v9")),
            "its schema is \"evenkeel.snapshot/v9\"; this version reads \"evenkeel.snapshot/v1\"".to_owned(),
        ),
    ];
    for (file, why) in cases {
        let path = file.strip_prefix("file:").unwrap();
        let told = format!(
            "evenkeel: {path} cannot be compared: {why}\nTake it again: `evenkeel-agent collect > SNAPSHOT.json`.\n"
        );
        Cli::alone().run(&["diff", &file, &good]).refused(2, &told);
        Cli::alone().run(&["gate", &good, &file]).refused(2, &told);
    }
}
