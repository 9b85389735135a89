//! A second signal, and the signals that terminals send.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use e2e_matrix::machine::marked::Marked;
use e2e_matrix::matrix::Phase;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::kill::running::{Running, wait};
use crate::support::{Scratch, record, through};

#[test]
fn the_second_signal_kills_everything_and_names_the_command_that_removes_the_rest() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let mut running = local::held(&scratch, Phase::Cleanup);
    let known = Known::of(&scratch);
    // A run that is held in cleanup continues at the first signal, so both signals must be pending before it continues.
    running.signal(Signal::STOP);
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    running.signal(Signal::CONT);
    running.wait_for("second signal: killing all processes");
    let ended = running.end();
    // The kernel decides which of the two pending signals it delivers first.
    let first = ended
        .stderr
        .iter()
        .any(|line| line.contains("SIGINT: ending the run"));
    let code = if first { 130 } else { 143 };
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    left::assert_is_reported(&scratch);
    assert!(Marked::Run(known.token.clone()).find().is_empty());
    let summary = record::folder(&scratch).join("summary.md");
    assert!(!fs::read_to_string(summary).unwrap().contains("none left"));

    let [.., command] = &ended.stderr[..] else {
        panic!("stderr is empty");
    };
    assert!(
        command.trim().starts_with("E2E_MATRIX_STATE_DIR="),
        "{command}"
    );
    assert!(command.ends_with(" gc"), "{command}");
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .env_clear()
        .env("DOCKER_HOST", local::NO_ENGINE);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    known.assert_gone(&scratch);
}

#[test]
fn a_closed_terminal_ends_the_run_with_cleanup() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let running = local::held(&scratch, Phase::Assertions);
    let known = Known::of(&scratch);
    let Running { child, lines, .. } = running;
    drop(lines);
    kill_process(Pid::from_child(&child.0), Signal::HUP).unwrap();
    assert_eq!(wait(child, Vec::new()).code, Some(143));
    left::assert_is_reported(&scratch);
    known.assert_gone(&scratch);
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let binary = local::run(&scratch, &[]);
    let ignoring = "trap '' HUP; exec \"$0\" --provider local --hold assertions";
    let command = through("/bin/sh", &["-c", ignoring], &binary);
    let running = Running::held(command, Phase::Assertions);
    running.signal(Signal::HUP);
    running.signal(Signal::INT);
    // If the run had not ignored SIGHUP, that would have been the first signal, and the exit code would be 143.
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
}

#[test]
fn ctrl_c_reaches_only_the_runner() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let mut command = local::run(&scratch, &["--hold", "restart"]);
    // On Ctrl-C, a terminal signals the foreground process group, which is the runner's.
    command.process_group(0);
    let running = Running::held(command, Phase::Restart);
    let known = Known::of(&scratch);
    let group = running.process();
    let children = Marked::Run(known.token.clone()).find();
    assert_eq!(
        children.len(),
        4,
        "an agent and a mock, each with its sandbox's parent"
    );
    for child in children {
        let child = getpgid(Pid::from_raw(child)).unwrap();
        assert_ne!(child, group);
    }
    kill_process_group(group, Signal::INT).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    known.assert_gone(&scratch);
}
