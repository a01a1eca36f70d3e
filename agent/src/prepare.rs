//! `evenkeel-agent prepare`: makes the state directory and gives it, with what is in it, to the user that the agent runs as. For
//! directories that are made for root, as a kubelet makes a `hostPath`: whoever runs this needs root and `CAP_CHOWN`, and the
//! agent then nothing.

use std::os::fd::AsFd;
use std::path::Path;

use evenkeel_runtime::files::{self, FileError};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchown, fchownat, getegid, geteuid};

use crate::args;
use crate::error::AgentError;
use crate::home::SYSTEM_STATE_DIR;

/// Makes it, and gives a line to print.
pub fn run(args: &args::Prepare) -> Result<String, AgentError> {
    let directory = args.state_dir.as_deref().unwrap_or(Path::new(SYSTEM_STATE_DIR));
    let (user, group) = args.owner;
    let files = give(directory, Uid::from_raw(user), Gid::from_raw(group)).map_err(AgentError::Prepare)?;
    Ok(format!("{} is {user}:{group}'s, with {files} files in it.\n", directory.display()))
}

/// Returns how many files there are. Whoever had the directory before may have laid links into it: only plain files that have
/// no other name are given away, and the directory is taken from everybody else first, so that they stay what they are.
fn give(path: &Path, user: Uid, group: Gid) -> Result<usize, FileError> {
    let failed = |operation| move |error: nix::Error| FileError::io(operation, path)(error.into());
    files::own_directory(path)?;
    // Without CAP_DAC_OVERRIDE root may not look into what is another's: it takes it first.
    let place = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let place = open(path, place, Mode::empty()).map_err(failed("open"))?;
    let before = fstat(&place).map_err(failed("look at"))?;
    let own = |user: Uid, group: Gid| fchownat(&place, "", Some(user), Some(group), AtFlags::AT_EMPTY_PATH);
    own(geteuid(), getegid()).map_err(failed("take over"))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = openat(&place, ".", flags, Mode::empty()).map_err(failed("read"))?;
    let Ok(lock) = Flock::lock(directory, FlockArg::LockExclusiveNonblock) else {
        // Its agent goes on as if nothing had been.
        own(Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid)).map_err(failed("give back"))?;
        return Err(FileError::content(path, "another evenkeel-agent uses it".to_owned()));
    };
    fchmod(&*lock, Mode::S_IRWXU).map_err(failed("change the mode of"))?;
    let mut files = 0;
    for name in names(&*lock).map_err(failed("read"))? {
        let at = path.join(&name);
        let failed = |operation| FileError::io(operation, &at);
        let found = fstatat(&*lock, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|error| failed("look at")(error.into()))?;
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFREG || found.st_nlink != 1 {
            return Err(FileError::content(&at, "it is no plain file with one name".to_owned()));
        }
        fchownat(&*lock, name.as_str(), Some(user), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|error| failed("change the owner of")(error.into()))?;
        files += 1;
    }
    fchown(&*lock, Some(user), Some(group)).map_err(failed("change the owner of"))?;
    Ok(files)
}

fn names(directory: impl AsFd) -> nix::Result<Vec<String>> {
    let again =
        openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        match entry?.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => names.push(name.to_owned()),
            // The agent makes no such file.
            Err(_) => return Err(nix::Error::EILSEQ),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    /// Only root gives to others.
    fn whom() -> (Uid, Gid) {
        if geteuid().is_root() {
            (Uid::from_raw(65532), Gid::from_raw(65532))
        } else {
            (geteuid(), getegid())
        }
    }

    #[test]
    fn a_directory_is_made_and_given_with_its_files() {
        let above = tempfile::tempdir().unwrap();
        let (state, (user, group)) = (above.path().join("var/agent"), whom());
        assert_eq!(give(&state, user, group).unwrap(), 0);
        fs::write(state.join("node.key"), "secret").unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(give(&state, user, group).unwrap(), 1);
        for path in [state.clone(), state.join("node.key")] {
            let found = fs::metadata(path).unwrap();
            assert_eq!((found.uid(), found.gid()), (user.as_raw(), group.as_raw()));
        }
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    }

    /// Promise: whoever had the directory before gains nothing by what they left in it.
    #[test]
    fn what_somebody_laid_there_is_not_given_away() {
        let above = tempfile::tempdir().unwrap();
        let (state, (user, group)) = (above.path().join("agent"), whom());
        let other = above.path().join("shadow");
        fs::write(&other, "root's").unwrap();
        fs::create_dir(&state).unwrap();
        let laid = state.join("node.key");
        let lay: [fn(&Path, &Path) -> io::Result<()>; 3] = [
            |other, laid| symlink(other, laid),
            |other, laid| fs::hard_link(other, laid),
            |_, laid| fs::create_dir(laid),
        ];
        for (number, lay) in lay.iter().enumerate() {
            lay(&other, &laid).unwrap();
            let error = give(&state, user, group).unwrap_err().to_string();
            assert_eq!(error, format!("{}: it is no plain file with one name", laid.display()), "{number}");
            assert_eq!(fs::metadata(&other).unwrap().uid(), geteuid().as_raw());
            fs::remove_file(&laid).or_else(|_| fs::remove_dir(&laid)).unwrap();
        }
        let place = above.path().join("link");
        symlink(&state, &place).unwrap();
        assert!(give(&place, user, group).unwrap_err().to_string().starts_with("cannot "));
    }

    /// Promise: a pod that is begun while another's agent still runs takes nothing from it.
    #[test]
    fn an_agent_that_runs_keeps_its_directory() {
        let above = tempfile::tempdir().unwrap();
        let home = crate::home::Home::open(above.path()).unwrap();
        let (user, group) = whom();
        give(above.path(), user, group).unwrap();
        let _lock = home.lock().unwrap();
        let error = give(above.path(), geteuid(), getegid()).unwrap_err().to_string();
        assert!(error.ends_with("another evenkeel-agent uses it"), "{error}");
        let after = fs::metadata(above.path()).unwrap();
        assert_eq!((after.uid(), after.gid()), (user.as_raw(), group.as_raw()));
    }
}
