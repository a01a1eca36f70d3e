//! Certificates of another authority, as cert-manager or SPIRE write them: files on both sides, replaced while everything
//! runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_proto::enroll::RenewRequest;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::report::GetReportRequest;
use evenkeel_proto::report::report_service_client::ReportServiceClient;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::minted::authority_file;
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted, Process, Settings, programs, wait};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;

/// A company's own authority.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a company's own");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::from_ca_cert_der(&certificate, key).unwrap(), certificate }
    }

    /// Writes `tls.crt`, `tls.key` and `ca.crt`, as a Kubernetes secret has them.
    fn issue(&self, name: SanType, to: &Path) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        fs::create_dir_all(to).unwrap();
        fs::write(to.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(to.join("tls.crt"), keys::certificates_to_pem([leaf.as_ref()])).unwrap();
        fs::write(to.join("ca.crt"), keys::certificates_to_pem([self.certificate.as_ref()])).unwrap();
    }
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// A collector that believes this authority, with its own certificate of it in `DIR/collector`.
fn collector(directory: &Path) -> Collector {
    let file = |name: &str| directory.join("collector").join(name).display().to_string();
    let config = format!(
        "[pki]\ncertificate = {:?}\nkey = {:?}\nroots = {:?}\nreload = \"1s\"\n\
         [[pki.rules]]\nsan = \"spiffe://example.org/agent/prod/*\"\nenvironment = \"prod\"\n\
         [[pki.rules]]\nsan = \"spiffe://example.org/people/*\"\nuser = \"viewer\"\n",
        file("tls.crt"),
        file("tls.key"),
        file("ca.crt")
    );
    Collector::start(&Settings { config, ..Settings::default() })
}

fn agent(collector: &Collector, machine: &Machine, directory: &Path, files: &Path) -> Process {
    let file = |name: &str| files.join(name).display().to_string();
    let config = directory.join("agent.toml");
    let text = format!(
        "interval = \"1s\"\nroot = {:?}\nstate_dir = {:?}\n\
         [pki]\ncollector = {:?}\nname = \"collector.example.org\"\ncertificate = {:?}\nkey = {:?}\nroots = {:?}\n",
        machine.root().display().to_string(),
        directory.join("state").display().to_string(),
        collector.url(),
        file("tls.crt"),
        file("tls.key"),
        file("ca.crt")
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(programs::path("evenkeel-agent"));
    command.arg("run").arg("--config").arg(config);
    Process::start("evenkeel-agent of another authority", command, &directory.join("agent.log"))
}

fn metric(collector: &Collector, line: &str) -> Option<String> {
    let text = get(collector, "/metrics");
    text.lines().find_map(|found| found.strip_prefix(line)).map(|rest| rest.trim().to_owned())
}

fn get(collector: &Collector, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(collector.ports().http).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Promise: with files of another authority on both sides a node reports without a token; files that are replaced are in
/// service without a restart; a bad new file leaves the old one in service, and `/readyz`, the log and the metrics say
/// so.
#[test]
fn files_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Authority::new();
    let dns = || SanType::DnsName("collector.example.org".try_into().unwrap());
    let own_files = directory.path().join("collector");
    theirs.issue(dns(), &own_files);
    let mut collector = collector(directory.path());
    let node_files = directory.path().join("node");
    theirs.issue(uri("spiffe://example.org/agent/prod/web-1"), &node_files);
    let machine = Machine::new("web-1");
    let mut first = agent(&collector, &machine, directory.path(), &node_files);
    first.wait_for("State acknowledged.", |_| true);
    let nodes = collector.cli().nodes().nodes;
    assert_eq!(nodes.len(), 1);
    assert_eq!((nodes[0].name.as_str(), nodes[0].environment.as_str()), ("web-1", "prod"));

    // New files, as a renewal writes them.
    theirs.issue(dns(), &own_files);
    collector.process().wait_for("New certificates are in service.", |_| true);
    theirs.issue(uri("spiffe://example.org/agent/prod/web-1"), &node_files);
    first.wait_for("Certificate renewed.", |_| true);

    // A bad one, as a full disk leaves it.
    let good = fs::read(own_files.join("tls.crt")).unwrap();
    fs::write(own_files.join("tls.crt"), "-----BEGIN CERT").unwrap();
    let said = "New certificates are of no use; those from before are in service.";
    let event = collector.process().wait_for(said, |_| true);
    assert!(event["error"].as_str().unwrap().contains("tls.crt"), "{event}");
    let ready = get(&collector, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains("the certificates from before are in service"),
        "{ready}"
    );
    let refused = "evenkeel_certificates_read_total{outcome=\"refused\"}";
    assert_ne!(metric(&collector, refused).as_deref(), Some("0"));
    // A new connection is served with the certificate from before.
    first.stop();
    let mut again = agent(&collector, &machine, directory.path(), &node_files);
    machine.sysctl("net.core.somaxconn", "4243");
    again.wait_for("State acknowledged.", |_| true);
    fs::write(own_files.join("tls.crt"), good).unwrap();
    wait::until(|| {
        let ready = get(&collector, "/readyz");
        if ready.contains("\"certificates\":\"ok\"") { Ok(()) } else { Err(ready) }
    });
    assert_eq!(collector.cli().nodes().nodes.len(), 1, "the same name is the same node");
}

/// Promise: a person's certificate of another authority asks, as the rule says, and reports nothing; a certificate that no
/// rule is for is nobody's; nodes that enrolled by token are served beside them.
#[test]
fn people_and_strangers() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Authority::new();
    theirs.issue(
        SanType::DnsName("collector.example.org".try_into().unwrap()),
        &directory.path().join("collector"),
    );
    let mut collector = collector(directory.path());
    let machine = Machine::new("dev-1");
    let mut enrolled = Agent::start(&collector, machine.node("dev"));
    enrolled.wait_acknowledged();
    let is_elsewhere = |peer: &str| peer.starts_with("viewer pki.example.org");
    let url = collector.url();
    // Trusting the collector's own authority, as it is reached by its own name.
    let ca = collector.data_dir().join("ca/roots.crt").display().to_string();
    let ask = |name: &str, what: &[&str]| {
        let files: PathBuf = directory.path().join(name.replace('/', "-"));
        theirs.issue(uri(name), &files);
        let file = |name: &str| files.join(name).display().to_string();
        let mut command = Command::new(programs::path("evenkeel"));
        command.args(what).args(["--collector", &url, "--ca", &ca]);
        command.args(["--cert", &file("tls.crt"), "--key", &file("tls.key")]);
        run(&mut command)
    };
    assert!(ask("spiffe://example.org/people/ada", &["nodes"]).ok().contains("dev-1"));
    let refused = ask("spiffe://example.org/strangers/eve", &["nodes"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));

    // Of whom the collector knows only the certificate can be revoked all the same.
    ask("spiffe://example.org/people/ada", &["user", "list"]);
    let refused = collector
        .process()
        .wait_for("Call refused.", |event| event["peer"].as_str().is_some_and(is_elsewhere));
    let ada = refused["peer"].as_str().unwrap().trim_start_matches("viewer ").to_owned();
    collector.cli().ok(&["user", "revoke", &ada, "--reason", "left the team"]);
    let refused = ask("spiffe://example.org/people/ada", &["nodes"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("left the team"), "{refused:#?}");
}

/// Promise: another authority that is believed cannot speak for anybody of ours: a certificate of it that carries a name
/// which is ours to give is refused, also when an intermediate of ours, which everybody has, is shown behind it.
#[tokio::test]
async fn another_authority_speaks_for_nobody_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Authority::new();
    theirs.issue(
        SanType::DnsName("collector.example.org".try_into().unwrap()),
        &directory.path().join("collector"),
    );
    let collector = collector(directory.path());
    let machine = Machine::new("dev-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let names = [
        ("users", "spiffe://evenkeel.internal/user/eve/role/admin".to_owned()),
        ("env-dev", super::uri("dev", agent.id())),
    ];
    for (issuer, name) in names {
        let files = directory.path().join(issuer);
        theirs.issue(uri(&name), &files);
        let read = |file: &Path| keys::read_certificates(file).unwrap();
        let ours = read(&authority_file(&collector, &format!("{issuer}.crt")));
        let own = read(&files.join("tls.crt"));
        let chains = [
            [&own[..], &ours[..]].concat(),
            own.clone(),
            [&own[..], &read(&files.join("ca.crt"))[..]].concat(),
        ];
        for certificates in chains {
            let key = keys::read_key(&files.join("tls.key")).unwrap();
            let channel = Minted { certificates, key }.channel(&collector);
            let report =
                ReportServiceClient::new(channel.clone()).get_report(GetReportRequest::default()).await;
            let renew = RenewRequest { csr: Key::generate().signing_request() };
            let renew = EnrollmentServiceClient::new(channel.clone()).renew(renew).await;
            let said = (super::check_in(channel).await.err(), report.err(), renew.err());
            assert!(
                matches!(&said, (Some(_), Some(_), Some(_))),
                "{name} of another authority was let in: {said:?}"
            );
        }
    }
    assert_eq!(collector.cli().nodes().nodes.len(), 1, "nobody was enrolled");
}

/// Promise: a certificate that another authority gave is renewed by that authority only: nobody turns it into one of ours.
#[tokio::test]
async fn what_another_authority_gave_is_not_renewed_into_ours() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = Authority::new();
    theirs.issue(
        SanType::DnsName("collector.example.org".try_into().unwrap()),
        &directory.path().join("collector"),
    );
    let collector = collector(directory.path());
    let files = directory.path().join("node");
    theirs.issue(uri("spiffe://example.org/agent/prod/web-1"), &files);
    let key = keys::read_key(&files.join("tls.key")).unwrap();
    let own = keys::read_certificates(&files.join("tls.crt")).unwrap();
    let csr = keys::read_key(&files.join("tls.key")).unwrap().signing_request();
    let channel = Minted { certificates: own, key }.channel(&collector);
    super::check_in(channel.clone()).await.unwrap();
    let refused = EnrollmentServiceClient::new(channel).renew(RenewRequest { csr }).await.unwrap_err();
    let why = "the node's certificate comes from another authority, which renews it";
    assert_eq!((refused.code(), refused.message()), (tonic::Code::FailedPrecondition, why));
}
