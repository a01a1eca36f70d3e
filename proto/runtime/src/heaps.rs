//! How many heaps a program has. glibc gives each thread one of its own and gives little of it back, which costs an agent
//! more than all facts of its machine, and a collector as much again as its connections.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// glibc is told by its environment alone, when a program starts.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// At most so many. The program starts once more for it, as the same process, so it comes before anything else; somebody
/// who has set the number is not overruled. That it could not be done is no error: there are more heaps then.
pub fn at_most(number: u32) {
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let Some(name) = arguments.next() else { return };
    // Where a loader was named to start it, the program that runs is the loader.
    if env::var_os(HEAPS).is_none() && Path::new(&name).file_name() == program.file_name() {
        let _ = Command::new(program).arg0(name).args(arguments).env(HEAPS, number.to_string()).exec();
    }
}
