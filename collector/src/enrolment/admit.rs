//! Whether a machine may become a node, decided on the state as it is.

use evenkeel_facts::Glob;
use evenkeel_store::entry::TokenCreated;
use ipnet::IpNet;
use jiff::Timestamp;

use crate::access::Origin;
use crate::kubernetes::Vouched;
use crate::ledger::Key;
use crate::state::{State, TokenState};

/// Of a token that was never made here; also of one with another secret, which says nothing of the one that was.
pub(super) const NOT_OURS: &str = "this is not a token of this collector";

/// A machine that wants to enrol.
pub(super) struct Comer {
    pub(super) host: String,
    /// SHA-256 of its public key.
    pub(super) key: Vec<u8>,
    pub(super) origin: Origin,
}

/// Why it may.
pub(super) enum Pass {
    /// A token of ours.
    Token {
        /// Which.
        id: String,
        /// The digest of its secret.
        hash: Vec<u8>,
    },
    /// Somebody vouches for it.
    Vouched(Vouched),
}

impl Pass {
    /// As the journal keeps it.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Token { id, .. } => id.clone(),
            Self::Vouched(vouched) => vouched.by.clone(),
        }
    }

    /// What it contends for: the uses of a token.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Token { id, .. } => Key::Token(id.clone()),
            Self::Vouched(_) => Key::None,
        }
    }
}

/// The environment that this machine is let into now, or why it is not. The sentence goes to whoever wants in.
pub(super) fn admit(state: &State, pass: &Pass, comer: &Comer, now: Timestamp) -> Result<String, String> {
    let environment = match pass {
        Pass::Token { id, hash } => by_token(state, id, hash, comer, now)?,
        Pass::Vouched(vouched) => vouched.environment.clone(),
    };
    match state.ban_of(&comer.key, &environment, &comer.host) {
        Some(ban) => Err(format!("{}: lift the ban first (evenkeel node unban {})", ban.sentence(), ban.id)),
        None => Ok(environment),
    }
}

fn by_token(
    state: &State,
    id: &str,
    hash: &[u8],
    Comer { host, key: _, origin: Origin(address) }: &Comer,
    now: Timestamp,
) -> Result<String, String> {
    let Some(TokenState { created, at: _, used, revoked_by }) = state.token(id) else {
        return Err(NOT_OURS.to_owned());
    };
    let TokenCreated { id: _, hash: ours, environment, uses, expires, by: _, names, network } = created;
    if ours != hash {
        return Err(NOT_OURS.to_owned());
    }
    if let Some(by) = revoked_by {
        return Err(format!("token {id} was revoked by {by}"));
    }
    if *expires <= now {
        return Err(format!("token {id} expired at {expires:.0}"));
    }
    if used >= uses {
        return Err(format!("token {id} is used up ({used} of {uses})"));
    }
    if !names.is_empty() && !Glob::new(names).matches(host) {
        return Err(format!("token {id} lets in nodes named {names}, and this one is named {host}"));
    }
    let is_within = |network: &str| {
        let network: Option<IpNet> = network.parse().ok();
        network.zip(*address).is_some_and(|(network, address)| network.contains(&address))
    };
    if !network.is_empty() && !is_within(network) {
        let from = address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
        return Err(format!("token {id} lets in nodes from {network}, and this one comes from {from}"));
    }
    Ok(environment.clone())
}
