//! Build info that was read before: a program is looked into once, however often it is met.

use std::fs::File;

use crate::Host;
use crate::go_buildinfo::{self, BuildInfo, BuildInfoError};
use crate::host::Stat;

/// What a program says of its build, if it is Go's.
type Known = Option<BuildInfo>;

/// What this program says of its build; `None` if it is not Go's.
pub(super) fn read(host: &Host, program: &File) -> Result<Option<BuildInfo>, BuildInfoError> {
    let stat = Stat::of_open(program).map_err(BuildInfoError::Io)?;
    let known =
        host.once::<Known, BuildInfoError>(&stat, || Ok(go_buildinfo::read(program)?.map(without_sums)))?;
    Ok(Known::clone(&known))
}

/// Checksums of modules are no facts, and would be half of what is kept of a program.
fn without_sums(mut info: BuildInfo) -> BuildInfo {
    for module in info.main.iter_mut().chain(&mut info.deps) {
        module.sum = None;
        if let Some(replace) = &mut module.replace {
            replace.sum = None;
        }
    }
    info
}

/// Whether this file was looked into before and is no Go program: then it need not even be opened.
pub(super) fn is_known_to_be_other(host: &Host, stat: &Stat) -> bool {
    host.made::<Known>(stat).is_some_and(|known| known.is_none())
}
