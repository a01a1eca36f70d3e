//! The lines of sysctl.d(5) files, and which of them count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::rules::{self, Treatment};

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) value: Vec<u8>,
    pub(super) file: Arc<PathBuf>,
    /// From 1.
    pub(super) number: usize,
}

/// What the files read so far say together.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// By key, as a path below /proc/sys. Without a line: a key that no pattern may set (`-net.ipv4.conf.lo.rp_filter`).
    assigned: BTreeMap<String, (Option<Line>, usize)>,
    /// Counts assignments: patterns take effect in the order in which they were first written.
    next: usize,
}

impl Settings {
    /// Reads one more file. A line that is no assignment is passed over, as systemd does.
    pub(super) fn read(&mut self, file: &Path, content: &[u8]) {
        let file = Arc::new(file.to_owned());
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if matches!(line.first(), None | Some(b'#' | b';')) {
                continue;
            }
            let (key, value) = match line.iter().position(|byte| *byte == b'=') {
                // A failure to set a key with a dash before it is no failure; it is set all the same.
                Some(at) => {
                    (line[..at].strip_prefix(b"-").unwrap_or(&line[..at]), Some(line[at + 1..].trim_ascii()))
                }
                None => match line.strip_prefix(b"-") {
                    Some(key) => (key, None),
                    None => continue,
                },
            };
            let key = normal(&String::from_utf8_lossy(key.trim_ascii()));
            if key.is_empty() {
                continue;
            }
            let line = value.map(|value| Line { value: value.to_owned(), file: Arc::clone(&file), number });
            self.assign(key, line);
        }
    }

    fn assign(&mut self, key: String, line: Option<Line>) {
        let value = |line: &Option<Line>| line.as_ref().map(|line| line.value.clone());
        // The same value again does not move a pattern to the end, but this line is the one that decides now.
        let order = match self.assigned.get(&key) {
            Some((known, order)) if value(known) == value(&line) => *order,
            _ => self.next,
        };
        self.next += 1;
        self.assigned.insert(key, (line, order));
    }

    /// Whether a line names this very key, be it to keep patterns away.
    pub(super) fn names(&self, key: &str) -> bool {
        self.assigned.contains_key(key)
    }

    /// Keys that are set, patterns apart.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.lines().filter(|(key, ..)| !is_pattern(key)).map(|(key, line, _)| (key, line))
    }

    /// Patterns in the order in which they take effect: of two that fit one key the later counts.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (&str, &Line)> {
        let mut patterns: Vec<_> = self.lines().filter(|(key, ..)| is_pattern(key)).collect();
        patterns.sort_by_key(|(_, _, order)| *order);
        patterns.into_iter().map(|(key, line, _)| (key, line))
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &Line, usize)> {
        self.assigned.iter().filter_map(|(key, (line, order))| Some((key.as_str(), line.as_ref()?, *order)))
    }
}

/// The assignments, each on its line, and nothing else: comments may say anything. For recorded hosts.
pub(crate) fn redacted(text: &str) -> String {
    let line = |line: &str| {
        let line = line.trim();
        let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) else {
            return if line.starts_with('-') { line.to_owned() } else { "#".to_owned() };
        };
        match rules::of(&dotted(&normal(key.trim().trim_start_matches('-').trim()))) {
            Treatment::SetOrUnset => format!("{key}= 1"),
            Treatment::Send | Treatment::Leave => line.to_owned(),
        }
    };
    text.lines().fold(String::new(), |all, each| all + &line(each) + "\n")
}

fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// The key as a path below /proc/sys. If its first separator is a dot, dots and slashes change places.
fn normal(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'.' => swapped(key),
        _ => key.to_owned(),
    }
}

/// A path below /proc/sys as sysctl(8) prints it: `net.ipv4.conf.eth0/1.forwarding`.
pub(super) fn dotted(path: &str) -> String {
    swapped(path)
}

fn swapped(text: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    text.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Settings {
        let mut settings = Settings::default();
        for (at, content) in files.iter().enumerate() {
            settings.read(Path::new(&format!("/{at}.conf")), content.as_bytes());
        }
        settings
    }

    fn told<'a>(lines: impl Iterator<Item = (&'a str, &'a Line)>) -> Vec<String> {
        let text = |line: &Line| String::from_utf8_lossy(&line.value).into_owned();
        lines
            .map(|(key, line)| format!("{key}={} {}:{}", text(line), line.file.display(), line.number))
            .collect()
    }

    #[test]
    fn the_last_line_counts() {
        let settings = read(&[
            "# comment\n; comment\n\nvm.swappiness = 10\nnet/ipv4/ip_forward=1\nno assignment\n-vm.swappiness=5 # kept\n",
            "  net.ipv4.ip_forward =  0  \nkernel.core_pattern=|/bin/a b=c\n=3\n",
        ]);
        assert_eq!(
            told(settings.keys()),
            [
                "kernel/core_pattern=|/bin/a b=c /1.conf:2",
                "net/ipv4/ip_forward=0 /1.conf:1",
                "vm/swappiness=5 # kept /0.conf:7",
            ]
        );
    }

    #[test]
    fn comments_and_secrets_stay_on_the_machine() {
        let text =
            "# canary\nvm.swappiness = 10\n\n-a.b\n- net.ipv4.tcp_fastopen_key = ca-na-ry\nstray canary\n";
        assert_eq!(redacted(text), "#\nvm.swappiness = 10\n#\n-a.b\n- net.ipv4.tcp_fastopen_key = 1\n#\n");
    }

    #[test]
    fn dots_and_slashes_change_places() {
        for (key, path) in [
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("single", "single"),
        ] {
            assert_eq!(normal(key), path);
        }
        assert_eq!(dotted("net/ipv4/conf/eth0.1/forwarding"), "net.ipv4.conf.eth0/1.forwarding");
    }

    #[test]
    fn patterns_keep_their_order_and_spare_what_is_named() {
        let settings = read(&["a.*.x=1\na.b*.x=2\n-a.c.x\na.*.x=1\n"]);
        assert_eq!(told(settings.patterns()), ["a/*/x=1 /0.conf:4", "a/b*/x=2 /0.conf:2"]);
        assert!(settings.names("a/c/x") && told(settings.keys()).is_empty());
        let settings = read(&["a.*.x=1\na.b*.x=2\na.*.x=3\n"]);
        assert_eq!(told(settings.patterns()), ["a/b*/x=2 /0.conf:2", "a/*/x=3 /0.conf:3"]);
    }
}
