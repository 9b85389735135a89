//! Sends each signal in each phase, on the local provider, and kills a run whose pods have mounts.

use std::thread;

use e2e_matrix::matrix::Phase;
use rustix::process::Signal;

use crate::kill::left::{self, Known};
use crate::kill::local;
use crate::support::Scratch;

const SIGNALS: [(Signal, Option<i32>); 3] = [
    (Signal::INT, Some(130)),
    (Signal::TERM, Some(143)),
    (Signal::KILL, None),
];

/// How many runs are active at once. They mostly wait, so there can be many.
const AT_ONCE: usize = 11;

#[test]
fn nothing_is_left_after_any_signal_in_any_phase() {
    let cases = Phase::ALL
        .into_iter()
        .flat_map(|phase| SIGNALS.map(|signal| (phase, signal)));
    let cases: Vec<_> = cases.collect();
    let mut failed = Vec::new();
    for some in cases.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let running = some.iter().map(|(phase, (signal, code))| {
                let case = format!("{signal:?} in `{phase}`");
                (case, scope.spawn(move || kill(*phase, *signal, *code)))
            });
            for (case, thread) in running.collect::<Vec<_>>() {
                if thread.join().is_err() {
                    failed.push(case);
                }
            }
        });
    }
    assert_eq!(failed, [] as [String; 0], "their output is above");
}

fn kill(phase: Phase, signal: Signal, code: Option<i32>) {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let running = local::held(&scratch, phase);
    let known = Known::of(&scratch);
    running.signal(signal);
    let ended = running.end();
    assert_eq!(ended.code, code, "{ended:#?}");
    assert_eq!(ended.signal.is_some(), code.is_none(), "{ended:#?}");
    left::assert_is_recorded(&scratch);
    if signal == Signal::KILL {
        local::gc(&scratch);
    } else {
        left::assert_is_reported(&scratch);
    }
    known.assert_gone(&scratch);
}

#[test]
fn a_killed_run_leaves_no_mounts_of_its_pods() {
    let scratch = Scratch::new();
    left::prepare(&scratch);
    let running = local::held(&scratch, Phase::Assertions);
    let known = Known::of(&scratch);
    assert_eq!(known.namespaces.len(), 2, "of an agent and a mock");
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None);
    local::gc(&scratch);
    known.assert_gone(&scratch);
}
