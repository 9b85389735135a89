//! The first process in the namespaces: sets up the file system, drops its privileges, and executes the program.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::{Context, Sandbox, SetupError, tree};

/// Executes the program of the sandbox described on standard input. Returns only on failure, with the reason on
/// standard output.
pub fn inside() -> ExitCode {
    // `run` replaces standard output before it executes the program. If the program can't be executed, the reason is
    // written to the original standard output.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let Err(error) = run();
    drop(stdout.and_then(|stdout| writeln!(File::from(stdout), "{error}")));
    ExitCode::FAILURE
}

fn run() -> Result<std::convert::Infallible, SetupError> {
    let sandbox: Sandbox = serde_json::from_reader(io::stdin()).context("read the description")?;
    // Without its own session, the program would receive signals to the parent's group a second time, and could use the
    // user's terminal.
    setsid().context("start a session")?;
    rustix::system::sethostname(sandbox.host_name.as_bytes()).context("set the host name")?;
    // Resolved outside the sandbox, in which links and folders on the way to the program may be hidden.
    let program = tree::resolve(&sandbox.program);
    let program = program.context(format_args!("find {}", sandbox.program.display()))?;
    tree::enter(&sandbox)?;
    drop_all_privileges().context("drop capabilities")?;
    let output = io::stderr().as_fd().try_clone_to_owned();
    let output = output.context("duplicate standard error")?;
    SigSet::all().thread_unblock().context("unblock signals")?;
    let error = Command::new(program)
        .arg0(&sandbox.program)
        .args(&sandbox.arguments)
        .current_dir(&sandbox.folder)
        .stdin(Stdio::null())
        .stdout(output)
        .exec();
    Err(error).context(format_args!("start {}", sandbox.program.display()))
}

/// Drops all privileges of this process and its children, and makes this process end when its parent ends.
fn drop_all_privileges() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all() {
        match remove_capability_from_bounding_set(capability) {
            // An older kernel doesn't know capabilities that were added later.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    // This comes last, because a change of credentials resets it.
    set_parent_process_death_signal(Some(Signal::KILL))
}
