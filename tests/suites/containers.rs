//! Containers on a real engine: other releases of Debian as nodes, the collector in its own image, and the images themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use evenkeel_drift::Report;
use evenkeel_tests::harness::skip::skipped;
use evenkeel_tests::harness::{Containers, images, programs, wait};
use serde_json::{Value, json};

/// Name, environment, release, and `net.core.somaxconn` of each; and the glibc that the release has.
const HOSTS: &[(&str, &str, &str, &str, &str)] = &[
    ("dev-1", "dev", "bookworm-systemd", "128", "2.36"),
    ("test-1", "test", "bullseye", "1024", "2.31"),
    ("stg-1", "staging", "trixie", "4096", "2.41"),
    ("prod-1", "prod", "trixie", "65535", "2.41"),
];
const COLLECTOR: &str = "collector";
const NETWORK: &str = "fleet";
/// Where a host sees the libraries that the program was built with: its own may be older.
const LIBRARIES: &str = "/run/lib";

struct Fleet {
    engine: Containers,
}

impl Fleet {
    /// A collector, read-only but for its volume, without a capability.
    fn start() -> Self {
        let engine = Containers::start();
        // Engines of other tests run beside this one: 4,096 networks of the range that is for tests (RFC 2544).
        let (high, low) = (std::process::id() / 16 % 256, std::process::id() % 16 * 16);
        let bridge = format!("com.docker.network.bridge.name=ek{}", std::process::id());
        let (subnet, address) = (format!("198.19.{high}.{low}/28"), format!("198.19.{high}.{}", low + 2));
        engine.ok(&["network", "create", "--internal", "--subnet", &subnet, "--opt", &bridge, NETWORK]);
        let config = engine.directory().join("collector.toml");
        fs::write(&config, format!("names = [{address:?}]\nstale_after = \"5s\"\n")).unwrap();
        let mount = format!("{}:/etc/evenkeel/collector.toml:ro", config.display());
        let image = engine.load("evenkeel-collector");
        let bounds = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
        let place = ["--name", COLLECTOR, "--network", NETWORK, "--ip", &address, "--volume", &mount];
        let command = [&image, "run", "--config", "/etc/evenkeel/collector.toml"];
        engine.ok(&[&["run", "--detach"], &bounds[..], &place, &command].concat());
        let fleet = Self { engine };
        wait::until(|| {
            let health = fleet.engine.docker(&["exec", COLLECTOR, "evenkeel-collector", "health"]);
            if health.code == Some(0) { Ok(()) } else { Err(health.stderr) }
        });
        fleet
    }

    fn address(&self) -> String {
        let format = format!("{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}");
        self.engine.ok(&["inspect", "--format", &format, COLLECTOR])
    }

    /// `evenkeel` in the collector's container: its user is the collector's own.
    fn ask(&self, arguments: &[&str]) -> String {
        self.engine.ok(&[&["exec", COLLECTOR, "evenkeel"], arguments].concat())
    }

    fn report(&self) -> Report {
        serde_json::from_str(&self.ask(&["report", "--all", "-o", "json"])).unwrap()
    }

    /// A container of this release as a node.
    fn add(&self, (name, environment, release, somaxconn, _): (&str, &str, &str, &str, &str)) {
        let directory = self.engine.directory().join(name);
        fs::create_dir(&directory).unwrap();
        // Mode 0755 above, so that the engine's mounts are readable; the token is the container's root's alone.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.join("token"), self.ask(&["token", "create", "--env", environment])).unwrap();
        let config = format!(
            "interval = \"1s\"\n[enroll]\ncollector = \"https://{}:7444\"\ntoken_file = \"/etc/evenkeel/token\"\n",
            self.address()
        );
        fs::write(directory.join("agent.toml"), config).unwrap();
        let program = programs::path("evenkeel-agent");
        let mounts = [
            format!("{}:/etc/evenkeel:ro", directory.display()),
            format!("{}:/opt/evenkeel-agent:ro", program.display()),
            format!("/lib/x86_64-linux-gnu:{LIBRARIES}:ro"),
        ];
        let mounts: Vec<&str> = mounts.iter().flat_map(|mount| ["--volume", mount]).collect();
        let sysctl = format!("net.core.somaxconn={somaxconn}");
        let place = ["--name", name, "--hostname", name, "--network", NETWORK, "--sysctl", &sysctl];
        let loader = format!("{LIBRARIES}/ld-linux-x86-64.so.2");
        let image = format!("debian-{release}");
        let command = [
            &image,
            &loader,
            "--library-path",
            LIBRARIES,
            "/opt/evenkeel-agent",
            "run",
            "--config",
            "/etc/evenkeel/agent.toml",
        ];
        self.engine.ok(&[&["run", "--detach"], &place[..], &mounts, &command].concat());
    }

    /// Waits until exactly these are stale, by what the report says of each environment.
    fn wait_stale(&self, stale: &[&str]) -> Report {
        wait::until(|| {
            let report = self.report();
            let named: Vec<&str> =
                report.environments.iter().flat_map(|of| of.stale_nodes.iter().map(String::as_str)).collect();
            let fresh: u64 = report.environments.iter().map(|of| of.fresh).sum();
            if named == stale && fresh == (HOSTS.len() - stale.len()) as u64 {
                Ok(report)
            } else {
                Err(format!("{named:?} are stale and {fresh} fresh"))
            }
        })
    }
}

/// What the report says of each environment's value at this path.
fn values(report: &Report, path: &str) -> Vec<(String, String)> {
    let found = report.findings.iter().filter(|finding| finding.path == path);
    let mut values: Vec<_> = found
        .flat_map(|finding| &finding.values)
        .filter_map(|value| Some((value.environment.clone(), value.value.clone()?)))
        .collect();
    values.sort();
    values.dedup();
    values
}

/// Promise: four containers of other releases, each with a `net.core.somaxconn` of its own, report to a fifth; the report says how
/// they differ. One is paused, one is cut off, one is killed: the report names each as stale, and raises no drift of what it said
/// last. When they are back they are the nodes that they were.
#[test]
fn containers_that_fall_silent_are_named() {
    if let Some(why) = Containers::obstacle() {
        return skipped("containers", why);
    }
    let Some(missing) = HOSTS.iter().map(|host| host.2).find(|release| images::root(release).is_none())
    else {
        return fall_silent();
    };
    skipped("containers", &format!("there is no root of {missing}; tests/hosts/install.sh makes it"));
}

fn fall_silent() {
    let fleet = Fleet::start();
    let mut releases: Vec<&str> = HOSTS.iter().map(|host| host.2).collect();
    releases.sort_unstable();
    releases.dedup();
    for release in releases {
        fleet.engine.import(&images::root(release).unwrap(), &format!("debian-{release}"));
    }
    for host in HOSTS {
        fleet.add(*host);
    }
    let report = fleet.wait_stale(&[]);
    let each = |value: fn(&(&str, &str, &str, &str, &str)) -> String| {
        let mut expected: Vec<_> = HOSTS.iter().map(|host| (host.1.to_owned(), value(host))).collect();
        expected.sort();
        expected
    };
    assert_eq!(values(&report, "sysctl.net.core.somaxconn"), each(|host| host.3.to_owned()));
    assert_eq!(values(&report, "glibc.version"), each(|host| host.4.to_owned()));
    for (name, _, _, somaxconn, _) in HOSTS {
        let truth = fleet.engine.ok(&["exec", name, "cat", "/proc/sys/net/core/somaxconn"]);
        assert_eq!(&truth, somaxconn, "{name}");
    }
    let ids = |fleet: &Fleet| {
        let nodes: Value = serde_json::from_str(&fleet.ask(&["nodes", "-o", "json"])).unwrap();
        let nodes = nodes["nodes"].as_array().unwrap().iter();
        let mut ids: Vec<_> = nodes.map(|node| (node["name"].to_string(), node["id"].to_string())).collect();
        ids.sort();
        ids
    };
    let before = ids(&fleet);
    assert_eq!(before.len(), HOSTS.len());

    fleet.engine.ok(&["pause", "dev-1"]);
    fleet.engine.ok(&["network", "disconnect", NETWORK, "test-1"]);
    fleet.engine.ok(&["kill", "stg-1"]);
    let report = fleet.wait_stale(&["dev-1", "test-1", "stg-1"]);
    let drift: Vec<_> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(drift, Vec::<&str>::new(), "nothing is known of what prod could differ from");
    let told = fleet.ask(&["report"]);
    for name in ["dev-1", "test-1", "stg-1"] {
        assert!(told.contains(name), "{name} is not in\n{told}");
    }

    fleet.engine.ok(&["unpause", "dev-1"]);
    fleet.engine.ok(&["network", "connect", NETWORK, "test-1"]);
    fleet.engine.ok(&["start", "stg-1"]);
    let report = fleet.wait_stale(&[]);
    assert_eq!(ids(&fleet), before, "each is the node that it was");
    assert_eq!(values(&report, "sysctl.net.core.somaxconn"), each(|host| host.3.to_owned()));
}

/// Promise: each image holds one program, run by a user that is not root, on a root that nothing is written to; it says what it
/// is, and how it is asked whether it is well.
#[test]
fn the_images_are_what_they_say() {
    if let Some(why) = Containers::obstacle() {
        return skipped("containers", why);
    }
    let engine = Containers::start();
    for (program, checked) in [("evenkeel-agent", true), ("evenkeel-collector", true), ("evenkeel", false)] {
        let image = engine.load(program);
        let inspected: Value = serde_json::from_str(&engine.ok(&["inspect", &image])).unwrap();
        let config = &inspected[0]["Config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([format!("/usr/bin/{program}")]));
        assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
        let test = &config["Healthcheck"]["Test"];
        let expected = json!(["CMD", format!("/usr/bin/{program}"), "health"]);
        assert_eq!(*test, if checked { expected } else { Value::Null });
        let bounds = ["--rm", "--read-only", "--cap-drop", "ALL", "--network", "none"];
        let version = engine.ok(&[&["run"], &bounds[..], &[&image, "--version"]].concat());
        assert_eq!(version, format!("{program} {}", env!("CARGO_PKG_VERSION")));
    }
    // An empty root has no C library to be taken for the host's; the engine shows it the kernel.
    let bounds = ["--rm", "--read-only", "--cap-drop", "ALL", "--network", "none"];
    let image = images::name("evenkeel-agent");
    let snapshot = engine.ok(&[&["run"], &bounds[..], &[&image, "collect"]].concat());
    let snapshot: Value = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot["schema"], "evenkeel.snapshot/v1");

    // The image's own check, by the engine, as often as this test can wait for. None of these may be 0, which means the image's.
    let image = images::name("evenkeel-collector");
    let often = ["--health-interval", "1s", "--health-start-period", "1s", "--health-retries", "2"];
    let bounds = ["--read-only", "--cap-drop", "ALL", "--network", "none"];
    engine.ok(&[&["run", "--detach", "--name", COLLECTOR], &often[..], &bounds, &[&image]].concat());
    let health = |wanted: &str| {
        wait::until(|| {
            let health = engine.ok(&["inspect", "--format", "{{.State.Health.Status}}", COLLECTOR]);
            if health == wanted { Ok(()) } else { Err(format!("it is {health}")) }
        });
    };
    health("healthy");
    // A collector that listens elsewhere than where it is asked is not well, as one that listens nowhere.
    engine.ok(&["rm", "--force", "--volumes", COLLECTOR]);
    let elsewhere = [image.as_str(), "run", "--http-listen", "127.0.0.1:7481"];
    engine.ok(&[&["run", "--detach", "--name", COLLECTOR], &often[..], &bounds, &elsewhere].concat());
    health("unhealthy");
}
