//! Who was let in, and who was sent away: what the journal says of people, in memory.

use std::collections::{BTreeMap, HashMap};

use evenkeel_store::checkpoint::{Part, UserPart};
use evenkeel_store::entry::{UserCertified, UserInvited, UserRevoked};
use jiff::{SignedDuration, Timestamp};

/// How long an invitation that has ended is remembered, so that its holder is told that it has.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Everybody, at one position of the journal.
#[derive(Debug, Default, Clone)]
pub struct People {
    users: BTreeMap<String, User>,
    invitations: HashMap<String, Invitation>,
}

/// A user as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// What it may do, by its newest certificate or invitation.
    pub role: String,
    /// Where it may do it; empty: everywhere.
    pub environments: Vec<String>,
    /// Who let it in.
    pub by: String,
    /// When its newest certificate was given.
    pub certified: Option<Timestamp>,
    /// When the last of its certificates that are not revoked ends.
    pub ends: Option<Timestamp>,
    /// When its open invitation ends.
    pub invited_until: Option<Timestamp>,
    /// Its newest revocation.
    pub revoked: Option<Revoked>,
}

/// A revocation: it ends what was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// What a user is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Holds a certificate that is good.
    Active,
    /// May log in for the first time.
    Invited,
    /// Holds nothing that is good any more.
    Ended,
    /// Was sent away.
    Revoked,
}

#[derive(Debug, Clone)]
struct Invitation {
    invited: UserInvited,
    used: bool,
    revoked: bool,
}

impl People {
    /// Every user by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// One user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Somebody was invited.
    pub fn invited(&mut self, invited: &UserInvited, at: Timestamp) {
        self.invitations.retain(|_, invitation| invitation.invited.expires + REMEMBERED > at);
        let user = self.users.entry(invited.name.clone()).or_default();
        user.role.clone_from(&invited.role);
        user.environments.clone_from(&invited.environments);
        user.by.clone_from(&invited.by);
        user.invited_until = Some(invited.expires);
        let invitation = Invitation { invited: invited.clone(), used: false, revoked: false };
        self.invitations.insert(invited.id.clone(), invitation);
    }

    /// Somebody was given a certificate.
    pub fn certified(&mut self, certified: &UserCertified, at: Timestamp) {
        let UserCertified { name, role, environments, expires, by, invitation } = certified;
        let user = self.users.entry(name.clone()).or_default();
        user.role.clone_from(role);
        user.environments.clone_from(environments);
        if let Some(invitation) = self.invitations.get_mut(invitation) {
            invitation.used = true;
            user.invited_until = None;
        } else if user.by.is_empty() {
            user.by.clone_from(by);
        }
        user.certified = Some(at);
        user.ends = user.ends.max(Some(*expires));
    }

    /// Somebody was sent away.
    pub fn revoked(&mut self, revoked: &UserRevoked, at: Timestamp) {
        let UserRevoked { name, reason, by } = revoked;
        // Whom another authority certifies is first heard of here.
        let user = self.users.entry(name.clone()).or_default();
        // Of a clock that was set back, nothing that was given or revoked before is good again.
        let at =
            user.revoked.as_ref().map(|before| before.at).max(user.certified).map_or(at, |last| at.max(last));
        user.revoked = Some(Revoked { at, by: by.clone(), reason: reason.clone() });
        (user.ends, user.invited_until) = (None, None);
        for invitation in self.invitations.values_mut().filter(|known| known.invited.name == *name) {
            invitation.revoked = true;
        }
    }

    /// Why a certificate of this user that was given at this time is worth nothing. A certificate says the second only:
    /// of those given in the second of the revocation all are refused.
    pub fn refusal(&self, name: &str, certified: Timestamp) -> Option<String> {
        let Revoked { at, by, reason } = self.users.get(name)?.revoked.as_ref()?;
        if certified.as_second() > at.as_second() {
            return None;
        }
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        Some(format!("the certificates of {name} were revoked at {at:.0} by {by}{why}"))
    }

    /// Whom an invitation lets in now. The error is a sentence for whoever holds it.
    pub fn invitation(&self, id: &str, hash: &[u8], now: Timestamp) -> Result<&UserInvited, String> {
        match self.invitations.get(id) {
            Some(Invitation { invited, used, revoked }) if invited.hash == hash => match (used, revoked) {
                (true, _) => Err(format!("invitation {id} was used already")),
                (_, true) => Err(format!("invitation {id} was revoked")),
                _ if invited.expires <= now => {
                    Err(format!("invitation {id} expired at {:.0}", invited.expires))
                }
                _ => Ok(invited),
            },
            _ => Err("this is not an invitation of this collector".to_owned()),
        }
    }
}

/// For checkpoints.
impl People {
    pub(crate) fn parts<E>(&self, each: &mut impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        for (name, user) in &self.users {
            let User { role, environments, by, certified, ends, invited_until, revoked } = user.clone();
            let revoked = revoked.map(|Revoked { at, by, reason }| (at, by, reason));
            let name = name.clone();
            each(Part::User(UserPart {
                name,
                role,
                environments,
                by,
                certified,
                ends,
                invited_until,
                revoked,
            }))?;
        }
        let mut invitations: Vec<_> = self.invitations.iter().collect();
        invitations.sort_by_key(|(id, _)| *id);
        for (_, Invitation { invited, used, revoked }) in invitations {
            each(Part::Invitation(invited.clone(), *used, *revoked))?;
        }
        Ok(())
    }

    pub(crate) fn put_user(&mut self, part: UserPart) {
        let UserPart { name, role, environments, by, certified, ends, invited_until, revoked } = part;
        let revoked = revoked.map(|(at, by, reason)| Revoked { at, by, reason });
        self.users.insert(name, User { role, environments, by, certified, ends, invited_until, revoked });
    }

    pub(crate) fn put_invitation(&mut self, invited: UserInvited, used: bool, revoked: bool) {
        self.invitations.insert(invited.id.clone(), Invitation { invited, used, revoked });
    }
}

impl User {
    /// What it is now.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.ends.is_some_and(|end| end > now) {
            Standing::Active
        } else if self.invited_until.is_some_and(|end| end > now) {
            Standing::Invited
        } else if self.revoked.is_some() && self.ends.is_none() && self.invited_until.is_none() {
            Standing::Revoked
        } else {
            Standing::Ended
        }
    }
}

impl Standing {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Invited => "invited",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(second * 1000 + 300).unwrap()
    }

    fn invite(people: &mut People, id: &str, second: i64) {
        let invited = UserInvited {
            id: id.into(),
            hash: vec![1],
            name: "ada".into(),
            role: "operator".into(),
            environments: vec!["dev".into()],
            expires: at(second + 100),
            by: "admin root".into(),
        };
        people.invited(&invited, at(second));
    }

    fn certify(people: &mut People, invitation: &str, second: i64) {
        let certified = UserCertified {
            name: "ada".into(),
            role: "operator".into(),
            environments: vec!["dev".into()],
            expires: at(second + 1000),
            by: "operator ada".into(),
            invitation: invitation.into(),
        };
        people.certified(&certified, at(second));
    }

    fn revoke(people: &mut People, second: i64) {
        let revoked = UserRevoked { name: "ada".into(), reason: "left".into(), by: "admin root".into() };
        people.revoked(&revoked, at(second));
    }

    fn standing(people: &People, second: i64) -> Standing {
        people.user("ada").unwrap().standing(at(second))
    }

    /// Promise: an invitation lets one person in, once, until it ends.
    #[test]
    fn an_invitation_is_used_once() {
        let mut people = People::default();
        invite(&mut people, "u1", 0);
        assert_eq!(standing(&people, 1), Standing::Invited);
        assert_eq!(people.invitation("u1", &[1], at(1)).unwrap().name, "ada");
        let why = |people: &People, id: &str, hash: u8, second| {
            people.invitation(id, &[hash], at(second)).unwrap_err()
        };
        assert_eq!(why(&people, "u1", 2, 1), "this is not an invitation of this collector");
        assert_eq!(why(&people, "u2", 1, 1), "this is not an invitation of this collector");
        assert_eq!(why(&people, "u1", 1, 100), "invitation u1 expired at 1970-01-01T00:01:40Z");
        certify(&mut people, "u1", 2);
        assert_eq!(why(&people, "u1", 1, 3), "invitation u1 was used already");
        assert_eq!((standing(&people, 3), standing(&people, 1002)), (Standing::Active, Standing::Ended));
        invite(&mut people, "u2", 4);
        revoke(&mut people, 5);
        assert_eq!(why(&people, "u2", 1, 6), "invitation u2 was revoked");
        assert_eq!(standing(&people, 6), Standing::Revoked);
    }

    /// Promise: what was given before a revocation is refused for ever, also if the clock is set back; what is given
    /// after it is good.
    #[test]
    fn a_revocation_ends_what_was_before() {
        let mut people = People::default();
        certify(&mut people, "", 10);
        assert_eq!(people.refusal("ada", at(10)), None);
        revoke(&mut people, 20);
        let said = "the certificates of ada were revoked at 1970-01-01T00:00:20Z by admin root: left";
        assert_eq!(people.refusal("ada", at(10)).as_deref(), Some(said));
        assert!(people.refusal("ada", at(20)).is_some() && people.refusal("ada", at(21)).is_none());
        assert_eq!(people.refusal("bob", at(10)), None);
        certify(&mut people, "", 21);
        assert_eq!(standing(&people, 22), Standing::Active);
        revoke(&mut people, 5);
        assert!(people.refusal("ada", at(21)).is_some() && people.refusal("ada", at(22)).is_none());
    }
}
