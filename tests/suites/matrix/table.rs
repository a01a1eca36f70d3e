//! What each RPC should be to whom: written down by hand, from the comments of the `.proto` files. A new RPC has its line
//! here, or the matrix fails.

/// Who should get an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Anybody who has what it asks for, such as a token.
    Anybody,
    /// Nodes, for themselves.
    Nodes,
    /// Nodes, also when their certificate has ended.
    NodesAndLapsed,
    /// Users, for themselves, also when their certificate has ended.
    UsersAndLapsed,
    /// Users of any role.
    Viewers(Reach),
    /// Operators and admins.
    Operators(Reach),
    /// Admins.
    Admins,
}

/// What it should be to a user that is limited to some environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Others are not there.
    Filtered,
    /// Others are refused.
    Checked,
    /// It is not for them.
    Unscoped,
}

use Reach::{Checked, Filtered, Unscoped};

pub(super) const TABLE: &[(&str, Who)] = &[
    ("/evenkeel.enroll.v1.EnrollmentService/Enroll", Who::Anybody),
    ("/evenkeel.enroll.v1.EnrollmentService/EnrollUser", Who::Anybody),
    ("/evenkeel.enroll.v1.EnrollmentService/Renew", Who::NodesAndLapsed),
    ("/evenkeel.enroll.v1.EnrollmentService/RenewUser", Who::UsersAndLapsed),
    ("/evenkeel.fleet.v1.FleetService/CheckIn", Who::Nodes),
    ("/evenkeel.fleet.v1.FleetService/PutSections", Who::Nodes),
    ("/evenkeel.report.v1.ReportService/GetReport", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/Diff", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/Gate", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/Explain", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/GetValues", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/ListNodes", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/GetFacts", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/GetAffected", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/GetHistory", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/GetPolicy", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/ListAcceptances", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/ListBaselines", Who::Viewers(Filtered)),
    ("/evenkeel.report.v1.ReportService/Watch", Who::Viewers(Unscoped)),
    ("/evenkeel.admin.v1.AdminService/ApplyPolicy", Who::Operators(Unscoped)),
    ("/evenkeel.admin.v1.AdminService/Accept", Who::Operators(Filtered)),
    ("/evenkeel.admin.v1.AdminService/Unaccept", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/CreateBaseline", Who::Operators(Filtered)),
    ("/evenkeel.admin.v1.AdminService/DeleteBaseline", Who::Operators(Filtered)),
    ("/evenkeel.admin.v1.AdminService/CreateToken", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/ListTokens", Who::Operators(Filtered)),
    ("/evenkeel.admin.v1.AdminService/RevokeToken", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/EvictNode", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/BanNode", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/UnbanNode", Who::Operators(Checked)),
    ("/evenkeel.admin.v1.AdminService/ListAudit", Who::Operators(Filtered)),
    ("/evenkeel.admin.v1.AdminService/GetAuthority", Who::Operators(Unscoped)),
    ("/evenkeel.admin.v1.AdminService/RotateAuthority", Who::Admins),
    ("/evenkeel.admin.v1.AdminService/CreateUserCertificate", Who::Admins),
    ("/evenkeel.admin.v1.AdminService/InviteUser", Who::Admins),
    ("/evenkeel.admin.v1.AdminService/ListUsers", Who::Admins),
    ("/evenkeel.admin.v1.AdminService/RevokeUser", Who::Admins),
];
