//! Programs that start, told by the kernel when they do (the process connector, linux/cn_proc.h). It tells it whoever is in
//! the machine's own PID and network namespaces: root, with Linux 6.6 everybody. Elsewhere they are found by the sweep.
//!
//! A machine starts programs without end. Only a Go program that was built here or elsewhere, and is no part of Go itself,
//! is news; whether a file is one is looked at once.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use evenkeel_sources::Host;
use evenkeel_sources::go_buildinfo::{self, BuildInfoError};
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use tokio::sync::Notify;

/// CN_IDX_PROC and CN_VAL_PROC, and the multicast group.
const PROCESSES: u32 = 1;
/// PROC_CN_MCAST_LISTEN.
const LISTEN: u32 = 1;
/// PROC_EVENT_NONE: an answer. PROC_EVENT_EXEC: a process has become another program.
const ANSWER: u32 = 0;
const EXEC: u32 = 2;
/// NLMSG_DONE.
const DONE: u16 = 3;
/// Lengths of struct nlmsghdr and struct cn_msg, in bytes.
const HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
const MAX_BYTES: usize = 1024;
/// So long after the first, more are waited for: where many programs start, most have ended by then, and are not looked at.
/// A build starts a hundred in a second: with 5 ms each of its programs woke this thread, which took 0.3 % of a processor.
const PAUSE: Duration = Duration::from_millis(50);
/// Room for what the kernel tells meanwhile. Linux doubles it, and a message takes 832 bytes of that: 2,520 fit. Before 6.6 a
/// program that starts and ends is three messages: with the 208 KiB that every socket has, 2,900 programs in a second were
/// too many for each PAUSE. These are room for 16,800.
const BUFFER: usize = 1024 * 1024;
/// As many files are known for what they are; then all are looked at anew.
const MAX_KNOWN: usize = 4096;

/// Hears of programs that start.
#[derive(Debug)]
pub struct Starts(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    of_go: AtomicBool,
    news: Notify,
}

/// What the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The answer to the request with this number: an errno, or 0.
    Answer {
        /// The number of the request.
        to: u32,
        /// An errno, or 0.
        error: u32,
    },
    /// This process runs another program now.
    Exec(u32),
}

impl Starts {
    /// Listens from now on, on a thread of its own: to look at a program may take time. Fails where the kernel does not
    /// tell.
    pub fn listen(host: Host) -> io::Result<Self> {
        let socket = connect()?;
        let heard = Arc::<Heard>::default();
        let mut programs = Programs { host, known: HashMap::new() };
        let tell = Arc::clone(&heard);
        thread::Builder::new().name("starts".to_owned()).stack_size(128 * 1024).spawn(move || {
            while let Ok(started) = started(&socket) {
                // What was lost may have been one.
                if started.is_none_or(|pids| pids.into_iter().any(|pid| programs.is_go(pid))) {
                    tell.of_go.store(true, Ordering::Release);
                    tell.news.notify_one();
                }
            }
        })?;
        Ok(Self(heard))
    }

    /// Waits for a Go program that starts; for ever without a listener.
    pub(super) async fn next(this: Option<&Self>) {
        let Some(Self(heard)) = this else { return std::future::pending().await };
        while !heard.of_go.swap(false, Ordering::AcqRel) {
            heard.news.notified().await;
        }
    }

    /// Whether one has started and nobody was told.
    pub(super) fn so_far(&self) -> bool {
        self.0.of_go.swap(false, Ordering::AcqRel)
    }
}

/// A socket on which the kernel tells of programs that start.
fn connect() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))?;
    // Who may not go beyond the machine's limit has what that allows. Before 6.6 only those are told who may.
    set_socket_recv_buffer_size_force(&socket, BUFFER)
        .or_else(|_| set_socket_recv_buffer_size(&socket, BUFFER))?;
    bind(&socket, &SocketAddrNetlink::new(0, PROCESSES))?;
    let number = std::process::id();
    if !ask(&socket, number)? {
        // From another namespace nobody is answered.
        return Err(io::ErrorKind::Unsupported.into());
    }
    // Of programs that start only. Kernels before 6.6 know no choice, and go on telling all.
    send(&socket, &request(number, &[LISTEN, EXEC]), SendFlags::empty())?;
    Ok(socket)
}

/// Waits for processes that became other programs; `None`: some were not heard of.
fn started(socket: &OwnedFd) -> Result<Option<BTreeSet<u32>>, Errno> {
    let mut pids = BTreeSet::new();
    let mut flags = RecvFlags::empty();
    let mut lost = false;
    loop {
        match next(socket, flags) {
            Ok(Some(Said::Exec(pid))) => {
                if pids.insert(pid) && pids.len() == 1 && flags.is_empty() {
                    thread::sleep(PAUSE);
                    flags = RecvFlags::DONTWAIT;
                }
            }
            Ok(Some(Said::Answer { .. }) | None) | Err(Errno::INTR) => {}
            Err(Errno::NOBUFS) => lost = true,
            Err(Errno::AGAIN) => return Ok((!lost).then_some(pids)),
            Err(error) => return Err(error),
        }
        if lost {
            flags = RecvFlags::DONTWAIT;
        }
    }
}

fn next(socket: &OwnedFd, flags: RecvFlags) -> Result<Option<Said>, Errno> {
    let mut message = [0_u8; MAX_BYTES];
    let (_, length) = recv(socket, &mut message, flags)?;
    Ok(parse(message.get(..length).unwrap_or_default()))
}

/// Asks to be told. Whether the kernel has answered: it does so at once.
fn ask(socket: &OwnedFd, number: u32) -> io::Result<bool> {
    send(socket, &request(number, &[LISTEN]), SendFlags::empty())?;
    loop {
        match next(socket, RecvFlags::DONTWAIT) {
            Ok(Some(Said::Answer { to, error: 0 })) if to == number => return Ok(true),
            Ok(Some(Said::Answer { to, error })) if to == number => {
                return Err(io::Error::from_raw_os_error(i32::try_from(error).unwrap_or(i32::MAX)));
            }
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A message to the process connector.
fn request(number: u32, content: &[u32]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
    let content = words(content);
    let length = u16::try_from(content.len()).unwrap_or(0);
    let mut message = words(&[u32::try_from(HEADER + CONNECTOR_HEADER + content.len()).unwrap_or(0)]);
    message.extend([DONE, 0].into_iter().flat_map(u16::to_ne_bytes));
    message.extend(words(&[number, 0, PROCESSES, PROCESSES, 0, number]));
    message.extend([length, 0].into_iter().flat_map(u16::to_ne_bytes));
    message.extend(content);
    message
}

/// A message of the process connector: two headers, what happened, the processor, the time in 8 bytes, and what belongs
/// to it. `None`: it is of no interest, or no such message.
pub fn parse(message: &[u8]) -> Option<Said> {
    let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    if (word(HEADER)?, word(HEADER + 4)?) != (PROCESSES, PROCESSES) {
        return None;
    }
    let event = HEADER + CONNECTOR_HEADER;
    match word(event)? {
        // It counts the request's own number on by one.
        ANSWER => Some(Said::Answer { to: word(HEADER + 12)?.wrapping_sub(1), error: word(event + 16)? }),
        // The thread, then the process that it belongs to.
        EXEC => Some(Said::Exec(word(event + 20)?)),
        _ => None,
    }
}

/// Which files are Go programs.
struct Programs {
    host: Host,
    known: HashMap<(u64, u64, u64, (i64, i64)), bool>,
}

impl Programs {
    /// Whether this process runs one. One that has ended, or may not be looked at, does not: the sweep would not see it
    /// either.
    fn is_go(&mut self, pid: u32) -> bool {
        let Ok(stat) = self.host.stat_exe(pid) else { return false };
        let content = (stat.dev, stat.ino, stat.size, stat.ctime);
        if let Some(known) = self.known.get(&content) {
            return *known;
        }
        let Ok(program) = self.host.open_exe(pid) else { return false };
        let is = match go_buildinfo::read(&program) {
            Ok(info) => info.is_some_and(|info| !info.path.starts_with("cmd/")),
            Err(error) => matches!(error, BuildInfoError::NoBuildInfo),
        };
        if self.known.len() == MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(content, is);
        is
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Promise: nothing of a burst is lost while nobody listens, and it is one look. Every socket's own buffer overflows.
    #[test]
    #[expect(clippy::print_stderr, reason = "a person who runs the tests reads it")]
    fn a_burst_of_programs_is_one_look() {
        let socket = match connect() {
            Ok(socket) => socket,
            Err(error) => {
                eprintln!("a_burst_of_programs_is_one_look: skipped: the kernel does not tell here: {error}");
                return;
            }
        };
        let burst: BTreeSet<_> = (0..300)
            .map(|_| {
                let mut program = Command::new("true").spawn().unwrap();
                program.wait().unwrap();
                program.id()
            })
            .collect();
        let heard = started(&socket).unwrap().expect("the buffer overflowed");
        assert_eq!(burst.difference(&heard).collect::<Vec<_>>(), Vec::<&u32>::new());
    }

    /// As Linux 6.18 sent them.
    #[test]
    fn messages_of_the_kernel() {
        let message = |what: u32, rest: &[u32]| {
            let mut words = vec![76, 3, 0, 0, PROCESSES, PROCESSES, 99, 4712, 40, what, 1, 0, 0];
            words.extend(rest);
            words.resize(19, 0);
            words.into_iter().flat_map(u32::to_ne_bytes).collect::<Vec<u8>>()
        };
        assert_eq!(parse(&message(EXEC, &[5497, 5496])), Some(Said::Exec(5496)));
        assert_eq!(parse(&message(ANSWER, &[1])), Some(Said::Answer { to: 4711, error: 1 }));
        assert_eq!(parse(&message(0x8000_0000, &[5497, 5496])), None);
        for end in 0..52 {
            assert_eq!(parse(&message(ANSWER, &[0])[..end]), None, "{end}");
        }
        let mut other = message(EXEC, &[1, 1]);
        other[16] = 9;
        assert_eq!(parse(&other), None);
        assert_eq!(request(7, &[LISTEN, EXEC]).len(), 44);
    }
}
