//! `evenkeel-collector ca`: asks the collector that runs on this data directory, over its local socket; its roots are read there.

use std::fmt::Write as _;
use std::path::Path;

use evenkeel_proto::admin::admin_service_client::AdminServiceClient;
use evenkeel_proto::admin::{Authority, Generation, GetAuthorityRequest, RotateAuthorityRequest};
use evenkeel_proto::times;
use evenkeel_runtime::channel;
use evenkeel_runtime::files::{self, FileError};
use tonic::Status;
use tonic::transport::Channel;

use crate::args::CaCommand;
use crate::run::SOCKET;

/// In the data directory. They are no secret.
const ROOTS: &str = "ca/roots.crt";

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub enum CaCommandError {
    /// No collector answers.
    #[error(
        "no collector answers at {place}: {why}; start it there, or name its data directory with --data-dir"
    )]
    Unreached {
        /// The socket.
        place: String,
        /// Why.
        why: String,
    },
    /// It refuses.
    #[error("the collector refuses: {0}")]
    Refused(String),
    /// The roots cannot be read.
    #[error(transparent)]
    Roots(#[from] FileError),
    /// A rotation that would leave nodes behind.
    #[error("{0}; wait until they have reported, or go on without them with --force")]
    Behind(String),
}

/// Does it, and gives the text to print.
pub async fn run(command: CaCommand, data_dir: &Path) -> Result<String, CaCommandError> {
    if let CaCommand::Roots = command {
        let pem = files::read(&data_dir.join(ROOTS))?;
        return Ok(String::from_utf8_lossy(&pem).into_owned());
    }
    let socket = data_dir.join(SOCKET);
    let mut client: AdminServiceClient<Channel> = AdminServiceClient::new(channel::over_unix(socket.clone()));
    let before = client.get_authority(GetAuthorityRequest {}).await;
    let before = before.map_err(|status| failed(&socket, &status))?.into_inner();
    let CaCommand::Rotate { force } = command else { return Ok(text(&before)) };
    let answer = client.rotate_authority(RotateAuthorityRequest { force }).await;
    let authority = answer.map_err(|status| failed(&socket, &status))?.into_inner();
    let mut text = text(&authority);
    // Only now are they known: afterwards they are nodes like others that fell silent.
    if before.next_step == "retire" && !before.behind.is_empty() {
        let _ = writeln!(text, "Left behind, to be enrolled again: {}.", before.behind.join(", "));
    }
    Ok(text)
}

fn failed(socket: &Path, status: &Status) -> CaCommandError {
    if let Some(why) = channel::obstacle(status) {
        return CaCommandError::Unreached { place: socket.display().to_string(), why };
    }
    let message = status.message().to_owned();
    if status.code() == tonic::Code::FailedPrecondition {
        CaCommandError::Behind(message)
    } else {
        CaCommandError::Refused(message)
    }
}

fn text(authority: &Authority) -> String {
    let Authority { generations, next_step, obstacle, behind, behind_count } = authority;
    let mut text = format!("{:<12}{:<10}{:<13}{:<13}{}\n", "GENERATION", "STATE", "FROM", "UNTIL", "PIN");
    for Generation { number, state, pin, begins, ends } in generations {
        let day = |time: &Option<_>| {
            let time = times::from_wire("time", *time).unwrap_or_default();
            time.strftime("%Y-%m-%d").to_string()
        };
        let pin = pin.get(..16).unwrap_or(pin);
        let _ = writeln!(text, "{number:<12}{state:<10}{:<13}{:<13}{pin}…", day(begins), day(ends));
    }
    let next = match next_step.as_str() {
        "activate" => "`evenkeel-collector ca rotate` activates the new generation",
        "retire" => "`evenkeel-collector ca rotate` retires the old generation",
        _ => {
            "`evenkeel-collector ca rotate` prepares a new generation; by itself it is done at half of the root's life"
        }
    };
    let _ = writeln!(text, "\nNext: {next}.");
    if !obstacle.is_empty() {
        let more = behind_count.saturating_sub(behind.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let _ = writeln!(text, "Not yet: {obstacle}: {}{more}.", behind.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_next_and_what_stands_against_it() {
        let moment = |text: &str| Some(times::to_wire(text.parse().unwrap()));
        let generation = |number, state: &str, begins, ends| Generation {
            number,
            state: state.into(),
            pin: "0123456789abcdef0123".into(),
            begins: moment(begins),
            ends: moment(ends),
        };
        let authority = Authority {
            generations: vec![
                generation(1, "active", "2026-11-22T00:00:00Z", "2036-11-19T00:00:00Z"),
                generation(2, "prepared", "2031-11-20T00:00:00Z", "2041-11-17T00:00:00Z"),
            ],
            next_step: "activate".into(),
            obstacle: "2 nodes do not trust the new root yet".into(),
            behind: vec!["web-1".into(), "web-2".into()],
            behind_count: 2,
        };
        assert_eq!(
            text(&authority),
            "GENERATION  STATE     FROM         UNTIL        PIN\n\
             1           active    2026-11-22   2036-11-19   0123456789abcdef…\n\
             2           prepared  2031-11-20   2041-11-17   0123456789abcdef…\n\
             \nNext: `evenkeel-collector ca rotate` activates the new generation.\n\
             Not yet: 2 nodes do not trust the new root yet: web-1, web-2.\n"
        );
    }
}
