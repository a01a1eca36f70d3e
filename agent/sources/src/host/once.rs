//! What was made of a file's content, as long as the content is the same.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::witness::is_settled;
use super::{Host, Stat};

/// A file's content, as far as the system tells without reading it.
type Content = (u64, u64, u64, (i64, i64));

/// What was made, by what kind of thing it is and of which content.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<HashMap<(TypeId, Content), Thing>>);

#[derive(Debug)]
struct Thing {
    made: Arc<dyn Any + Send + Sync>,
    /// Whether it was asked for since [`Host::forget_unused`].
    used: bool,
}

impl Host {
    /// What was made of this content before.
    pub(crate) fn made<T: Send + Sync + 'static>(&self, stat: &Stat) -> Option<Arc<T>> {
        let kept = self.kept.as_ref()?;
        let mut things = kept.made.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = things.get_mut(&key::<T>(stat))?;
        thing.used = true;
        Arc::clone(&thing.made).downcast().ok()
    }

    /// What `make` gives for the content of this file. On a host that is [`Host::keeping`] it is made once for each
    /// content; a failure is not kept.
    pub(crate) fn once<T: Send + Sync + 'static, E>(
        &self,
        stat: &Stat,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(thing) = self.made(stat) {
            return Ok(thing);
        }
        let thing = Arc::new(make()?);
        if let Some(kept) = self.kept.as_ref().filter(|_| is_settled(stat)) {
            let mut things = kept.made.0.lock().unwrap_or_else(PoisonError::into_inner);
            things.insert(key::<T>(stat), Thing { made: thing.clone(), used: true });
        }
        Ok(thing)
    }

    /// Forgets what was made of contents that nobody asked for since this was last called.
    pub fn forget_unused(&self) {
        if let Some(kept) = &self.kept {
            let mut things = kept.made.0.lock().unwrap_or_else(PoisonError::into_inner);
            things.retain(|_, thing| std::mem::take(&mut thing.used));
        }
    }
}

fn key<T: 'static>(stat: &Stat) -> (TypeId, Content) {
    let Stat { dev, ino, size, ctime, .. } = *stat;
    (TypeId::of::<T>(), (dev, ino, size, ctime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Kind;

    #[test]
    fn a_content_is_looked_into_once() {
        let host = Host::live().keeping();
        let stat = |ctime| Stat { dev: 1, ino: 2, size: 3, ctime: (ctime, 0), mode: 0o644, kind: Kind::File };
        let make = |number: u32| host.once(&stat(7), || Ok::<_, ()>(number)).map(|made| *made);
        assert_eq!(host.once(&stat(7), || Err::<u32, _>("no")).unwrap_err(), "no");
        assert_eq!((make(1), make(2)), (Ok(1), Ok(1)));
        // Another thing made of the same content is another thing.
        assert_eq!(host.once(&stat(7), || Ok::<_, ()>("text")).as_deref(), Ok(&"text"));
        assert_eq!(host.once(&stat(8), || Ok::<_, ()>(3_u32)).as_deref(), Ok(&3));
        // What changed just now may change again without showing it.
        for number in [4, 5] {
            assert_eq!(host.once(&stat(i64::MAX), || Ok::<_, ()>(number)).as_deref(), Ok(&number));
        }
        host.forget_unused();
        assert_eq!(make(6), Ok(1));
        host.forget_unused();
        host.forget_unused();
        assert_eq!(make(7), Ok(7));
    }
}
