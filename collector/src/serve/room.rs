//! The places of one port, and who makes room when they are all taken.
//!
//! A connection arrives, and settles when its first request has come in full. Those that arrive have places of their own:
//! however many settle, there is always a way in. When these are taken, too, one that arrives makes room: one that has not
//! said a word before one that stalls in its handshake, one of an address that has many before one of an address that has
//! few, an older before a newer. So connections that say nothing cannot keep anybody out, however many they are.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use super::overload::household;
use crate::rate::Rates;

/// Of the places of a port, this part is for those that arrive.
const ARRIVING_PART: usize = 4;
/// A handshake is a matter of round trips: whoever is at it for so long may be asked to make room for others.
const STALLED: Duration = Duration::from_millis(500);
/// How often somebody makes room for somebody else: one costs 30 us, so that a flood costs a twentieth of a core.
const PACE: Duration = Duration::from_micros(600);
/// So many at once after a quiet time: a full backlog.
const PACE_BURST: u32 = 4096;
/// How long to wait before looking again, when nobody can make room yet.
const PATIENCE: Duration = Duration::from_millis(50);

/// The places of one port.
#[derive(Debug)]
pub struct Room {
    most_arriving: usize,
    most_settled: usize,
    places: Mutex<Places>,
    freed: Notify,
    pace: Rates<()>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// By their order of arrival.
    arriving: BTreeMap<u64, Arriving>,
    /// Of those, how many from where.
    from: HashMap<IpAddr, usize>,
    /// Of those, how many were told to leave and have not left yet.
    leaving: usize,
    settled: usize,
}

#[derive(Debug)]
struct Arriving {
    from: IpAddr,
    stage: Stage,
    since: Instant,
    is_told: bool,
    leave: Arc<Notify>,
}

/// How far one that arrives has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not a byte.
    Silent,
    /// Its handshake, and its first request.
    Speaking,
    /// It is answered.
    Served,
}

/// The rooms of all ports: they share the descriptors. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<Mutex<Vec<Arc<Room>>>>);

impl Rooms {
    /// One more.
    pub fn add(&self, room: Arc<Room>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    /// Asks one that arrives, at whatever port, to make room, and waits until somebody has. Whether there was one.
    pub async fn make_room(&self) -> bool {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rooms.sort_by_key(|room| std::cmp::Reverse(room.lock().arriving.len()));
        for room in rooms {
            if room.make_room().await {
                return true;
            }
        }
        false
    }
}

/// A place, for as long as it is held.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    number: u64,
    is_settled: bool,
    leave: Arc<Notify>,
}

impl Room {
    /// So many places, of which at most so many are for those that arrive.
    pub fn new(most: usize, most_arriving: usize, open: Gauge) -> Self {
        let most_arriving = (most / ARRIVING_PART).clamp(1, most_arriving.max(1));
        Self {
            most_arriving,
            most_settled: most.saturating_sub(most_arriving).max(1),
            places: Mutex::default(),
            freed: Notify::new(),
            pace: Rates::new(PACE, PACE_BURST),
            open,
        }
    }

    /// A place for a connection from there, as soon as there is one.
    pub async fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let wait = match self.try_enter(household(from), Instant::now()) {
                Ok(place) => return place,
                Err(wait) => wait,
            };
            let _ = tokio::time::timeout(wait, freed).await;
        }
    }

    /// Asks one that arrives to make room, and waits until somebody has. Whether there was one that can.
    pub async fn make_room(&self) -> bool {
        let mut freed = std::pin::pin!(self.freed.notified());
        freed.as_mut().enable();
        if let Err(wait) = self.pace.take((), Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        let is_asked = self.lock().ask_to_leave(Instant::now());
        if is_asked {
            let _ = tokio::time::timeout(PATIENCE, freed).await;
        }
        is_asked
    }

    /// Whether three quarters of the places to settle are taken.
    pub fn is_crowded(&self) -> bool {
        self.lock().settled * 4 >= self.most_settled * 3
    }

    /// The error is how long to wait at most before trying again.
    fn try_enter(self: &Arc<Self>, from: IpAddr, now: Instant) -> Result<Place, Duration> {
        let mut places = self.lock();
        if places.arriving.len() >= self.most_arriving {
            // One at a time: whoever was told first makes room first.
            if places.leaving == 0 {
                self.pace.take((), now)?;
                places.ask_to_leave(now);
            }
            return Err(PATIENCE);
        }
        let (number, leave) = (places.next, Arc::new(Notify::new()));
        places.next += 1;
        let arriving =
            Arriving { from, stage: Stage::Silent, since: now, is_told: false, leave: Arc::clone(&leave) };
        places.arriving.insert(number, arriving);
        *places.from.entry(from).or_default() += 1;
        self.open.inc();
        Ok(Place { room: Arc::clone(self), number, is_settled: false, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn ask_to_leave(&mut self, now: Instant) -> bool {
        let Self { arriving, from, .. } = self;
        let crowd = |place: &Arriving| from.get(&place.from).copied().unwrap_or_default();
        let can_leave = |place: &Arriving| {
            !place.is_told
                && match place.stage {
                    Stage::Silent => true,
                    // An answer is there by then, too.
                    Stage::Speaking | Stage::Served => now.duration_since(place.since) >= STALLED,
                }
        };
        // Of equal ones the last is taken, so the oldest comes last.
        let chosen = arriving
            .values_mut()
            .rev()
            .filter(|place| can_leave(place))
            .max_by_key(|place| (place.stage == Stage::Silent, crowd(place)));
        let Some(chosen) = chosen else { return false };
        chosen.is_told = true;
        chosen.leave.notify_one();
        self.leaving += 1;
        true
    }

    fn remove(&mut self, number: u64) {
        let Some(gone) = self.arriving.remove(&number) else { return };
        self.leaving -= usize::from(gone.is_told);
        if let Some(count) = self.from.get_mut(&gone.from) {
            *count -= 1;
            if *count == 0 {
                self.from.remove(&gone.from);
            }
        }
    }
}

impl Place {
    /// Becomes ready when it is to make room. What came in the meantime comes first: one that speaks need not leave.
    pub fn leave(&self) -> Arc<Notify> {
        Arc::clone(&self.leave)
    }

    /// The other side has said something.
    pub fn speaks(&mut self) {
        self.reach(Stage::Speaking);
    }

    /// The first request of a stranger is here: it is answered, and makes room for others when there are many.
    pub fn serve(&mut self) {
        self.reach(Stage::Served);
    }

    /// The first request is here: whether the connection may stay. If not, it is answered and ends.
    pub fn settle(&mut self) -> bool {
        let mut places = self.room.lock();
        if places.settled >= self.room.most_settled {
            drop(places);
            self.reach(Stage::Served);
            return false;
        }
        places.settled += 1;
        places.remove(self.number);
        self.is_settled = true;
        drop(places);
        self.room.freed.notify_waiters();
        true
    }

    fn reach(&mut self, stage: Stage) {
        let mut places = self.room.lock();
        let Some(place) = places.arriving.get_mut(&self.number) else { return };
        (place.stage, place.since) = (stage, Instant::now());
        if std::mem::take(&mut place.is_told) {
            // It was told for what it is no more; somebody else is to make room.
            self.leave = Arc::new(Notify::new());
            place.leave = Arc::clone(&self.leave);
            places.leaving -= 1;
            drop(places);
            self.room.freed.notify_waiters();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.room.lock();
        if self.is_settled {
            places.settled -= 1;
        } else {
            places.remove(self.number);
        }
        drop(places);
        self.room.open.dec();
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [192, 0, 2, 1];
    const THERE: [u8; 4] = [192, 0, 2, 2];

    fn room(most: usize) -> Arc<Room> {
        Arc::new(Room::new(most, 1024, Gauge::default()))
    }

    fn enter(room: &Arc<Room>, from: [u8; 4], now: Instant) -> Option<Place> {
        room.try_enter(from.into(), now).ok()
    }

    /// The numbers of those that were told to leave.
    fn told(room: &Room) -> Vec<u64> {
        let places = room.lock();
        places.arriving.iter().filter(|(_, place)| place.is_told).map(|(number, _)| *number).collect()
    }

    /// Promise: whoever says nothing makes room, the oldest first; whoever speaks stays.
    #[tokio::test]
    async fn the_oldest_that_is_silent_makes_room() {
        let (room, now) = (room(12), Instant::now());
        let mut first = enter(&room, HERE, now).unwrap();
        let (second, third) = (enter(&room, HERE, now).unwrap(), enter(&room, HERE, now).unwrap());
        first.speaks();
        assert!(enter(&room, HERE, now).is_none());
        assert_eq!(told(&room), [second.number]);
        second.leave().notified().await;
        assert!(enter(&room, HERE, now).is_none());
        assert_eq!(told(&room), [second.number], "one at a time");
        drop(second);
        let fourth = enter(&room, HERE, now).unwrap();
        assert!(enter(&room, HERE, now).is_none());
        assert_eq!(told(&room), [third.number]);
        drop((third, fourth));
        assert_eq!(room.open.get(), 1);
    }

    /// Promise: an address with many connections makes room for one with few.
    #[test]
    fn the_address_with_most_makes_room() {
        let (room, now) = (room(12), Instant::now());
        let _alone = enter(&room, THERE, now).unwrap();
        let many = [enter(&room, HERE, now).unwrap(), enter(&room, HERE, now).unwrap()];
        assert!(enter(&room, HERE, now).is_none());
        assert_eq!(told(&room), [many[0].number]);
    }

    /// Promise: a handshake is given its time, and no more.
    #[test]
    fn a_handshake_that_stalls_makes_room() {
        let (room, now) = (room(8), Instant::now());
        let mut places = [enter(&room, HERE, now).unwrap(), enter(&room, HERE, now).unwrap()];
        places.iter_mut().for_each(Place::speaks);
        assert!(enter(&room, HERE, now).is_none());
        assert!(told(&room).is_empty());
        assert!(enter(&room, HERE, now + 3 * STALLED).is_none());
        assert_eq!(told(&room), [places[0].number]);
        // It did go on: then it stays, and another one is asked.
        places[0].speaks();
        assert!(told(&room).is_empty());
        assert!(enter(&room, HERE, Instant::now() + STALLED / 2).is_none());
        assert!(told(&room).is_empty());
    }

    /// Promise: when everybody who may settle has, a newcomer is served nevertheless.
    #[test]
    fn there_is_always_a_way_in() {
        let (room, now) = (room(4), Instant::now());
        let settled: Vec<_> = (0..3)
            .map(|_| {
                let mut place = enter(&room, HERE, now).unwrap();
                assert!(place.settle());
                place
            })
            .collect();
        assert!(room.is_crowded());
        let mut newcomer = enter(&room, HERE, now).unwrap();
        assert!(!newcomer.settle(), "it is answered, and ends");
        assert!(enter(&room, HERE, Instant::now() + STALLED / 2).is_none());
        assert!(told(&room).is_empty(), "not before it is answered");
        assert!(enter(&room, HERE, Instant::now() + 3 * STALLED).is_none());
        assert_eq!(told(&room), [newcomer.number], "and then it is the one");
        drop(settled);
        assert!(!room.is_crowded());
        drop(newcomer);
        assert_eq!((room.open.get(), room.lock().from.len()), (0, 0));
    }
}
