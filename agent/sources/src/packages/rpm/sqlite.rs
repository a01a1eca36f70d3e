//! As much of SQLite's file format as it takes to read one table (sqlite.org/fileformat2): pages, b-trees of tables,
//! records and their overflow pages. Every number of the file is checked before it is used.

use std::fs::File;
use std::io;

use super::header::{self, Head};
use super::wal::Log;
use super::{MAX_PACKAGES, Package, exactly, malformed};
use crate::Budget;

/// What the file begins with.
pub(super) const MARK: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;
/// A tree of four-kilobyte pages with this depth has more rows than a disk has bytes.
const MAX_DEPTH: usize = 12;
/// The largest record that is looked into; the header of a kernel's package has 2 MB.
const MAX_RECORD: u64 = 512 * 1024 * 1024;

/// Every package of the table `Packages`.
pub(super) fn packages(file: &File, log: Option<&File>, budget: &Budget) -> io::Result<Vec<Package>> {
    let database = Database::open(file, log)?;
    let mut root = None;
    database.rows(1, budget, &mut |mut row| {
        // type, name, tbl_name, rootpage, sql
        let size = row.size;
        let (values, _) = values_of(row.up_to(size.min(4096))?, 4)?;
        if let [Value::Bytes(b"table"), Value::Bytes(b"Packages"), _, Value::Integer(page)] =
            values.as_slice()
        {
            root = u32::try_from(*page).ok();
        }
        Ok(())
    })?;
    // A database that was made and never filled.
    let Some(root) = root else { return Ok(Vec::new()) };
    let mut packages = Vec::new();
    database.rows(root, budget, &mut |mut row| {
        if packages.len() == MAX_PACKAGES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // hnum, which is the row's number, and blob
        let skip = second_value(row.up_to(32)?)?;
        packages.push(header::package(&mut Behind { row, skip })?);
        Ok(())
    })?;
    Ok(packages)
}

struct Database<'a> {
    file: &'a File,
    log: Option<(&'a File, Log)>,
    page_bytes: usize,
    /// Without what each page reserves for others.
    usable: usize,
}

/// What is done with each row.
type Visit<'v> = &'v mut dyn FnMut(Row<'_>) -> io::Result<()>;

impl<'a> Database<'a> {
    fn open(file: &'a File, log: Option<&'a File>) -> io::Result<Self> {
        let header = exactly(file, 0, HEADER_BYTES)?;
        let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            bytes => usize::from(bytes),
        };
        let usable = page_bytes.saturating_sub(usize::from(header[20]));
        if !header.starts_with(MARK) || !page_bytes.is_power_of_two() || page_bytes < 512 || usable < 480 {
            return Err(malformed("an SQLite database without its mark"));
        }
        let log = match log {
            Some(file) => Some((file, Log::read(file, page_bytes)?)),
            None => None,
        };
        Ok(Self { file, log, page_bytes, usable })
    }

    fn page(&self, number: u32) -> io::Result<Vec<u8>> {
        if number == 0 {
            return Err(malformed("an SQLite database with a link to no page"));
        }
        if let Some((file, log)) = &self.log
            && let Some(offset) = log.find(number)
        {
            return exactly(file, offset, self.page_bytes);
        }
        exactly(self.file, u64::from(number - 1) * self.page_bytes as u64, self.page_bytes)
    }

    /// Visits every row of the table that begins at this page.
    fn rows(&self, root: u32, budget: &Budget, visit: Visit<'_>) -> io::Result<()> {
        let mut left = MAX_PACKAGES;
        let mut rest = vec![(root, 0)];
        while let Some((number, depth)) = rest.pop() {
            // Links in circles end here: no table has more pages than rows.
            left = left.checked_sub(1).ok_or_else(|| malformed("an SQLite table without an end"))?;
            if depth > MAX_DEPTH {
                return Err(malformed("an SQLite table that is too deep"));
            }
            if budget.spend(0).is_err() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let page = self.page(number)?;
            let start = if number == 1 { HEADER_BYTES } else { 0 };
            let kind = page[start];
            let count = usize::from(u16::from_be_bytes([page[start + 3], page[start + 4]]));
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            let cell = |n: usize| {
                let at = page.get(pointers + 2 * n..pointers + 2 * n + 2)?;
                page.get(usize::from(u16::from_be_bytes([at[0], at[1]]))..self.usable)
            };
            match kind {
                LEAF => {
                    for n in 0..count {
                        visit(Row::open(self, cell(n).ok_or_else(cut)?)?)?;
                    }
                }
                INTERIOR => {
                    let mut children = Vec::with_capacity(count + 1);
                    for n in 0..count {
                        children.push(number_at(cell(n).ok_or_else(cut)?, 0)?);
                    }
                    children.push(number_at(&page, start + 8)?);
                    rest.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
                }
                _ => return Err(malformed("an SQLite table with a page of another kind")),
            }
        }
        Ok(())
    }
}

/// One row's record, of which the beginning is read, and more as it is asked for.
struct Row<'a> {
    database: &'a Database<'a>,
    bytes: Vec<u8>,
    size: usize,
    /// The page that holds the next part; 0 at the end.
    next: u32,
}

impl<'a> Row<'a> {
    /// From a cell of a leaf: the record's size, the row's number, the record or its beginning.
    fn open(database: &'a Database<'a>, cell: &[u8]) -> io::Result<Self> {
        let (size, first) = varint(cell)?;
        let (_, second) = varint(&cell[first..])?;
        if size > MAX_RECORD {
            return Err(malformed("an SQLite record that is too large"));
        }
        let size = usize::try_from(size).map_err(|_| cut())?;
        let content = &cell[first + second..];
        let usable = database.usable;
        let local = if size <= usable - 35 {
            size
        } else {
            let least = (usable - 12) * 32 / 255 - 23;
            let fitting = least + (size - least) % (usable - 4);
            if fitting <= usable - 35 { fitting } else { least }
        };
        let bytes = content.get(..local).ok_or_else(cut)?.to_vec();
        let next = if local < size { number_at(content, local)? } else { 0 };
        Ok(Self { database, bytes, size, next })
    }
}

impl Head for Row<'_> {
    fn up_to(&mut self, size: usize) -> io::Result<&[u8]> {
        while self.bytes.len() < size.min(self.size) {
            let page = self.database.page(self.next)?;
            let part = &page[4..self.database.usable];
            let missing = self.size - self.bytes.len();
            self.bytes.extend(&part[..part.len().min(missing)]);
            self.next = number_at(&page, 0)?;
        }
        Ok(&self.bytes)
    }
}

/// A row without its first bytes.
struct Behind<'a> {
    row: Row<'a>,
    skip: usize,
}

impl Head for Behind<'_> {
    fn up_to(&mut self, size: usize) -> io::Result<&[u8]> {
        self.row.up_to(size + self.skip)?.get(self.skip..).ok_or_else(cut)
    }
}

enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Other,
}

/// The first values of a record, and where the next one begins.
fn values_of(record: &[u8], count: usize) -> io::Result<(Vec<Value<'_>>, usize)> {
    let (head, mut at) = varint(record)?;
    let mut content = usize::try_from(head).map_err(|_| cut())?;
    let mut values = Vec::with_capacity(count);
    while values.len() < count && at < content {
        let (kind, width) = varint(record.get(at..).ok_or_else(cut)?)?;
        at += width;
        let size = width_of(kind)?;
        let bytes = content.checked_add(size).and_then(|end| record.get(content..end)).ok_or_else(cut)?;
        let integer = || {
            bytes.iter().fold(if bytes.first().is_some_and(|b| *b > 127) { -1 } else { 0 }, |n: i64, b| {
                n << 8 | i64::from(*b)
            })
        };
        values.push(match kind {
            1..=6 => Value::Integer(integer()),
            8 | 9 => Value::Integer(i64::from(kind == 9)),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        });
        content += size;
    }
    Ok((values, content))
}

/// Where the second value of a record begins.
fn second_value(record: &[u8]) -> io::Result<usize> {
    let (values, content) = values_of(record, 1)?;
    if values.is_empty() { Err(cut()) } else { Ok(content) }
}

/// How many bytes a value of this serial type takes.
fn width_of(kind: u64) -> io::Result<usize> {
    Ok(match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).unwrap_or(0),
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return Err(malformed("an SQLite record with a type that is none")),
        _ => usize::try_from((kind - 12) / 2).map_err(|_| cut())?,
    })
}

/// A number of up to nine bytes, highest seven bits first, and how many bytes it took.
fn varint(bytes: &[u8]) -> io::Result<(u64, usize)> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Ok((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((number, index + 1));
        }
    }
    Err(cut())
}

fn number_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
    Ok(u32::from_be_bytes(*four))
}

fn cut() -> io::Error {
    malformed("an SQLite database cut short")
}
