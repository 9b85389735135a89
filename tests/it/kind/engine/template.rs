//! An engine that dies, or whose disk fills up, while a template is made: the command ends without help and says why, nothing is left that
//! `gc` can't delete, no half template is ever used, and afterwards everything works again.

use std::fs::{self, File};
use std::time::Duration;

use e2e_matrix::event::CellVerdict;
use rustix::process::{Signal, kill_process};

use super::own::Engine;
use super::{Running, assert_nothing_is_left, text, wait};
use crate::support::{Scratch, record};

/// How long a command may take to end without its engine, for which it doesn't wait.
const ENDS: Duration = Duration::from_secs(60);
/// How long making a template may take, successful or not.
const MADE: Duration = Duration::from_secs(240);
/// Enough for the node image, its clusters and their template, in MiB.
const DISK: u64 = 8 << 10;
/// Too little for a template, in MiB.
const TOO_LITTLE: u64 = 8;

/// Its cells follow one another, so the first one makes the template.
fn cells() -> String {
    let head = r#"
[matrix]
kubernetes = ["1.34"]
config = ["a", "b", "c", "d"]
[run]
jobs = 1
ports = "any"
[phases.periodic]
run = false
[phases.restart]
run = false
"#;
    let config = |name| {
        format!(
            r#"
[config.{name}.agent]
heartbeat.interval = "500ms"
metrics = {{ collect_interval = "500ms", report_interval = "500ms" }}
log_fwd = {{ collect_interval = "500ms", report_interval = "500ms" }}
audit_fwd = {{ collect_interval = "500ms", report_interval = "500ms" }}
"#
        )
    };
    let configs = ["a", "b", "c", "d"].map(config);
    format!("{head}{}", configs.concat())
}

/// A moment while a template is made.
struct Moment {
    name: &'static str,
    has_come: fn(&Engine) -> bool,
}

/// kind has started the nodes, and sets up Kubernetes in them.
const CREATING: Moment = Moment {
    name: "kind creates the cluster",
    has_come: |engine| engine.docker(&["ps", "--quiet"]).lines().count() == 2,
};
/// The nodes are frozen, and what they have changed is copied.
const COPYING: Moment = Moment {
    name: "a node is copied",
    has_come: |engine| containers(engine).any(|name| name.ends_with("-image")),
};
/// The image of one node exists.
const STORING: Moment = Moment {
    name: "an image exists",
    // It exists for a moment before it has its name.
    has_come: |engine| {
        templates(engine)
            .iter()
            .any(|name| name.ends_with("-0") || name.ends_with("-1"))
    },
};

/// The names of all containers.
fn containers(engine: &Engine) -> impl Iterator<Item = String> {
    let names = engine.docker(&["ps", "--all", "--format", "{{.Names}}"]);
    let names: Vec<_> = names.lines().map(str::to_owned).collect();
    names.into_iter()
}

/// The names of all images of templates. An image that has lost its name is `<none>:<none>`.
fn templates(engine: &Engine) -> Vec<String> {
    let filter = "label=e2e-matrix.template";
    let format = "{{.Repository}}:{{.Tag}}";
    let listed = engine.docker(&["images", "--filter", filter, "--format", format]);
    let mut names: Vec<_> = listed.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// A command that runs while the test does something to its engine.
struct Started<'e> {
    engine: &'e Engine,
    scratch: &'e Scratch,
    running: Running,
}

impl<'e> Started<'e> {
    fn new(engine: &'e Engine, scratch: &'e Scratch, arguments: &[&str]) -> Self {
        let output = File::create(scratch.path().join("output")).unwrap();
        let mut command = engine.command(scratch, arguments);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let running = Running(command.spawn().unwrap());
        Self {
            engine,
            scratch,
            running,
        }
    }

    /// Waits for the moment.
    fn reaches(&mut self, moment: &Moment) {
        wait(moment.name, MADE, || {
            let ended = self.running.0.try_wait().unwrap();
            assert_eq!(ended, None, "not reached: {}: {}", moment.name, self.said());
            (moment.has_come)(self.engine)
        });
    }

    /// Waits for the end, and asserts that the failure is one of the infrastructure. Returns what the command says.
    fn fails(&mut self, limit: Duration) -> String {
        assert_eq!(self.ends(limit), Some(3), "{}", self.said());
        self.said()
    }

    /// Waits for the end. Returns the exit code.
    fn ends(&mut self, limit: Duration) -> Option<i32> {
        self.running.ends("the end", limit)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.scratch.path().join("output")).unwrap()
    }
}

fn scratch(matrix: &str) -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    scratch
}

/// Makes the template, which doesn't exist: otherwise, the command would say so.
fn assert_prepares(engine: &Engine, scratch: &Scratch) {
    let prepared = engine.command(scratch, &["prepare"]).output().unwrap();
    let said = text(&prepared);
    assert_eq!(prepared.status.code(), Some(0), "{said}");
    assert!(said.contains("prepared as template"), "{said}");
}

fn assert_contains(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
}

/// Kills the engine at this moment of `prepare`, and checks how the command ends.
fn dies(engine: &Engine, scratch: &Scratch, moment: &Moment) {
    let mut preparing = Started::new(engine, scratch, &["prepare"]);
    preparing.reaches(moment);
    kill_process(engine.daemon(), Signal::KILL).unwrap();
    let said = preparing.fails(ENDS);
    let expected = [
        "k8s-1.34-n2-default: failed: the container engine",
        "to do: check whether the engine runs (`docker info`)",
        "to delete them:",
        "e2e-matrix gc\n",
    ];
    assert_contains(&said, &expected);
}

#[test]
#[ignore = "needs root, dockerd and a node image of 1.34 (starts its own engine, creates 3 clusters of two nodes and a template)"]
fn a_template_is_whole_although_the_engine_died_while_it_was_made() {
    let mut engine = Engine::start();
    engine.load_node_image();
    let scratch = scratch("[matrix]\nkubernetes = [\"1.34\"]\nnodes = [2]\n");
    for moment in [CREATING, STORING] {
        dies(&engine, &scratch, &moment);
        engine.heal(Signal::KILL);
        let gc = engine.command(&scratch, &["gc"]).output().unwrap();
        assert_eq!(gc.status.code(), Some(0), "{}", text(&gc));
        assert_nothing_is_left(&engine, &scratch);
    }
    let left = templates(&engine);
    // If both exist, the engine died only after the second one.
    if let [_, second] = &left[..] {
        engine.docker(&["rmi", second]);
    }
    assert_prepares(&engine, &scratch);
    let made = templates(&engine);
    let ends: Vec<_> = made
        .iter()
        .filter_map(|name| name.split('-').next_back())
        .collect();
    assert_eq!(
        ends,
        ["0", "1"],
        "one image per node, and none that has lost its name: {made:?}"
    );
}

#[test]
#[ignore = "needs root, dockerd and a node image of 1.34 (starts its own engine, creates 7 clusters and a template)"]
fn a_template_that_does_not_fit_on_the_disk_leaves_nothing_behind_and_cells_pass_without_it() {
    let engine = Engine::with_disk(DISK);
    engine.load_node_image();
    let scratch = scratch("[matrix]\nkubernetes = [\"1.34\"]\n");
    let mut preparing = Started::new(&engine, &scratch, &["prepare"]);
    preparing.reaches(&COPYING);
    engine.shrink_disk(TOO_LITTLE);
    let said = preparing.fails(MADE);
    assert_contains(
        &said,
        &["no space left on device", "to do: free some disk space"],
    );
    assert_nothing_is_left(&engine, &scratch);
    assert_eq!(templates(&engine), [] as [&str; 0]);

    engine.shrink_disk(TOO_LITTLE);
    let said = Started::new(&engine, &scratch, &["prepare"]).fails(MADE);
    assert_contains(&said, &["free disk at ", "free some disk space"]);

    engine.restore_disk();
    assert_cells_pass_without_it(&engine);
    assert_prepares(&engine, &scratch);
}

/// Only the first cell of a run tries to make the template, and all of them pass on fresh clusters.
fn assert_cells_pass_without_it(engine: &Engine) {
    let scratch = scratch(&cells());
    let mut run = Started::new(engine, &scratch, &["--provider", "kind"]);
    run.reaches(&COPYING);
    engine.shrink_disk(TOO_LITTLE);
    run.reaches(&Moment {
        name: "the template is given up",
        has_come: |engine| containers(engine).all(|name| !name.starts_with("prepared-")),
    });
    engine.restore_disk();
    assert_eq!(run.ends(MADE * 2), Some(0), "{}", run.said());
    let model = record::read(&scratch);
    let origins = model.cells.iter().map(|cell| {
        assert_eq!(cell.verdict, CellVerdict::Passed);
        record::origin(cell)
    });
    let origins: Vec<_> = origins.collect();
    let [first, others @ ..] = &origins[..] else {
        panic!("the run has no cells")
    };
    assert!(
        first.starts_with("fresh; no template was used: "),
        "{first}"
    );
    assert_contains(first, &["no space left on device"]);
    assert_eq!(others, ["fresh"; 3], "only one cell tries it");
    assert_nothing_is_left(engine, &scratch);
    assert_eq!(templates(engine), [] as [&str; 0]);
}
