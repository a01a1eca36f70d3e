//! Devices and modules that come and go, as the kernel tells everybody (NETLINK_KOBJECT_UEVENT). Of network
//! interfaces it tells those of the listener's own network namespace.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::readable;

/// The multicast group of the kernel's own events; udev repeats them in another.
const KERNEL: u32 = 1;
/// The kernel's own limit is 2 KiB of variables and a path.
const MAX_BYTES: usize = 8 * 1024;

/// Where a subsystem's news show. Interfaces do not show below /proc/sys: their keys are left out.
const SHOWS: &[(&str, &[&str])] = &[
    ("net", &["/sys/class/net"]),
    ("module", &["/proc/modules", "/sys/module", "/proc/sys"]),
    ("cpu", &["/proc/cpuinfo", "/sys/devices/system/cpu"]),
    ("memory", &["/proc/meminfo"]),
];

/// The socket.
#[derive(Debug)]
pub(super) struct Uevents(AsyncFd<OwnedFd>);

impl Uevents {
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
        Ok(Self(readable(socket)?))
    }

    /// Waits for one event that may matter; the paths at or below which it shows. Waits for ever without a socket.
    pub(super) async fn next(this: Option<&Self>) -> io::Result<&'static [&'static str]> {
        let Some(Self(socket)) = this else { return std::future::pending().await };
        loop {
            if let Some(paths) = socket.async_io(Interest::READABLE, receive).await? {
                return Ok(paths);
            }
        }
    }

    /// What has been told so far.
    pub(super) fn so_far(&self) -> impl Iterator<Item = &'static [&'static str]> {
        std::iter::from_fn(|| receive(self.0.get_ref()).ok()).flatten()
    }
}

/// One event; `None` if it cannot matter.
fn receive(socket: &OwnedFd) -> io::Result<Option<&'static [&'static str]>> {
    let mut message = [0; MAX_BYTES];
    let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut message)?;
    let kernels = from.is_some_and(|from| from.pid() == 0);
    Ok(if kernels { shows(message.get(..length).unwrap_or_default()) } else { None })
}

/// Where an event shows: `ACTION@PATH`, then variables, of which `SUBSYSTEM` is one, each ended by a zero byte.
fn shows(message: &[u8]) -> Option<&'static [&'static str]> {
    let mut variables = message.split(|byte| *byte == 0);
    let subsystem = variables.find_map(|variable| variable.strip_prefix(b"SUBSYSTEM="))?;
    SHOWS.iter().find(|(name, _)| name.as_bytes() == subsystem).map(|(_, paths)| *paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_show_by_subsystem() {
        let added = b"add@/devices/virtual/net/veth0\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=veth0\0SEQNUM=7\0";
        assert_eq!(shows(added), Some(&["/sys/class/net"][..]));
        for other in [
            &b""[..],
            b"add@/x\0SUBSYSTEM=queues\0",
            b"add@/x\0SUBSYSTEM=netdev\0",
            b"SUBSYSTEM",
            b"\xff\0SUBSYSTEM=\xff",
        ] {
            assert_eq!(shows(other), None);
        }
    }
}
