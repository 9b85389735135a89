//! The columns that are compared in a case, and how each one is measured.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use clap::ValueEnum;
use e2e_matrix::cluster::images::image_names;
use e2e_matrix::event::CellVerdict;
use e2e_matrix::matrix::Images;
use e2e_matrix::record::model::PhaseModel;
use e2e_matrix::record::{self, RunModel};
use serde::{Deserialize, Serialize};

use super::Result;
use super::case::Case;
use super::meter::{Sample, output};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Column {
    /// `kind create cluster --wait` and `kind delete cluster`, for as many clusters at once as there are cells
    Bare,
    /// The cells, with `--prepared never`
    Fresh,
    /// The cells, after `e2e-matrix prepare`
    Prepared,
    /// The cells one after another in one cluster, with `--reuse`
    Reused,
    /// benches/seed-script.sh, once per cell, one after another
    Script,
    /// The shipped matrix with the binary of `--baseline`
    Baseline,
    /// The shipped matrix, when nothing is prepared
    First,
    /// The shipped matrix again
    Second,
}

impl Column {
    /// All columns.
    pub(crate) const ALL: [Self; 8] = [
        Self::Bare,
        Self::Fresh,
        Self::Prepared,
        Self::Reused,
        Self::Script,
        Self::Baseline,
        Self::First,
        Self::Second,
    ];

    /// Whether the column belongs to the case `matrix`.
    pub(crate) const fn is_for_matrix(self) -> bool {
        match self {
            Self::Baseline | Self::First | Self::Second => true,
            Self::Bare | Self::Fresh | Self::Prepared | Self::Reused | Self::Script => false,
        }
    }
}

impl Display for Column {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().unwrap_or_default();
        formatter.write_str(value.get_name())
    }
}

/// The inputs of measurements. All output is logged to `target/bench/logs`.
pub(crate) struct Bench {
    /// The binary that the case `matrix` is compared with.
    pub(crate) baseline: Option<PathBuf>,
    /// The node image of bare clusters and of the script. The runner chooses the same one.
    pub(crate) node_image: String,
    version: String,
    folder: PathBuf,
}

const RUNNER: &str = env!("CARGO_BIN_EXE_e2e-matrix");

/// The filter for the images of templates, by their label.
const TEMPLATE: &str = "label=e2e-matrix.template";

impl Bench {
    /// Measures clusters of Kubernetes `version`.
    pub(crate) fn new(version: &str, baseline: Option<PathBuf>) -> Result<Self> {
        let folder = std::path::absolute("target/bench/logs")?;
        fs::create_dir_all(&folder)?;
        let node_image = node_image(version)?;
        Ok(Self {
            baseline,
            node_image,
            version: version.to_owned(),
            folder,
        })
    }

    /// Builds images and templates, so that this work isn't measured.
    pub(crate) fn prepare(&self, case: Case, columns: &[Column]) -> Result<()> {
        let matrix = self.matrix(case)?;
        let log = self.folder.join(format!("{case}-prepare.log"));
        let mut commands = Vec::new();
        match case {
            Case::Cells { .. } if columns == [Column::Bare] => {}
            Case::Cells { .. } => {
                commands.push(self.run(&matrix, &["--prepared", "never"]));
                if columns.contains(&Column::Prepared) || columns.contains(&Column::Reused) {
                    let mut prepare = Command::new(RUNNER);
                    prepare.arg("prepare").arg("--matrix").arg(&matrix);
                    commands.push(prepare);
                }
            }
            Case::Matrix => commands.push(self.baseline(&matrix)),
        }
        for mut command in commands {
            let status = spawn(&mut command, &log)?.wait()?;
            if !status.success() {
                return Err(
                    format!("{command:?} ended with {status}; see {}", log.display()).into(),
                );
            }
        }
        Ok(())
    }

    /// Measures `column` once.
    pub(crate) fn sample(&self, case: Case, column: Column, round: usize) -> Result<Sample> {
        let matrix = self.matrix(case)?;
        let log = self
            .folder
            .join(format!("{case}-{column}-{}.log", round + 1));
        let run =
            |mut command: Command| Sample::of(|| self.passed(case, column, &mut command, &log));
        let jobs = match case {
            Case::Cells { cells, .. } => cells,
            Case::Matrix => 0,
        };
        let at_once = jobs.to_string();
        match column {
            Column::Bare => self.bare(case, &log),
            Column::Fresh => run(self.run(&matrix, &["--prepared", "never", "--jobs", &at_once])),
            Column::Prepared => run(self.run(&matrix, &["--prepared", "auto", "--jobs", &at_once])),
            Column::Reused => run(self.run(&matrix, &["--reuse", "--jobs", &at_once])),
            Column::Script => Sample::of(|| self.scripts(jobs, &log)),
            Column::Baseline => run(self.baseline(&matrix)),
            Column::First => {
                delete_templates()?;
                run(self.run(&matrix, &[]))
            }
            Column::Second => run(self.run(&matrix, &[])),
        }
    }

    /// The path of the matrix file of `case`.
    fn matrix(&self, case: Case) -> Result<PathBuf> {
        match case.matrix(&self.version) {
            None => Ok(std::path::absolute("matrix.toml")?),
            Some(text) => {
                let path = self.folder.join(format!("{case}.toml"));
                fs::write(&path, text)?;
                Ok(path)
            }
        }
    }

    /// A run of the cells in `matrix`, from reading the file to writing the reports.
    fn run(&self, matrix: &Path, more: &[&str]) -> Command {
        self.run_of(Path::new(RUNNER), matrix, more)
    }

    fn baseline(&self, matrix: &Path) -> Command {
        match &self.baseline {
            Some(runner) => self.run_of(runner, matrix, &[]),
            None => self.run(matrix, &["--prepared", "never"]),
        }
    }

    fn run_of(&self, runner: &Path, matrix: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(runner);
        command
            .args(["--provider", "kind", "--skip-missing-images", "--matrix"])
            .arg(matrix)
            .arg("--output-dir")
            .arg(self.out())
            .args(more);
        command
    }

    fn out(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// Runs the cells. All must pass, on clusters with the origin that `column` measures. Returns what went wrong, if
    /// anything.
    fn passed(
        &self,
        case: Case,
        column: Column,
        command: &mut Command,
        log: &Path,
    ) -> Result<Option<String>> {
        let status = spawn(command, log)?.wait()?;
        if !status.success() {
            return Ok(Some(format!(
                "it ended with {status}; see {}",
                log.display()
            )));
        }
        let path = self.out().join("latest").join(record::FILE_NAME);
        let run = RunModel::new(&record::read(&path)?);
        Ok(deviation(case, column, &run))
    }

    /// Creates and deletes bare clusters, all at the same time.
    fn bare(&self, case: Case, log: &Path) -> Result<Sample> {
        let Case::Cells { cells, nodes, .. } = case else {
            return Err("only cells can be compared with bare clusters".into());
        };
        let config = self.folder.join(format!("{case}-bare.yaml"));
        let workers = "- role: worker\n".repeat(nodes - 1);
        let text = format!(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n{workers}"
        );
        fs::write(&config, text)?;
        let names = (0..cells).map(|number| format!("bench-{}-{number}", std::process::id()));
        let names: Vec<String> = names.collect();
        let kind = |name: &String, arguments: &[&str]| {
            let mut command = Command::new("kind");
            let kubeconfig = self.folder.join(format!("{name}.kubeconfig"));
            command.args(arguments).args(["--name", name]);
            command.arg("--kubeconfig").arg(kubeconfig);
            command
        };
        let create = |name: &String| {
            let image = [
                "create",
                "cluster",
                "--wait",
                "120s",
                "--image",
                &self.node_image,
            ];
            let mut command = kind(name, &image);
            command.arg("--config").arg(&config);
            command
        };
        let delete = |name: &String| kind(name, &["delete", "cluster"]);
        // Each cluster is deleted as soon as it is up.
        let one = |name: &String| -> std::io::Result<bool> {
            let created = spawn(&mut create(name), log)?.wait()?;
            let deleted = spawn(&mut delete(name), log)?.wait()?;
            Ok(created.success() && deleted.success())
        };
        let sample = Sample::of(|| {
            let ends: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = names.iter().map(|name| scope.spawn(|| one(name))).collect();
                threads
                    .into_iter()
                    .map(std::thread::ScopedJoinHandle::join)
                    .collect()
            });
            for end in ends {
                if !end.map_err(|_| "a thread panicked")?? {
                    return Ok(Some(format!("kind failed; see {}", log.display())));
                }
            }
            Ok(None)
        });
        for name in &names {
            // kind may fail to delete a node that is killed while one of its pods is frozen. The second attempt
            // succeeds.
            let leftover = format!("name=^{name}-");
            if !output("docker", &["ps", "--all", "--quiet", "--filter", &leftover])?.is_empty() {
                spawn(&mut delete(name), log)?.wait()?;
            }
            drop(fs::remove_file(
                self.folder.join(format!("{name}.kubeconfig")),
            ));
        }
        sample
    }

    /// Runs the script once per cell, one after another: the name of its cluster and its port are fixed.
    fn scripts(&self, cells: usize, log: &Path) -> Result<Option<String>> {
        let names = image_names(&Images::default(), Path::new("."), Path::new(RUNNER))?;
        for _ in 0..cells {
            let mut script = Command::new("bash");
            script
                .arg("benches/seed-script.sh")
                .env("CLUSTER_NAME", "bench-script")
                .env("NODE_IMAGE", &self.node_image)
                .env("AGENT_IMAGE", &names.agent)
                .env("MOCK_IMAGE", &names.mock);
            let status: ExitStatus = spawn(&mut script, log)?.wait()?;
            if !status.success() {
                return Ok(Some(format!(
                    "it ended with {status}; see {}",
                    log.display()
                )));
            }
        }
        Ok(None)
    }
}

/// How `run` differs from what `column` has to measure; `None` if it doesn't.
fn deviation(case: Case, column: Column, run: &RunModel) -> Option<String> {
    let mut reused = 0;
    for cell in &run.cells {
        let id = &cell.summary.id;
        let evidence = cell.phases.iter().flat_map(PhaseModel::all_evidence);
        let mut origins = evidence.filter(|row| row.subject == "cluster");
        let origin = origins.next().map_or("", |row| row.seen.as_str());
        reused += usize::from(origin.starts_with("reused"));
        let is_right = match (cell.verdict, column) {
            (CellVerdict::Passed, Column::Fresh) => origin == "fresh",
            (CellVerdict::Passed, Column::Prepared) => origin.starts_with("prepared"),
            // A cell is skipped if its node image is missing.
            (CellVerdict::Skipped, _) => matches!(case, Case::Matrix),
            (verdict, _) => verdict == CellVerdict::Passed,
        };
        if !is_right {
            return Some(format!(
                "{id} is {}, on a cluster with the origin `{origin}`",
                cell.verdict
            ));
        }
    }
    match (case, column) {
        (Case::Cells { cells, .. }, Column::Reused) if reused + 1 != cells => {
            Some(format!("{reused} of {cells} cells reused a cluster"))
        }
        _ => None,
    }
}

/// Deletes all templates from the engine.
fn delete_templates() -> Result<()> {
    let images = output("docker", &["images", "--quiet", "--filter", TEMPLATE])?;
    for image in images.lines() {
        output("docker", &["rmi", "--force", image])?;
    }
    Ok(())
}

/// Starts a program whose output is appended to `log`.
fn spawn(command: &mut Command, log: &Path) -> std::io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn()
}

/// The newest local node image of `version`.
fn node_image(version: &str) -> Result<String> {
    let names = [
        "image",
        "ls",
        "kindest/node",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ];
    let start = format!("kindest/node:v{version}.");
    let patch = |name: &&str| name[start.len()..].parse::<u32>().unwrap_or(0);
    let listed = output("docker", &names)?;
    let images = listed.lines().filter(|name| name.starts_with(&start));
    let newest = images.max_by_key(patch);
    Ok(newest
        .ok_or_else(|| format!("no local image matches {start}*"))?
        .to_owned())
}
