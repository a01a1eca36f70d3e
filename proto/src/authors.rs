//! Who changed something, as it travels.

use evenkeel_facts::Author;
use evenkeel_facts::author::MAX_AUTHORS;

use crate::{Malformed, fleet, report};

/// In a commit.
pub fn to_wire(authors: &[Author]) -> Vec<fleet::Author> {
    let one = |Author { path, pid, command, user, login, unit }: &Author| fleet::Author {
        path: path.clone(),
        pid: *pid,
        command: command.clone(),
        user: user.clone(),
        login: login.clone(),
        unit: unit.clone(),
    };
    authors.iter().map(one).collect()
}

/// From a commit.
pub fn from_wire(authors: Vec<fleet::Author>) -> Result<Vec<Author>, Malformed> {
    if authors.len() > MAX_AUTHORS {
        return Err(Malformed::new("authors", format!("more than {MAX_AUTHORS}")));
    }
    let authors = authors.into_iter().map(|fleet::Author { path, pid, command, user, login, unit }| Author {
        path,
        pid,
        command,
        user,
        login,
        unit,
    });
    let authors: Vec<Author> = authors.collect();
    match authors.iter().find(|author| !author.is_sound()) {
        Some(_) => Err(Malformed::new("authors", "a text that is too long or has control characters")),
        None => Ok(authors),
    }
}

/// Of a change.
pub fn of_change_to_wire(author: Author) -> report::ChangedBy {
    let Author { path: _, pid, command, user, login, unit } = author;
    report::ChangedBy { pid, command, user, login, unit }
}

/// Of a change of this fact.
pub fn of_change_from_wire(path: &str, by: report::ChangedBy) -> Author {
    let report::ChangedBy { pid, command, user, login, unit } = by;
    Author { path: path.to_owned(), pid, command, user, login, unit }
}
