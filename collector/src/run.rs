//! Everything put together: `run(config, listeners, shutdown)`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_proto::admin::admin_service_server::AdminServiceServer;
use evenkeel_proto::enroll::enrollment_service_server::EnrollmentServiceServer;
use evenkeel_proto::fleet::fleet_service_server::FleetServiceServer;
use evenkeel_proto::report::report_service_server::ReportServiceServer;
use evenkeel_runtime::exit;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::service::{self, Pulse};
use evenkeel_runtime::shutdown::Shutdown;
use evenkeel_runtime::tickets::Tickets;
use evenkeel_store::{Reader, StoreError};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tonic::service::Routes;
use tracing::{info, warn};

use crate::admin::Admin;
use crate::archive::Archive;
use crate::audit::Audit;
use crate::ca::{Ca, CaError};
use crate::config::Config;
use crate::enrolment::Enrolment;
use crate::holders::Holders;
use crate::ingest::{self, Ingest};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::pki::Pki;
use crate::query::Reports;
use crate::serve::descriptors::Shares;
use crate::serve::room::Rooms;
use crate::serve::{Admission, ByCertificate, Locals, OpenConnections, Port, Service};
use crate::state::State;
use crate::tending::{Tending, TendingError};
use crate::transitions::Transitions;
use crate::users::{self, Users};
use crate::{alerts, http, presence, retention};

/// The Unix socket in the data directory.
pub(crate) const SOCKET: &str = "collector.sock";
/// The collector's certificate is made anew so often, or four times in its life.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest question: two snapshot files to be compared.
const MAX_QUESTION: usize = 32 * 1024 * 1024;

/// Why reflection can always be built.
const COMPLETE: &str = "the descriptors are ours and complete";

/// The collector could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the data directory.
    #[error("the data directory is not usable")]
    Files(#[from] FileError),
    /// The certificate authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates.
    #[error(transparent)]
    Tending(#[from] TendingError),
    /// Another collector runs on this data directory.
    #[error("another collector uses {}: stop it, or use another data directory", .0.display())]
    Busy(PathBuf),
    /// The groups of the Unix socket.
    #[error("{0}")]
    Access(String),
    /// A port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    /// What to do next, where the message does not say it.
    pub fn next(&self) -> Option<&'static str> {
        match self {
            Self::Files(_) => Some("Name a directory that this user may write to with --data-dir."),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "Another program listens there: stop it, or choose another address with --listen, --enroll-listen \
                 or --http-listen.",
            ),
            Self::Listen { .. } => Some(
                "Choose an address of this host, and a port that this user may open, with --listen, --enroll-listen \
                 or --http-listen.",
            ),
            Self::Ca(_) | Self::Store(_) | Self::Tending(_) | Self::Busy(_) | Self::Access(_) => None,
        }
    }
}

/// Every port, bound. Bound apart from `run`, so that tests can use port 0.
pub struct Listeners {
    fleet: TcpListener,
    enroll: TcpListener,
    http: TcpListener,
    unix: UnixListener,
    locals: Locals,
    /// Held for as long as the collector runs: one collector a data directory.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

/// Where the ports really are.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Agents and people, mutual TLS.
    pub fleet: SocketAddr,
    /// Enrolment.
    pub enroll: SocketAddr,
    /// Health and metrics.
    pub http: SocketAddr,
}

impl Listeners {
    /// Takes the data directory and binds every port.
    #[expect(clippy::unused_async, reason = "sockets belong to a running runtime")]
    pub async fn bind(config: &Config) -> Result<Self, RunError> {
        files::own_directory(&config.data_dir)?;
        let lock = lock(&config.data_dir)?;
        let socket = config.data_dir.join(SOCKET);
        // The lock is ours, so a socket that is there is a dead collector's.
        files::remove(&socket)?;
        let unix = UnixListener::bind(&socket)
            .map_err(|source| RunError::Listen { address: socket.display().to_string(), source })?;
        let locals = Locals::of(&config.access).map_err(RunError::Access)?;
        locals.admit(&config.data_dir, &socket)?;
        Ok(Self {
            fleet: listen(config.listen)?,
            enroll: listen(config.enroll_listen)?,
            http: listen(config.http_listen)?,
            unix,
            locals,
            _lock: lock,
        })
    }

    /// Where the ports really are.
    ///
    /// # Panics
    ///
    /// Never: a bound socket has an address.
    pub fn addresses(&self) -> Addresses {
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address");
        Addresses { fleet: address(&self.fleet), enroll: address(&self.enroll), http: address(&self.http) }
    }
}

/// Runs until the end is announced, then drains.
#[expect(clippy::too_many_lines, reason = "everything put together, from top to bottom")]
pub async fn run(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), RunError> {
    let addresses = listeners.addresses();
    let names = names(&config);
    let metrics = Arc::new(Metrics::default());
    let (ca, ledger, reader) = load(&config, &metrics)?;
    let (enroll_address, fleet_host) =
        (format!("https://{}:{}", names[0], addresses.enroll.port()), names[0].clone());
    let period = CERTIFICATE_PERIOD.min(config.certificates.collector_life / 4);
    let recovery = config.certificates.recovery;
    let transport = Arc::new(config.transport.clone());
    let tickets = Arc::new(Tickets::new(transport.session_tickets).map_err(TendingError::Tls)?);
    let pki = Arc::new(Pki::open(config.pki.clone()).map_err(TendingError::Pki)?);
    let tending = Arc::new(Tending::new(
        (Arc::clone(&ca), Arc::clone(&pki)),
        ledger.clone(),
        Arc::clone(&metrics),
        (names, tickets),
        (period, recovery),
    )?);
    let (open, holders) = (OpenConnections::default(), Arc::new(Holders::default()));
    let users = Arc::new(Users::new(
        Arc::clone(&ca),
        ledger.clone(),
        open.clone(),
        users::Addresses { enroll: enroll_address.clone(), fleet_host, fleet_port: addresses.fleet.port() },
        recovery,
    ));
    let enrolment = EnrollmentServiceServer::new(Enrolment::new(
        Arc::clone(&ca),
        ledger.clone(),
        Arc::clone(&metrics),
        addresses.fleet.port(),
        recovery,
        Arc::clone(&users),
        config.kubernetes.clone(),
    ))
    .max_decoding_message_size(transport.max_enrolment_bytes);
    let ingest = FleetServiceServer::new(Ingest::new(
        ledger.clone(),
        reader.another()?,
        Arc::clone(&ca),
        Arc::clone(&holders),
        Arc::clone(&metrics),
        ingest::Limits::new(&transport, config.stale_after),
    ))
    .max_decoding_message_size(transport.max_message_bytes);
    let (archive, transitions) = (Archive::new(ledger.clone(), reader.another()?), Transitions::default());
    let reports = Reports::new(archive.clone(), reader.another()?, transitions.clone());
    let admin = Admin::new(
        Arc::clone(&ca),
        archive.clone(),
        Arc::clone(&tending),
        open.clone(),
        enroll_address,
        users,
        Audit::new(reader.another()?),
    );
    let people = for_people(reports, admin).await;
    let admission: Arc<dyn Admission> = Arc::new(ByCertificate::new(ca, pki, ledger.clone()));
    // Last, when everything that needs a descriptor of its own has it.
    let shares = Shares::of_this_process(transport.max_connections);
    let rooms = Rooms::default();
    let port = |name, connections| Port::new(name, connections, &rooms, &transport, &metrics, &shutdown);
    let service = |port: Port, routes: Routes| {
        let routes = routes.prepare().into_axum_router();
        Arc::new(Service::new(port, routes, Arc::clone(&admission), open.clone()))
    };
    // Who came by the socket logs in by it, too.
    let people = people.add_service(enrolment.clone());
    let fleet = service(port("fleet", shares.fleet), people.clone().add_service(ingest));
    let enroll = service(port("enroll", shares.other), Routes::new(enrolment));
    let local = service(port("local", shares.other), people);
    let http = Arc::new(port("http", shares.other));
    let routes =
        http::routes(ledger.clone(), Arc::clone(&metrics), Arc::clone(&tending), transitions.clone());
    info!(
        fleet = %addresses.fleet, enroll = %addresses.enroll, http = %addresses.http,
        data_dir = %config.data_dir.display(), "Collector is ready."
    );
    service::ready("Serving.");
    let work = async {
        tokio::join!(
            fleet.over_tls(listeners.fleet, tending.fleet()),
            enroll.over_tls(listeners.enroll, tending.enroll()),
            local.over_unix(listeners.unix, listeners.locals),
            http.plain(listeners.http, routes),
            // Apart: the future of all of this is large as it is.
            Box::pin(retention::run(
                config.retention,
                ledger.clone(),
                reader,
                Arc::clone(&metrics),
                shutdown.clone()
            )),
            presence::watch(ledger.clone(), holders, config.stale_after, shutdown.clone()),
            alerts::run(
                Arc::new(config.alerts),
                transitions.clone(),
                ledger.clone(),
                metrics,
                shutdown.clone()
            ),
            // On its own: it reads files, and a file system that hangs must not hold the ports.
            async {
                let _ = tokio::spawn(Arc::clone(&tending).watch(shutdown.clone())).await;
            },
            transitions.run(archive, shutdown.clone()),
        )
    };
    Pulse::of_manager().during(work).await;
    service::stopping();
    end(&config.data_dir, &ledger).await;
    Ok(())
}

/// What people and tools ask.
async fn for_people(reports: Reports, admin: Admin) -> Routes {
    Routes::new(ReportServiceServer::new(reports).max_decoding_message_size(MAX_QUESTION))
        .add_service(AdminServiceServer::new(admin))
        .add_service(health().await)
        .add_service(reflection().build_v1().expect(COMPLETE))
        // Of the clients in other languages, many speak the older version only.
        .add_service(reflection().build_v1alpha().expect(COMPLETE))
}

/// Leaves the data directory as one that a copy of is whole.
async fn end(data_dir: &Path, ledger: &Ledger) {
    let _ = files::remove(&data_dir.join(SOCKET));
    if let Err(error) = ledger.settle().await {
        // Nothing is lost: the log is beside the file, and is taken in at the next start.
        warn!(error = exit::chain(&error), "The log was not taken into the journal's file.");
    }
    info!("Collector ended.");
}

/// What the data directory holds: the authority, the state, and the journal behind it.
fn load(config: &Config, metrics: &Arc<Metrics>) -> Result<(Arc<Ca>, Ledger, Reader), RunError> {
    let (store, authority) =
        (config.data_dir.join(evenkeel_store::FILE), config.data_dir.join("ca/generations.json"));
    if !store.exists() && authority.exists() {
        // Who was sent away stands in the journal: without it their certificates would be good again.
        let why = "it is gone, and the certificate authority beside it was used: restore it from a backup, or remove \
            the ca directory, too, to begin anew";
        return Err(FileError::content(&store, why.to_owned()).into());
    }
    let (writer, reader) = evenkeel_store::open(&config.data_dir)?;
    let state = State::new(&config.environments, Instant::now());
    let ledger = Ledger::start(state, writer, &reader, Arc::clone(metrics))?;
    let place = config.data_dir.join("ca");
    let was_used = ledger.state().nodes().next().is_some();
    let ca = Ca::open(&place, &config.environments, config.certificates.lives(), was_used)?;
    let known = ledger.state().environments().to_vec();
    for node in ledger.state().nodes().filter(|node| !known.contains(&node.environment)) {
        warn!(node = %node.id, environment = &*node.environment, "Node is in an environment that is not configured.");
    }
    if ledger.state().nodes().next().is_none() {
        info!(next = "evenkeel token create --env ENV --token-file FILE", "No node is enrolled yet.");
    }
    info!(position = ledger.state().journal, nodes = ledger.state().nodes().count(), "State loaded.");
    Ok((Arc::new(ca), ledger, reader))
}

/// What others may call this collector: configured names, its host name, the loopback addresses.
fn names(config: &Config) -> Vec<String> {
    let mut names = config.names.clone();
    names.extend(nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()));
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names
}

fn lock(directory: &Path) -> Result<nix::fcntl::Flock<std::fs::File>, RunError> {
    let file = std::fs::File::open(directory).map_err(FileError::io("open", directory))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| RunError::Busy(directory.to_owned()))
}

/// What the kernel accepts before the collector does: a fleet that comes back at once finds room there. The kernel takes
/// less when `net.core.somaxconn` is less.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| RunError::Listen { address: address.to_string(), source })
}

async fn health()
-> tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    for name in ["evenkeel.fleet.v1.FleetService", "evenkeel.report.v1.ReportService"] {
        reporter.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    service
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(evenkeel_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
