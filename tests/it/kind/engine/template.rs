//! An engine that dies, or whose disk fills up, while a template is being created: the command ends on its own and says
//! why, nothing is left that `gc` can't delete, no incomplete template is ever used, and afterwards everything works
//! again.

use std::fs::{self, File};
use std::time::Duration;

use e2e_matrix::event::CellVerdict;
use rustix::process::{Signal, kill_process};

use super::daemon::Engine;
use super::{Running, assert_nothing_is_left, text, wait};
use crate::support::{QUICK_AGENT, Scratch, record};

/// How long a command may take to exit after its engine has died. It doesn't wait for the engine to return.
const EXIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long creating a template may take, successful or not.
const CREATION_TIMEOUT: Duration = Duration::from_secs(240);
/// A disk size in MiB that is enough for the node image, its clusters and their template.
const DISK: u64 = 8 << 10;
/// Free space in MiB that is too little for a template.
const TOO_LITTLE: u64 = 8;

/// A matrix whose cells run one after another, so that the first one creates the template.
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
    let config = |name| format!("[config.{name}]\nagent = {QUICK_AGENT}\n");
    let configs = ["a", "b", "c", "d"].map(config);
    format!("{head}{}", configs.concat())
}

/// A moment in the creation of a template.
struct Moment {
    name: &'static str,
    has_come: fn(&Engine) -> bool,
}

/// kind has started the nodes, and is setting up Kubernetes in them.
const CREATING: Moment = Moment {
    name: "kind creates the cluster",
    has_come: |engine| engine.docker(&["ps", "--quiet"]).lines().count() == 2,
};
/// The nodes are frozen, and the files that they have changed are being copied.
const COPYING: Moment = Moment {
    name: "a node is copied",
    has_come: |engine| containers(engine).any(|name| name.ends_with("-image")),
};
/// The image of one node exists.
const STORING: Moment = Moment {
    name: "an image exists",
    // For a moment, the image exists but doesn't have its name yet.
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
        wait(moment.name, CREATION_TIMEOUT, || {
            let ended = self.running.0.try_wait().unwrap();
            assert_eq!(
                ended,
                None,
                "not reached: {}: {}",
                moment.name,
                self.output()
            );
            (moment.has_come)(self.engine)
        });
    }

    /// Waits until the command exits, and asserts that it reports an infrastructure failure. Returns its output.
    fn fails(&mut self, limit: Duration) -> String {
        assert_eq!(self.ends(limit), Some(3), "{}", self.output());
        self.output()
    }

    /// Waits until the command exits. Returns the exit code.
    fn ends(&mut self, limit: Duration) -> Option<i32> {
        self.running.wait("the end", limit)
    }

    fn output(&self) -> String {
        fs::read_to_string(self.scratch.path().join("output")).unwrap()
    }
}

fn scratch(matrix: &str) -> Scratch {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    scratch
}

/// Asserts that `prepare` creates the template. If the template already existed, the output would differ.
fn assert_prepares(engine: &Engine, scratch: &Scratch) {
    let prepared = engine.command(scratch, &["prepare"]).output().unwrap();
    let output = text(&prepared);
    assert_eq!(prepared.status.code(), Some(0), "{output}");
    assert!(output.contains("prepared as template"), "{output}");
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

/// Kills the engine at this moment of `prepare`, and checks how the command ends.
fn dies(engine: &Engine, scratch: &Scratch, moment: &Moment) {
    let mut preparing = Started::new(engine, scratch, &["prepare"]);
    preparing.reaches(moment);
    kill_process(engine.daemon(), Signal::KILL).unwrap();
    let output = preparing.fails(EXIT_TIMEOUT);
    let expected = [
        "k8s-1.34-n2-default: failed: the container engine",
        "hint: check whether the engine is running (`docker info`)",
        "to delete them:",
        "e2e-matrix gc\n",
    ];
    assert_contains(&output, &expected);
}

#[test]
#[ignore = "needs root, dockerd and a node image of 1.34 (starts its own engine, creates 3 clusters of two nodes and a template)"]
fn a_template_is_complete_after_the_engine_died_during_its_creation() {
    let mut engine = Engine::start();
    engine.load_node_image();
    let scratch = scratch("[matrix]\nkubernetes = [\"1.34\"]\nnodes = [2]\n");
    for moment in [CREATING, STORING] {
        dies(&engine, &scratch, &moment);
        engine.recover(Signal::KILL);
        let gc = engine.command(&scratch, &["gc"]).output().unwrap();
        assert_eq!(gc.status.code(), Some(0), "{}", text(&gc));
        assert_nothing_is_left(&engine, &scratch);
    }
    let left = templates(&engine);
    // If both images exist, the engine died only after the second one was stored. Without it, the template is
    // incomplete.
    if let [_, second] = &left[..] {
        engine.docker(&["rmi", second]);
    }
    assert_prepares(&engine, &scratch);
    let created = templates(&engine);
    let numbers: Vec<_> = created
        .iter()
        .filter_map(|name| name.split('-').next_back())
        .collect();
    assert_eq!(
        numbers,
        ["0", "1"],
        "one image per node, and none that has lost its name: {created:?}"
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
    let output = preparing.fails(CREATION_TIMEOUT);
    assert_contains(
        &output,
        &["no space left on device", "hint: free some disk space"],
    );
    assert_nothing_is_left(&engine, &scratch);
    assert_eq!(templates(&engine), [] as [&str; 0]);

    engine.shrink_disk(TOO_LITTLE);
    let output = Started::new(&engine, &scratch, &["prepare"]).fails(CREATION_TIMEOUT);
    assert_contains(&output, &["free disk at ", "free some disk space"]);

    engine.restore_disk();
    assert_cells_pass_without_it(&engine);
    assert_prepares(&engine, &scratch);
}

/// Asserts that only the first cell of a run tries to create the template, and that all cells pass on fresh clusters.
fn assert_cells_pass_without_it(engine: &Engine) {
    let scratch = scratch(&cells());
    let mut run = Started::new(engine, &scratch, &["--provider", "kind"]);
    run.reaches(&COPYING);
    engine.shrink_disk(TOO_LITTLE);
    run.reaches(&Moment {
        name: "the cell gives up on the template",
        has_come: |engine| containers(engine).all(|name| !name.starts_with("prepared-")),
    });
    engine.restore_disk();
    assert_eq!(run.ends(CREATION_TIMEOUT * 2), Some(0), "{}", run.output());
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
    assert_eq!(
        others, ["fresh"; 3],
        "only one cell tries to create the template"
    );
    assert_nothing_is_left(engine, &scratch);
    assert_eq!(templates(engine), [] as [&str; 0]);
}
