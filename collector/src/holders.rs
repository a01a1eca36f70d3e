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
/// An instance that was not heard for so long has ended.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// The nodes that have more than one instance behind them, not long ago.
#[derive(Debug, Default)]
pub struct Holders(Mutex<HashMap<Uuid, Instances>>);

#[derive(Debug, Default)]
struct Instances {
    /// The one that was heard last stands last.
    known: Vec<(Sender, Instant)>,
    returns: u32,
    returned_at: Option<Instant>,
}

impl Holders {
    /// Another instance than the last one was heard. Returns who holds the key, when there are several.
    pub fn heard(&self, node: Uuid, last: u64, sender: Sender, now: Instant) -> Option<Vec<Holder>> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.known.retain(|(_, at)| now.duration_since(*at) < FORGOTTEN);
        if self.known.is_empty() {
            // Of the one before we know only that it was there.
            self.returns = 0;
            self.known.push((Sender { instance: last, address: None, host: None }, now));
        }
        let before = self.known.iter().position(|(known, _)| known.instance == sender.instance);
        let Some(place) = before else {
            if self.known.len() == KNOWN {
                self.known.remove(0);
            }
            self.known.push((sender, now));
            return None;
        };
        let (known, _) = self.known.remove(place);
        let Sender { instance, address, host } = sender;
        let host = host.or(known.host);
        self.known.push((Sender { instance, address, host }, now));
        self.returns += 1;
        self.returned_at = Some(now);
        (self.returns >= RETURNS).then(|| self.holders())
    }

    fn holders(&self) -> Vec<Holder> {
        let holder = |(Sender { host, address, .. }, _): &(Sender, Instant)| Holder {
            host: host.clone().unwrap_or_default(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
        };
        let mut holders: Vec<_> = self.known.iter().map(holder).collect();
        // In an order of their own, so that the same holders are the same list.
        holders.sort();
        holders
    }

    fn is_over(&self, now: Instant) -> bool {
        self.known.last().is_none_or(|(_, at)| now.duration_since(*at) >= FORGOTTEN)
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
            assert_eq!(holders.heard(node, restart - 1, sender(restart, "a"), now), None);
        }
        assert!(holders.is_single(node, Duration::from_secs(1), now));

        let (holders, later) = (Holders::default(), now + Duration::from_secs(60));
        assert_eq!(holders.heard(node, 1, sender(2, "b"), now), None);
        assert_eq!(holders.heard(node, 2, sender(1, "a"), now), None);
        let both = holders.heard(node, 1, sender(2, ""), later).unwrap();
        let holder = |host: &str, address: &str| Holder { host: host.into(), address: address.into() };
        assert_eq!(both, [holder("a", "10.0.0.1"), holder("b", "10.0.0.2")]);
        assert!(!holders.is_single(node, Duration::from_secs(60), later));
        assert!(holders.is_single(node, Duration::from_secs(60), later + Duration::from_secs(61)));
    }

    #[test]
    fn a_third_machine_is_named_too() {
        let (holders, node, now) = (Holders::default(), Uuid::from_u128(1), Instant::now());
        holders.heard(node, 1, sender(2, "b"), now);
        holders.heard(node, 2, sender(3, "c"), now);
        assert_eq!(holders.heard(node, 3, sender(1, "a"), now), None);
        assert_eq!(holders.heard(node, 1, sender(2, "b"), now).unwrap().len(), 3);
    }
}
