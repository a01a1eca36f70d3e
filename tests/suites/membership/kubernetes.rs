//! A pod enrols with its service account's token. The API server is a stub that answers TokenReviews and shows its node as
//! Kubernetes documents them; no cluster can be had here.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use evenkeel_runtime::keys;
use evenkeel_tests::harness::{Collector, Machine, Process, Settings, programs, wait};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

/// The pod's own token, and the collector's.
pub(crate) const POD: &str = "pod-token-canary";
const COLLECTOR: &str = "collector-token-canary";

/// What the stub was asked: heads and bodies.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that vouches for one token, of a pod on the node worker-1. Its root is in `DIR/api.crt`, and what a collector
/// is configured with is [`ApiServer::config`].
pub(crate) struct ApiServer {
    address: SocketAddr,
    directory: PathBuf,
    asked: Asked,
    /// The label that says the node's role; nobody may ask for it while there is none.
    role: Arc<Mutex<Option<String>>>,
}

impl ApiServer {
    pub(crate) fn start(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pem = keys::certificates_to_pem([certificate.der().as_ref()]);
        fs::write(directory.join("api.crt"), pem).unwrap();
        fs::write(directory.join("own-token"), COLLECTOR).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let (config, asked, role) = (Arc::new(config), Asked::default(), Arc::<Mutex<_>>::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, label) = (Arc::clone(&asked), Arc::clone(&role));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                answer(StreamOwned::new(connection, stream), &heard, &label);
            }
        });
        Self { address, directory: directory.to_owned(), asked, role }
    }

    /// The collector's `[kubernetes]`: the account's nodes are of staging.
    pub(crate) fn config(&self) -> String {
        format!(
            "[kubernetes]\napi = \"https://localhost:{}\"\nroots = {:?}\ntoken_file = {:?}\nrole_label = \"evenkeel.io/role\"\n\
             [[kubernetes.accounts]]\nname = \"evenkeel/agent\"\nenvironment = \"staging\"\n",
            self.address.port(),
            self.directory.join("api.crt").display().to_string(),
            self.directory.join("own-token").display().to_string(),
        )
    }

    /// `kubectl label node worker-1 evenkeel.io/role=ROLE`.
    pub(crate) fn label(&self, role: &str) {
        *self.role.lock().unwrap() = Some(role.to_owned());
    }
}

fn answer(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    asked: &Asked,
    role: &Mutex<Option<String>>,
) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, review) = loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.starts_with("GET ") {
            break (head.to_owned(), Value::Null);
        }
        if let Ok(review) = serde_json::from_str::<Value>(body) {
            break (head.to_owned(), review);
        }
    };
    let (status, body) = if head.starts_with("GET /api/v1/nodes/worker-1 ") {
        match role.lock().unwrap().clone() {
            Some(role) => {
                let metadata = json!({ "name": "worker-1", "labels": { "evenkeel.io/role": role } });
                ("200 OK", json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata }))
            }
            None => ("403 Forbidden", json!({ "kind": "Status", "reason": "Forbidden" })),
        }
    } else {
        ("201 Created", vouched(&review))
    };
    asked.lock().unwrap().push((head, review));
    let body = body.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn vouched(review: &Value) -> Value {
    let status = if review["spec"]["token"] == POD {
        json!({
            "authenticated": true,
            "audiences": review["spec"]["audiences"],
            "user": {
                "username": "system:serviceaccount:evenkeel:agent",
                "extra": { "authentication.kubernetes.io/node-name": ["worker-1"] },
            },
        })
    } else {
        json!({ "authenticated": false, "error": "invalid bearer token" })
    };
    json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status })
}

fn agent(collector: &Collector, machine: &Machine, directory: &Path, token: &str) -> Process {
    fs::write(directory.join("pod-token"), token).unwrap();
    let text = format!(
        "interval = \"1s\"\nroot = {:?}\nstate_dir = {:?}\n[enroll]\ncollector = {:?}\nrole = \"worker\"\n\
         service_account_token_file = {:?}\nroots = {:?}\n",
        machine.root().display().to_string(),
        directory.join("state").display().to_string(),
        collector.enroll_url(),
        directory.join("pod-token").display().to_string(),
        collector.data_dir().join("ca/roots.crt").display().to_string(),
    );
    fs::write(directory.join("agent.toml"), text).unwrap();
    let mut command = Command::new(programs::path("evenkeel-agent"));
    command.arg("run").arg("--config").arg(directory.join("agent.toml"));
    Process::start("evenkeel-agent in a pod", command, &directory.join("agent.log"))
}

/// Promise: a pod is let in by its service account's token alone, once the API server vouches for it, into the environment
/// that is configured for the account and for the role that its node's label says, whatever the pod says itself; one that it does
/// not vouch for is told so, and goes on trying until it is let in. Another label is followed with the next renewal.
#[test]
fn a_pod_enrols_itself() {
    let directory = tempfile::tempdir().unwrap();
    let api = ApiServer::start(directory.path());
    let config = api.config() + "[certificates]\nnode_life = \"10s\"\n";
    let collector = Collector::start(&Settings { config, ..Settings::default() });
    let machine = Machine::new("worker-1");
    let mut agent = agent(&collector, &machine, directory.path(), "forged");
    let refused = agent.wait_for("Not enrolled; trying again later.", |_| true);
    let why = refused["error"].as_str().unwrap();
    assert!(why.ends_with("Kubernetes does not vouch for this token: invalid bearer token"), "{why}");

    // The kubelet renews the file. The collector may not ask for the node's label yet, and says what is missing.
    fs::write(directory.path().join("pod-token"), POD).unwrap();
    let forbidden = "it answers 403 Forbidden: may the collector's service account get nodes?";
    agent.wait_for("Not enrolled; trying again later.", |line| {
        line["error"].as_str().is_some_and(|why| why.ends_with(forbidden))
    });
    api.label("Ingress");
    agent.wait_for("State acknowledged.", |_| true);
    let role_is = |role: &str| {
        wait::until(|| match collector.cli().nodes().nodes.as_slice() {
            [node] if node.role == role => Ok(node.clone()),
            other => Err(format!("{other:?}")),
        })
    };
    let node = role_is("ingress");
    assert_eq!(node.environment, "staging");
    assert_eq!(node.labels["kubernetes-node"], "worker-1", "as the API server says, not the pod");

    api.label("batch");
    let renewed = role_is("batch");
    assert_eq!(renewed.id, node.id, "it is the same node");
    let asked = api.asked.lock().unwrap();
    let (head, review) = asked.iter().rev().find(|(head, _)| head.starts_with("POST ")).unwrap();
    assert!(head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains(&format!("authorization: bearer {COLLECTOR}")), "{head}");
    assert_eq!(review["spec"]["audiences"], json!(["evenkeel"]));
}
