//! The program `evenkeel`, run to its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use evenkeel_drift::Report;
use evenkeel_render::history::History;
use evenkeel_render::nodes::Nodes;
use serde::de::DeserializeOwned;

use super::programs;

/// `evenkeel`, pointed at one collector.
#[derive(Debug, Clone)]
pub struct Cli {
    place: Vec<String>,
    /// Where contexts are kept; `None`: nowhere.
    home: Option<PathBuf>,
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; `None`: killed by a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Cli {
    /// Pointed nowhere: for commands that need no collector.
    pub fn alone() -> Self {
        Self { place: Vec::new(), home: None }
    }

    /// A person who logs in, and keeps contexts in this directory.
    pub fn person(home: &Path) -> Self {
        Self { place: Vec::new(), home: Some(home.to_owned()) }
    }

    /// Pointed at the collector with this data directory on this machine.
    pub fn local(data_dir: &Path) -> Self {
        Self { place: vec!["--data-dir".into(), data_dir.display().to_string()], home: None }
    }

    /// Pointed at a collector elsewhere, as the user whose files `evenkeel user create NAME` wrote there.
    pub fn remote(url: &str, directory: &Path, name: &str) -> Self {
        let file = |file: &str| directory.join(file).display().to_string();
        let (cert, key) = (file(&format!("{name}.cert.pem")), file(&format!("{name}.key.pem")));
        let place = ["--collector", url, "--cert", &cert, "--key", &key, "--ca", &file("ca.pem")];
        Self { place: place.map(str::to_owned).to_vec(), home: None }
    }

    /// The command, to be run by the test itself. What the caller's environment says of collectors is left out.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs::path("evenkeel"));
        command.args(arguments).args(&self.place).stdin(Stdio::null()).env("XDG_STATE_HOME", "/nowhere");
        command.env("XDG_CONFIG_HOME", self.home.as_deref().unwrap_or(Path::new("/nowhere")));
        for variable in ["DATA_DIR", "COLLECTOR", "CONTEXT", "CERT", "KEY", "CA"] {
            command.env_remove(format!("EVENKEEL_{variable}"));
        }
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    /// Runs it; it must succeed. Its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// Runs it with `-o json`; it must succeed, and print what the type promises.
    ///
    /// # Panics
    ///
    /// When it prints anything else.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{text}"))
    }

    /// The report, with these arguments.
    pub fn report(&self, arguments: &[&str]) -> Report {
        self.json(&[&["report"], arguments].concat())
    }

    /// The nodes.
    pub fn nodes(&self) -> Nodes {
        self.json(&["nodes"])
    }

    /// The history of one fact on one node.
    pub fn history(&self, node: &str, path: &str) -> History {
        self.json(&["history", "--node", node, "--path", path])
    }

    /// The value of one fact of a node as it is shown; `None`: the node does not report it.
    pub fn fact(&self, node: &str, path: &str) -> Option<String> {
        let facts: evenkeel_render::facts::Facts = self.json(&["facts", node]);
        facts.facts.into_iter().find(|fact| fact.path == path).map(|fact| fact.value)
    }
}

impl Outcome {
    /// Of a program that has run.
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// It must have succeeded. Its output.
    ///
    /// # Panics
    ///
    /// When it has not.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// It must have failed with this code, have said this, and have printed nothing.
    ///
    /// # Panics
    ///
    /// When it has not.
    pub fn refused(self, code: i32, said: &str) {
        assert_eq!(self, Self { code: Some(code), stdout: String::new(), stderr: said.to_owned() });
    }

    /// The same, where the system's timing decides which of several texts is said.
    ///
    /// # Panics
    ///
    /// When it has not.
    pub fn refused_with_one_of(self, code: i32, said: &[String]) {
        assert!(said.contains(&self.stderr), "{self:#?} is none of {said:#?}");
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""));
    }
}

/// Runs a program to its end.
///
/// # Panics
///
/// When it cannot be started.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output();
    Outcome::of(output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
}

/// Runs a program of the test machine; it must succeed. Its output.
pub fn tool<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> String {
    run(Command::new(program).args(arguments).stdin(Stdio::null())).ok()
}

/// One of the scripts in `tests/hosts`.
pub fn script(name: &str) -> PathBuf {
    programs::tree().join("tests/hosts").join(name)
}
