//! A run for the tests of all reports. A table gives each cell a story, from which both the events and the expected
//! reports are derived.

use jiff::{SignedDuration, Timestamp};

pub(crate) use super::marks::Mark;
use crate::event::{
    CellFacts, CellSummary, CellVerdict, CounterTable, Event, Evidence, Execution, Failure,
    FailureClass, FlakyResult, HostFacts, LogExcerpt, MachineLoad, NodeCounters, PhaseResult,
    PhaseStatus, Record, RunFacts, RunVerdict, Severity, Step, Symptom, VERSION,
};
use crate::matrix::{CellId, ConfigName, Counter, KubernetesVersion, NodeCount, Phase};
use crate::record::RunModel;

/// What happens to a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Story {
    Passes,
    Fails(Phase, Symptom),
    /// Fails in this way on the first attempt, and passes on the second.
    PassesAfter(Phase, Symptom),
    IsCutOffIn(Phase),
    IsSkipped,
}

/// A cell: version, nodes, config, whether it may fail, and its story.
#[derive(Clone, Copy)]
pub(crate) struct Plan(
    pub(crate) &'static str,
    pub(crate) u16,
    pub(crate) &'static str,
    pub(crate) bool,
    pub(crate) Story,
);

/// One cell for each kind of story.
pub(crate) const MIXED: [Plan; 9] = [
    Plan("1.30", 1, "default", false, Story::Passes),
    Plan("1.30", 3, "fast", false, Story::Passes),
    Plan(
        "1.33",
        3,
        "fast",
        false,
        Story::Fails(Phase::Assertions, Symptom::CounterNotMet),
    ),
    Plan(
        "1.34",
        1,
        "default",
        false,
        Story::Fails(Phase::Cluster, Symptom::NodeImageMissing),
    ),
    Plan(
        "1.34",
        1,
        "fast",
        false,
        Story::Fails(Phase::Manifests, Symptom::ObjectRefused),
    ),
    Plan(
        "1.36",
        1,
        "fast",
        true,
        Story::Fails(Phase::Restart, Symptom::RestartNotMet),
    ),
    Plan(
        "1.36",
        3,
        "default",
        false,
        Story::IsCutOffIn(Phase::Readiness),
    ),
    Plan("1.36", 3, "fast", false, Story::IsSkipped),
    Plan(
        "1.36",
        5,
        "fast",
        false,
        Story::PassesAfter(Phase::Readiness, Symptom::AgentNotReady),
    ),
];

/// The delay before the second attempt.
const WAIT_MS: u64 = 1000;

/// A line of a log with colors, NUL, the end of a CDATA section, and the markup of other reports.
pub(crate) const NASTY_LINE: &str = "\u{1B}[31mERROR\u{1B}[0m audit\0 spool ]]> <b>|`full`";
/// The same line, as every report has to show it.
pub(crate) const CLEAN_LINE: &str = "ERROR audit\u{FFFD} spool ]]> <b>|`full`";

impl Plan {
    pub(crate) fn id(&self) -> CellId {
        let version: KubernetesVersion = self.0.parse().unwrap();
        let config = ConfigName::parse(self.2).unwrap();
        CellId::new(version, NodeCount::new(self.1).unwrap(), &config)
    }

    pub(crate) fn verdict(&self) -> CellVerdict {
        match self.4 {
            Story::Passes => CellVerdict::Passed,
            Story::PassesAfter(..) => CellVerdict::Flaky,
            Story::Fails(_, symptom) => CellVerdict::of_class(symptom.class()),
            Story::IsCutOffIn(_) => CellVerdict::Interrupted,
            Story::IsSkipped => CellVerdict::Skipped,
        }
    }

    /// The expected mark for `phase` in every table.
    pub(crate) fn mark(&self, phase: Phase) -> Mark {
        match self.4 {
            Story::Passes | Story::PassesAfter(..) => Mark::Passed,
            Story::IsCutOffIn(failed) if phase == failed => Mark::Interrupted,
            Story::Fails(failed, symptom) if phase == failed => match symptom.class() {
                FailureClass::Product => Mark::Failed,
                FailureClass::Configuration | FailureClass::Infrastructure => Mark::Error,
            },
            Story::Fails(..) if phase == Phase::Cleanup => Mark::Passed,
            Story::Fails(failed, _) | Story::IsCutOffIn(failed) if phase < failed => Mark::Passed,
            Story::Fails(..) | Story::IsCutOffIn(_) | Story::IsSkipped => Mark::Skipped,
        }
    }

    fn cluster(&self) -> String {
        format!(
            "plexd-e2e-{}-n{}-{}-x7",
            self.0.replace('.', ""),
            self.1,
            self.2
        )
    }

    fn nodes(&self) -> Vec<String> {
        let names = (0..self.1).map(|index| match index {
            0 => "control-plane".to_owned(),
            1 => "worker".to_owned(),
            other => format!("worker{other}"),
        });
        names
            .map(|name| format!("{}-{name}", self.cluster()))
            .collect()
    }

    fn summary(&self) -> CellSummary {
        CellSummary {
            id: self.id(),
            kubernetes: self.0.to_owned(),
            nodes: self.1.into(),
            config: self.2.to_owned(),
            axes: Vec::new(),
            tags: Vec::new(),
            allow_failure: self.3,
            repetition: None,
        }
    }

    fn failure(&self, symptom: Symptom) -> Failure {
        let last = self.nodes().pop().unwrap();
        let is_counter = symptom == Symptom::CounterNotMet;
        let subject = if is_counter {
            "audit_count"
        } else {
            "process_start"
        };
        let evidence = self.nodes().into_iter().map(|node| Evidence {
            subject: subject.to_owned(),
            expected: ">= 1".to_owned(),
            seen: u8::from(node != last).to_string(),
            holds: node != last,
            node: Some(node),
        });
        let failure = Failure::new(
            symptom,
            format!("it went wrong on {last}, as {symptom} does"),
        )
        .with_remedy("look at the agent's log");
        match symptom.class() {
            FailureClass::Product => failure
                .with_evidence(evidence)
                .with_log(format!("plexd on {last}"), vec![NASTY_LINE.to_owned()]),
            FailureClass::Configuration | FailureClass::Infrastructure => failure,
        }
    }

    /// Cells with many nodes overload the machine.
    fn load(&self) -> MachineLoad {
        let nodes = u64::from(self.1);
        MachineLoad {
            average_hundredths: nodes * 400 + 25,
            cpu_pressure_percent: (nodes > 1).then_some(nodes * 15),
            memory_available_bytes: 9 << 30,
            cells: 2,
        }
    }

    fn counters(&self) -> NodeCounters {
        let last = self.nodes().pop().unwrap();
        let missing = match self.4 {
            Story::Fails(_, Symptom::CounterNotMet) => Some(last),
            Story::Fails(..)
            | Story::Passes
            | Story::PassesAfter(..)
            | Story::IsCutOffIn(_)
            | Story::IsSkipped => None,
        };
        let of_node = |node: &String| -> CounterTable {
            let is_missing =
                |counter| counter == Counter::AuditCount && missing.as_ref() == Some(node);
            Counter::ALL
                .into_iter()
                .map(|counter| {
                    (
                        counter.name().to_owned(),
                        u64::from(!is_missing(counter)) * 2,
                    )
                })
                .collect()
        };
        let nodes: std::collections::BTreeMap<_, _> = self
            .nodes()
            .into_iter()
            .map(|node| (node.clone(), of_node(&node)))
            .collect();
        let mut total = CounterTable::new();
        for (name, value) in nodes.values().flatten() {
            *total.entry(name.clone()).or_default() += value;
        }
        NodeCounters { total, nodes }
    }
}

/// Creates events, and advances a simulated clock.
pub(crate) struct Script {
    records: Vec<Record>,
    elapsed_ms: u64,
    execution: fn(Phase) -> Execution,
}

impl Script {
    fn emit(&mut self, event: Event) {
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let elapsed = SignedDuration::from_millis(self.elapsed_ms.try_into().unwrap());
        self.records.push(Record {
            version: VERSION,
            sequence: self.records.len() as u64,
            at: start + elapsed,
            event,
        });
    }

    fn phase(&mut self, plan: &Plan, phase: Phase, status: PhaseStatus) {
        let duration_ms = match status {
            PhaseStatus::Skipped { .. } => 0,
            PhaseStatus::Passed | PhaseStatus::Failed { .. } => 1200 * (phase as u64),
        };
        if duration_ms > 0 {
            let cell = plan.id();
            self.emit(Event::PhaseStarted {
                cell,
                phase,
                command: None,
            });
        }
        self.elapsed_ms += duration_ms;
        self.emit(Event::PhaseFinished {
            cell: plan.id(),
            result: PhaseResult {
                phase,
                command: None,
                execution: (self.execution)(phase),
                status,
                duration_ms,
                evidence: Vec::new(),
                warnings: Vec::new(),
                logs: Vec::new(),
            },
        });
    }

    fn cell(&mut self, plan: &Plan) {
        let began = self.elapsed_ms;
        let reason = match plan.4 {
            Story::IsSkipped => Some("not started: another cell failed".to_owned()),
            Story::Fails(_, symptom) => Some(plan.failure(symptom).message),
            Story::PassesAfter(phase, symptom) => {
                let first = Plan(plan.0, plan.1, plan.2, plan.3, Story::Fails(phase, symptom));
                self.attempt(&first, 1);
                self.retried(&first, began);
                Some(format!("attempt 1: {}", first.failure(symptom).message))
            }
            Story::Passes | Story::IsCutOffIn(_) => None,
        };
        let attempt = if matches!(plan.4, Story::PassesAfter(..)) {
            2
        } else {
            1
        };
        if !matches!(plan.4, Story::IsSkipped) {
            self.attempt(plan, attempt);
        }
        if !matches!(plan.4, Story::IsCutOffIn(_)) {
            self.emit(Event::CellFinished {
                cell: plan.id(),
                verdict: plan.verdict(),
                cannot_run: false,
                reason,
                duration_ms: self.elapsed_ms - began,
                load: (!matches!(plan.4, Story::IsSkipped)).then(|| plan.load()),
            });
        }
    }

    fn retried(&mut self, plan: &Plan, began: u64) {
        let Story::Fails(_, symptom) = plan.4 else {
            return;
        };
        self.emit(Event::CellRetried {
            cell: plan.id(),
            attempt: 1,
            verdict: plan.verdict(),
            reason: Some(plan.failure(symptom).message),
            duration_ms: self.elapsed_ms - began,
            load: Some(plan.load()),
            wait_ms: WAIT_MS,
        });
        self.elapsed_ms += WAIT_MS;
    }

    fn attempt(&mut self, plan: &Plan, attempt: u32) {
        let cell = plan.id();
        let cluster = plan.cluster();
        self.emit(Event::CellStarted {
            cell,
            cluster,
            attempt,
        });
        self.emit(Event::CellFacts {
            cell: plan.id(),
            facts: facts(plan, (self.execution)(Phase::Cluster)),
        });
        for phase in Phase::ALL {
            match plan.mark(phase) {
                Mark::Passed | Mark::Simulated => self.phase(plan, phase, PhaseStatus::Passed),
                Mark::Failed | Mark::Error => self.failed_phase(plan, phase),
                Mark::Interrupted => return self.cut_off(plan, phase),
                Mark::Skipped => {
                    let reason = "an earlier phase failed".to_owned();
                    self.phase(plan, phase, PhaseStatus::Skipped { reason });
                }
            }
        }
        self.emit(Event::Counters {
            cell: plan.id(),
            counters: plan.counters(),
        });
        self.emit(Event::Timings {
            cell: plan.id(),
            steps: vec![
                step("create cluster", 0, 1500),
                step("stream images", 900, 2100),
            ],
        });
    }

    fn failed_phase(&mut self, plan: &Plan, phase: Phase) {
        let Story::Fails(_, symptom) = plan.4 else {
            return;
        };
        let failure = plan.failure(symptom);
        self.phase(plan, phase, PhaseStatus::Failed { failure });
        self.emit(Event::Diagnostics {
            cell: plan.id(),
            files: vec![format!("cells/{}/pods.txt", plan.id())],
            quotes: vec![LogExcerpt {
                source: "pods".to_owned(),
                lines: vec!["plexd-x   0/1   CrashLoopBackOff".to_owned()],
                file: None,
            }],
        });
        if phase == Phase::Cluster {
            self.emit(Event::CellKept {
                cell: plan.id(),
                commands: vec![format!("kind delete cluster --name {}", plan.cluster())],
            });
        }
    }

    fn cut_off(&mut self, plan: &Plan, phase: Phase) {
        let cell = plan.id();
        self.emit(Event::PhaseStarted {
            cell,
            phase,
            command: None,
        });
        self.elapsed_ms += 700;
        self.emit(Event::PhaseProgress {
            cell: plan.id(),
            phase,
            text: "1 of 3 agents ready".to_owned(),
        });
    }
}

fn step(name: &str, start_ms: u64, duration_ms: u64) -> Step {
    Step {
        name: name.to_owned(),
        start_ms,
        duration_ms,
    }
}

fn facts(plan: &Plan, cluster: Execution) -> CellFacts {
    CellFacts {
        server_version: match cluster {
            Execution::Run => Some(format!("v{}.4", plan.0)),
            Execution::Simulated => None,
        },
        nodes: plan.nodes(),
        node_prefix: None,
        agent: "plexd:e2e@sha256:0a1b".to_owned(),
        mock: "mockapi:e2e@sha256:2c3d".to_owned(),
        address: Some("127.0.0.1:18080".to_owned()),
        tuning: vec!["etcd without fsync".to_owned()],
    }
}

/// The events of a run of `plans` without the last one.
fn script(plans: &[Plan], provider: &str, execution: fn(Phase) -> Execution) -> Script {
    let mut script = Script {
        records: Vec::new(),
        elapsed_ms: 0,
        execution,
    };
    script.emit(Event::RunStarted {
        facts: RunFacts {
            run: "20260102-030405-x7".to_owned(),
            runner: "0.1.0".to_owned(),
            matrix: "matrix.toml".to_owned(),
            filters: Vec::new(),
            provider: provider.to_owned(),
            flaky_result: FlakyResult::default(),
            provider_reason: None,
            jobs: 2,
            host: HostFacts {
                name: "builder".to_owned(),
                platform: "linux x86_64".to_owned(),
                cpus: 8,
                memory_bytes: 33_500_000_000,
                tools: vec!["Docker 28.1".to_owned()],
            },
            rerun_of: None,
            selection_digest: None,
            shard: None,
            parts: Vec::new(),
            commands: Vec::new(),
            cells: plans.iter().map(Plan::summary).collect(),
        },
    });
    for plan in plans {
        script.cell(plan);
    }
    script
}

/// The mixed run without its last event, because it was killed during one of its cells.
pub(crate) fn mixed() -> Vec<Record> {
    killed(&MIXED)
}

/// A run of `plans` on kind without its last event.
pub(crate) fn killed(plans: &[Plan]) -> Vec<Record> {
    let mut script = script(plans, "kind", |_| Execution::Run);
    script.emit(Event::Notice {
        severity: Severity::Warning,
        text: "the machine has room for one cell at a time".to_owned(),
    });
    script.records
}

/// A run with one failed cell, whose message and log contain `line`.
pub(crate) fn with_log_line(line: &str) -> Vec<Record> {
    let story = Story::Fails(Phase::Readiness, Symptom::AgentCrashed);
    let mut records = killed(&[Plan("1.36", 1, "fast", false, story)]);
    for record in &mut records {
        if let Event::PhaseFinished { result, .. } = &mut record.event
            && let PhaseStatus::Failed { failure } = &mut result.status
        {
            failure.message = format!("it ended: `{}`", line.trim());
            failure.logs[0].lines = vec![line.to_owned()];
            failure.logs[0].file = Some(LOG_FILE.to_owned());
        }
    }
    records
}

/// A run with one cell of `nodes` nodes, none of which meets the expectation of a counter.
pub(crate) fn unmet(nodes: u16) -> RunModel {
    let story = Story::Fails(Phase::Assertions, Symptom::CounterNotMet);
    let mut records = killed(&[Plan("1.36", nodes, "fast", false, story)]);
    for record in &mut records {
        if let Event::PhaseFinished { result, .. } = &mut record.event
            && let PhaseStatus::Failed { failure } = &mut result.status
        {
            for evidence in &mut failure.evidence {
                evidence.holds = false;
            }
        }
    }
    RunModel::new(&records)
}

/// The log file of [`with_log_line`].
pub(crate) const LOG_FILE: &str = "cells/k8s-1.36-n1-fast/plexd-on-x.log";

/// A complete run of `plans` on the local provider.
pub(crate) fn green_local(plans: &[Plan]) -> Vec<Record> {
    let mut script = script(plans, "local", |phase| match phase {
        Phase::Cluster | Phase::Images => Execution::Simulated,
        Phase::Preflight
        | Phase::Manifests
        | Phase::Readiness
        | Phase::Assertions
        | Phase::RequestBodies
        | Phase::Periodic
        | Phase::Restart
        | Phase::LocalEndpoint
        | Phase::Cleanup => Execution::Run,
    });
    script.emit(Event::RunFinished {
        verdict: RunVerdict::Passed,
        duration_ms: script.elapsed_ms,
    });
    script.records
}
