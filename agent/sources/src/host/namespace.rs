//! Whether this process stands where the host stands.

use super::Host;

/// `PROC_IPC_INIT_INO` of linux/proc_ns.h.
const INITIAL_IPC: &str = "ipc:[4026531839]";

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

    /// Whether System V and POSIX queues under `/proc/sys` are the host's: like the network's, they are the *reader's*.
    /// In which namespace the first process is, is told only to who may trace it; but the one that the machine booted
    /// with has a number of its own.
    pub fn shares_ipc(&self) -> bool {
        let namespace = |process: &str| self.read_link(format!("/proc/{process}/ns/ipc"));
        self.is_live()
            || match namespace("self") {
                Ok(own) => own.as_os_str() == INITIAL_IPC || namespace("1").is_ok_and(|first| first == own),
                // A recorded host has no reader in it.
                Err(_) => true,
            }
    }

    /// Whether `/proc/sys/kernel/hostname` is the host's name: below a root with running processes it is the name of
    /// the reader's own namespace.
    pub fn is_own_name(&self) -> bool {
        self.is_live() || !self.exists("/proc/self")
    }
}
