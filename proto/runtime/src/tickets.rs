//! Session tickets: a connection that is resumed costs half of a new one. Their keys change by themselves every six hours,
//! and at once when all tickets are to be forgotten.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::Ticketer;
use rustls::server::ProducesTickets;

use crate::tls::TlsError;

/// The ticket keys of one collector, shared by every configuration that it serves with, so that a new certificate does
/// not end them.
pub struct Tickets {
    is_enabled: bool,
    keys: ArcSwap<Arc<dyn ProducesTickets>>,
}

impl Tickets {
    /// New keys. When they are not enabled, no ticket is given and none is taken.
    pub fn new(is_enabled: bool) -> Result<Self, TlsError> {
        Ok(Self { is_enabled, keys: ArcSwap::from_pointee(Ticketer::new().map_err(TlsError::new)?) })
    }

    /// Whether tickets are given.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Refuses every ticket that was given so far: each connection is a full handshake once more. What a certificate
    /// proves is then verified anew.
    pub fn forget(&self) -> Result<(), TlsError> {
        self.keys.store(Arc::new(Ticketer::new().map_err(TlsError::new)?));
        Ok(())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_enabled, keys: _ } = self;
        f.debug_struct("Tickets").field("is_enabled", is_enabled).finish_non_exhaustive()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.is_enabled
    }

    fn lifetime(&self) -> u32 {
        self.keys.load().lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.load().encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.load().decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: a ticket is good until all are forgotten, and never after.
    #[test]
    fn a_forgotten_ticket_is_refused() {
        let tickets = Tickets::new(true).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        tickets.forget().unwrap();
        assert_eq!(tickets.decrypt(&ticket), None);
        assert!(tickets.decrypt(&tickets.encrypt(b"next").unwrap()).is_some());
    }
}
