//! The collector's pod, as it is rendered, and its probes, asked as the kubelet asks them: each of those that the manifest names,
//! from inside of the pod's network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::disk::Disk;
use evenkeel_tests::harness::programs::tree;
use evenkeel_tests::harness::skip::{cache, skipped};
use evenkeel_tests::harness::{images, wait};
use serde_json::{Value, json};

use super::podman::Podman;
use crate::manifests::{self, documents, one};

/// The pod's user, as the manifest has it.
const USER: u32 = 65532;

struct Pod {
    podman: Podman,
    container: Value,
    disk: Disk,
    _config: tempfile::TempDir,
}

impl Pod {
    /// The StatefulSet's pod; its claim is a disk of 64 MiB, and its ConfigMap a directory.
    fn play() -> Self {
        let (config, disk) = (tempfile::tempdir().unwrap(), Disk::new(64));
        fs::set_permissions(config.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let documents = documents("base");
        let text = one(&documents, "ConfigMap", "collector")["data"]["collector.toml"].as_str().unwrap();
        fs::write(config.path().join("collector.toml"), text).unwrap();
        // As fsGroup does, which podman passes over.
        chown(disk.path(), Some(USER), Some(USER)).unwrap();
        let template = &one(&documents, "StatefulSet", "collector")["spec"]["template"];
        let mut spec = template["spec"].clone();
        let container = spec["containers"][0].clone();
        let place = |name: &str, path: String| json!({ "name": name, "hostPath": { "path": path, "type": "Directory" } });
        spec["volumes"] = json!([
            place("config", config.path().display().to_string()),
            place("data", disk.path().display().to_string())
        ]);
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            spec["containers"][0].as_object_mut().unwrap().remove(probe).unwrap();
        }
        // Without a network there is nothing to map them to.
        spec["containers"][0].as_object_mut().unwrap().remove("ports").unwrap();
        spec["restartPolicy"] = json!("Never");
        let podman = Podman::new();
        podman.load(&images::archive("evenkeel-collector"));
        let pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "collector" }, "spec": spec });
        podman.play_without_network(&pod);
        Self { podman, container, disk, _config: config }
    }

    /// This probe of the manifest: what was answered, and whether the kubelet would be content.
    fn probe(&self, name: &str) -> (String, bool) {
        let probe = &self.container[name];
        let timeout = probe["timeoutSeconds"].as_u64().unwrap_or(1);
        match (&probe["grpc"], &probe["httpGet"]) {
            (Value::Null, http) => {
                self.asked("httpGet", &http["port"], http["path"].as_str().unwrap(), timeout)
            }
            (grpc, _) => {
                self.asked("grpc", &grpc["port"], grpc["service"].as_str().unwrap_or_default(), timeout)
            }
        }
    }

    fn asked(&self, kind: &str, port: &Value, what: &str, timeout: u64) -> (String, bool) {
        let named = self.container["ports"].as_array().unwrap().iter().find(|one| one["name"] == *port);
        let port = named.map_or(port, |one| &one["containerPort"]).to_string();
        let process = self.podman.run(&["inspect", "--format", "{{.State.Pid}}", "collector-collector"]).ok();
        let mut python = Command::new("nsenter");
        python.args(["--target", process.trim(), "--net", "--", "python3"]).stdin(Stdio::null());
        python.arg(tree().join("tests/suites/pods/probe.py")).env("PYTHONPATH", cache().join("python"));
        let Outcome { code, stdout, stderr } = run(python.args([kind, &port, what, &timeout.to_string()]));
        assert!(matches!(code, Some(0 | 1)), "{stderr}");
        (stdout.trim().to_owned(), code == Some(0))
    }

    fn until(&self, probe: &str, said: &str) {
        wait::until(|| match self.probe(probe) {
            (found, _) if found == said => Ok(()),
            other => Err(format!("{probe}: {other:?}\n{}", self.podman.logs_of("collector-collector"))),
        });
    }
}

/// Promise: the collector's pod runs with its own security context, and its probes say what the kubelet must know: that it
/// serves; that it cannot write, when its volume is full, which is no reason to start it anew; and that it hangs, which is one.
#[test]
fn the_collectors_probes_tell() {
    let packages = cache().join("python/grpc").exists();
    let why = super::obstacle().or_else(Disk::impossible).or_else(manifests::obstacle);
    if let Some(why) =
        why.or((!packages).then_some("Python's gRPC is not there; tests/hosts/install.sh fetches it"))
    {
        return skipped("pods", why);
    }
    let pod = Pod::play();
    let serving = ("SERVING".to_owned(), true);
    pod.until("startupProbe", "200");
    pod.until("readinessProbe", "200");
    assert_eq!(pod.probe("livenessProbe"), serving);
    let named = |service: &str| pod.asked("grpc", &json!(7480), service, 5);
    assert_eq!((named(""), named("readiness")), (serving.clone(), serving.clone()));
    assert_eq!(named("nobody"), ("NOT_FOUND".to_owned(), false));

    let ballast = pod.disk.fill_up();
    pod.until("readinessProbe", "503");
    assert_eq!(named("readiness"), ("NOT_SERVING".to_owned(), false));
    assert_eq!(pod.probe("livenessProbe"), serving);
    ballast.drop_it();
    pod.until("readinessProbe", "200");

    pod.podman.run(&["kill", "--signal", "STOP", "collector-collector"]).ok();
    assert_eq!(pod.probe("livenessProbe"), ("DEADLINE_EXCEEDED".to_owned(), false));
    pod.podman.run(&["kill", "--signal", "CONT", "collector-collector"]).ok();
    pod.until("livenessProbe", "SERVING");

    // As docs/kubernetes.md asks it.
    let roots = pod.podman.run(&["exec", "collector-collector", "evenkeel-collector", "ca", "roots"]).ok();
    assert!(roots.starts_with("-----BEGIN CERTIFICATE-----"), "{roots}");
    pod.podman.run(&["exec", "collector-collector", "evenkeel", "report"]).ok();
    let backup = "/var/lib/evenkeel-collector/file";
    pod.podman.run(&["exec", "collector-collector", "evenkeel-collector", "backup", backup]).ok();
    assert!(pod.disk.path().join("file").is_file());
}
