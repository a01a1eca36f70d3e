//! The agent that is brought to hosts where none is installed.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An agent's program, or why there is none. Most hosts have their own.
#[derive(Debug)]
pub struct Agent(Result<(PathBuf, Vec<u8>), AgentError>);

/// Why no agent can be brought along.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AgentError {
    /// There is none beside this program, and none on the path.
    #[error("no agent is installed there, and none was found here to bring along")]
    None,
    /// The file cannot be read.
    #[error("no agent is installed there, and {} cannot be brought along: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is for other machines.
    #[error("no agent is installed there; it is {machine}, and {} is for {built_for}", path.display())]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// What the host says it is.
        machine: String,
        /// What the file says it is for.
        built_for: &'static str,
    },
}

impl Agent {
    /// This file; else `evenkeel-agent` beside this program, or on the path.
    pub fn find(named: Option<&Path>) -> Self {
        let beside = || env::current_exe().ok()?.parent().map(|directory| directory.join("evenkeel-agent"));
        let on_path = || {
            let path = env::var_os("PATH")?;
            env::split_paths(&path)
                .map(|directory| directory.join("evenkeel-agent"))
                .find(|file| file.is_file())
        };
        let path =
            named.map(Path::to_owned).or_else(|| beside().filter(|file| file.is_file())).or_else(on_path);
        Self(path.ok_or(AgentError::None).and_then(|path| match fs::read(&path) {
            Ok(program) => Ok((path, program)),
            Err(error) => Err(AgentError::Unreadable { path, why: io::Error::to_string(&error) }),
        }))
    }

    /// None at all.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(Err(AgentError::None))
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |(_, program)| program.len())
    }

    /// The program, if it is for machines of this kind (`uname -m`).
    pub(super) fn program_for(&self, machine: &str) -> Result<&[u8], AgentError> {
        let (path, program) = self.0.as_ref().map_err(Clone::clone)?;
        match built_for(program) {
            Some(built_for) if !machine.is_empty() && !is_same(machine, built_for) => {
                Err(AgentError::OtherMachine { path: path.clone(), machine: machine.to_owned(), built_for })
            }
            _ => Ok(program),
        }
    }
}

/// By the header of ELF: `e_machine`, in the file's own byte order.
fn built_for(program: &[u8]) -> Option<&'static str> {
    let header = program.get(..20).filter(|header| header.starts_with(b"\x7fELF"))?;
    let bytes = [header[18], header[19]];
    let machine = if header[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    Some(match machine {
        3 => "i686",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        21 => "ppc64le",
        _ => return None,
    })
}

fn is_same(machine: &str, built_for: &str) -> bool {
    match built_for {
        "i686" => matches!(machine, "i386" | "i486" | "i586" | "i686" | "x86_64"),
        "arm" => machine.starts_with("arm"),
        "aarch64" => matches!(machine, "aarch64" | "arm64"),
        other => machine == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_for_other_machines_is_not_brought() {
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(64, 0);
        program[18] = 62;
        let agent = Agent(Ok(("agent".into(), program)));
        assert!(agent.program_for("x86_64").is_ok());
        assert_eq!(
            agent.program_for("aarch64").unwrap_err().to_string(),
            "no agent is installed there; it is aarch64, and agent is for x86_64"
        );
    }
}
