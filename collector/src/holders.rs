//! Two machines that hold one node's key: a cloned image, a state directory that was restored elsewhere. Each start of
//! an agent has a random instance, and an agent that ended never comes back with it. So an instance that comes back
//! after another was heard is a second machine that is alive.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_store::entry::Holder;
use uuid::Uuid;

/// Who sent a message, besides its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Made anew at each start of the agent.
    pub instance: u64,
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
    /// The host name, where the message says it.
    pub host: Option<String>,
}

/// So often must earlier instances come back: once may be a message that was long on its way.
const RETURNS: u32 = 2;
/// Of so many instances of one node we know.
const KNOWN: usize = 8;
/// So often it is told who they are, until all of them are forgotten.
const MOST_TOLD: u32 = 16;
/// An instance that was not heard for so long has ended.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// The nodes that have more than one instance behind them, not long ago.
#[derive(Debug, Default)]
pub struct Holders(Mutex<HashMap<Uuid, Instances>>);

#[derive(Debug, Default)]
struct Instances {
    /// The one that was heard last stands last.
    known: Vec<Known>,
    returns: u32,
    returned_at: Option<Instant>,
    /// How often it was told who they are: what a node says of itself must not fill the journal.
    told: u32,
    last_told: Option<Vec<Holder>>,
}

#[derive(Debug)]
struct Known {
    sender: Sender,
    at: Instant,
    /// Whether it came back after another was heard. One that never does has ended.
    returned: bool,
}

impl Known {
    fn new(sender: Sender, at: Instant) -> Self {
        Self { sender, at, returned: false }
    }
}

impl Holders {
    /// A message came; `last` is the instance that spoke before, if that was another. Returns who holds the key, when
    /// there are several.
    pub fn heard(&self, node: Uuid, last: Option<u64>, sender: Sender, now: Instant) -> Option<Vec<Holder>> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = last else {
            return nodes.get_mut(&node)?.told(sender);
        };
        if nodes.len() > 10_000 {
            nodes.retain(|_, instances| !instances.is_over(now));
        }
        nodes.entry(node).or_default().heard(last, sender, now)
    }

    /// Whether nobody came back to this node's key for so long.
    pub fn is_single(&self, node: Uuid, quiet: Duration, now: Instant) -> bool {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let returned_at = nodes.get(&node).and_then(|instances| instances.returned_at);
        returned_at.is_none_or(|at| now.duration_since(at) > quiet)
    }
}

impl Instances {
    fn heard(&mut self, last: u64, sender: Sender, now: Instant) -> Option<Vec<Holder>> {
        self.known.retain(|known| now.duration_since(known.at) < FORGOTTEN);
        if self.known.is_empty() {
            // Of the one before we know only that it was there.
            *self = Self::default();
            self.known.push(Known::new(Sender { instance: last, address: None, host: None }, now));
        }
        let before = self.known.iter().position(|known| known.sender.instance == sender.instance);
        let Some(place) = before else {
            if self.known.len() == KNOWN {
                self.known.remove(0);
            }
            self.known.push(Known::new(sender, now));
            return None;
        };
        let host = self.known.remove(place).sender.host;
        let sender = Sender { host: sender.host.or(host), ..sender };
        self.known.push(Known { sender, at: now, returned: true });
        self.returns += 1;
        self.returned_at = Some(now);
        self.several()
    }

    /// Whoever spoke last says its name.
    fn told(&mut self, sender: Sender) -> Option<Vec<Holder>> {
        let latest = self.known.last_mut().filter(|known| known.sender.instance == sender.instance)?;
        latest.sender.host = sender.host.or(latest.sender.host.take());
        self.several()
    }

    /// Those that came back, and the two that were heard last: one of them is why somebody came back.
    fn several(&mut self) -> Option<Vec<Holder>> {
        if self.returns < RETURNS {
            return None;
        }
        let recent = self.known.len().saturating_sub(2);
        let alive = self.known.iter().enumerate().filter(|(place, known)| known.returned || *place >= recent);
        let holder = |(_, Known { sender: Sender { host, address, .. }, .. }): (usize, &Known)| Holder {
            host: host.clone().unwrap_or_default(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
        };
        let mut holders: Vec<_> = alive.map(holder).collect();
        // In an order of their own, so that the same holders are the same list.
        holders.sort();
        if self.last_told.as_ref() != Some(&holders) {
            if self.told == MOST_TOLD {
                return None;
            }
            self.told += 1;
            self.last_told = Some(holders.clone());
        }
        Some(holders)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.known.last().is_none_or(|known| now.duration_since(known.at) >= FORGOTTEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(instance: u64, host: &str) -> Sender {
        let address = Some(IpAddr::from([10, 0, 0, u8::try_from(instance).unwrap()]));
        Sender { instance, address, host: (!host.is_empty()).then(|| host.to_owned()) }
    }

    /// Promise: an agent that is started again, however often, is one machine; two that take turns are two, and named.
    #[test]
    fn whoever_comes_back_was_there_all_along() {
        let (holders, node, now) = (Holders::default(), Uuid::from_u128(1), Instant::now());
        for restart in 2..20 {
            assert_eq!(holders.heard(node, Some(restart - 1), sender(restart, "a"), now), None);
        }
        assert!(holders.is_single(node, Duration::from_secs(1), now));

        let (holders, later) = (Holders::default(), now + Duration::from_secs(60));
        assert_eq!(holders.heard(node, Some(1), sender(2, "b"), now), None);
        assert_eq!(holders.heard(node, Some(2), sender(1, "a"), now), None);
        let both = holders.heard(node, Some(1), sender(2, ""), later).unwrap();
        let holder = |host: &str, address: &str| Holder { host: host.into(), address: address.into() };
        assert_eq!(both, [holder("a", "10.0.0.1"), holder("b", "10.0.0.2")]);
        let told = holders.heard(node, None, sender(2, "c"), later).unwrap();
        assert_eq!(told[1], holder("c", "10.0.0.2"), "whoever tells another name later has it");
        assert!(!holders.is_single(node, Duration::from_secs(60), later));
        assert!(holders.is_single(node, Duration::from_secs(60), later + Duration::from_secs(61)));
    }

    #[test]
    fn a_third_machine_is_named_too() {
        let (holders, node, now) = (Holders::default(), Uuid::from_u128(1), Instant::now());
        holders.heard(node, Some(1), sender(2, "b"), now);
        holders.heard(node, Some(2), sender(3, "c"), now);
        assert_eq!(holders.heard(node, Some(3), sender(1, "a"), now), None);
        holders.heard(node, Some(1), sender(2, "b"), now);
        assert_eq!(holders.heard(node, Some(2), sender(3, "c"), now).unwrap().len(), 3);
    }

    /// Promise: an earlier start of a machine's agent is not named beside it.
    #[test]
    fn who_has_ended_is_not_named() {
        let (holders, node, now) = (Holders::default(), Uuid::from_u128(1), Instant::now());
        holders.heard(node, Some(9), sender(1, "a"), now);
        holders.heard(node, Some(1), sender(2, "b"), now);
        holders.heard(node, Some(2), sender(1, "a"), now);
        let both = holders.heard(node, Some(1), sender(2, "b"), now).unwrap();
        assert_eq!(both.iter().map(|holder| holder.host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    /// Promise: a node that says another name with every message fills no journal: it is told so often, and no more.
    #[test]
    fn names_without_end_are_told_no_more() {
        let (holders, node, now) = (Holders::default(), Uuid::from_u128(1), Instant::now());
        holders.heard(node, Some(1), sender(2, "b"), now);
        holders.heard(node, Some(2), sender(1, "a"), now);
        holders.heard(node, Some(1), sender(2, "b"), now).unwrap();
        let told =
            (0..100).filter(|name| holders.heard(node, None, sender(2, &format!("x{name}")), now).is_some());
        assert_eq!(told.count(), MOST_TOLD as usize - 1);
    }
}
