//! Secrets are where they belong and nowhere else: a whole story is told with everything logged, and all that it wrote
//! is searched for every secret that it made.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_runtime::keys::Key;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, Settings};

/// A secret in one of the forms that it could stand somewhere.
struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    /// Of a token: what stands behind its last dot.
    fn of_token(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let secret = text.trim().rsplit('.').next().unwrap().as_bytes().to_vec();
        assert!(secret.len() >= 32);
        let shouted = secret.to_ascii_uppercase();
        Self { name: format!("the token in {}", file.display()), forms: vec![secret, shouted] }
    }

    /// Of a key file: its text, its bytes, and the number that is the key (P-256 in PKCS#8: 32 bytes behind the last
    /// "04 20").
    fn of_key(file: &Path) -> Self {
        let pem = fs::read_to_string(file).unwrap();
        let lines =
            pem.lines().filter(|line| !line.starts_with("-----")).map(|line| line.as_bytes().to_vec());
        let mut forms: Vec<Vec<u8>> = lines.filter(|line| line.len() >= 32).collect();
        let der = Key::from_pem(&pem).unwrap().to_der().secret_der().to_vec();
        let at = der.windows(2).position(|pair| pair == [4, 32]).unwrap() + 2;
        let number = der[at..at + 32].to_vec();
        let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap();
        let hex: String = number.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        let listed = format!("{number:?}").trim_matches(['[', ']']).to_owned();
        forms.extend([hex.to_uppercase().into_bytes(), hex.into_bytes(), listed.into_bytes(), number, der]);
        Self { name: format!("the key in {}", file.display()), forms }
    }
}

/// Whether one of these secrets stands in a text: its name.
struct Search<'a> {
    secrets: &'a [Secret],
    /// By their first two bytes: a full log is long, and read once.
    begins: Vec<bool>,
}

impl<'a> Search<'a> {
    fn of(secrets: &'a [Secret]) -> Self {
        let mut begins = vec![false; 1 << 16];
        for form in secrets.iter().flat_map(|secret| &secret.forms) {
            begins[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
        }
        Self { secrets, begins }
    }

    fn found(&self, bytes: &[u8]) -> Option<&'a str> {
        let places = bytes.windows(2).enumerate();
        let likely = places.filter(|(_, pair)| self.begins[usize::from(pair[0]) << 8 | usize::from(pair[1])]);
        let is_at =
            |at: usize, secret: &Secret| secret.forms.iter().any(|form| bytes[at..].starts_with(form));
        let mut found = likely.filter_map(|(at, _)| self.secrets.iter().find(|secret| is_at(at, secret)));
        found.next().map(|secret| secret.name.as_str())
    }
}

/// Every file below these directories, with its content.
fn files(directories: &[&Path]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = directories.iter().map(|path| path.to_path_buf()).collect();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// The same command under this umask, with everything logged.
fn wrapped(umask: &str) -> Vec<OsString> {
    let script = format!("umask {umask}; exec \"$@\"");
    ["sh", "-c", &script, "sh", "env", "EVENKEEL_LOG=trace"].map(OsString::from).to_vec()
}

/// What `evenkeel` printed under this umask; it must succeed.
fn cli(umask: &str, cli: &Cli, arguments: &[&str]) -> String {
    let inner = cli.command(arguments);
    let mut words = wrapped(umask);
    words.extend(std::iter::once(inner.get_program()).chain(inner.get_args()).map(ToOwned::to_owned));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let outcome = run(&mut command);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:#?}");
    format!("{}{}", outcome.stdout, outcome.stderr)
}

/// Enrols, reports, invites, logs in, renews, revokes; then looks at everything that was written or is to be seen.
fn story(umask: &str) {
    let settings = Settings { by: wrapped(umask), ..Settings::default() };
    let mut collector = Collector::start(&settings);
    let here = collector.directory().to_owned();
    let at = |name: &str| here.join(name).display().to_string();
    let local = collector.cli();
    let mut said = Vec::new();
    let machine = Machine::new("web-1");
    let mut node = machine.node("dev");
    node.by = wrapped(umask);
    let mut agent = Agent::start(&collector, node);
    agent.wait_acknowledged();

    said.push(cli(umask, &local, &["token", "create", "--env", "prod", "--token-file", &at("node.token")]));
    said.push(cli(
        umask,
        &local,
        &["user", "invite", "ada", "--role", "admin", "--token-file", &at("ada.token")],
    ));
    let home = here.join("home");
    fs::create_dir(&home).unwrap();
    let ada = Cli::person(&home);
    let url = collector.enroll_url();
    let login = ["login", "--collector", &url, "--token-file", &at("ada.token"), "--context", "main"];
    said.push(cli(umask, &ada, &login));
    said.push(cli(umask, &ada, &["login"]));
    said.push(cli(umask, &ada, &["user", "create", "tool", "--directory", &at("tool")]));
    said.push(cli(umask, &ada, &["token", "list", "-o", "json"]));
    said.push(cli(umask, &ada, &["user", "list", "-o", "json"]));
    said.push(cli(umask, &ada, &["audit", "-o", "json"]));
    said.push(cli(umask, &ada, &["context", "list", "-o", "json"]));
    said.push(cli(umask, &local, &["user", "revoke", "tool"]));
    said.push(cli(umask, &local, &["token", "revoke", &id(&here.join("node.token"))]));
    said.push(cli(umask, &local, &["node", "evict", "web-1"]));
    agent.process().wait_for("Report not delivered.", |_| true);

    let agent_home = agent.state_dir().parent().unwrap().to_owned();
    let (data, own) = (collector.data_dir(), home.join("evenkeel/contexts/main/key.pem"));
    let written = files(&[&here, &agent_home]);
    let is_key = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        path.extension().is_some_and(|extension| extension == "key")
            || name == "key.pem"
            || name.ends_with(".key.pem")
    };
    let keys: Vec<&PathBuf> = written.keys().filter(|path| is_key(path)).collect();
    let mine = |below: &Path| keys.iter().filter(|path| path.starts_with(below)).count();
    assert!(mine(&data) >= 6 && mine(&agent_home) == 1 && keys.contains(&&own), "{keys:#?}");
    let tokens = [here.join("node.token"), here.join("ada.token")];
    let secrets: Vec<Secret> = tokens
        .iter()
        .map(|file| Secret::of_token(file))
        .chain(keys.iter().map(|file| Secret::of_key(file)))
        .collect();
    let search = Search::of(&secrets);

    for (path, content) in &written {
        let holds_what_it_should =
            is_key(path) || path.extension().is_some_and(|extension| extension == "token");
        match search.found(content) {
            Some(secret) => assert!(holds_what_it_should, "{secret} is in {}", path.display()),
            None => assert!(!holds_what_it_should, "{} holds nothing secret", path.display()),
        }
        if holds_what_it_should || path.starts_with(&data) || path.starts_with(home.join("evenkeel")) {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    for directory in [&data, &data.join("ca"), &home.join("evenkeel"), &home.join("evenkeel/contexts/main")] {
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700, "{}", directory.display());
    }
    // Everything was logged: what is not there was not said, not left out.
    let log = &written[&here.join("collector.log")];
    let contains = |what: &str| log.windows(what.len()).any(|window| window == what.as_bytes());
    assert!(
        contains("\"level\":\"trace\"") && contains("User logged in."),
        "the collector's log is not a full one"
    );

    let mut seen: Vec<(String, Vec<u8>)> =
        said.into_iter().map(|text| ("what was printed".to_owned(), text.into())).collect();
    for (name, process) in [("collector", collector.process().id()), ("agent", agent.process().id())] {
        for file in ["cmdline", "environ"] {
            let content = fs::read(format!("/proc/{process}/{file}")).unwrap();
            assert!(!content.is_empty());
            seen.push((format!("{file} of the {name}"), content));
        }
    }
    for (place, content) in &seen {
        assert_eq!(search.found(content), None, "in {place}");
    }
}

fn id(token: &Path) -> String {
    fs::read_to_string(token).unwrap().split('.').nth(2).unwrap().to_owned()
}

/// Promise: token secrets and private keys are in no log, no argument, no output and nowhere in the database, and their
/// files are for their owner only, also when the umask would let everybody read them.
#[test]
fn nowhere_else_under_an_open_umask() {
    story("000");
}

/// Promise: the same under the strictest umask, and everything works.
#[test]
fn nowhere_else_under_a_strict_umask() {
    story("077");
}
