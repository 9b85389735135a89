//! The first process in the namespaces: it makes the file system, gives up what it may do, and becomes the program.

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

use super::{Problem, Sandbox, Tried, tree};

/// Becomes the program of the sandbox that standard input describes. Returns only if that fails, with the reason on standard output.
pub fn inside() -> ExitCode {
    let Err(problem) = run();
    drop(writeln!(io::stdout(), "{problem}"));
    ExitCode::FAILURE
}

fn run() -> Result<std::convert::Infallible, Problem> {
    let sandbox: Sandbox =
        serde_json::from_reader(io::stdin()).tried(|| "read the description".to_owned())?;
    // No signal to the parent's group reaches it a second time, and no terminal of the user is its own.
    setsid().tried(|| "begin a session".to_owned())?;
    rustix::system::sethostname(sandbox.host_name.as_bytes())
        .tried(|| "set the host name".to_owned())?;
    tree::enter(&sandbox)?;
    give_up_everything().tried(|| "give up capabilities".to_owned())?;
    let output = io::stderr().as_fd().try_clone_to_owned();
    let output = output.tried(|| "duplicate standard error".to_owned())?;
    SigSet::all()
        .thread_unblock()
        .tried(|| "unblock signals".to_owned())?;
    let error = Command::new(&sandbox.program)
        .args(&sandbox.arguments)
        .current_dir(&sandbox.folder)
        .stdin(Stdio::null())
        .stdout(output)
        .exec();
    Err(error).tried(|| format!("start {}", sandbox.program.display()))
}

/// Nothing that this process or its children may do is more than any user may, and it ends with its parent.
fn give_up_everything() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all() {
        match remove_capability_from_bounding_set(capability) {
            // A kernel doesn't know the capabilities of later ones.
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
    // Last, for a change of credentials takes it back.
    set_parent_process_death_signal(Some(Signal::KILL))
}
