//! Runs that are stopped for longer than a phase's deadline, and then continue.

use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

use e2e_matrix::machine::marked::Marked;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::kill::running::Running;
use crate::support::Scratch;

/// The deadline of `periodic`: far longer than the phase takes, even on a busy machine.
const DEADLINE: &str = "periodic=20s";
/// Longer than the deadline. The test is about time, so it has to wait this long.
const STOP: Duration = Duration::from_secs(22);

#[test]
fn deadlines_pause_while_the_run_is_stopped() {
    // SIGTSTP is what Ctrl-Z sends.
    thread::scope(|scope| {
        for signal in [Signal::STOP, Signal::TSTP] {
            scope.spawn(move || passes_after(signal));
        }
    });
}

fn passes_after(signal: Signal) {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let mut command = local::run(&scratch, &["--verbose", "--phase-timeout", DEADLINE]);
    command.process_group(0);
    let mut running = Running::start(command);
    running.wait_for("request-bodies");
    let known = Known::of(&scratch);
    kill_process_group(running.process(), signal).unwrap();
    let stopped = WaitIdOptions::STOPPED;
    waitid(WaitId::Pid(running.process()), stopped).unwrap();
    // If the agents kept running during the stop, they would make all the calls that `periodic` requires, and the
    // deadline would not matter.
    let agents = Marked::Run(known.token.clone()).find();
    assert_ne!(agents, [] as [i32; 0]);
    signal_all(&agents, Signal::STOP);
    thread::sleep(STOP);
    // The run continues before the agents do: if the deadline had passed during the stop, the phase would fail before
    // an agent could make the missing calls.
    kill_process_group(running.process(), Signal::CONT).unwrap();
    signal_all(&agents, Signal::CONT);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    known.assert_gone(&scratch);
}

fn signal_all(processes: &[i32], signal: Signal) {
    for process in processes {
        kill_process(Pid::from_raw(*process).unwrap(), signal).unwrap();
    }
}
