//! Who may call what: one table. Nothing else decides.

use std::fmt;
use std::net::IpAddr;

use evenkeel_runtime::identity::{Identity, Role};
use jiff::Timestamp;
use tonic::Request;
use uuid::Uuid;

use crate::scope::Scope;

/// Who calls, as the connection proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Nobody said who: the enrolment port.
    Anonymous,
    /// A node, by its certificate.
    Node {
        /// The environment in its certificate.
        environment: String,
        /// The node.
        id: Uuid,
    },
    /// Whose certificate has ended: it may only renew it.
    Lapsed {
        /// Who the certificate says its holder is.
        identity: Identity,
        /// When it was given, to the second.
        given: Timestamp,
        /// When it ended.
        ended: Timestamp,
    },
    /// A person or a tool, by certificate or by the Unix socket's peer credentials.
    User {
        /// As audit entries show it.
        name: String,
        /// What it may do.
        role: Role,
        /// Where it may do it.
        scope: Scope,
        /// When its certificate was given, to the second; `None`: it came by the Unix socket.
        certified: Option<Timestamp>,
    },
}

/// Where a call comes from; `None` for the Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub Option<IpAddr>);

impl Peer {
    /// Who a certificate that was given at this time names.
    pub fn certified(identity: Identity, at: Timestamp) -> Self {
        match identity {
            Identity::Node { environment, id } => Self::Node { environment, id },
            Identity::User { name, role, environments } => {
                Self::User { name, role, scope: Scope::of_user(environments), certified: Some(at) }
            }
        }
    }

    /// Of the caller of this request.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or(Self::Anonymous)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("nobody"),
            Self::Node { environment, id } => write!(f, "node {id} of {environment}"),
            Self::Lapsed { identity: Identity::Node { environment, id }, .. } => {
                write!(f, "node {id} of {environment}, whose certificate has ended,")
            }
            Self::Lapsed { identity: Identity::User { name, role, .. }, .. } => {
                write!(f, "{role} {name}, whose certificate has ended,")
            }
            Self::User { name, role, .. } => write!(f, "{role} {name}"),
        }
    }
}

/// Who may call one RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// Anybody: what the call carries is checked by the call.
    Anybody,
    /// A node, for itself.
    Nodes,
    /// A node, for itself, also when its certificate has ended.
    NodesAndLapsed,
    /// A user of at least this role, and what a user that is limited to some environments gets.
    Users(Role, Reach),
    /// A user of any role, for itself, also when its certificate has ended.
    UsersAndLapsed,
    /// Nodes and users.
    Known,
}

/// What a call is to a user that is limited to some environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Its answer is computed over the user's environments; others are not there.
    Filtered,
    /// The environment that it concerns must be one of the user's.
    Checked,
    /// It concerns all environments, so it takes a user that is not limited.
    Unscoped,
    /// It says nothing of any environment, or only what the caller's certificate says already.
    Nothing,
}

/// RPC x callers. A method that is not here may be called by nobody.
const TABLE: &[(&str, Callers)] = &[
    ("/evenkeel.enroll.v1.EnrollmentService/Enroll", Callers::Anybody),
    ("/evenkeel.enroll.v1.EnrollmentService/Renew", Callers::NodesAndLapsed),
    ("/evenkeel.enroll.v1.EnrollmentService/EnrollUser", Callers::Anybody),
    ("/evenkeel.enroll.v1.EnrollmentService/RenewUser", Callers::UsersAndLapsed),
    ("/evenkeel.fleet.v1.FleetService/CheckIn", Callers::Nodes),
    ("/evenkeel.fleet.v1.FleetService/PutSections", Callers::Nodes),
    ("/evenkeel.report.v1.ReportService/GetReport", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/Diff", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/Gate", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/Explain", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/GetValues", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/ListNodes", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/GetFacts", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/GetHistory", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/GetAffected", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/GetPolicy", Callers::Users(Role::Viewer, Reach::Nothing)),
    ("/evenkeel.report.v1.ReportService/ListAcceptances", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/ListBaselines", Callers::Users(Role::Viewer, Reach::Filtered)),
    ("/evenkeel.report.v1.ReportService/Watch", Callers::Users(Role::Viewer, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/ApplyPolicy", Callers::Users(Role::Operator, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/Accept", Callers::Users(Role::Operator, Reach::Filtered)),
    ("/evenkeel.admin.v1.AdminService/Unaccept", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/CreateBaseline", Callers::Users(Role::Operator, Reach::Filtered)),
    ("/evenkeel.admin.v1.AdminService/DeleteBaseline", Callers::Users(Role::Operator, Reach::Filtered)),
    ("/evenkeel.admin.v1.AdminService/CreateToken", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/ListTokens", Callers::Users(Role::Operator, Reach::Filtered)),
    ("/evenkeel.admin.v1.AdminService/RevokeToken", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/EvictNode", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/BanNode", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/UnbanNode", Callers::Users(Role::Operator, Reach::Checked)),
    ("/evenkeel.admin.v1.AdminService/GetAuthority", Callers::Users(Role::Operator, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/RotateAuthority", Callers::Users(Role::Admin, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/CreateUserCertificate", Callers::Users(Role::Admin, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/InviteUser", Callers::Users(Role::Admin, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/ListUsers", Callers::Users(Role::Admin, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/RevokeUser", Callers::Users(Role::Admin, Reach::Unscoped)),
    ("/evenkeel.admin.v1.AdminService/ListAudit", Callers::Users(Role::Operator, Reach::Filtered)),
    ("/grpc.health.v1.Health/Check", Callers::Known),
    ("/grpc.health.v1.Health/Watch", Callers::Known),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Callers::Users(Role::Viewer, Reach::Nothing),
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Callers::Users(Role::Viewer, Reach::Nothing),
    ),
];

/// The method, if somebody may call it: names that strangers make up are not for keeping.
pub fn known(method: &str) -> Option<&'static str> {
    TABLE.iter().map(|(name, _)| *name).find(|name| *name == method)
}

/// Whether this peer may call this method (`/package.Service/Method`). The error is a sentence for the caller.
pub fn check(peer: &Peer, method: &str) -> Result<(), String> {
    let Some((_, callers)) = TABLE.iter().find(|(name, _)| *name == method) else {
        return Err(format!("{method} may be called by nobody"));
    };
    match (callers, peer) {
        (Callers::Anybody, _)
        | (Callers::Nodes | Callers::NodesAndLapsed | Callers::Known, Peer::Node { .. })
        | (Callers::NodesAndLapsed, Peer::Lapsed { identity: Identity::Node { .. }, .. })
        | (Callers::UsersAndLapsed, Peer::Lapsed { identity: Identity::User { .. }, .. })
        | (Callers::UsersAndLapsed | Callers::Known, Peer::User { .. }) => Ok(()),
        (Callers::Users(least, Reach::Unscoped), Peer::User { role, scope: Scope::Only(only), .. })
            if role >= least =>
        {
            let only = only.join(", ");
            Err(format!(
                "{peer} may not call {method}: it concerns all environments, and {peer} is limited to {only}"
            ))
        }
        (Callers::Users(least, _), Peer::User { role, .. }) if role >= least => Ok(()),
        // A sentence of its own: what is wrong is the certificate, not the method.
        (_, Peer::Lapsed { identity: Identity::Node { .. }, ended, .. }) => {
            Err(format!("the node's certificate ended at {ended:.0}: renew it"))
        }
        (_, Peer::Lapsed { identity: Identity::User { .. }, ended, .. }) => {
            Err(format!("your certificate ended at {ended:.0}: get a new one with evenkeel login"))
        }
        (Callers::Users(least, _), _) => {
            Err(format!("{peer} may not call {method}: it takes a user of role {least} or above"))
        }
        (Callers::Nodes | Callers::NodesAndLapsed, _) => {
            Err(format!("{peer} may not call {method}: it takes a node's certificate"))
        }
        (Callers::UsersAndLapsed, _) => {
            Err(format!("{peer} may not call {method}: it takes a user's certificate"))
        }
        (Callers::Known, _) => Err(format!("{peer} may not call {method}: it takes a certificate")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn user(role: Role) -> Peer {
        Peer::User { name: "ada".into(), role, scope: Scope::Everywhere, certified: None }
    }

    /// Promise: every RPC of the descriptors is in the table, and the table names no other.
    #[test]
    fn the_table_is_complete() {
        let set = prost_types::FileDescriptorSet::decode(evenkeel_proto::DESCRIPTORS).unwrap();
        let mut methods: Vec<String> = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    methods.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        let ours: Vec<_> =
            TABLE.iter().map(|(name, _)| *name).filter(|name| name.starts_with("/evenkeel.")).collect();
        assert_eq!(ours.len(), methods.len());
        for method in methods {
            assert!(ours.contains(&method.as_str()), "{method} is not in the table of access");
        }
    }

    /// Promise: node certificates can never query, user certificates can never report.
    #[test]
    fn nodes_report_and_users_ask() {
        let node = Peer::Node { environment: "dev".into(), id: Uuid::nil() };
        for (method, callers) in TABLE {
            let (by_node, by_admin) =
                (check(&node, method).is_ok(), check(&user(Role::Admin), method).is_ok());
            let expected = match callers {
                Callers::Anybody | Callers::Known => (true, true),
                Callers::Nodes | Callers::NodesAndLapsed => (true, false),
                Callers::Users(..) | Callers::UsersAndLapsed => (false, true),
            };
            assert_eq!((by_node, by_admin), expected, "{method}");
            assert_eq!(check(&Peer::Anonymous, method).is_ok(), *callers == Callers::Anybody, "{method}");
        }
    }

    /// Promise: whose certificate has ended may renew it, and nothing else that takes a certificate.
    #[test]
    fn the_lapsed_renew() {
        let ended = "2026-11-22T10:00:00Z".parse().unwrap();
        let identity = Identity::Node { environment: "dev".into(), id: Uuid::nil() };
        let node = Peer::Lapsed { identity, given: ended, ended };
        let identity = Identity::User { name: "ada".into(), role: Role::Admin, environments: Vec::new() };
        let user = Peer::Lapsed { identity, given: ended, ended };
        for (method, callers) in TABLE {
            let renews = |by| *callers == Callers::Anybody || *callers == by;
            assert_eq!(check(&node, method).is_ok(), renews(Callers::NodesAndLapsed), "{method}");
            assert_eq!(check(&user, method).is_ok(), renews(Callers::UsersAndLapsed), "{method}");
        }
        let report = "/evenkeel.report.v1.ReportService/GetReport";
        assert_eq!(
            check(&user, report).unwrap_err(),
            "your certificate ended at 2026-11-22T10:00:00Z: get a new one with evenkeel login"
        );
        let check_in = "/evenkeel.fleet.v1.FleetService/CheckIn";
        assert_eq!(
            check(&node, check_in).unwrap_err(),
            "the node's certificate ended at 2026-11-22T10:00:00Z: renew it"
        );
    }

    #[test]
    fn a_smaller_role_may_less() {
        let create = "/evenkeel.admin.v1.AdminService/CreateToken";
        assert!(check(&user(Role::Operator), create).is_ok());
        assert_eq!(
            check(&user(Role::Viewer), create).unwrap_err(),
            "viewer ada may not call /evenkeel.admin.v1.AdminService/CreateToken: it takes a user of role operator or above"
        );
        assert!(check(&user(Role::Admin), "/evenkeel.admin.v1.AdminService/Nothing").is_err());
    }

    /// Promise: what concerns all environments takes a user that is not limited to some, and nothing else does.
    #[test]
    fn a_limited_user_does_not_touch_what_concerns_all() {
        let scope = Scope::of_user(vec!["dev".into(), "test".into()]);
        let limited = Peer::User { name: "ada".into(), role: Role::Admin, scope, certified: None };
        for (method, callers) in TABLE {
            if let Callers::Users(_, reach) = callers {
                assert_eq!(check(&limited, method).is_ok(), *reach != Reach::Unscoped, "{method}");
            }
        }
        assert_eq!(
            check(&limited, "/evenkeel.admin.v1.AdminService/CreateUserCertificate").unwrap_err(),
            "admin ada may not call /evenkeel.admin.v1.AdminService/CreateUserCertificate: it concerns all \
             environments, and admin ada is limited to dev, test"
        );
    }
}
