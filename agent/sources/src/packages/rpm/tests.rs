//! SQLite databases as SQLite's own library writes them.

use std::fs::{self, File};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn package(number: usize) -> Package {
    Package {
        name: format!("package-{number}"),
        architecture: "x86_64".to_owned(),
        version: format!("1.{number}-2"),
        state: None,
    }
}

/// A header with so much behind it, as lists of files are.
fn blob(number: usize, behind: usize) -> Vec<u8> {
    let mut header = header::write(&package(number));
    header.extend(std::iter::repeat_n(b'x', behind));
    header
}

fn made(page_bytes: u32) -> (TempDir, Connection) {
    let directory = TempDir::new().unwrap();
    let database = Connection::open(directory.path().join("rpmdb.sqlite")).unwrap();
    database.pragma_update(None, "page_size", page_bytes).unwrap();
    database
        .execute_batch(
            "CREATE TABLE Other (a TEXT, b BLOB);
             CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);
             CREATE INDEX Names ON Other (a)",
        )
        .unwrap();
    (directory, database)
}

fn insert(database: &Connection, number: usize, behind: usize) {
    database.execute("INSERT INTO Packages (blob) VALUES (?1)", [blob(number, behind)]).unwrap();
}

fn read(directory: &TempDir) -> io::Result<Vec<Package>> {
    let open = |name| File::open(directory.path().join(name));
    let budget = Budget::new(Duration::from_secs(60), 1 << 20);
    packages_of(&open("rpmdb.sqlite").unwrap(), open("rpmdb.sqlite-wal").ok().as_ref(), &budget)
}

/// Promise: whatever the size of pages and of records, every package is read.
#[test]
fn pages_and_records_of_every_size() {
    for page_bytes in [512, 1024, 4096, 65536] {
        let (directory, database) = made(page_bytes);
        for number in 0..400 {
            insert(&database, number, (number * 37) % 9000);
        }
        database.execute("DELETE FROM Packages WHERE hnum % 5 = 1", []).unwrap();
        let left: Vec<_> = (0..400).filter(|number| number % 5 != 0).map(package).collect();
        assert_eq!(read(&directory).unwrap(), left, "{page_bytes}");
    }
}

/// Promise: what was committed and is still in the log counts; what was not committed does not.
#[test]
fn the_log_counts_up_to_the_last_commit() {
    let (directory, mut database) = made(4096);
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let all: Vec<_> = (0..50).map(package).collect();
    for number in 0..50 {
        insert(&database, number, 3000);
        assert_eq!(read(&directory).unwrap(), all[..=number]);
    }
    // A second round through the log leaves old frames behind the new ones.
    database.pragma_update(None, "wal_checkpoint", "RESTART").unwrap();
    database.execute("DELETE FROM Packages WHERE hnum > 10", []).unwrap();
    assert_eq!(read(&directory).unwrap(), all[..10]);
    let transaction = database.transaction().unwrap();
    transaction.pragma_update(None, "cache_size", 1).unwrap();
    for number in 50..90 {
        insert(&transaction, number, 9000);
    }
    assert_eq!(read(&directory).unwrap(), all[..10]);
    transaction.commit().unwrap();
    assert_eq!(read(&directory).unwrap().len(), 50);
}

/// Promise: a database cut anywhere, or with bytes changed, is an error or a list of packages; never a panic, and
/// never an empty list where there were packages.
#[test]
fn damaged_databases() {
    let (directory, database) = made(512);
    for number in 0..40 {
        insert(&database, number, 700);
    }
    drop(database);
    let path = directory.path().join("rpmdb.sqlite");
    let whole = fs::read(&path).unwrap();
    for size in (16..whole.len()).step_by(509) {
        fs::write(&path, &whole[..size]).unwrap();
        // Overflow pages at the very end may hold nothing that is read.
        assert!(read(&directory).map_or(true, |found| found.len() == 40), "{size}");
    }
    for at in (100..whole.len().min(6000)).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, &damaged).unwrap();
        let _ = read(&directory);
    }
}

#[test]
fn an_empty_database_has_no_packages() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("rpmdb.sqlite"), "").unwrap();
    assert_eq!(read(&directory).unwrap(), []);
    let (directory, _database) = made(4096);
    assert_eq!(read(&directory).unwrap(), []);
}
