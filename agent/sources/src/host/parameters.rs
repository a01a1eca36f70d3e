//! What the kernel's parameters said when something was made of them. While they say the same, and the same ones are
//! there, so would be what is made: then nothing is parsed, and nothing is allocated.
//!
//! No time stamp tells: /proc/sys has none. So each parameter is read, and each directory listed.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use evenkeel_facts::Digest;
use nix::errno::Errno;

use super::kept::{Files, PARAMETERS};
use super::{Access, Host};

/// What was looked at, in order.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Directories, and the names in each.
    lists: Vec<(PathBuf, Result<Digest, i32>)>,
    /// Parameters that are kept open: which file, and where in `text` ends what it said.
    open: Vec<(u32, u32)>,
    text: Vec<u8>,
    /// Others: what they said, if they could be read. Of secrets nothing else is kept, either.
    others: Vec<(PathBuf, Result<Digest, i32>)>,
}

/// What was made, and of what.
#[derive(Debug)]
pub(super) struct Made {
    said: Said,
    made: Box<dyn Any + Send>,
}

/// By its type, and by the part of the parameters.
pub(super) type MadeOfParameters = HashMap<(TypeId, String), Made>;

impl Host {
    /// What was made of this part of the parameters, if they say what they said then.
    pub(crate) fn made_of_parameters<T: Clone + Send + 'static>(&self, part: &str) -> Option<T> {
        let kept = self.kept.as_ref()?;
        let key = (TypeId::of::<T>(), part.to_owned());
        let made = kept.of_parameters.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)?;
        if !self.is_said_still(&made.said) {
            return None;
        }
        made.said.lists.iter().for_each(|(path, _)| self.note_place(path, Access::Directory));
        let thing = made.made.downcast_ref().cloned();
        kept.of_parameters.lock().unwrap_or_else(PoisonError::into_inner).insert(key, made);
        thing
    }

    /// Takes down what the parameters say from now on, until [`Host::keep_made_of_parameters`].
    pub(crate) fn begin_parameters(&self) {
        if let Some(kept) = &self.kept {
            *kept.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Said::default());
        }
    }

    /// Keeps what was made of this part of the parameters since it began; `None`: it is not to be kept.
    pub(crate) fn keep_made_of_parameters<T: Clone + Send + 'static>(&self, part: &str, thing: Option<T>) {
        let Some(kept) = &self.kept else { return };
        let said = kept.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(mut said), Some(thing)) = (said, thing) {
            said.open.shrink_to_fit();
            said.text.shrink_to_fit();
            let made = Made { said, made: Box::new(thing) };
            let mut of_parameters = kept.of_parameters.lock().unwrap_or_else(PoisonError::into_inner);
            of_parameters.insert((TypeId::of::<T>(), part.to_owned()), made);
        }
    }

    /// Whether what parameters say is taken down.
    pub(super) fn takes_down_parameters(&self) -> bool {
        let said = self.kept.as_ref().map(|kept| kept.said.lock().unwrap_or_else(PoisonError::into_inner));
        said.is_some_and(|said| said.is_some())
    }

    /// Before a directory of parameters is listed: a change in between ends what is kept, not what is seen.
    pub(super) fn note_names(&self, directory: &Path) {
        self.note_said(|said| {
            if directory.starts_with(PARAMETERS) && self.is_live() {
                said.lists.push((directory.to_owned(), self.names(directory)));
            }
        });
    }

    /// A parameter that is kept open said this.
    pub(super) fn note_open(&self, file: u32, content: &[u8]) {
        self.note_said(|said| {
            said.text.extend_from_slice(content);
            said.open.push((file, u32::try_from(said.text.len()).unwrap_or(u32::MAX)));
        });
    }

    /// Another said this, or could not be read.
    pub(super) fn note_other(&self, path: &Path, content: &io::Result<Vec<u8>>) {
        self.note_said(|said| said.others.push((path.to_owned(), told(content))));
    }

    fn note_said(&self, note: impl FnOnce(&mut Said)) {
        if let Some(kept) = &self.kept
            && let Some(said) = &mut *kept.said.lock().unwrap_or_else(PoisonError::into_inner)
        {
            note(said);
        }
    }

    fn is_said_still(&self, Said { lists, open, text, others }: &Said) -> bool {
        let Some(kept) = &self.kept else { return false };
        if !lists.iter().all(|(path, names)| self.names(path) == *names) {
            return false;
        }
        let is_open_still = |files: &mut Files| {
            let mut begin = 0;
            open.iter().all(|(file, end)| {
                let was = text.get(begin..*end as usize);
                begin = *end as usize;
                was.is_some_and(|was| files.says(*file, was))
            })
        };
        let still = is_open_still(&mut kept.files.lock().unwrap_or_else(PoisonError::into_inner));
        still && others.iter().all(|(path, was)| told(&self.read_parameter_anew(path)) == *was)
    }

    /// All names in a directory, in the order in which the kernel gives them, and what each is.
    fn names(&self, directory: &Path) -> Result<Digest, i32> {
        let mut names = Vec::with_capacity(1024);
        self.names_untold(directory, &mut names).map(|()| Digest::of(&names)).map_err(|error| number(&error))
    }
}

fn told(content: &io::Result<Vec<u8>>) -> Result<Digest, i32> {
    content.as_ref().map(|content| Digest::of(content)).map_err(number)
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "/proc/sys/kernel/random";

    /// Promise: what is kept is given only while every parameter says the same and the same ones are there.
    #[test]
    fn what_was_made_lasts_until_a_parameter_says_something_else() {
        let host = Host::live().keeping();
        let make = |paths: &[&str]| {
            host.begin_parameters();
            let names = host.list(DIRECTORY).unwrap().len();
            for path in paths {
                drop(host.read(path, 4_096));
            }
            host.keep_made_of_parameters("random", Some(names));
            names
        };
        assert_eq!(host.made_of_parameters::<usize>("random"), None);
        let names = make(&["/proc/sys/kernel/random/poolsize", "/proc/sys/kernel/none"]);
        for _ in 0..2 {
            assert_eq!(host.made_of_parameters::<usize>("random"), Some(names));
        }
        assert_eq!(host.made_of_parameters::<u8>("random"), None);
        assert_eq!(host.made_of_parameters::<usize>("net"), None);
        // Another one at each read.
        make(&["/proc/sys/kernel/random/poolsize", "/proc/sys/kernel/random/uuid"]);
        assert_eq!(host.made_of_parameters::<usize>("random"), None);
        make(&[]);
        let mut kept = host.kept.as_ref().unwrap().of_parameters.lock().unwrap();
        kept.values_mut().for_each(|made| made.said.lists[0].1 = Ok(Digest::of(b"other names")));
        drop(kept);
        assert_eq!(host.made_of_parameters::<usize>("random"), None);
    }

    #[test]
    fn what_cannot_be_kept_open_counts_as_well() {
        let mut host = Host::live().keeping();
        host.kept.as_mut().unwrap().files.get_mut().unwrap().budget = 0;
        for (path, lasts) in [("/proc/sys/kernel/pid_max", true), ("/proc/sys/kernel/random/uuid", false)] {
            host.begin_parameters();
            drop(host.read(path, 4_096));
            host.keep_made_of_parameters("some", Some(()));
            assert_eq!(host.made_of_parameters::<()>("some").is_some(), lasts, "{path}");
        }
    }
}
