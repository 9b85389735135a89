//! Runs that are stopped for longer than a phase may take, and go on.

use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::kill::running::Running;
use crate::support::Scratch;

/// What `periodic` may take, which is a little more than it does.
const DEADLINE: &str = "periodic=9s";
/// A stop is longer than that by its nature: there is nothing to wait for but the time itself.
const STOP: Duration = Duration::from_secs(12);

#[test]
fn deadlines_stand_still_while_the_run_is_stopped() {
    // SIGTSTP is what Ctrl-Z sends.
    thread::scope(|scope| {
        for signal in [Signal::STOP, Signal::TSTP] {
            scope.spawn(move || passes_after(signal));
        }
    });
}

fn passes_after(signal: Signal) {
    let place = Scratch::new();
    left::prepare(&place);
    let mut command = local::run(&place, &["--verbose", "--timeout", DEADLINE]);
    command.process_group(0);
    let mut running = Running::start(command);
    running.wait_for("request-bodies");
    let known = Known::of(&place);
    kill_process_group(running.process(), signal).unwrap();
    let stopped = WaitIdOptions::STOPPED;
    waitid(WaitId::Pid(running.process()), stopped).unwrap();
    thread::sleep(STOP);
    kill_process_group(running.process(), Signal::CONT).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    known.assert_gone(&place);
}
