//! Exit codes, and how an error reaches a person.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

/// Consistent, or done.
pub const DONE: u8 = 0;
/// There is drift (`gate`; `report` and `diff` with `--exit-code`).
pub const DRIFT: u8 = 1;
/// An error.
pub const ERROR: u8 = 2;
/// Cannot tell: coverage below what was asked.
pub const CANNOT_TELL: u8 = 3;

/// An error and its causes as one text: `cannot read a.pem: No such file or directory (os error 2)`. A cause that its
/// parent already says is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            write!(text, ": {message}").expect("writing to a string cannot fail");
        }
        cause = error.source();
    }
    text
}

/// Whether this error, or a cause of it, is that the reader of our output is gone: that is success.
pub fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use std::path::Path;

    #[test]
    fn the_chain_is_one_line() {
        let error = files::read(Path::new("/nowhere/a.pem")).unwrap_err();
        assert_eq!(chain(&error), "cannot read /nowhere/a.pem: No such file or directory (os error 2)");
        assert!(!is_closed_pipe(&error));
        assert!(is_closed_pipe(&io::Error::from(io::ErrorKind::BrokenPipe)));
    }
}
