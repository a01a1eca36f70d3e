//! Source `container_runtime`: the programs that run containers, and the settings that change how containers behave.
//!
//! - `container_runtime[NAME].version`: of docker, containerd, cri-o, runc and podman, by the build info in the program
//!   itself; a build that does not say its version is `unsupported`, and its package (`package[docker.io].version`) tells
//! - `container_runtime[NAME].go_version`: the Go that built it
//! - `container_runtime[NAME].config[KEY]`: settings by allow-list, from `daemon.json`, `config.toml`, `crio.conf` and
//!   `containers.conf`. Proxies, mirrors and registries are not among them: their addresses may hold passwords
//!
//! crun is no Go program, and says nothing of itself in its file.

use std::path::PathBuf;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};
use serde_json::Value as Json;

use crate::go_buildinfo::{self, BuildInfo};
use crate::{Budget, Declared, Host, Source, SourcesConfig, drop_ins};

const FAMILY: &str = "container_runtime";
const MAX_BYTES: usize = 1024 * 1024;

struct Runtime {
    name: &'static str,
    programs: &'static [&'static str],
    /// What the program's main package ends in: another program may have the same name.
    package: &'static str,
    configuration: &'static [&'static str],
    drop_ins: &'static [&'static str],
}

#[rustfmt::skip]
const RUNTIMES: &[Runtime] = &[
    Runtime { name: "docker", programs: &["dockerd"], package: "cmd/dockerd",
              configuration: &["/etc/docker/daemon.json"], drop_ins: &[] },
    Runtime { name: "containerd", programs: &["containerd"], package: "cmd/containerd",
              configuration: &["/etc/containerd/config.toml"], drop_ins: &[] },
    Runtime { name: "cri-o", programs: &["crio"], package: "cmd/crio",
              configuration: &["/etc/crio/crio.conf"], drop_ins: &["/etc/crio/crio.conf.d"] },
    Runtime { name: "runc", programs: &["runc"], package: "opencontainers/runc",
              configuration: &[], drop_ins: &[] },
    Runtime { name: "podman", programs: &["podman"], package: "cmd/podman",
              configuration: &["/usr/share/containers/containers.conf", "/etc/containers/containers.conf"],
              drop_ins: &["/etc/containers/containers.conf.d"] },
];
const DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// The last names of the settings that are sent.
#[rustfmt::skip]
const SETTINGS: &[&str] = &[
    // docker
    "bridge", "cgroup-parent", "cgroupns", "data-root", "default-cgroupns-mode", "default-ipc-mode", "default-runtime",
    "default-shm-size", "default-ulimits", "dns", "exec-opts", "experimental", "features", "icc", "init", "ip-forward", "iptables", "ip6tables",
    "ipv6", "live-restore", "log-driver", "log-level", "log-opts", "max-concurrent-downloads", "mtu", "no-new-privileges",
    "oom-score-adjust", "selinux-enabled", "shutdown-timeout", "storage-driver", "storage-opts", "userland-proxy", "userns-remap",
    // containerd
    "SystemdCgroup", "systemd_cgroup", "sandbox_image", "sandbox", "snapshotter", "default_runtime_name", "runtime_type", "disabled_plugins",
    "max_container_log_line_size", "enable_unprivileged_ports", "enable_unprivileged_icmp", "oom_score", "discard_unpacked_layers",
    "device_ownership_from_security_context", "restrict_oom_score_adj", "disable_apparmor", "enable_selinux",
    // cri-o, podman
    "cgroup_manager", "conmon_cgroup", "default_runtime", "runtime", "pids_limit", "pause_image", "default_sysctls", "default_ulimits",
    "default_capabilities", "log_driver", "log_size_max", "log_size_max_tag", "seccomp_profile", "apparmor_profile", "selinux", "storage_driver",
    "events_logger", "network_backend", "netns", "userns", "ipcns", "utsns", "cgroups", "shm_size", "tz", "umask", "database_backend",
];

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "container_runtime[NAME].version", what: "of docker, containerd, cri-o, runc, podman", from: "build info in the program's file" },
    Declared { path: "container_runtime[NAME].go_version", what: "the Go that built it", from: "the same" },
    Declared { path: "container_runtime[NAME].config[KEY]", what: "a setting, by allow-list", from: "daemon.json, config.toml, crio.conf, containers.conf" },
];

/// See the module.
#[derive(Debug)]
pub struct ContainerRuntime;

impl Source for ContainerRuntime {
    fn name(&self) -> &'static str {
        FAMILY
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &[FAMILY]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn sees_only_files(&self) -> bool {
        true
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new(FAMILY);
        for runtime in RUNTIMES {
            let own = FactPath::keyed(FAMILY, runtime.name);
            match program(host, runtime) {
                Ok(Some(info)) => {
                    note(
                        &mut section,
                        &own,
                        "go_version",
                        Observation::Present(info.go_version.clone().into()),
                    );
                    let version = version(&info)
                        .map_or(Observation::Unreadable(Reason::Unsupported), |version| {
                            Observation::Present(version.into())
                        });
                    note(&mut section, &own, "version", version);
                }
                Ok(None) => {}
                Err(reason) => note(&mut section, &own, "version", Observation::Unreadable(reason)),
            }
            if let Err(reason) = configuration(&mut section, host, budget, runtime) {
                note(&mut section, &own, "config", Observation::Unreadable(reason));
            }
        }
        vec![section.finish()]
    }
}

fn note(section: &mut SectionBuilder, own: &FactPath, name: &str, observation: Observation) {
    if let Ok(path) = own.child(name) {
        section.observe(path, observation);
    }
}

/// What the first of the programs says of itself; `None` where there is none.
fn program(host: &Host, runtime: &Runtime) -> Result<Option<BuildInfo>, Reason> {
    let mut trouble = None;
    for directory in DIRECTORIES {
        for name in runtime.programs {
            match host.open_regular(format!("{directory}/{name}")) {
                Ok(file) => match go_buildinfo::read(&file) {
                    Ok(Some(info)) if info.path.ends_with(runtime.package) => return Ok(Some(info)),
                    // A wrapper, or a program of another kind.
                    Ok(_) => {}
                    Err(error) => trouble = trouble.or(Some(error.reason())),
                },
                Err(error) => trouble = trouble.or(Reason::of_io(&error)),
            }
        }
    }
    trouble.map_or(Ok(None), Err)
}

/// The main module's version; or what the build was told to write into a variable of that name.
fn version(info: &BuildInfo) -> Option<String> {
    let of_module = info.main.as_ref().map(|main| main.version.as_str());
    if let Some(version) = of_module.filter(|version| !matches!(*version, "" | "(devel)")) {
        return Some(version.to_owned());
    }
    let flags = info.settings.iter().find(|(name, _)| name == "-ldflags").map(|(_, value)| value)?;
    let mut assigned = flags.split([' ', '"', '\'']).filter_map(|word| {
        let (variable, value) = word.split_once('=')?;
        let name = variable.rsplit('.').next()?;
        name.eq_ignore_ascii_case("version").then_some(value)
    });
    assigned.next_back().filter(|version| version.contains('.')).map(str::to_owned)
}

/// Notes the settings of every file; what is further down counts.
fn configuration(
    section: &mut SectionBuilder,
    host: &Host,
    budget: &Budget,
    runtime: &Runtime,
) -> Result<(), Reason> {
    let own = FactPath::keyed(FAMILY, runtime.name);
    let files = runtime.configuration.iter().map(PathBuf::from);
    let files = files.chain(drop_ins::files(host, runtime.drop_ins, ".conf")?);
    for file in files {
        let content = drop_ins::read(host, &file, MAX_BYTES)?;
        let text = std::str::from_utf8(&content).map_err(|_| Reason::Malformed)?;
        let json = if file.extension().is_some_and(|extension| extension == "json") {
            if text.trim().is_empty() {
                Ok(Json::Null)
            } else {
                serde_json::from_str(text).map_err(|_| Reason::Malformed)
            }
        } else {
            toml::from_str(text).map_err(|_| Reason::Malformed)
        }?;
        let mut settings = Vec::new();
        flatten(&mut settings, String::new(), &json);
        for (key, value) in settings {
            let path = FactPath::keyed(&format!("{own}.config"), &key);
            budget.spend(path.as_str().len() + value.len())?;
            section.present(path, value);
        }
    }
    Ok(())
}

/// Allowed settings, by the names on the way to them: `plugins.io.containerd.grpc.v1.cri.sandbox_image`.
fn flatten(settings: &mut Vec<(String, String)>, way: String, value: &Json) {
    let last = way.rsplit('.').next().unwrap_or_default();
    match value {
        _ if SETTINGS.contains(&last) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            settings.push((way, text));
        }
        Json::Object(object) => {
            for (name, value) in object {
                let way = if way.is_empty() { name.clone() } else { format!("{way}.{name}") };
                flatten(settings, way, value);
            }
        }
        _ => {}
    }
}

/// The allowed settings and nothing else, for recorded hosts: a configuration of the same kind.
pub(crate) fn redacted(text: &str, is_json: bool) -> String {
    let parsed: Option<Json> =
        if is_json { serde_json::from_str(text).ok() } else { toml::from_str(text).ok() };
    let Some(parsed) = parsed else { return String::new() };
    let kept = kept(&parsed).unwrap_or_else(|| Json::Object(serde_json::Map::new()));
    if is_json {
        return kept.to_string();
    }
    // In TOML an inline table is one line, and JSON's texts, numbers and lists are its own.
    let Json::Object(object) = kept else { return String::new() };
    object.iter().fold(String::new(), |all, (name, value)| {
        format!("{all}{} = {}\n", Json::from(name.as_str()), inline(value))
    })
}

fn kept(value: &Json) -> Option<Json> {
    let Json::Object(object) = value else { return None };
    let part = |(name, value): (&String, &Json)| {
        let whole = SETTINGS.contains(&name.as_str());
        Some((name.clone(), if whole { value.clone() } else { kept(value)? }))
    };
    let parts: serde_json::Map<_, _> = object.iter().filter_map(part).collect();
    (!parts.is_empty()).then_some(Json::Object(parts))
}

fn inline(value: &Json) -> String {
    match value {
        Json::Object(object) => {
            let parts = object
                .iter()
                .map(|(name, value)| format!("{} = {}", Json::from(name.as_str()), inline(value)));
            format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::go_buildinfo::Minimal;

    fn told(files: &[(&str, &[u8])]) -> Vec<String> {
        let root = TempDir::new().unwrap();
        for (path, content) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let budget = Budget::new(Duration::from_secs(60), 1 << 20);
        let host = Host::at(root.path()).unwrap();
        let section = ContainerRuntime.collect(&host, &SourcesConfig::default(), &budget).remove(0);
        let line = |(path, seen): &(FactPath, Observation)| match seen {
            Observation::Present(value) => format!("{path} {value}").replace("container_runtime", "r"),
            other => format!("{path} {other:?}").replace("container_runtime", "r"),
        };
        section.facts().iter().map(line).collect()
    }

    fn program(modinfo: &str) -> Vec<u8> {
        Minimal::default().program("go1.21.6", modinfo)
    }

    const DAEMON: &str = r#"{"log-driver": "local", "log-opts": {"max-size": "10m"}, "mtu": 1450, "proxies":
        {"http-proxy": "http://user:canary@proxy"}, "registry-mirrors": ["https://canary@mirror"]}"#;
    const CONTAINERD: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"pause:3.9\"\n\
        [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n\
        [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.x.auth]\npassword = \"canary\"\n";

    #[test]
    fn versions_come_from_the_programs() {
        let docker = program(
            "path\tgithub.com/docker/docker/cmd/dockerd\nmod\tgithub.com/docker/docker\t(devel)\t\n\
             build\t-ldflags=\"-w -X 'github.com/docker/docker/dockerversion.Version=24.0.7'\"\n",
        );
        let runc =
            program("path\tgithub.com/opencontainers/runc\nmod\tgithub.com/opencontainers/runc\tv1.1.12\t\n");
        let containerd = program("path\tgithub.com/containerd/containerd/cmd/containerd\n");
        let files: [(&str, &[u8]); 4] = [
            ("usr/bin/dockerd", &docker),
            ("usr/sbin/runc", &runc),
            ("usr/bin/containerd", &containerd),
            ("usr/bin/podman", b"#!/bin/sh\n"),
        ];
        assert_eq!(
            told(&files),
            [
                "r[containerd].go_version 1.21.6",
                "r[containerd].version Unreadable(Unsupported)",
                "r[docker].go_version 1.21.6",
                "r[docker].version 24.0.7",
                "r[runc].go_version 1.21.6",
                "r[runc].version v1.1.12",
            ]
        );
    }

    #[test]
    fn settings_by_allow_list() {
        let expected = [
            "r[containerd].config[plugins.io.containerd.grpc.v1.cri.containerd.runtimes.runc.options.SystemdCgroup] true",
            "r[containerd].config[plugins.io.containerd.grpc.v1.cri.sandbox_image] pause:3.9",
            "r[cri-o].config Unreadable(Malformed)",
            "r[docker].config[log-driver] local",
            "r[docker].config[log-opts] {\"max-size\":\"10m\"}",
            "r[docker].config[mtu] 1450",
            "r[podman].config[containers.pids_limit] 4096",
        ];
        let podman = ("etc/containers/containers.conf.d/a.conf", &b"[containers]\npids_limit = 4096\n"[..]);
        let crio = ("etc/crio/crio.conf", &b"[crio\n"[..]);
        let plain = [
            ("etc/docker/daemon.json", DAEMON.as_bytes()),
            ("etc/containerd/config.toml", CONTAINERD.as_bytes()),
        ];
        assert_eq!(told(&[&plain[..], &[podman, crio]].concat()), expected);
        let (docker, containerd) = (redacted(DAEMON, true), redacted(CONTAINERD, false));
        let recorded = [
            ("etc/docker/daemon.json", docker.as_bytes()),
            ("etc/containerd/config.toml", containerd.as_bytes()),
        ];
        assert_eq!(told(&[&recorded[..], &[podman, crio]].concat()), expected);
        assert!(!docker.contains("canary") && !containerd.contains("canary"));
    }
}
