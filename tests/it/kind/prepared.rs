//! Prepared clusters: they are made once, used by runs, work with kind's own commands, and are dropped if they are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use assert_cmd::Command as Program;
use e2e_matrix::event::CellVerdict;
use e2e_matrix::machine::{StateFolder, folders, outstanding};

use crate::support::Scratch;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::record;

/// Far longer than the clusters of a test need.
const PATIENCE: Duration = Duration::from_secs(600);
const CELL: &str = "k8s-1.34-n1-default";

/// A matrix whose clusters have templates of their own, so that no other test uses or damages them. They are removed at the end.
struct Own {
    scratch: Scratch,
    templates: Vec<String>,
}

impl Own {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new();
        let text = format!(
            "[matrix]\nkubernetes = [\"1.34\"]\n[run]\nports = \"any\"\n[config.default.kind]\ncontainerdConfigPatches = [\"# {name}\"]\n"
        );
        fs::write(scratch.path().join("matrix.toml"), text).unwrap();
        let templates = Vec::new();
        Self { scratch, templates }
    }

    fn command(&self, arguments: &[&str]) -> Program {
        let mut command = self.scratch.command(arguments);
        command.envs(inherited(&ENGINE)).timeout(PATIENCE);
        command
    }

    /// Prepares the cluster. Returns the id of the template, and what the command said of it.
    fn prepare(&mut self) -> (String, String) {
        let output = self.command(&["prepare"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let id = template(&said);
        self.templates.push(id.clone());
        (id, said)
    }

    /// Runs the cell, which passes. Returns how its cluster was created.
    fn run(&self, more: &[&str]) -> String {
        let arguments = [&["--provider", "kind"][..], more].concat();
        let output = self.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let run = record::read(&self.scratch);
        let cell = record::cell(&run, CELL);
        assert_eq!(cell.verdict, CellVerdict::Passed);
        record::origin(cell).to_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for id in &self.templates {
            for image in images(id) {
                docker(&["rmi", "--force", &image]);
            }
        }
    }
}

/// The id of the template in the output of `prepare`.
fn template(said: &str) -> String {
    let mut words = said
        .split_whitespace()
        .skip_while(|word| *word != "template");
    words.nth(1).unwrap().to_owned()
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The ids of the images of a template.
fn images(id: &str) -> Vec<String> {
    let label = format!("label=e2e-matrix.template={id}");
    let listed = docker(&["images", "--quiet", "--filter", &label]);
    listed.lines().map(str::to_owned).collect()
}

/// The names of the containers whose name contains `part`.
fn containers(part: &str) -> Vec<String> {
    let filter = format!("name={part}");
    let listed = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
    listed.lines().map(str::to_owned).collect()
}

/// Two runs prepare the same cluster at the same time. One of them makes the template.
#[test]
#[ignore = "needs kind (creates 2 clusters and a template)"]
fn a_cluster_is_prepared_once_and_works_with_the_commands_of_kind() {
    let mut own = Own::new("once");
    let mut other = own.scratch.process(&["prepare"]);
    let other = other
        .envs(inherited(&ENGINE))
        .stdout(std::process::Stdio::piped());
    let other = other.spawn().unwrap();
    let (id, said) = own.prepare();
    let output = other.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let others = String::from_utf8(output.stdout).unwrap();
    let both = [said, others].map(|said| said.contains("prepared as template"));
    assert!(both == [true, false] || both == [false, true], "{both:?}");
    assert_eq!(images(&id).len(), 1);

    let origin = own.run(&["--keep", "always"]);
    assert_eq!(origin, format!("prepared, from template {id}"));
    let run = record::read(&own.scratch);
    let cluster = format!("-{}", record::token(&run));
    let found = containers(&cluster);
    let [container] = &found[..] else {
        panic!("{found:?}")
    };
    let name = container.strip_suffix("-control-plane").unwrap();
    let kind = |arguments: &[&str]| {
        let output = Command::new("kind").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(kind(&["get", "clusters"]).lines().any(|it| it == name));
    assert_eq!(kind(&["get", "nodes", "--name", name]).trim(), container);
    let of_kind = kind(&["get", "kubeconfig", "--name", name]);
    let own_file = kubeconfig(own.scratch.path());
    let server = |text: &str| {
        let line = text.lines().find(|line| line.contains("server:")).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(
        server(&of_kind),
        server(&fs::read_to_string(own_file).unwrap())
    );
    kind(&["delete", "cluster", "--name", name]);
    assert_eq!(containers(&cluster), [] as [&str; 0]);
    // The template stays for later runs.
    assert_eq!(images(&id).len(), 1);
}

/// The kubeconfig of the kept cluster.
fn kubeconfig(scratch: &Path) -> PathBuf {
    let runs = fs::read_dir(scratch.join("state/runs")).unwrap();
    let paths = runs.map(|run| run.unwrap().path().join("cells").join(CELL));
    let mut paths = paths.map(|folder| folder.join("kubeconfig"));
    paths.find(|path| path.exists()).unwrap()
}

#[test]
#[ignore = "needs kind (creates 5 clusters and 2 templates)"]
fn a_damaged_template_is_deleted_and_the_cell_gets_a_fresh_cluster() {
    let mut own = Own::new("damaged");
    let (id, _) = own.prepare();
    let name = format!("e2e-matrix/prepared:{id}-0");
    let good = docker(&["inspect", "--format", "{{.Id}}", &name]);
    let mut other = Own::new("another");
    let (other_id, _) = other.prepare();
    let stranger = format!("e2e-matrix/prepared:{other_id}-0");
    // The name under which the undamaged image survives.
    let safe = format!("e2e-matrix/prepared:safe-{id}");
    docker(&["tag", &good, &safe]);
    let change = |path: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "damaged").unwrap();
        let container = docker(&["create", &safe]);
        let target = format!("{container}:{path}");
        docker(&["cp", file.to_str().unwrap(), &target]);
        docker(&["commit", &container, &name]);
        docker(&["rm", &container]);
    };
    let damages: [(&str, &dyn Fn()); 3] = [
        ("it is not a clone of this template", &|| {
            docker(&["tag", &stranger, &name]);
        }),
        ("the API server did not answer in time", &|| {
            change("/var/lib/etcd/member/snap/db");
        }),
        ("the API server did not answer in time", &|| {
            change("/etc/kubernetes/pki/etcd/server.crt");
        }),
    ];
    for (why, damage) in damages {
        damage();
        let origin = own.run(&[]);
        assert!(
            origin.starts_with(&format!("fresh; the template {id} was deleted")),
            "{origin}"
        );
        assert!(origin.contains(why), "{origin}");
        let listed = docker(&["images", "--quiet", &name]);
        assert_eq!(listed, "", "the damaged template still exists");
    }
    docker(&["rmi", "--force", &safe]);
}

/// Killed while the template is made: one `gc` deletes everything that belongs to the killed command.
#[test]
#[ignore = "needs kind (creates 2 clusters and a template)"]
fn a_killed_preparation_leaves_nothing_behind_after_one_gc() {
    let mut own = Own::new("killed");
    for made in ["control-plane", "control-plane-image"] {
        let mut command = own.scratch.process(&["prepare"]);
        command.envs(inherited(&ENGINE));
        let mut running = command.spawn().unwrap();
        let token = loop {
            let prepared = containers("prepared-");
            let state = own.scratch.path().join("state/runs");
            let tokens = fs::read_dir(&state).into_iter().flatten().flatten();
            let tokens: Vec<_> = tokens
                .map(|run| run.file_name().into_string().unwrap())
                .collect();
            let is_own = |name: &&String| {
                tokens
                    .iter()
                    .any(|token| name.contains(&format!("-{token}-")))
                    && name.ends_with(made)
            };
            if let Some(name) = prepared.iter().find(is_own) {
                let token = tokens.iter().find(|token| name.contains(token.as_str()));
                break token.unwrap().clone();
            }
            assert!(running.try_wait().unwrap().is_none(), "it is still at work");
            std::thread::sleep(Duration::from_millis(50));
        };
        running.kill().unwrap();
        running.wait().unwrap();
        let output = own.command(&["gc"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(containers(&format!("-{token}-")), [] as [&str; 0]);
        let state = StateFolder::at(own.scratch.path().join("state"));
        let ledgers = folders(&state).unwrap();
        let mut left = ledgers.iter().map(|folder| outstanding(folder).unwrap());
        assert!(left.all(|left| left.is_empty()));
    }
    // What the killed commands left of images is replaced.
    own.prepare();
    own.run(&[]);
}
