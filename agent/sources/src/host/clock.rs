//! Whether the kernel's clock is kept right, as whoever keeps it has told the kernel (adjtimex(2)): chrony, ntpd,
//! systemd-timesyncd and all others do. To ask needs no permission.

use std::io;
use std::path::Path;

use evenkeel_facts::observation::HiddenBySandbox;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use rtime_clock::adjtime::{Timex, adjtimex};

use super::{Host, read_to_end};

/// Where a recorded host says it, below its root: `true` or `false`.
pub const CLOCK: &str = "/.evenkeel-clock";
/// The largest error, in microseconds, that the kernel counts to when nobody corrects it any more (NTP_PHASE_LIMIT of
/// linux/timex.h): it gets there 9 hours after the last correction, and begins there. `timedatectl` looks at the same.
const LOST: i64 = 16_000_000;

impl Host {
    /// Whether the clock is kept right; `None` where the machine is not this kernel's, as below the root of a disk. A
    /// sandbox may forbid to ask.
    pub fn clock_is_synchronised(&self) -> io::Result<Option<bool>> {
        let is = self.ask_clock();
        self.bear_witness_of_clock(is.as_ref().ok().copied().flatten());
        is
    }

    /// The same without a trace; `None` also where it may not be asked.
    pub(super) fn clock_now(&self) -> Option<bool> {
        self.ask_clock().ok().flatten()
    }

    fn ask_clock(&self) -> io::Result<Option<bool>> {
        if !self.is_live() {
            if let Ok(file) = self.reopen_regular(Path::new(CLOCK)) {
                let text = read_to_end(file, 16)?;
                return Ok(std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()));
            }
            if !self.is_of_this_kernel() {
                return Ok(None);
            }
        }
        of_this_kernel().map(Some)
    }

    /// Whether processes of this kernel are seen below the root.
    fn is_of_this_kernel(&self) -> bool {
        let processes = self.open(Path::new("/proc"), OFlag::O_PATH | OFlag::O_DIRECTORY);
        processes
            .ok()
            .and_then(|processes| fstatfs(&processes).ok())
            .is_some_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC)
    }
}

fn of_this_kernel() -> io::Result<bool> {
    let mut clock = Timex::new();
    match adjtimex(&mut clock) {
        Ok(_) => Ok(is_right(clock.0.maxerror)),
        // Only a filter of system calls refuses a question that changes nothing.
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, HiddenBySandbox))
        }
        Err(error) => Err(error),
    }
}

fn is_right(greatest_error: impl Into<i64>) -> bool {
    greatest_error.into() < LOST
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Promise: it is what the kernel says; `timedatectl` and `chronyc` read the same.
    #[test]
    fn the_kernel_is_asked_of_the_live_machine_only() {
        let root = tempfile::tempdir().unwrap();
        let told = |host: Host| host.clock_is_synchronised().unwrap();
        assert_eq!(told(Host::at(root.path()).unwrap()), None);
        for (text, is) in [("true\n", Some(true)), ("false\n", Some(false)), ("?", None)] {
            fs::write(root.path().join(&CLOCK[1..]), text).unwrap();
            assert_eq!(told(Host::at(root.path()).unwrap()), is);
        }
        assert!(told(Host::live()).is_some());
        assert!(is_right(0) && is_right(LOST - 1) && !is_right(LOST));
    }
}
