//! A real OpenSSH server on an address of its own, for this user, with its own keys and configuration.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::Process;
use evenkeel_tests::harness::cli::tool;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use evenkeel_tests::harness::wait;
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

pub(crate) struct Server {
    directory: TempDir,
    _process: Process,
}

impl Server {
    /// Starts it; `path` stands in front of the hosts' path. `None`: there is no sshd here.
    pub(crate) fn start(path: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() || !has_command("ssh") {
            skipped("scan", "sshd or ssh is not there (packages openssh-server and openssh-client)");
            return None;
        }
        if is_root() {
            // Where it drops its privileges; the package's service makes it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        fs::create_dir(at("tmp")).unwrap();
        for key in ["host", "user"] {
            tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
        }
        fs::copy(at("user.pub"), at("authorized")).unwrap();
        let [port, closed] = free_ports();
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {host}\nAuthorizedKeysFile {authorized}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSetEnv TMPDIR={tmp} PATH={path}/usr/bin:/bin\n",
            host = at("host"),
            authorized = at("authorized"),
            tmp = at("tmp"),
        );
        fs::write(at("sshd_config"), config).unwrap();
        let key = fs::read_to_string(at("host.pub")).unwrap();
        fs::write(at("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
        let client = format!(
            "Host gone\n  Port {closed}\nHost *\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {identity}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n",
            identity = at("user"),
            known = at("known"),
        );
        fs::write(at("ssh_config"), client).unwrap();
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-e", "-f", &at("sshd_config")]);
        let process = Process::start("sshd", sshd, &directory.path().join("sshd.log"));
        wait::until(|| {
            let log = fs::read_to_string(at("sshd.log")).unwrap_or_default();
            if log.contains("Server listening") { Ok(()) } else { Err(log) }
        });
        Some(Self { directory, _process: process })
    }

    /// What to call to reach it: hosts `web-1`, `web-2` and any other, and `gone`, where nobody listens.
    pub(crate) fn ssh(&self) -> String {
        format!("ssh -F {}", self.directory.path().join("ssh_config").display())
    }

    /// What stands in the hosts' directory for temporary files.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("tmp")).unwrap();
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

/// Two ports that were free a moment ago, no two the same.
fn free_ports() -> [u16; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A script, whole before it can be run.
pub(crate) fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
