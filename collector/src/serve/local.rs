//! Who came by the Unix socket, as the kernel says, and who may come at all.

use std::ffi::CString;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use evenkeel_runtime::files::FileError;
use evenkeel_runtime::identity::Role;
use evenkeel_runtime::label;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::net::unix::UCred;

use crate::access::Peer;
use crate::config::Access;
use crate::scope::Scope;

/// Users of the collector's own host, by their Unix groups. Root and the collector's own user are admins; who is in no
/// group of these is not let in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Locals {
    viewers: Option<Gid>,
    operators: Option<Gid>,
}

impl Locals {
    /// Of the groups that the configuration names. The error is a sentence.
    pub fn of(Access { viewers_group, operators_group }: &Access) -> Result<Self, String> {
        Ok(Self {
            viewers: group("viewers_group", viewers_group)?,
            operators: group("operators_group", operators_group)?,
        })
    }

    /// Who this is, whatever they say themselves.
    pub(super) fn peer(self, credentials: UCred) -> Option<Peer> {
        let (user, group) = (Uid::from_raw(credentials.uid()), Gid::from_raw(credentials.gid()));
        let known = User::from_uid(user).ok().flatten();
        let role = if user.is_root() || user == geteuid() {
            Role::Admin
        } else {
            self.role(&groups(known.as_ref(), group))?
        };
        Some(Peer::User { name: name(user, known), role, scope: Scope::Everywhere, certified: None })
    }

    /// The greatest that membership gives.
    fn role(self, groups: &[Gid]) -> Option<Role> {
        let is_in = |wanted: Option<Gid>| wanted.is_some_and(|wanted| groups.contains(&wanted));
        let roles = [(self.operators, Role::Operator), (self.viewers, Role::Viewer)];
        roles.into_iter().find(|(group, _)| is_in(*group)).map(|(_, role)| role)
    }

    /// Lets those who may come reach the socket: the data directory can be passed through, not listed. Whatever the
    /// umask: who comes is decided twice, here and by the peer's credentials.
    pub fn admit(self, directory: &Path, socket: &Path) -> Result<(), FileError> {
        let (mode, group) = match (self.viewers, self.operators) {
            (None, None) => (0o600, None),
            (Some(group), None) | (None, Some(group)) => (0o660, Some(group)),
            (Some(one), Some(other)) if one == other => (0o660, Some(one)),
            // A socket has one group only: whoever else comes is turned away by their credentials.
            (Some(_), Some(_)) => (0o666, None),
        };
        if mode != 0o600 {
            let found = std::fs::metadata(directory).map_err(FileError::io("look at", directory))?.mode();
            std::fs::set_permissions(directory, Permissions::from_mode(found & 0o777 | 0o011))
                .map_err(FileError::io("open a way through", directory))?;
        }
        if let Some(group) = group {
            nix::unistd::chown(socket, None, Some(group))
                .map_err(|error| FileError::io("give a group to", socket)(error.into()))?;
        }
        std::fs::set_permissions(socket, Permissions::from_mode(mode))
            .map_err(FileError::io("protect", socket))
    }
}

fn group(option: &str, name: &str) -> Result<Option<Gid>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(group.gid)),
        Ok(None) => Err(format!("access.{option}: this host has no group {name:?}")),
        Err(error) => Err(format!("access.{option}: the groups of this host cannot be read: {error}")),
    }
}

/// The groups of a user: its own, and those that list it.
fn groups(user: Option<&User>, own: Gid) -> Vec<Gid> {
    let name = user.and_then(|user| CString::new(user.name.as_str()).ok());
    name.and_then(|name| getgrouplist(&name, own).ok()).unwrap_or_else(|| vec![own])
}

/// As this host calls the user, or `uid-1000` if it has no name that could stand in a certificate.
fn name(user: Uid, known: Option<User>) -> String {
    let name = known.map(|user| user.name).filter(|name| label::is_label(name));
    name.unwrap_or_else(|| format!("uid-{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_called_as_the_host_calls_them() {
        let of = |id| name(Uid::from_raw(id), User::from_uid(Uid::from_raw(id)).unwrap());
        assert_eq!((of(0).as_str(), of(4_000_000_000).as_str()), ("root", "uid-4000000000"));
    }

    #[test]
    fn the_greatest_role_of_the_groups() {
        let [viewers, operators, other] = [1, 2, 3].map(Gid::from_raw);
        let locals = Locals { viewers: Some(viewers), operators: Some(operators) };
        assert_eq!(locals.role(&[other, viewers, operators]), Some(Role::Operator));
        assert_eq!(locals.role(&[viewers]), Some(Role::Viewer));
        assert_eq!((locals.role(&[other]), Locals::default().role(&[viewers])), (None, None));
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        let access = Access { viewers_group: "no-such-group".into(), ..Access::default() };
        let said = "access.viewers_group: this host has no group \"no-such-group\"";
        assert_eq!(Locals::of(&access).unwrap_err(), said);
    }
}
