//! Compares a whole cell on kind with creating and deleting a bare cluster: `make bench-kind`.
//!
//! Measurements are paired: each round measures both within the same minutes on the same machine, and the result is their ratio.
//! `BENCH_ROUNDS` sets the number of rounds (default: 5), `BENCH_KUBERNETES` the version (default: 1.34), and `BENCH_CASES` the
//! cases as `<cells>x<nodes>` (default: `1x1,1x3,4x1`).

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that can't continue has no result"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How many cells run at once, how many nodes each of them has, and the highest ratio that is acceptable.
struct Case {
    cells: usize,
    nodes: usize,
    at_most: f64,
}

const CASES: [Case; 3] = [
    Case {
        cells: 1,
        nodes: 1,
        at_most: 1.1,
    },
    Case {
        cells: 1,
        nodes: 3,
        at_most: 1.1,
    },
    Case {
        cells: 4,
        nodes: 1,
        at_most: 1.0,
    },
];

fn main() {
    let rounds = setting("BENCH_ROUNDS", "5")
        .parse()
        .expect("BENCH_ROUNDS is a number");
    let version = setting("BENCH_KUBERNETES", "1.34");
    let wanted = setting("BENCH_CASES", "1x1,1x3,4x1");
    let image = node_image(&version);
    let folder = tempfile::tempdir().unwrap();
    println!(
        "{image}, {rounds} rounds; bare = `kind create cluster --wait 120s` and `kind delete cluster`"
    );
    for case in &CASES {
        let name = format!("{}x{}", case.cells, case.nodes);
        if wanted.split(',').any(|one| one == name) {
            case.measure(&name, rounds, &version, &image, folder.path());
        }
    }
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The newest local node image of `version`, which is also the one that the runner chooses.
fn node_image(version: &str) -> String {
    let listed = Command::new("docker")
        .args([
            "image",
            "ls",
            "kindest/node",
            "--format",
            "{{.Repository}}:{{.Tag}}",
        ])
        .output()
        .expect("docker can be started");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let start = format!("kindest/node:v{version}.");
    let patch = |name: &&str| name[start.len()..].parse::<u32>().unwrap_or(0);
    let images = listed.lines().filter(|name| name.starts_with(&start));
    images
        .max_by_key(patch)
        .expect("a local node image of that version exists")
        .to_owned()
}

impl Case {
    fn measure(&self, name: &str, rounds: usize, version: &str, image: &str, folder: &Path) {
        let matrix = folder.join(format!("{name}.toml"));
        std::fs::write(&matrix, self.matrix(version)).unwrap();
        // The first run builds the images; later runs reuse them.
        self.cells(&matrix, folder);
        // If kind fails to delete a bare cluster, the cluster remains; `kind get clusters` lists it.
        let (mut bare, mut cell, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=rounds {
            let (Some(without), with) = (self.bare(image, folder), self.cells(&matrix, folder))
            else {
                println!(
                    "  {name} round {round}: not counted, because kind failed on the bare cluster"
                );
                continue;
            };
            let (without, with) = (without.as_secs_f64(), with.as_secs_f64());
            let ratio = with / without;
            println!(
                "  {name} round {round}: bare {without:.1} s, cell {with:.1} s, ratio {ratio:.2}"
            );
            bare.push(without);
            cell.push(with);
            ratios.push(ratio);
        }
        if ratios.is_empty() {
            println!("{name}: nothing to compare");
            return;
        }
        let ratio = median(&mut ratios);
        let verdict = if ratio <= self.at_most {
            "holds"
        } else {
            "DOES NOT HOLD"
        };
        println!(
            "{} cell(s) of {} node(s): bare {:.1} s, cell {:.1} s, ratio {ratio:.2} (medians), at most {:.1}: {verdict}",
            self.cells,
            self.nodes,
            median(&mut bare),
            median(&mut cell),
            self.at_most
        );
    }

    /// One variant per cell, each with the intervals of the shipped `fast`.
    fn matrix(&self, version: &str) -> String {
        let names: Vec<String> = (0..self.cells)
            .map(|number| format!("\"fast-{number}\""))
            .collect();
        let mut text = format!(
            "[matrix]\nkubernetes = [\"{version}\"]\nnodes = [{}]\nconfig = [{}]\n",
            self.nodes,
            names.join(", ")
        );
        let forward = "{ collect_interval = \"500ms\", report_interval = \"500ms\" }";
        for number in 0..self.cells {
            let _ = writeln!(
                text,
                "[config.fast-{number}]\nagent = {{ heartbeat = {{ interval = \"500ms\" }}, metrics = {forward}, log_fwd = {forward}, audit_fwd = {forward} }}"
            );
        }
        text
    }

    /// Runs the cells, from reading the matrix to writing the reports.
    fn cells(&self, matrix: &Path, folder: &Path) -> Duration {
        let start = Instant::now();
        let mut runner = Command::new(env!("CARGO_BIN_EXE_e2e-matrix"));
        runner
            .args([
                "--provider",
                "kind",
                "--jobs",
                &self.cells.to_string(),
                "--matrix",
            ])
            .arg(matrix)
            .arg("--output-dir")
            .arg(folder.join("out"));
        let status = spawn(&mut runner).wait().unwrap();
        assert!(status.success(), "e2e-matrix ended with {status}");
        start.elapsed()
    }

    /// Creates and deletes bare clusters, as many at once as the case has cells. Returns `None` if kind fails on one of them, which
    /// happens when a node is killed while the runtime keeps one of its pods frozen.
    fn bare(&self, image: &str, folder: &Path) -> Option<Duration> {
        let config = folder.join("bare.yaml");
        let workers = "- role: worker\n".repeat(self.nodes - 1);
        let text = format!(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n{workers}"
        );
        std::fs::write(&config, text).unwrap();
        let start = Instant::now();
        let clusters = (0..self.cells).map(|number| {
            let name = format!("bench-{}-{number}", std::process::id());
            let kubeconfig = folder.join(&name).display().to_string();
            let script = format!(
                "kind create cluster --name {name} --image {image} --config {config} --kubeconfig {kubeconfig} --wait 120s \
                 && kind delete cluster --name {name} --kubeconfig {kubeconfig}",
                config = config.display()
            );
            spawn(Command::new("sh").args(["-c", &script]))
        });
        let clusters: Vec<Child> = clusters.collect();
        let ends = clusters
            .into_iter()
            .map(|mut cluster| cluster.wait().unwrap());
        let ends: Vec<_> = ends.collect();
        let elapsed = start.elapsed();
        ends.iter().all(ExitStatus::success).then_some(elapsed)
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program can be started")
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
