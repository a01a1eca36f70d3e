//! A pod enrols with its service account's token. The API server is a stub that answers TokenReviews as Kubernetes
//! documents them; no cluster can be had here.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
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
const POD: &str = "pod-token-canary";
const COLLECTOR: &str = "collector-token-canary";

/// What the stub was asked.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server that vouches for one token. Its root is written to `DIR/api.crt`.
fn api_server(directory: &Path) -> (SocketAddr, Asked) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = keys::certificates_to_pem([certificate.der().as_ref()]);
    fs::write(directory.join("api.crt"), pem).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let (config, asked) = (Arc::new(config), Asked::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            answer(StreamOwned::new(connection, stream), &heard);
        }
    });
    (address, asked)
}

fn answer(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>, asked: &Asked) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, review) = loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(review) = serde_json::from_str::<Value>(body)
        {
            break (head.to_owned(), review);
        }
    };
    let vouches = review["spec"]["token"] == POD;
    let status = if vouches {
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
    asked.lock().unwrap().push((head, review));
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
    let body = body.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.conn.send_close_notify();
    let _ = stream.flush();
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
/// that is configured for the account; one that it does not vouch for is told so, and goes on trying until it is let in.
#[test]
fn a_pod_enrols_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (api, asked) = api_server(directory.path());
    fs::write(directory.path().join("own-token"), COLLECTOR).unwrap();
    let config = format!(
        "[kubernetes]\napi = \"https://localhost:{}\"\nroots = {:?}\ntoken_file = {:?}\n\
         [[kubernetes.accounts]]\nname = \"evenkeel/agent\"\nenvironment = \"staging\"\n",
        api.port(),
        directory.path().join("api.crt").display().to_string(),
        directory.path().join("own-token").display().to_string(),
    );
    let collector = Collector::start(&Settings { config, ..Settings::default() });
    let machine = Machine::new("worker-1");
    let mut agent = agent(&collector, &machine, directory.path(), "forged");
    let refused = agent.wait_for("Not enrolled; trying again later.", |_| true);
    let why = refused["error"].as_str().unwrap();
    assert!(why.ends_with("Kubernetes does not vouch for this token: invalid bearer token"), "{why}");

    // The kubelet renews the file.
    fs::write(directory.path().join("pod-token"), POD).unwrap();
    agent.wait_for("State acknowledged.", |_| true);
    let nodes = wait::until(|| {
        let nodes = collector.cli().nodes().nodes;
        if nodes.is_empty() { Err("no node".to_owned()) } else { Ok(nodes) }
    });
    assert_eq!((nodes[0].environment.as_str(), nodes[0].role.as_str()), ("staging", "worker"));
    assert_eq!(nodes[0].labels["kubernetes-node"], "worker-1", "as the API server says, not the pod");
    let asked = asked.lock().unwrap();
    let (head, review) = asked.last().unwrap();
    assert!(head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains(&format!("authorization: bearer {COLLECTOR}")), "{head}");
    assert_eq!(review["spec"]["audiences"], json!(["evenkeel"]));
}
