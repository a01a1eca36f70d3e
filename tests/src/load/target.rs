//! The collector under load: where it listens, what it takes, and its local socket.

use std::path::PathBuf;

use evenkeel_drift::report::Report;
use evenkeel_proto::report::report_service_client::ReportServiceClient;
use evenkeel_proto::report::{GetReportRequest, GetValuesRequest, Severity};
use evenkeel_proto::reports;
use evenkeel_runtime::channel::{self, Address};
use tonic::transport::Channel;

use super::LoadError;
use super::process::Process;
use crate::harness::Collector;

/// The largest report: findings with the names of many nodes.
const MAX_REPORT: usize = 256 * 1024 * 1024;

/// A collector that runs as a process of its own.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it takes of the machine.
    pub process: Process,
    /// Where nodes report.
    pub fleet: Address,
    /// Where machines enrol.
    pub enroll: Address,
    /// Its data directory.
    pub data_dir: PathBuf,
}

impl Target {
    /// This collector, as it runs now.
    pub fn new(collector: &mut Collector) -> Self {
        let ports = collector.ports();
        let address = |port: std::net::SocketAddr| Address::new(&port.ip().to_string(), port.port());
        Self {
            process: Process(collector.process().id()),
            fleet: address(ports.fleet),
            enroll: address(ports.enroll),
            data_dir: collector.data_dir(),
        }
    }

    /// A channel to its local socket: whoever runs the load is an admin there.
    pub fn local(&self) -> Channel {
        channel::over_unix(self.data_dir.join("collector.sock"))
    }

    /// A report of everything: every finding, also those that are hidden by default.
    pub async fn report(&self) -> Result<Report, LoadError> {
        let mut client = ReportServiceClient::new(self.local()).max_decoding_message_size(MAX_REPORT);
        let request =
            GetReportRequest { all: true, severity: Severity::Info.into(), ..GetReportRequest::default() };
        let report = client.get_report(request).await.map_err(LoadError::call("the report failed"))?;
        Ok(reports::from_wire(report.into_inner())?)
    }

    /// One fact's distribution, as JSON.
    pub async fn values(&self, path: &str) -> Result<String, LoadError> {
        let request = GetValuesRequest { path: path.to_owned() };
        let mut client = ReportServiceClient::new(self.local()).max_decoding_message_size(MAX_REPORT);
        let values = client.get_values(request).await.map_err(LoadError::call("the values failed"))?;
        Ok(values.into_inner().json)
    }
}
