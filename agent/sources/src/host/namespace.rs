//! Whether this process stands where the host stands.

use super::Host;

impl Host {
    /// Whether `/proc/sys/net` shows the host's network settings. The kernel answers there with the settings of the
    /// *reader's* network namespace, whichever mount of /proc is read: in a pod without `hostNetwork` these are the
    /// pod's. The files in `/proc/PID/net` have one inode number per namespace, which needs no permission to see.
    ///
    /// The live machine is by definition what this process sees, and a recorded host has no processes of its own.
    pub fn shares_network(&self) -> bool {
        let number =
            |process: &str| self.stat(format!("/proc/{process}/net/dev")).map(|stat| (stat.dev, stat.ino));
        self.is_live()
            || match (number("1"), number("self")) {
                (Ok(first), Ok(own)) => first == own,
                (Err(_), Err(_)) => true,
                _ => false,
            }
    }

    /// Whether `/proc/sys/kernel/hostname` is the host's name: below a root with running processes it is the name of
    /// the reader's own namespace.
    pub fn is_own_name(&self) -> bool {
        self.is_live() || !self.exists("/proc/self")
    }
}
