//! Who came by the Unix socket, as the kernel says.

use evenkeel_runtime::identity::Role;
use evenkeel_runtime::label;
use nix::unistd::{Uid, User, geteuid};
use tokio::net::unix::UCred;

use crate::access::Peer;
use crate::scope::Scope;

/// Root and the collector's own user are admins; nobody else is let in.
pub(super) fn peer(credentials: UCred) -> Option<Peer> {
    let user = Uid::from_raw(credentials.uid());
    let is_admin = user.is_root() || user == geteuid();
    is_admin.then(|| Peer::User {
        name: name(user),
        role: Role::Admin,
        scope: Scope::Everywhere,
        certified: None,
    })
}

/// As this host calls the user, or `uid-1000` if it has no name that could stand in a certificate.
fn name(user: Uid) -> String {
    let known = User::from_uid(user).ok().flatten().map(|user| user.name);
    known.filter(|name| label::is_label(name)).unwrap_or_else(|| format!("uid-{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_called_as_the_host_calls_them() {
        assert_eq!(name(Uid::from_raw(0)), "root");
        assert_eq!(name(Uid::from_raw(4_000_000_000)), "uid-4000000000");
    }
}
