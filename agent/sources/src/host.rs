//! The one door to the machine: every source reads through a [`Host`], never through `std::fs`.
//!
//! A host is the live machine, or a directory that looks like one (`--root DIR`): the host's root mounted into a
//! container, a debootstrap tree, or a recorded host. Below such a directory every path is resolved by the kernel with
//! `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`: links, however hostile, never lead out of it. The live machine
//! needs plain `open` only, so that it works on kernels before 5.6.

mod clock;
mod hidden;
mod kept;
mod listing;
mod mounts;
mod namespace;
mod once;
mod parameters;
mod places;
mod process;
mod touched;
mod witness;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};

pub use clock::CLOCK;
pub use hidden::{Hidden, told_by_mounts};
pub use listing::DirEntry;
pub use places::{Names, Places};
pub use process::Pid;
pub(crate) use process::file_at;
pub use touched::{Access, Touched};
pub(crate) use witness::{Witness, is_settled};

use kept::{Kept, PARAMETERS};
use places::Tracker;
use touched::Log;

/// The file in a recorded host that names what could not be read when it was recorded: one `ERRNO PATH` a line.
pub const REFUSALS: &str = "/.evenkeel-refusals";
/// A path with `..` (a link such as /etc/os-release has it) is refused with EAGAIN when anything on the machine was
/// renamed or mounted meanwhile (openat2(2)), which says nothing about the path. So often it is tried again.
const MAX_RACES: usize = 1000;
/// The largest [`REFUSALS`] file, in bytes.
const MAX_REFUSALS_BYTES: usize = 4 * 1024 * 1024;

/// The machine, or a directory that looks like one. All paths are absolute paths of that machine.
#[derive(Debug)]
pub struct Host {
    root: Root,
    refusals: BTreeMap<PathBuf, Errno>,
    log: Option<Log>,
    tracker: Option<Tracker>,
    kept: Option<Kept>,
    hidden: Vec<Hidden>,
}

#[derive(Debug)]
enum Root {
    Live,
    Below(OwnedFd),
}

/// Why a directory cannot stand for a machine.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory cannot be opened.
    #[error("cannot open the root directory {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot keep paths below a directory.
    #[error("cannot keep paths below {path}: this kernel has no openat2 (Linux 5.6 and later have it)")]
    NoContainment {
        /// The directory.
        path: PathBuf,
    },
    /// The list of what could not be read is damaged.
    #[error("cannot read {REFUSALS} in {path}")]
    Refusals {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
}

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only in listings: everything else follows links).
    Symlink,
    /// A device, FIFO or socket: never opened.
    Other,
}

/// What `stat` says of a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device that holds it.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// When content or attributes changed last: seconds and nanoseconds since 1970.
    pub ctime: (i64, i64),
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

impl Host {
    /// The machine that this program runs on.
    pub fn live() -> Self {
        Self { hidden: hidden::of_this_process(), ..Self::with(Root::Live) }
    }

    fn with(root: Root) -> Self {
        Self { root, refusals: BTreeMap::new(), log: None, tracker: None, kept: None, hidden: Vec::new() }
    }

    /// The machine whose root is this directory; `/` is the live machine.
    pub fn at(root: &Path) -> Result<Self, HostError> {
        if root == Path::new("/") {
            return Ok(Self::live());
        }
        let error = |source| HostError::Open { path: root.to_owned(), source };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(root, flags, Mode::empty()).map_err(|errno| error(errno.into()))?;
        let mut host = Self::with(Root::Below(directory));
        match host.open(Path::new("/"), OFlag::O_PATH) {
            Ok(_) => {}
            Err(source) if source.raw_os_error() == Some(Errno::ENOSYS as i32) => {
                return Err(HostError::NoContainment { path: root.to_owned() });
            }
            Err(source) => return Err(error(source)),
        }
        host.refusals = match host.read_text(REFUSALS, MAX_REFUSALS_BYTES) {
            Ok(text) => touched::parse_refusals(&text)
                .map_err(|source| HostError::Refusals { path: root.to_owned(), source })?,
            Err(source) if source.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(HostError::Refusals { path: root.to_owned(), source }),
        };
        Ok(host)
    }

    /// The same host, but it remembers every path that is asked for: [`Host::touched`]. This is how a host is recorded.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.log = Some(Log::default());
        self
    }

    /// What was asked for so far, by path; nothing unless the host is [`Host::remembering`].
    pub fn touched(&self) -> Vec<Touched> {
        self.log.as_ref().map(Log::touched).unwrap_or_default()
    }

    /// Whether it remembers what is asked for.
    pub fn is_remembering(&self) -> bool {
        self.log.is_some()
    }

    /// Whether this is the machine that the program runs on.
    pub fn is_live(&self) -> bool {
        matches!(self.root, Root::Live)
    }

    /// The content of a file of at most `limit` bytes; a longer one is `FileTooLarge`.
    pub fn read(&self, path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        self.noting(path, Access::Content, || {
            if path.starts_with(PARAMETERS) && self.is_live() {
                return self.read_parameter(path, limit);
            }
            // The kernel's own files are no devices and stat as empty; opening them at once saves two calls each.
            let kernel = self.is_live() && (path.starts_with("/proc") || path.starts_with("/sys"));
            let file = if kernel { self.open(path, READ)?.into() } else { self.reopen_regular(path)? };
            read_to_end(file, limit)
        })
    }

    /// The content of a file as text; other than UTF-8 is `InvalidData`.
    pub fn read_text(&self, path: impl AsRef<Path>, limit: usize) -> io::Result<String> {
        String::from_utf8(self.read(path, limit)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Opens a regular file for bounded reads. Devices, FIFOs and sockets are never opened, not even to look
    /// (`O_NONBLOCK` alone would still open a FIFO and wake its writer): they are `Unsupported`.
    pub fn open_regular(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        self.noting(path, Access::Program, || self.reopen_regular(path))
    }

    /// Opens a regular file whose content is read whole, step by step: a text too large to be held at once. Refuses what
    /// [`Host::open_regular`] does.
    pub fn open_content(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        self.noting(path, Access::Content, || self.reopen_regular(path))
    }

    /// What a symbolic link says.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = path.as_ref();
        self.noting(path, Access::Link, || self.link_untold(path))
    }

    /// What a symbolic link says, without noting that it was asked for.
    fn link_untold(&self, path: &Path) -> io::Result<PathBuf> {
        let link = self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        // An empty name reads the link that the descriptor itself is; on anything else it is ENOENT.
        let target: OsString = nix::fcntl::readlinkat(link, "").map_err(|errno| match errno {
            Errno::ENOENT => Errno::EINVAL,
            other => other,
        })?;
        Ok(target.into())
    }

    /// What the path names, links followed.
    pub fn stat(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let path = path.as_ref();
        self.noting(path, Access::Stat, || {
            let file = self.open(path, OFlag::O_PATH)?;
            Ok(Stat::of(&nix::sys::stat::fstat(file)?))
        })
    }

    /// Whether the path names something that this user can see.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.stat(path).is_ok()
    }

    /// Opens with `O_PATH`, looks, and opens again through the descriptor: what was looked at is what is opened.
    fn reopen_regular(&self, path: &Path) -> io::Result<File> {
        let seen = self.open(path, OFlag::O_PATH)?;
        match Stat::of(&nix::sys::stat::fstat(&seen)?).kind {
            Kind::File => {}
            Kind::Directory => return Err(io::ErrorKind::IsADirectory.into()),
            Kind::Symlink | Kind::Other => return Err(io::ErrorKind::Unsupported.into()),
        }
        let door = format!("/proc/self/fd/{}", seen.as_raw_fd());
        Ok(nix::fcntl::open(door.as_str(), READ | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    fn open(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        if let Some(errno) = self.refusals.get(path) {
            return Err((*errno).into());
        }
        self.refuse_hidden(path)?;
        let flags = flags | OFlag::O_CLOEXEC;
        let opened = match &self.root {
            Root::Live => nix::fcntl::open(path, flags, Mode::empty()),
            Root::Below(root) => {
                let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
                let how = OpenHow::new().flags(flags).resolve(resolve);
                let attempts = (0..MAX_RACES).map(|_| nix::fcntl::openat2(root, path, how));
                let mut decided = attempts.skip_while(|opened| matches!(opened, Err(Errno::EAGAIN)));
                decided.next().unwrap_or(Err(Errno::EAGAIN))
            }
        };
        opened.map_err(|errno| self.unless_hidden(path, errno))
    }

    fn noting<T>(&self, path: &Path, access: Access, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.note_place(path, access);
        self.bear_witness(path, access);
        let outcome = act();
        if let Some(log) = &self.log {
            log.note(path, access, outcome.as_ref().err());
        }
        outcome
    }
}

/// How files are opened for reading: never waiting, never becoming the controlling terminal's.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

impl Stat {
    /// What an open file is.
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self::of(&nix::sys::stat::fstat(file)?))
    }

    #[expect(
        clippy::useless_conversion,
        clippy::cast_sign_loss,
        reason = "the types of these fields differ by architecture"
    )]
    fn of(stat: &FileStat) -> Self {
        let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Symlink,
            _ => Kind::Other,
        };
        Self {
            dev: stat.st_dev.into(),
            ino: stat.st_ino.into(),
            size: stat.st_size as u64,
            ctime: (stat.st_ctime.into(), stat.st_ctime_nsec.into()),
            mode: stat.st_mode & 0o7777,
            kind,
        }
    }
}

/// Reads in small steps: the kernel allocates what a reader of /proc/sys offers, and a buffer of 1 MB makes each such
/// read ten times slower.
fn read_to_end(mut file: File, limit: usize) -> io::Result<Vec<u8>> {
    let mut step = [0; 4096];
    let mut content = Vec::new();
    loop {
        match file.read(&mut step) {
            Ok(0) => return Ok(content),
            Ok(read) if content.len() + read > limit => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(read) => content.extend_from_slice(&step[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
