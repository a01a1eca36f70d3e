//! The collector is watched: its metrics, the rules and the dashboard on them, and the traces in its log.

mod dashboard;
mod firing;
mod rules;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use evenkeel_proto::report::GetReportRequest;
use evenkeel_proto::report::report_service_client::ReportServiceClient;
use evenkeel_tests::harness::skip::{has_command, skipped};
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted, Receiver, Settings, wait};
use tonic::{Code, Request};

/// What the HTTP port answers to a GET with this header.
fn get_with(collector: &Collector, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(collector.ports().http).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n{header}\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The metrics of a collector with a node, a receiver of alerts, an open finding, a refused call, and requests of its HTTP port.
pub(crate) fn every_metric() -> String {
    let receiver = Receiver::start(None);
    let config = format!(
        "[alerts]\ngroup_wait = \"0s\"\n[[alerts.receivers]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://{}/\"\n",
        receiver.address()
    );
    let collector = Collector::start(&Settings { config, ..Settings::default() });
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].sysctl("net.core.somaxconn", "128");
    let _agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    collector.cli().report(&[]);
    wait::until(|| {
        let text = collector.get("/metrics");
        let is_counted = text.contains("\nevenkeel_findings{severity=\"critical\",status=\"open\"} 1\n")
            && text.contains("outcome=\"sent\"} 1\n");
        if is_counted { Ok(()) } else { Err(format!("not counted yet:\n{text}")) }
    });
    let answer = collector.get("/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

/// Promise: metrics are what Prometheus' own checker takes for clean, under the names that dashboards for gRPC servers, HTTP
/// servers and processes ask for; who asks for OpenMetrics gets it.
#[test]
fn metrics_are_clean() {
    let text = every_metric();
    for sample in [
        "grpc_server_handled_total{grpc_type=\"unary\",grpc_service=\"evenkeel.fleet.v1.FleetService\",grpc_method=\"CheckIn\",\
         grpc_code=\"OK\"} ",
        "grpc_server_handled_total{grpc_type=\"unary\",grpc_service=\"evenkeel.report.v1.ReportService\",grpc_method=\"GetReport\",\
         grpc_code=\"OK\"} 1\n",
        "grpc_server_handling_seconds_count{grpc_type=\"client_stream\",grpc_service=\"evenkeel.fleet.v1.FleetService\",\
         grpc_method=\"PutSections\"} ",
        "http_request_duration_seconds_count{handler=\"/metrics\",method=\"GET\",code=\"200\"} ",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_max_fds ",
        "process_start_time_seconds ",
        "evenkeel_build_info{version=",
    ] {
        assert!(text.contains(&format!("\n{sample}")), "no {sample} in\n{text}");
    }
    let collector = Collector::default();
    let open = get_with(
        &collector,
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    );
    assert!(open.contains("application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    if !has_command("promtool") {
        return skipped("observability", "promtool is not installed");
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut checker = promtool.spawn().unwrap();
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = checker.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
}

/// Promise: a call is counted by the status that its caller gets, also when that stands behind the answer; and what it causes
/// is logged with the trace that its caller said it belongs to.
#[tokio::test]
async fn a_call_is_counted_and_traced() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut collector = Collector::default();
    let agent = Agent::enrol(&collector, Machine::new("prod-1").node("prod"));
    let channel = Minted::of_agent(&agent).channel(&collector);
    for traceparent in [format!("00-{TRACE}-00f067aa0ba902b7-01"), "forged\" trace".to_owned()] {
        let mut request = Request::new(GetReportRequest::default());
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        let status = ReportServiceClient::new(channel.clone()).get_report(request).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let refused = collector.process().logged("Call refused.");
    let traces: Vec<_> = refused.iter().map(|event| event["trace_id"].clone()).collect();
    assert_eq!(traces, [serde_json::json!(TRACE), serde_json::Value::Null]);
    for field in ["timestamp", "level", "service", "host", "event"] {
        assert!(refused[0][field].is_string(), "{field}: {}", refused[0]);
    }
    let name = "grpc_server_handled_total{grpc_type=\"unary\",grpc_service=\"evenkeel.report.v1.ReportService\",\
                grpc_method=\"GetReport\",grpc_code=\"PermissionDenied\"}";
    assert_eq!(collector.metric(name), 2);
}
