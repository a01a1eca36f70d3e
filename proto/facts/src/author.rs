//! Who changed something, as far as it could be seen while it was done. Best effort: a process may have ended before
//! anybody could look at it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// As many are kept of one commit.
pub const MAX_AUTHORS: usize = 64;
/// The longest text about one, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// Who wrote one of the kernel's files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Author {
    /// What was written: a fact's path such as `sysctl.net.core.somaxconn`, or a file's.
    pub path: String,
    /// The process, by its number on the node.
    pub pid: u32,
    /// The name of its program; empty: it had ended.
    pub command: String,
    /// The user that it ran as.
    pub user: String,
    /// The user who had logged in, which `sudo` does not change; empty: nobody had, or the node does not keep it.
    pub login: String,
    /// The systemd unit (`ssh.service`) or the container that it belonged to; empty: none.
    pub unit: String,
}

impl Author {
    /// Whether every text is short and has no control characters.
    pub fn is_sound(&self) -> bool {
        let Self { path, pid: _, command, user, login, unit } = self;
        let is_sound = |text: &String| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
        [path, command, user, login, unit].into_iter().all(is_sound)
    }
}

/// `sysctl (4711), user root, login ada, ssh.service`
impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path: _, pid, command, user, login, unit } = self;
        match command.as_str() {
            "" => write!(f, "process {pid}, which had ended")?,
            command => write!(f, "{command} ({pid})")?,
        }
        for (word, text) in [("user ", user), ("login ", login), ("", unit)] {
            if !text.is_empty() {
                write!(f, ", {word}{text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_far_as_it_is_known() {
        let all = Author {
            path: "sysctl.vm.swappiness".into(),
            pid: 4711,
            command: "sysctl".into(),
            user: "root".into(),
            login: "ada".into(),
            unit: "ssh.service".into(),
        };
        assert_eq!(all.to_string(), "sysctl (4711), user root, login ada, ssh.service");
        let ended = Author { pid: 7, ..Author::default() };
        assert_eq!(ended.to_string(), "process 7, which had ended");
        assert!(all.is_sound());
        assert!(!Author { command: "a\x1b[2J".into(), ..ended.clone() }.is_sound());
        assert!(!Author { user: "x".repeat(257), ..ended }.is_sound());
    }
}
