//! The process that the runner starts: creates the namespaces, and stays as the parent of the first process in them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getegid, geteuid, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::{Context, SetupError};

/// The signals that are forwarded to the child.
const FORWARDED: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
];

/// Creates the namespaces and starts this binary in them, with the arguments `inside`. Ends with the same exit code or
/// signal as that process.
///
/// If the program can't be started, the reason is written to standard output. If it starts, standard output is closed
/// without any text.
pub fn outside(inside: &[&str]) -> ExitCode {
    let child = match start(inside) {
        Ok(child) => child,
        Err(error) => {
            drop(writeln!(io::stdout(), "{error}"));
            return ExitCode::FAILURE;
        }
    };
    // An error can no longer be reported, but the exit code shows that something failed.
    let status = forward_signals(child).unwrap_or_else(|_| ExitStatus::from_raw(1));
    exit_like(status)
}

fn start(inside: &[&str]) -> Result<Child, SetupError> {
    handled_signals().thread_block().context("block signals")?;
    let mut namespaces =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
    let own = capabilities(None).context("read the capabilities")?;
    if own.effective.contains(CapabilitySet::SYS_ADMIN) {
        unshare(namespaces).context("create namespaces")?;
    } else {
        namespaces |= CloneFlags::CLONE_NEWUSER;
        let (user, group) = (geteuid(), getegid());
        unshare(namespaces).context("create a user namespace")?;
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {user} 1")),
            ("gid_map", format!("0 {group} 1")),
        ] {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text).context(format_args!("write {path}"))?;
        }
    }
    Command::new("/proc/self/exe")
        .args(inside)
        .spawn()
        .context("start the first process of the namespaces")
}

/// Forwards signals until the child has ended.
fn forward_signals(mut child: Child) -> io::Result<ExitStatus> {
    // Closes the original standard output, whose reader would otherwise wait until the child ends.
    rustix::stdio::dup2_stdout(io::stderr())?;
    loop {
        let signal = handled_signals().wait()?;
        if signal == Signal::SIGCHLD {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            continue;
        }
        // If the child has just ended, SIGCHLD is the next signal.
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap_or_default();
    }
}

fn handled_signals() -> SigSet {
    let signals = FORWARDED.into_iter().chain([Signal::SIGCHLD]);
    signals.collect()
}

/// Ends this process with the same exit code or signal as `status`.
fn exit_like(status: ExitStatus) -> ExitCode {
    let code = |code: i32| ExitCode::from(u8::try_from(code).unwrap_or(1));
    let Some(signal) = status.signal() else {
        return code(status.code().unwrap_or(1));
    };
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // If there is a core dump, the other process has already written it.
    setrlimit(Resource::Core, none).unwrap_or_default();
    handled_signals().thread_unblock().unwrap_or_default();
    if let Ok(signal) = Signal::try_from(signal) {
        nix::sys::signal::raise(signal).unwrap_or_default();
    }
    code(128 + signal)
}
