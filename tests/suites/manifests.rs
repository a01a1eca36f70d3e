//! The manifests of deploy/kubernetes: rendered by kubectl, held against the schema of Kubernetes' API and against what they
//! promise. No cluster can be had here: what an API server would refuse besides is not known.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::programs::{path, tree};
use evenkeel_tests::harness::skip::{cache, has_command, skipped};
use serde_json::{Value, json};

/// `kubectl` of this machine, or the one that `tests/hosts/install.sh` fetched.
fn kubectl() -> Option<PathBuf> {
    let fetched = cache().join("kubernetes/bin/kubectl");
    if has_command("kubectl") { Some("kubectl".into()) } else { Some(fetched).filter(|path| path.exists()) }
}

/// Why the manifests cannot be rendered and checked here; `None`: they can.
pub(crate) fn obstacle() -> Option<&'static str> {
    let checks = cache().join("kubernetes/kubernetes_validate").exists() && has_command("python3");
    match (kubectl(), checks) {
        (None, _) => Some("kubectl is not there; tests/hosts/install.sh fetches it"),
        (_, false) => Some("python3 or the API's schemas are not there; tests/hosts/install.sh fetches them"),
        (Some(_), true) => None,
    }
}

/// What a directory of deploy/kubernetes renders to, as YAML.
fn rendered(directory: &Path) -> String {
    run(Command::new(kubectl().unwrap()).arg("kustomize").arg(directory).stdin(Stdio::null())).ok()
}

/// What `check.py` says of these manifests.
fn checked(yaml: &str) -> Value {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", cache().join("kubernetes"));
    command.arg(tree().join("tests/suites/manifests/check.py"));
    let mut python =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    serde_json::from_str(&Outcome::of(python.wait_with_output().unwrap()).ok()).unwrap()
}

/// The documents of a directory below deploy/kubernetes, which must be without fault.
pub(crate) fn documents(directory: &str) -> Vec<Value> {
    let checked = checked(&rendered(&tree().join("deploy/kubernetes").join(directory)));
    assert_eq!(checked["errors"], json!([]), "{directory}");
    checked["documents"].as_array().unwrap().clone()
}

/// The one document of this kind and name.
pub(crate) fn one<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> = documents
        .iter()
        .filter(|document| document["kind"] == kind && document["metadata"]["name"] == name)
        .collect();
    let [one] = found.as_slice() else { panic!("{} of {kind}/{name}", found.len()) };
    one
}

/// Every directory below deploy/kubernetes that can be rendered, by its name from there.
fn directories() -> Vec<String> {
    let base = tree().join("deploy/kubernetes");
    let mut found = Vec::new();
    for above in ["", "overlays", "examples"] {
        for entry in fs::read_dir(base.join(above)).unwrap().flatten() {
            let text = fs::read_to_string(entry.path().join("kustomization.yaml")).unwrap_or_default();
            // A component is rendered by whoever takes it in.
            if text.contains("\nkind: Kustomization\n") {
                found.push(Path::new(above).join(entry.file_name()).display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Promise: everything that is there renders, and is what the API's schema says, unknown fields included.
#[test]
fn every_variant_is_valid() {
    if let Some(why) = obstacle() {
        return skipped("manifests", why);
    }
    let directories = directories();
    let all = [
        "base",
        "examples/dev",
        "examples/prod",
        "examples/prod-cert-manager",
        "examples/staging",
        "examples/test",
        "overlays/full",
        "overlays/lite",
    ];
    assert_eq!(directories, all);
    for directory in &directories {
        let yaml = rendered(&tree().join("deploy/kubernetes").join(directory));
        let checked = checked(&yaml);
        assert_eq!(checked["errors"], json!([]), "{directory}");
        let others = if directory.ends_with("cert-manager") {
            json!(["Certificate of cert-manager.io/v1"])
        } else {
            json!([])
        };
        assert_eq!(checked["unknown"], others, "{directory}");
        assert!(checked["documents"].as_array().unwrap().len() >= 13, "{directory}");
    }
    // The check does check.
    let yaml = rendered(&tree().join("deploy/kubernetes/base"));
    let wrong = yaml.replace("tolerations:", "toleration:").replace("replicas: 1", "replicas: one");
    let errors = checked(&wrong)["errors"].as_array().unwrap().len();
    assert_eq!(errors, 2, "a field that there is not, and a number that is none");
}

/// Promise: what the agents may is what is written: nothing in lite, one capability in full; nobody is privileged, nothing is
/// written outside the state, and memory and CPU are bounded.
#[test]
fn pods_may_what_is_promised() {
    if let Some(why) = obstacle() {
        return skipped("manifests", why);
    }
    for directory in directories() {
        let documents = documents(&directory);
        let is_full = directory == "overlays/full" || directory == "examples/dev";
        let agent = &one(&documents, "DaemonSet", "agent")["spec"];
        let pod = &agent["template"]["spec"];
        assert_eq!(pod["hostNetwork"], true, "{directory}");
        assert_eq!(pod["hostPID"], if is_full { json!(true) } else { Value::Null }, "{directory}");
        assert_eq!(pod["hostIPC"], Value::Null);
        assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsUser"], if is_full { 0 } else { 65532 });
        assert_eq!(pod["securityContext"]["runAsNonRoot"], !is_full);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let class = pod["priorityClassName"].as_str().unwrap();
        assert!(one(&documents, "PriorityClass", class)["value"].as_u64().unwrap() < 1_000_000_000);
        assert_eq!(agent["updateStrategy"]["rollingUpdate"]["maxUnavailable"], "10%");

        let state = &pod["initContainers"][0];
        let owner = if is_full { "0:0" } else { "65532:65532" };
        let args = json!(["prepare", "--owner", owner, "--state-dir", "/var/lib/evenkeel-agent"]);
        assert_eq!(state["args"], args);
        assert_eq!(state["volumeMounts"].as_array().unwrap().len(), 1);
        let collector = &one(&documents, "StatefulSet", "collector")["spec"]["template"]["spec"];
        let added = if is_full { json!(["SYS_PTRACE"]) } else { Value::Null };
        for (container, added) in [
            (state, json!(["CHOWN"])),
            (&pod["containers"][0], added),
            (&collector["containers"][0], Value::Null),
        ] {
            let context = &container["securityContext"];
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{directory}");
            assert_eq!(context["capabilities"]["add"], added, "{directory}");
            assert_eq!(context["privileged"], false);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            let image = container["image"].as_str().unwrap();
            assert!(image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))), "{image}");
        }
        for container in [state, &pod["containers"][0]] {
            let resources =
                json!({ "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "32Mi" } });
            assert_eq!(container["resources"], resources);
        }
        assert_eq!(collector["securityContext"]["runAsNonRoot"], true);
        for volume in pod["volumes"].as_array().unwrap() {
            if volume["hostPath"]["path"] == "/" {
                let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
                let host = mounts.iter().find(|mount| mount["name"] == volume["name"]).unwrap();
                assert_eq!((&host["readOnly"], &host["mountPath"]), (&json!(true), &json!("/host")));
            }
        }
    }
}

/// Promise: what refers to something else in the manifests finds it: selectors, service accounts, ports of probes and services,
/// the configuration that the programs read. Agents may ask the API server nothing.
#[test]
fn the_parts_fit_together() {
    if let Some(why) = obstacle() {
        return skipped("manifests", why);
    }
    let scratch = tempfile::tempdir().unwrap();
    for directory in directories() {
        let documents = documents(&directory);
        let collector = &one(&documents, "StatefulSet", "collector")["spec"]["template"];
        let labels = &collector["metadata"]["labels"];
        let service = one(&documents, "Service", "evenkeel-collector");
        assert_eq!(&service["spec"]["selector"], labels);
        for (kind, selector) in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")] {
            assert_eq!(&one(&documents, kind, "collector")["spec"][selector]["matchLabels"], labels);
        }
        let container = &collector["spec"]["containers"][0];
        let ports = container["ports"].as_array().unwrap();
        let has =
            |port: &Value| ports.iter().any(|one| one["name"] == *port || one["containerPort"] == *port);
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(has(&port["targetPort"]), "{port}");
        }
        let probe = |name: &str| container[name].clone();
        assert_eq!(probe("startupProbe")["httpGet"]["path"], "/healthz");
        assert_eq!(probe("readinessProbe")["httpGet"]["path"], "/readyz");
        assert_eq!(probe("livenessProbe")["grpc"]["service"], "liveness");
        assert!(
            has(&probe("readinessProbe")["httpGet"]["port"]) && has(&probe("livenessProbe")["grpc"]["port"])
        );

        let granted: Vec<_> = documents.iter().filter(|one| one["kind"] == "ClusterRole").collect();
        let rules = json!([
            { "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] },
            { "apiGroups": [""], "resources": ["nodes"], "verbs": ["get"] },
        ]);
        assert_eq!(granted.iter().map(|role| &role["rules"]).collect::<Vec<_>>(), [&rules]);
        let subjects = &one(&documents, "ClusterRoleBinding", "evenkeel-collector")["subjects"];
        assert_eq!(
            *subjects,
            json!([{ "kind": "ServiceAccount", "name": "collector", "namespace": "evenkeel" }])
        );
        let agent = &one(&documents, "DaemonSet", "agent")["spec"]["template"]["spec"];
        assert_eq!(one(&documents, "ServiceAccount", "agent")["automountServiceAccountToken"], false);
        assert_eq!(agent["serviceAccountName"], "agent");

        // Each program reads its configuration before it looks for what it asks about.
        let mut environments = BTreeSet::new();
        for (name, program, missing) in [
            ("agent", "evenkeel-agent", "it has said nothing of itself"),
            ("collector", "evenkeel-collector", "no collector answers"),
        ] {
            let text = one(&documents, "ConfigMap", name)["data"][&format!("{name}.toml")]
                .as_str()
                .unwrap()
                .to_owned();
            environments.extend(
                text.lines().filter_map(|line| line.strip_prefix("environment = ").map(str::to_owned)),
            );
            let file = scratch.path().join(name);
            fs::write(&file, text).unwrap();
            let mut health = Command::new(path(program));
            health.args(["health", "--config"]).arg(&file);
            if name == "agent" {
                health.arg("--state-dir").arg(scratch.path());
            } else {
                // A port that nobody listens on: it was free a moment ago, and it is this test's own address.
                health.args(["--http-listen", "127.255.255.1:1"]);
            }
            let said = run(&mut health);
            assert!(said.code == Some(2) && said.stderr.contains(missing), "{directory}: {said:#?}");
        }
        let environment = directory.rsplit('/').next().unwrap().split('-').next().unwrap();
        let expected =
            if directory.starts_with("examples/") { environment.to_owned() } else { "prod".to_owned() };
        assert_eq!(environments, BTreeSet::from([format!("{expected:?}")]), "{directory}");
    }
}
