//! What a node trusts and by whom it was certified, in eight bytes: with each check-in it says which it holds, so that
//! the collector can tell it when there is something newer.

use rustls_pki_types::CertificateDer;

/// The first bytes of the SHA-256 of the roots, in order of their bytes, and of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark([u8; 8]);

impl Mark {
    /// Of a node that trusts these roots and has this issuer.
    pub fn of(roots: &[CertificateDer<'_>], issuer: &CertificateDer<'_>) -> Self {
        let mut parts: Vec<&[u8]> = roots.iter().map(AsRef::as_ref).collect();
        parts.sort_unstable();
        parts.dedup();
        parts.push(issuer.as_ref());
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            // Each by its own digest: where one ends and the next begins is part of it.
            digest.update(ring::digest::digest(&ring::digest::SHA256, part).as_ref());
        }
        let mut mark = [0; 8];
        mark.copy_from_slice(&digest.finish().as_ref()[..8]);
        Self(mark)
    }

    /// As it is sent.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// As a number, for comparing.
    pub fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl TryFrom<&[u8]> for Mark {
    type Error = ();

    fn try_from(bytes: &[u8]) -> Result<Self, ()> {
        bytes.try_into().map(Self).map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_root_or_issuer_is_another_mark_and_order_is_not() {
        let certificate = |byte: u8| CertificateDer::from(vec![byte; 3]);
        let mark = |roots: &[u8], issuer| {
            Mark::of(&roots.iter().copied().map(certificate).collect::<Vec<_>>(), &certificate(issuer))
        };
        assert_eq!(mark(&[1, 2], 3), mark(&[2, 1], 3));
        assert_ne!(mark(&[1, 2], 3), mark(&[1], 3));
        assert_ne!(mark(&[1, 2], 3), mark(&[1, 2], 4));
        assert_eq!(Mark::try_from(mark(&[1], 2).as_bytes().as_slice()), Ok(mark(&[1], 2)));
    }
}
