//! How nodes stay nodes, and how they are sent away.

mod clones;
mod elsewhere;
pub(crate) mod kubernetes;
mod recovery;
mod renewal;
mod sent_away;
mod tokens;

use evenkeel_facts::root_digest;
use evenkeel_proto::fleet::CheckInRequest;
use evenkeel_proto::fleet::fleet_service_client::FleetServiceClient;
use tonic::Status;
use tonic::transport::Channel;

/// A check-in that only says that nothing changed.
async fn check_in(channel: Channel) -> Result<(), Status> {
    let root = root_digest(&[]).as_bytes().to_vec();
    let request = CheckInRequest { root, boot_epoch: 1, sequence: 1, ..CheckInRequest::default() };
    FleetServiceClient::new(channel).check_in(request).await.map(|_| ())
}

/// The name of a node in its certificate.
fn uri(environment: &str, node: &str) -> String {
    format!("spiffe://evenkeel.internal/env/{environment}/node/{node}")
}

/// As the journal calls who runs these tests and asks over the local socket.
fn own_name() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    format!("admin {}", user.map_or_else(|| format!("uid-{uid}"), |user| user.name))
}
