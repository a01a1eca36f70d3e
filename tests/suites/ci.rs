//! The pipelines of docs/ci.md, their scripts run as a runner would: what is documented is what works.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::{Agent, Collector, Machine, programs};
use tempfile::TempDir;

/// The scripts of one pipeline, in order: GitHub's `run: |` blocks, GitLab's `script:` lists.
fn scripts(pipeline: &str) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut lines = pipeline.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = depth(line);
        let is_list = line.trim() == "script:";
        if !is_list && line.trim() != "run: |" {
            continue;
        }
        let mut block = Vec::new();
        while let Some(next) = lines.next_if(|next| next.trim().is_empty() || depth(next) > indent) {
            let next = next.trim();
            block.push(if is_list { next.strip_prefix("- ").unwrap_or(next) } else { next });
        }
        scripts.push(block.join("\n"));
    }
    scripts
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The pipelines of the document: without a collector on GitHub and GitLab, with one on GitHub and GitLab.
fn pipelines() -> Vec<Vec<String>> {
    let document = fs::read_to_string(programs::tree().join("docs/ci.md")).unwrap();
    let blocks: Vec<&str> =
        document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let pipelines: Vec<_> = blocks.into_iter().map(scripts).collect();
    assert_eq!(pipelines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1], "{pipelines:#?}");
    pipelines
}

/// A runner's work directory, with our programs on its path; the agent looks at this machine.
struct Runner {
    work: TempDir,
}

impl Runner {
    fn new(machine: &Machine) -> Self {
        let work = tempfile::tempdir().unwrap();
        let bin = work.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir(work.path().join("ops")).unwrap();
        symlink(programs::path("evenkeel"), bin.join("evenkeel")).unwrap();
        let agent = programs::path("evenkeel-agent");
        let wrapper =
            format!("#!/bin/sh\nexec {} \"$@\" --root {}\n", agent.display(), machine.root().display());
        fs::write(bin.join("evenkeel-agent"), wrapper).unwrap();
        fs::set_permissions(bin.join("evenkeel-agent"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { work }
    }

    fn path(&self) -> &Path {
        self.work.path()
    }

    /// Step by step, until one fails: the last outcome.
    fn run(&self, scripts: &[String], variables: &[(&str, String)]) -> Outcome {
        let mut last = None;
        for script in scripts {
            let mut shell = Command::new("bash");
            let path = format!("{}:/usr/bin:/bin", self.path().join("bin").display());
            shell.args(["-e", "-c", script]).current_dir(self.path()).env_clear().env("PATH", path);
            shell.env("GITHUB_STEP_SUMMARY", self.path().join("summary.md"));
            shell.envs(variables.iter().map(|(name, value)| (name, value)));
            let outcome = run(&mut shell);
            let ended = outcome.code != Some(0);
            last = Some(outcome);
            if ended {
                break;
            }
        }
        last.unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap_or_default()
    }
}

/// Promise: without any server a pipeline says yes to an image that is like production, and no to one that is not, and
/// leaves what the platform shows.
#[test]
fn an_image_is_held_against_production() {
    let prod = Machine::new("prod-1");
    for pipeline in &pipelines()[..2] {
        let image = Machine::new("image");
        let runner = Runner::new(&image);
        let production = Runner::new(&prod);
        production.run(&["evenkeel-agent collect > ops/prod.json".to_owned()], &[]).ok();
        fs::copy(production.path().join("ops/prod.json"), runner.path().join("ops/prod.json")).unwrap();
        let alike = runner.run(pipeline, &[]);
        assert_eq!(alike.code, Some(0), "{alike:#?}");

        image.tzdata("2024a");
        let differs = runner.run(pipeline, &[]);
        assert_eq!(differs.code, Some(1), "{differs:#?}");
        assert!(differs.stdout.contains("tzdata.version"), "{differs:#?}");
        let written =
            [runner.read("summary.md"), runner.read("evenkeel.sarif"), runner.read("evenkeel.xml")].concat();
        assert!(written.contains("tzdata.version"), "{written}");
    }
}

/// Promise: a pipeline with a viewer's certificate asks the collector, from elsewhere, and gets the same answers.
#[test]
fn staging_is_held_against_production() {
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].tzdata("2024a");
    let _agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    collector.user("ci", "viewer");
    let file = |name: &str| collector.directory().join(name);
    let text = |name: &str| fs::read_to_string(file(name)).unwrap();
    let url = ("EVENKEEL_COLLECTOR", collector.url());
    let [github, gitlab] = [&pipelines()[2], &pipelines()[3]];
    let secrets =
        [("CERT", text("ci.cert.pem")), ("KEY", text("ci.key.pem")), ("CA", text("ca.pem")), url.clone()];
    let files = [
        ("EVENKEEL_CERT", file("ci.cert.pem").display().to_string()),
        ("EVENKEEL_KEY", file("ci.key.pem").display().to_string()),
        ("EVENKEEL_CA", file("ca.pem").display().to_string()),
        url,
    ];
    for (pipeline, variables) in [(github, &secrets), (gitlab, &files)] {
        let runner = Runner::new(&machines[0]);
        let outcome = runner.run(pipeline, variables);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert!(runner.read("evenkeel.xml").contains("tzdata.version"), "{outcome:#?}");
    }
}
