//! What is said of checkpoints that are whole: one row each, with a digest of its own.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::retention::Checkpoint;
use crate::schema;

/// Whole checkpoints, the oldest first, and for each whether the journal once began behind it; and the positions of those of
/// which that is damaged.
pub(crate) type Whole = (Vec<(Checkpoint, bool)>, Vec<i64>);

/// Reads them.
pub(crate) fn whole(connection: &Connection) -> rusqlite::Result<Whole> {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    let list = "SELECT position, at, parts, is_begin, sum FROM whole_checkpoint ORDER BY position";
    let mut query = connection.prepare_cached(list)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (position, at, parts): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (is_begin, sum): (bool, i64) = (row.get(3)?, row.get(4)?);
        let checkpoint = Timestamp::from_millisecond(at).ok().map(|at| Checkpoint {
            position: position.cast_unsigned(),
            at,
            parts: parts.cast_unsigned(),
        });
        match checkpoint.filter(|checkpoint| sum == sum_of(*checkpoint, is_begin)) {
            Some(checkpoint) => all.push((checkpoint, is_begin)),
            None => damaged.push(position),
        }
    }
    Ok((all, damaged))
}

/// The one that the journal begins behind.
pub(crate) fn begin(whole: &[(Checkpoint, bool)]) -> Option<Checkpoint> {
    whole.iter().rfind(|(_, is_begin)| *is_begin).map(|(checkpoint, _)| *checkpoint)
}

/// The digest of what is said of a whole checkpoint.
pub(crate) fn sum_of(Checkpoint { position, at, parts }: Checkpoint, is_begin: bool) -> i64 {
    let said = [&parts.to_le_bytes()[..], &[u8::from(is_begin)]].concat();
    schema::sum(position.cast_signed(), at.as_millisecond(), None, &said)
}

/// Gives a digest to what is said of whole checkpoints, where there was none.
pub(crate) fn add_sums(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("ALTER TABLE whole_checkpoint ADD COLUMN sum INTEGER NOT NULL DEFAULT 0")?;
    let mut query = connection.prepare("SELECT position, at, parts, is_begin FROM whole_checkpoint")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    for row in rows.collect::<rusqlite::Result<Vec<(i64, i64, i64, bool)>>>()? {
        let (position, at, parts, is_begin) = row;
        // What is no moment stays without, and does not count.
        let Ok(at) = Timestamp::from_millisecond(at) else { continue };
        let checkpoint = Checkpoint { position: position.cast_unsigned(), at, parts: parts.cast_unsigned() };
        let sum = sum_of(checkpoint, is_begin);
        connection
            .execute("UPDATE whole_checkpoint SET sum = ?2 WHERE position = ?1", params![position, sum])?;
    }
    Ok(())
}
