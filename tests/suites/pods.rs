//! The pod of the DaemonSet, as it is rendered, played by podman on this machine as its node: both variants, with their own security
//! contexts. The collector runs beside it, and the API server is a stub: no cluster can be had here.
//!
//! What podman cannot play is put in its place by this suite: projected volumes become directories, and `hostPID` (which
//! podman 4.3 passes over) becomes its own setting. Nothing that ends is started again: podman would do so with init containers,
//! too.

mod podman;
mod probes;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use evenkeel_tests::harness::cli::tool;
use evenkeel_tests::harness::skip::{cache, skipped};
use evenkeel_tests::harness::{Cli, Collector, Settings, images, wait};
use serde_json::{Value, json};

use self::podman::Podman;
use crate::manifests::{self, documents, one};
use crate::membership::kubernetes::{ApiServer, POD};

/// Which Go built the program that runs on the node, and that no agent finds by looking at the disk.
const GO: &str = "1.19.8";

/// The node, the collector and whatever vouches for the pod.
struct Cluster {
    podman: Podman,
    collector: Collector,
    directory: tempfile::TempDir,
    api: ApiServer,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The pod's user looks into it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let api = ApiServer::start(directory.path());
        api.label("worker");
        let collector = Collector::start(&Settings { config: api.config(), ..Settings::default() });
        for name in ["config", "token", "state"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let roots = collector.data_dir().join("ca/roots.crt");
        fs::copy(roots, directory.path().join("config/roots.crt")).unwrap();
        fs::write(directory.path().join("token/token"), POD).unwrap();
        for readable in ["config/roots.crt", "token/token"] {
            let path = directory.path().join(readable);
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let podman = Podman::new();
        podman.load(&images::archive("evenkeel-agent"));
        Self { podman, collector, directory, api }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The DaemonSet's pod of this variant, changed only where podman or this machine is no cluster. The agent's configuration is
    /// the manifests', but for where the collector is and how often it looks.
    fn pod(&self, variant: &str) -> Value {
        let documents = documents(variant);
        let config = one(&documents, "ConfigMap", "agent")["data"]["agent.toml"].as_str().unwrap().to_owned();
        let config =
            config.replace("https://evenkeel-collector.evenkeel.svc:7444", &self.collector.enroll_url());
        fs::write(self.directory.path().join("config/agent.toml"), format!("interval = \"1s\"\n{config}"))
            .unwrap();
        let template = &one(&documents, "DaemonSet", "agent")["spec"]["template"];
        let mut spec = template["spec"].clone();
        for volume in spec["volumes"].as_array_mut().unwrap() {
            let name = volume["name"].as_str().unwrap().to_owned();
            if name != "host" {
                let place = self.directory.path().join(&name).display().to_string();
                *volume = json!({ "name": name, "hostPath": { "path": place, "type": "Directory" } });
            }
        }
        // Memory of a program with its debug information is not what the limit is for; `make image` makes the one that is.
        if std::env::var_os("EVENKEEL_IMAGES").is_none() {
            for containers in ["initContainers", "containers"] {
                spec[containers][0]["resources"]["limits"]["memory"] = json!("512Mi");
            }
        }
        for probe in ["livenessProbe", "readinessProbe"] {
            spec["containers"][0].as_object_mut().unwrap().remove(probe).unwrap();
        }
        spec["restartPolicy"] = json!("Never");
        let labels = &template["metadata"]["labels"];
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "agent", "labels": labels }, "spec": spec })
    }

    /// Plays the pod, waits until its probes are content, which is when the collector has heard of it, and gives the node's id.
    fn play(&self, variant: &str) -> String {
        self.podman.play(&self.pod(variant));
        let documents = documents(variant);
        let template = &one(&documents, "DaemonSet", "agent")["spec"]["template"];
        let container = &template["spec"]["containers"][0];
        // Who is ready is alive.
        for probe in ["readinessProbe", "livenessProbe"] {
            let asked = container[probe]["exec"]["command"]
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap());
            let asked: Vec<_> = ["exec", "agent-agent"].into_iter().chain(asked).collect();
            wait::until(|| match self.podman.run(&asked) {
                health if health.code == Some(0) => Ok(()),
                health => Err(format!("{probe}: {health:?}\n{}", self.podman.logs_of("agent-agent"))),
            });
        }
        let nodes = self.collector.cli().nodes().nodes;
        let [node] = nodes.as_slice() else { panic!("{nodes:#?}") };
        assert_eq!((node.environment.as_str(), node.role.as_str()), ("staging", "worker"));
        node.id.clone()
    }

    fn cli(&self) -> Cli {
        self.collector.cli()
    }
}

/// A Go program that runs on the node, from a place where nobody looks for programs.
struct Running(Child, #[expect(dead_code, reason = "it goes when the program has ended")] tempfile::TempDir);

impl Running {
    fn start(built: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("pay");
        fs::copy(built, &copy).unwrap();
        let mut child =
            Command::new(&copy).arg("stay").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut begun = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
        assert_eq!(&begun, b"pay ");
        Self(child, place)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> PathBuf {
    cache().join("go/programs/pay-go1.19")
}

fn obstacle() -> Option<&'static str> {
    manifests::obstacle().or_else(Podman::obstacle).or_else(|| {
        (!program().exists()).then_some("there is no Go program of 1.19; tests/hosts/install.sh builds it")
    })
}

/// What the node's own tools say.
fn truth(words: &[&str]) -> String {
    tool(words[0], &words[1..]).trim().to_owned()
}

/// Promise: the pod reports the node and not itself: its kernel, C library, packages and the settings of its own network
/// namespace. Lite sees no program of others' processes, and says so; full sees them. A pod that is made anew, also of the other
/// variant, is the same node.
#[test]
fn the_pod_reports_its_node() {
    if let Some(why) = obstacle() {
        return skipped("pods", why);
    }
    let cluster = Cluster::start();
    let running = Running::start(&program());
    let node = cluster.play("overlays/lite");
    let cli = cluster.cli();
    let name = cli.nodes().nodes[0].name.clone();
    let fact = |path: &str| cli.fact(&name, path).unwrap_or_else(|| panic!("no {path}"));
    let truths = [
        ("kernel.release", truth(&["uname", "-r"])),
        ("glibc.version", truth(&["getconf", "GNU_LIBC_VERSION"]).replace("glibc ", "")),
        ("sysctl.net.core.somaxconn", truth(&["sysctl", "-n", "net.core.somaxconn"])),
        ("sysctl.vm.swappiness", truth(&["sysctl", "-n", "vm.swappiness"])),
        ("package[bash].version", truth(&["dpkg-query", "-W", "-f", "${Version}", "bash"])),
    ];
    for (path, truth) in &truths {
        assert_eq!(&fact(path), truth, "{path}");
    }
    assert_eq!(fact("go.process"), "permission", "whose programs run is not for lite to see");
    let pay = "go.program[example.org/pay/cmd/pay].go_version";
    assert_eq!(cli.fact(&name, pay), None);
    // An IPC namespace of the node's is what a pod has none of.
    assert_eq!(fact("sysctl.kernel.msgmax"), "namespace");
    let state = fs::metadata(cluster.state().join("node.key")).unwrap();
    assert_eq!((state.uid(), state.mode() & 0o777), (65532, 0o600));

    // A rolling update deletes the pod and makes another; a rollback is the same with the template of before.
    for variant in ["overlays/full", "overlays/lite", "overlays/full"] {
        cluster.podman.remove();
        assert_eq!(cluster.play(variant), node, "{variant}");
        for (path, truth) in &truths {
            assert_eq!(&fact(path), truth, "{variant}: {path}");
        }
        wait::until(|| match (variant, cli.fact(&name, pay)) {
            ("overlays/full", Some(version)) if version == GO => Ok(()),
            ("overlays/lite", None) => Ok(()),
            (_, version) => Err(format!("{variant}: pay is {version:?}")),
        });
        let owner = if variant == "overlays/full" { 0 } else { 65532 };
        assert_eq!(fs::metadata(cluster.state()).unwrap().uid(), owner, "{variant}");
    }
    drop(running);
    // What its node is labelled with is decided where nobody on the node can say otherwise.
    cluster.api.label("other");
    assert_eq!(cli.nodes().nodes[0].role, "worker");
}

/// Promise: without the node's network the pod reports no setting of its own network for the node's.
#[test]
fn a_pod_with_its_own_network_says_so() {
    if let Some(why) = obstacle() {
        return skipped("pods", why);
    }
    let cluster = Cluster::start();
    let mut pod = cluster.pod("overlays/lite");
    pod["spec"]["hostNetwork"] = json!(false);
    let container = &mut pod["spec"]["containers"][0];
    container["args"] = json!(["collect", "--root", "/host"]);
    cluster.podman.play_without_network(&pod);
    let snapshot = wait::until(|| {
        let said = cluster.podman.run(&["logs", "agent-agent"]).stdout;
        serde_json::from_str::<Value>(&said)
            .map_err(|error| format!("{error}: {}", cluster.podman.logs_of("agent-agent")))
    });
    let facts = snapshot["sections"].as_array().unwrap().iter().map(|section| &section["facts"]);
    let fact = |path: &str| facts.clone().find_map(|facts| facts.get(path).cloned()).unwrap_or_default();
    assert_eq!(fact("sysctl.net"), json!({ "unreadable": "namespace" }));
    assert_eq!(fact("sysctl.net.core.somaxconn"), Value::Null, "no value at all, and not the pod's");
    assert_eq!(fact("kernel.release"), json!(truth(&["uname", "-r"])));
}
