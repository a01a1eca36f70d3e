//! Enrolment tokens and invitations: `ek1.<pin of the root>.<id>.<secret>`. The collector keeps only a hash of the secret.

use std::fmt;
use std::net::IpAddr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use evenkeel_facts::Digest;
use evenkeel_runtime::pin::Pin;
use ipnet::IpNet;

/// Begins an invitation's id: no hexadecimal digit, so no enrolment token's id begins so.
const INVITATION: char = 'u';

/// A token in full. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The public part by which lists and logs name it.
    pub id: String,
    secret: String,
}

impl Token {
    /// A new token: an id of 40 random bits, a secret of 256.
    ///
    /// # Panics
    ///
    /// If the system has no randomness.
    pub fn generate() -> Self {
        let (mut id, mut secret) = ([0; 5], [0; 32]);
        getrandom::fill(&mut id).expect("the system has randomness");
        getrandom::fill(&mut secret).expect("the system has randomness");
        Self { id: HEXLOWER.encode(&id), secret: BASE32_NOPAD.encode(&secret).to_lowercase() }
    }

    /// A new invitation of a person: a token whose id says so.
    pub fn generate_invitation() -> Self {
        let token = Self::generate();
        Self { id: format!("{INVITATION}{}", token.id), ..token }
    }

    /// Whether it lets a person in, and no node.
    pub fn is_invitation(&self) -> bool {
        self.id.starts_with(INVITATION)
    }

    /// Reads a token; `None` if it is not one, or is another collector's.
    pub fn parse(text: &str, is_ours: impl Fn(Pin) -> bool) -> Option<Self> {
        match text.trim().split('.').collect::<Vec<_>>().as_slice() {
            ["ek1", pinned, id, secret]
                if pinned.parse().is_ok_and(is_ours) && !id.is_empty() && secret.len() >= 32 =>
            {
                Some(Self { id: (*id).to_owned(), secret: (*secret).to_owned() })
            }
            _ => None,
        }
    }

    /// The token as its holder keeps it.
    pub fn reveal(&self, pin: Pin) -> String {
        format!("ek1.{pin}.{}.{}", self.id, self.secret)
    }

    /// What the collector keeps. The secret has 256 random bits, so one plain hash is enough, and comparing hashes
    /// tells nothing of the secret.
    pub fn hash(&self) -> Vec<u8> {
        Digest::of(self.secret.as_bytes()).as_bytes().to_vec()
    }
}

/// A network (`10.0.0.0/8`, `2001:db8::/32`) or one address. The error is a sentence.
pub fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse().ok().map(|address: IpAddr| IpNet::from(address));
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .ok()
        .or_else(one)
        .ok_or_else(|| format!("{text:?} is not a network: write 10.0.0.0/8, 2001:db8::/32 or one address"))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, redacted)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_hides_its_secret() {
        let pin: Pin = "ab".repeat(32).parse().unwrap();
        let token = Token::generate();
        let text = token.reveal(pin);
        assert_eq!(Token::parse(&format!("{text}\n"), |other| other == pin).as_ref(), Some(&token));
        assert!(!format!("{token:?}").contains(&token.secret));
        let other: Pin = "cd".repeat(32).parse().unwrap();
        assert_eq!(Token::parse(&text, |ours| ours == other), None);
        assert_eq!(Token::parse("ek1.x", |_| true), None);
    }

    #[test]
    fn networks() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert_eq!(
            network("10.0.0.0/33").unwrap_err(),
            "\"10.0.0.0/33\" is not a network: write 10.0.0.0/8, 2001:db8::/32 or one address"
        );
    }
}
