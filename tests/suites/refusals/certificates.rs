//! Certificates that are none, are another's, or are for something else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use evenkeel_facts::root_digest;
use evenkeel_proto::enroll::RenewRequest;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::fleet::CheckInRequest;
use evenkeel_proto::fleet::fleet_service_client::FleetServiceClient;
use evenkeel_proto::report::GetReportRequest;
use evenkeel_proto::report::report_service_client::ReportServiceClient;
use evenkeel_runtime::channel;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_tests::harness::cli::Outcome;
use evenkeel_tests::harness::minted::authority_file;
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A check-in that only says that nothing changed.
async fn check_in(channel: Channel) -> Result<(), Status> {
    let root = root_digest(&[]).as_bytes().to_vec();
    let request = CheckInRequest { root, boot_epoch: 1, sequence: 1, ..CheckInRequest::default() };
    FleetServiceClient::new(channel).check_in(request).await.map(|_| ())
}

async fn report(channel: Channel) -> Result<(), Status> {
    ReportServiceClient::new(channel).get_report(GetReportRequest::default()).await.map(|_| ())
}

async fn renew(channel: Channel) -> Result<(), Status> {
    let request = RenewRequest { csr: Key::generate().signing_request() };
    EnrollmentServiceClient::new(channel).renew(request).await.map(|_| ())
}

fn uri(environment: &str, node: &str) -> String {
    format!("spiffe://evenkeel.internal/env/{environment}/node/{node}")
}

/// Promise: nobody speaks for an environment but who was let into it. The environment is in the certificate, and counts
/// only if that environment's own authority has written it.
#[tokio::test]
async fn a_certificate_of_another_environment() {
    let mut collector = Collector::default();
    let agent = Agent::enrol(&collector, Machine::new("dev-1").node("dev"));
    let prod = Agent::enrol(&collector, Machine::new("prod-1").node("prod"));
    check_in(Minted::of_agent(&agent).channel(&collector)).await.expect("the certificate itself is good");
    let good = Minted::by(&collector, "env-dev", &uri("dev", agent.id()));
    check_in(good.channel(&collector)).await.expect("what is minted here is as good");

    let claims = [
        ("env-dev", uri("prod", prod.id())),
        ("env-dev", uri("prod", agent.id())),
        ("users", uri("prod", prod.id())),
        ("env-prod", "spiffe://evenkeel.internal/user/eve/role/admin".to_owned()),
    ];
    for (issuer, uri) in &claims {
        let minted = Minted::by(&collector, issuer, uri);
        for status in [
            check_in(minted.channel(&collector)).await.unwrap_err(),
            report(minted.channel(&collector)).await.unwrap_err(),
        ] {
            let obstacle = channel::obstacle(&status);
            assert!(obstacle.is_some(), "{issuer} for {uri}: the collector answered: {status:?}");
        }
        let why = format!("{uri} was not issued by the intermediate that speaks for it");
        collector.process().wait_for("Certificate refused.", |event| event["why"] == why);
    }
}

/// Promise: showing another authority's certificate beside one's own does not borrow its word: behind a leaf stands the
/// one certificate that it was verified with.
#[tokio::test]
async fn a_certificate_that_shows_the_issuer_of_another_environment() {
    let collector = Collector::default();
    let prod = Agent::enrol(&collector, Machine::new("prod-1").node("prod"));
    let of = |name: &str| {
        let file = authority_file(&collector, &format!("{name}.crt"));
        keys::read_certificates(&file).unwrap().remove(0)
    };
    for (uri, borrowed) in [
        (uri("prod", prod.id()), "env-prod"),
        ("spiffe://evenkeel.internal/user/eve/role/admin".to_owned(), "users"),
    ] {
        for behind in
            [vec![of(borrowed)], vec![of(borrowed), of("env-dev")], vec![of("env-dev"), of(borrowed)]]
        {
            let mut minted = Minted::by(&collector, "env-dev", &uri);
            minted.certificates.truncate(1);
            minted.certificates.extend(behind);
            for status in [
                check_in(minted.channel(&collector)).await.unwrap_err(),
                report(minted.channel(&collector)).await.unwrap_err(),
            ] {
                let answer = channel::obstacle(&status);
                assert!(answer.is_some(), "{uri} with {borrowed}: the collector answered: {status:?}");
            }
        }
    }
}

/// Promise: a node that was never enrolled is none, even with a certificate of the right authority.
#[tokio::test]
async fn a_node_that_was_never_enrolled() {
    let collector = Collector::default();
    let minted = Minted::by(&collector, "env-dev", &uri("dev", &uuid::Uuid::new_v4().to_string()));
    for status in [
        check_in(minted.channel(&collector)).await.unwrap_err(),
        renew(minted.channel(&collector)).await.unwrap_err(),
    ] {
        let said = (Code::PermissionDenied, "this collector does not know the node: enrol it again");
        assert_eq!((status.code(), status.message()), said);
    }
}

/// Promise: a certificate of an unknown authority does not get past the handshake.
#[tokio::test]
async fn a_certificate_of_nobody() {
    let collector = Collector::default();
    let agent = Agent::enrol(&collector, Machine::new("dev-1").node("dev"));
    let status = check_in(Minted::by_nobody(&uri("dev", agent.id())).channel(&collector)).await.unwrap_err();
    assert!(channel::obstacle(&status).is_some(), "the collector answered: {status:?}");
    assert!(metric(&collector, "handshake_refused") > 0);
}

/// How many connections ended so.
fn metric(collector: &Collector, outcome: &str) -> u64 {
    let ports = collector.ports();
    let mut curl = Command::new("bash");
    // Bash itself can speak TCP, so that nothing needs to be installed.
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; printf 'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
        ports.http.ip(),
        ports.http.port()
    );
    let text = evenkeel_tests::harness::cli::run(curl.args(["-c", &script])).ok();
    let line = text.lines().find(|line| line.contains(&format!("\"{outcome}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Promise: node certificates can never query, user certificates can never report.
#[tokio::test]
async fn nodes_report_and_users_ask() {
    let collector = Collector::default();
    let agent = Agent::enrol(&collector, Machine::new("dev-1").node("dev"));
    let status = report(Minted::of_agent(&agent).channel(&collector)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message().to_owned()),
        (
            Code::PermissionDenied,
            format!(
                "node {} of dev may not call /evenkeel.report.v1.ReportService/GetReport: it takes a user of role viewer or above",
                agent.id()
            )
        )
    );
    collector.user("ada", "admin").ok(&["report"]);
    let ada = Minted {
        certificates: keys::read_certificates(&collector.directory().join("ada.cert.pem")).unwrap(),
        key: keys::read_key(&collector.directory().join("ada.key.pem")).unwrap(),
    };
    let status = check_in(ada.channel(&collector)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::PermissionDenied,
            "admin ada may not call /evenkeel.fleet.v1.FleetService/CheckIn: it takes a node's certificate"
        )
    );
}

/// Promise: without a certificate nobody gets in, and TLS 1.2 is not spoken. Asked with OpenSSL, which is not ours.
#[test]
fn no_certificate_and_an_old_protocol() {
    if !has_command("openssl") {
        return skipped("refusals (openssl)", "openssl is not installed");
    }
    let collector = Collector::default();
    let (ports, root) = (collector.ports(), authority_file(&collector, "root.crt"));
    for (port, version, alert) in [
        (ports.fleet, "-tls1_3", "alert certificate required"),
        (ports.fleet, "-tls1_2", "alert protocol version"),
        (ports.enroll, "-tls1_2", "alert protocol version"),
    ] {
        let said = openssl(&port.to_string(), version, &root, true);
        assert!(said.stderr.contains(alert), "{version}: no {alert:?} in {said:#?}");
    }
    let said = openssl(&ports.enroll.to_string(), "-tls1_3", &root, false);
    assert!(said.stdout.contains("Verify return code: 0 (ok)"), "{said:#?}");
}

/// Connects and says nothing. With `-tls1_3` the server's last word comes after the handshake: it is waited for, unless
/// there is none.
fn openssl(address: &str, version: &str, root: &Path, waits: bool) -> Outcome {
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-connect",
        address,
        version,
        "-alpn",
        "h2",
        "-servername",
        "evenkeel-collector",
    ]);
    command.args(["-verify_hostname", "evenkeel-collector", "-CAfile"]).arg(root);
    command
        .stdin(if waits { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // OpenSSL ends with its input.
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    Outcome::of(output)
}

/// Promise: keys are private: of the authority, of agents and of users.
#[test]
fn keys_are_private() {
    let collector = Collector::default();
    let agent = Agent::enrol(&collector, Machine::new("dev-1").node("dev"));
    collector.user("ada", "viewer");
    let files = [
        authority_file(&collector, "root.key"),
        authority_file(&collector, "env-prod.key"),
        collector.data_dir().join("evenkeel.db"),
        collector.directory().join("ada.key.pem"),
        agent.state_dir().join("node.key"),
        collector.token("dev", &[]),
    ];
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}
