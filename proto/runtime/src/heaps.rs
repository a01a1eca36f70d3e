//! How many heaps a program has. glibc gives each thread one of its own and gives little of it back, which costs an agent
//! more than all facts of its machine, and a collector as much again as its connections.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// glibc is told by its environment alone, when a program starts (mallopt(3)).
const HEAPS: &str = "MALLOC_ARENA_MAX";
/// What is larger than this is given back to the system as soon as it is not needed; without it glibc keeps, after the
/// first large buffer, as much again for the next one.
const SMALL: &[(&str, &str)] =
    &[("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_TOP_PAD_", "16384")];

/// At most so many. The program starts once more for it, as the same process, so it comes before anything else; somebody
/// who has set the number is not overruled. That it could not be done is no error: there are more heaps then.
pub fn at_most(number: u32) {
    start_again(number, &[]);
}

/// One, and what is free of it goes back to the system: for a program that mostly waits. Otherwise as [`at_most`].
pub fn one_small() {
    start_again(1, SMALL);
}

fn start_again(number: u32, settings: &[(&str, &str)]) {
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let Some(name) = arguments.next() else { return };
    // Where a loader was named to start it, the program that runs is the loader.
    if env::var_os(HEAPS).is_none() && Path::new(&name).file_name() == program.file_name() {
        let mut command = Command::new(program);
        command.arg0(name).args(arguments).env(HEAPS, number.to_string());
        for (setting, value) in settings.iter().filter(|(setting, _)| env::var_os(setting).is_none()) {
            command.env(setting, value);
        }
        let _ = command.exec();
    }
}
