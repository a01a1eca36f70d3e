//! The commands that ask a collector, against one that answers from memory over a Unix socket, as the real one does.

mod answers;

use std::path::Path;
use std::process::Command;

use answers::Answers;
use evenkeel_proto::report::gate_response::Verdict;
use evenkeel_proto::report::report_service_server::ReportServiceServer;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;

/// A collector's data directory with a socket that answers.
struct Collector {
    data: TempDir,
    // Ends the serving when dropped.
    _runtime: Runtime,
}

impl Collector {
    fn start(answers: Answers) -> Self {
        let data = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = runtime.enter();
        // Bound before the first question is asked: nothing to wait for.
        let listener = UnixListener::bind(data.path().join("collector.sock")).unwrap();
        let service = tonic::transport::Server::builder().add_service(ReportServiceServer::new(answers));
        runtime.spawn(service.serve_with_incoming(UnixListenerStream::new(listener)));
        drop(inside);
        Self { data, _runtime: runtime }
    }

    /// What `evenkeel …` prints, on which stream, and its exit code.
    fn ask(&self, line: &str) -> (String, String, i32) {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(line.split_whitespace())
            .arg("--data-dir")
            .arg(self.data.path())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots"))
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }
}

#[test]
fn nodes_come_page_by_page() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) = collector.ask("nodes");
    assert_eq!((errors.as_str(), code), ("", 0));
    let names: Vec<&str> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["NODE", "web-0", "web-1", "web-2", "3"]);
}

#[test]
fn facts_and_history_keep_every_field() {
    let collector = Collector::start(Answers::default());
    let (shown, _, code) = collector.ask("facts web-0 go.* -o wide");
    assert_eq!(
        (shown.as_str(), code),
        (
            "PATH        VALUE                      SINCE (UTC)\n\
             go.program  <cannot tell: permission>  -\n\
             go.version  1.21.6                     2026-11-20 03:12:00\n\n\
             web-0: 2 facts, 1 could not be read\n",
            0
        )
    );
    let (shown, _, code) = collector.ask("history --node web-0 --since 2026-11-20");
    assert_eq!(
        (shown.as_str(), code),
        (
            "2026-11-20 03:12:00  web-0 (staging)\n  go.version  <absent> -> 1.21.6\n\n1 change, times in UTC\n",
            0
        )
    );
}

#[test]
fn the_exit_code_tells_the_gate_s_answer() {
    for (verdict, expected) in [(Verdict::Consistent, 0), (Verdict::Drift, 1), (Verdict::CannotTell, 3)] {
        let collector = Collector::start(Answers { verdict });
        let (_, errors, code) = collector.ask("gate --from staging --to prod --fail-on critical");
        assert_eq!((errors.as_str(), code), ("", expected), "{verdict:?}");
    }
    let collector = Collector::start(Answers { verdict: Verdict::Unspecified });
    let (_, errors, code) = collector.ask("gate --from staging --to prod");
    assert_eq!(code, 2);
    assert!(
        errors.starts_with(
            "evenkeel: the collector's answer cannot be read: the message is malformed: verdict:"
        )
    );
}

/// What is looked for, and where, arrives as it was asked.
#[test]
fn advisories_are_sent_along() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) =
        collector.ask("affected golang.org/x/net@<0.17.0 stdlib --env staging -o csv --exit-code");
    assert_eq!((errors.as_str(), code), ("", 1));
    assert_eq!(
        shown,
        "advisory,aliases,module,version,fixed,in,pending,environment,nodes,stale,summary\n\
         golang.org/x/net@<0.17.0,,golang.org/x/net,v0.16.0,,go.program[github.com/acme/pay],,staging,stg-web-1,,\n\
         stdlib,,stdlib,v0.16.0,,go.program[github.com/acme/pay],,staging,stg-web-1,,\n"
    );
}

/// A file beside an environment goes to the collector with its content.
#[test]
fn a_file_is_held_against_an_environment() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) = collector.ask("diff file:staging.json prod --exit-code");
    assert_eq!((errors.as_str(), code), ("", 0));
    assert!(shown.starts_with("staging.json held against prod, 2 nodes"), "{shown}");
}

#[test]
fn a_refusal_says_what_and_what_next() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) = collector.ask("values go.versoin");
    let expected = "evenkeel: no node knows a fact \"go.versoin\"\n";
    assert_eq!((shown.as_str(), errors.as_str(), code), ("", expected, 2));
    let (_, errors, code) = collector.ask("explain go.version");
    assert_eq!(code, 2);
    assert_eq!(
        errors,
        format!(
            "evenkeel: the collector at {}/collector.sock refuses: \\x1b[31mnobody may call this\n\
             Ask an admin to invite you with a role that may (`evenkeel user invite NAME --role ROLE`), or run this \
             on the collector's host as root or as the collector's user.\n",
            collector.data.path().display()
        )
    );
}

/// The whole remedy is a script whose comments say the rest; each part can be had by itself.
#[test]
fn a_remedy_is_printed_and_nothing_is_run() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) = collector.ask("fix f-good");
    assert_eq!((errors.as_str(), code), ("", 0));
    let commands: Vec<&str> =
        shown.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let file = "/etc/sysctl.d/99-zz-evenkeel-net.core.somaxconn.conf";
    let expected =
        [format!("printf '%s\\n' 'net.core.somaxconn = 65535' > {file}"), format!("sysctl -p {file}")];
    assert_eq!(commands, expected);
    assert!(
        shown.contains("# on stg-web-1 stg-web-2\n# Raise the lower side.\n# Nothing was run."),
        "{shown}"
    );
    let (shown, _, code) = collector.ask("fix f-good --as sysctl.d");
    assert_eq!((shown.as_str(), code), ("# evenkeel f-good\nnet.core.somaxconn = 65535\n", 0));
    let (shown, errors, code) = collector.ask("fix f-hostile");
    let expected = "evenkeel: the value \"1\\n$(reboot)\" of sysctl.net.core.somaxconn cannot be written safely into a command, a \
                    file or a playbook\nSee on the node what it really is, and set it by hand.\n";
    assert_eq!((shown.as_str(), errors.as_str(), code), ("", expected, 2));
}

#[test]
fn an_explanation_says_when_it_changed() {
    let collector = Collector::start(Answers::default());
    let (shown, errors, code) = collector.ask("explain f-good");
    assert_eq!((errors.as_str(), code), ("", 0));
    assert!(shown.contains("CHANGED\n  2026-11-20 03:12 UTC   (staging)  <absent> -> 1.21.6\n"), "{shown}");
    assert!(shown.ends_with("next: evenkeel fix f-good\n"), "{shown}");
}
