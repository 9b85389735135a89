//! Prepared clusters: a template is created once, runs use its clones, kind's own commands work on them, and a damaged
//! template is deleted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use assert_cmd::Command as Program;
use e2e_matrix::event::CellVerdict;
use e2e_matrix::machine::{StateFolder, folders, outstanding};

use super::kill::docker;
use crate::support::inherited::{ENGINE, inherited};
use crate::support::manifests::Manifests;
use crate::support::{QUICK_AGENT, Scratch, quick_matrix, record};

/// Far longer than the clusters of a test need.
const PATIENCE: Duration = Duration::from_secs(600);
const CELL: &str = "k8s-1.34-n1-default";

/// A matrix whose clusters have their own templates, so that no other test uses or damages them. The templates are
/// deleted at the end of the test.
struct Own {
    scratch: Scratch,
    templates: Vec<String>,
}

impl Own {
    /// A matrix with one cell. `name` distinguishes its template from those of other tests.
    fn new(name: &str) -> Self {
        Self::of(&format!(
            "{}kind = {{ containerdConfigPatches = [\"# {name}\"] }}\n",
            quick_matrix("1.34")
        ))
    }

    fn of(text: &str) -> Self {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("matrix.toml"), text).unwrap();
        let templates = Vec::new();
        Self { scratch, templates }
    }

    fn command(&self, arguments: &[&str]) -> Program {
        let mut command = self.scratch.command(arguments);
        command.envs(inherited(&ENGINE)).timeout(PATIENCE);
        command
    }

    /// Prepares the clusters. Returns the ids of the templates by cell, and the command's output.
    fn prepare(&mut self) -> (BTreeMap<String, String>, String) {
        let output = self.command(&["prepare"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let output = String::from_utf8(output.stdout).unwrap();
        let ids: BTreeMap<_, _> = output.lines().filter_map(template).collect();
        self.templates.extend(ids.values().cloned());
        (ids, output)
    }

    /// Runs the cell, which must pass. Returns how its cluster was created.
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

/// The cell and the id of its template, from a line that `prepare` prints.
fn template(line: &str) -> Option<(String, String)> {
    let (cell, outcome) = line.split_once(": ")?;
    let (_, after) = outcome.split_once("template ")?;
    let id = after.split_whitespace().next()?;
    Some((cell.to_owned(), id.to_owned()))
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

/// Two commands prepare the same cluster at the same time. One of them creates the template.
#[test]
#[ignore = "needs kind (creates 2 clusters and a template)"]
fn a_cluster_is_prepared_once_and_works_with_the_commands_of_kind() {
    let mut own = Own::new("once");
    let mut other = own.scratch.process(&["prepare"]);
    let other = other
        .envs(inherited(&ENGINE))
        .stdout(std::process::Stdio::piped());
    let other = other.spawn().unwrap();
    let (ids, printed) = own.prepare();
    let id = &ids[CELL];
    let output = other.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let others = String::from_utf8(output.stdout).unwrap();
    let both = [printed, others].map(|printed| printed.contains("prepared as template"));
    assert!(both == [true, false] || both == [false, true], "{both:?}");
    assert_eq!(images(id).len(), 1);

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
    // The template is kept for later runs.
    assert_eq!(images(id).len(), 1);
    assert_quota_is_in_effect(&own);
}

/// Asserts that a quota is in effect before the first pod is created, although in a clone, objects are applied before
/// the controller manager runs.
fn assert_quota_is_in_effect(own: &Own) {
    let manifests = Manifests::shipped(own.scratch.path());
    manifests.add(&serde_json::json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}},
    }));
    let path = own.scratch.path().join("matrix.toml");
    let text = fs::read_to_string(&path).unwrap() + &manifests.settings();
    fs::write(path, text).unwrap();
    let output = own.command(&["--provider", "kind"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let run = record::read(&own.scratch);
    let cell = record::cell(&run, CELL);
    assert!(record::origin(cell).starts_with("prepared, from template "));
    let nodes = &cell.facts.as_ref().unwrap().nodes;
    assert_eq!(cell.short_node(&nodes[0]), "control-plane");
    let phase = cell.phases.iter().find(|phase| phase.failure().is_some());
    let phase = phase.unwrap();
    assert_eq!(phase.name(), "readiness", "{phase:?}");
    assert!(
        phase.failure().unwrap().message.contains("exceeded quota"),
        "{phase:?}"
    );
}

/// The kubeconfig of the kept cluster.
fn kubeconfig(scratch: &Path) -> PathBuf {
    let runs = fs::read_dir(scratch.join("state/runs")).unwrap();
    let paths = runs.map(|run| run.unwrap().path().join("cells").join(CELL));
    let mut paths = paths.map(|folder| folder.join("kubeconfig"));
    paths.find(|path| path.exists()).unwrap()
}

/// The configs of the cells whose templates are damaged.
const NAMES: [&str; 2] = ["one", "other"];

/// How the templates of both cells are damaged, in two rounds: the script that damages the node, and the reason why the
/// clone is rejected.
const DAMAGES: [[(&str, &str); 2]; 2] = [
    [
        (
            "truncate --size=100K /var/lib/etcd/member/snap/db",
            "the API server did not respond in time",
        ),
        // No script: the other cell's image gets the name of this template.
        ("", "it is not a clone of this template"),
    ],
    [
        (
            "sign 20200101000000Z 20210101000000Z",
            "the API server did not respond in time",
        ),
        // A certificate as if the clock had been a year ahead when it was created.
        (
            "sign $(date --date='1 year' +%Y%m%d%H%M%SZ) $(date --date='2 years' +%Y%m%d%H%M%SZ)",
            "the API server did not respond in time",
        ),
    ],
];

/// Defines `sign`, which gives etcd a certificate from the cluster's own authority that is valid between two times. The
/// API server's own certificate would not do: a clone has a new address, so this certificate is replaced.
const SIGN: &str = r#"set -e
sign() {
  cd /etc/kubernetes/pki/etcd
  openssl x509 -x509toreq -copy_extensions copy -in server.crt -signkey server.key -out /tmp/request
  printf '[ca]\ndefault_ca=it\n[it]\ndatabase=/tmp/index\nrand_serial=yes\nnew_certs_dir=/tmp\npolicy=any\ndefault_md=sha256\ncopy_extensions=copy\n[any]\ncommonName=supplied\n' > /tmp/config
  touch /tmp/index
  openssl ca -batch -notext -config /tmp/config -cert ca.crt -keyfile ca.key -in /tmp/request -startdate "$1" -enddate "$2" -out server.crt
}
"#;

#[test]
#[ignore = "needs kind (creates 6 clusters and 2 templates)"]
fn a_damaged_template_is_deleted_and_the_cell_gets_a_fresh_cluster() {
    let kind = |name| {
        format!(
            "[config.{name}]\nagent = {QUICK_AGENT}\nkind = {{ containerdConfigPatches = [\"# {name}\"] }}\n"
        )
    };
    let tables = NAMES.map(kind).concat();
    let text = format!(
        "[matrix]\nkubernetes = [\"1.34\"]\nconfig = {NAMES:?}\n[run]\nports = \"any\"\n{tables}"
    );
    let mut own = Own::of(&text);
    let (ids, _) = own.prepare();
    let cells = NAMES.map(|name| format!("k8s-1.34-n1-{name}"));
    let ids = cells.each_ref().map(|cell| ids[cell].as_str());
    let spares = Spares(ids.map(|id| format!("e2e-matrix-test/{id}")));
    for (id, spare) in ids.iter().zip(&spares.0) {
        docker(&["tag", &image(id), spare]);
    }
    for damages in DAMAGES {
        for ((damage, _), (id, spare)) in damages.iter().zip(ids.iter().zip(&spares.0)) {
            if damage.is_empty() {
                docker(&["tag", &spares.0[0], &image(id)]);
            } else {
                commit_damaged(spare, damage, &image(id));
            }
        }
        let output = own.command(&["--provider", "kind"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let run = record::read(&own.scratch);
        for ((_, why), (cell, id)) in damages.iter().zip(cells.iter().zip(ids)) {
            let seen = record::cell(&run, cell);
            assert_eq!(seen.verdict, CellVerdict::Passed);
            let origin = record::origin(seen);
            let deleted = format!("fresh; the template {id} was deleted");
            assert!(origin.starts_with(&deleted), "{cell}: {origin}");
            assert!(origin.contains(why), "{cell}: {origin}");
            let listed = docker(&["images", "--quiet", &image(id)]);
            assert_eq!(listed, "", "{cell}: the damaged template still exists");
        }
    }
}

/// Additional names for the images of intact templates. The names are removed at the end of the test.
struct Spares([String; 2]);

impl Drop for Spares {
    fn drop(&mut self) {
        let [one, other] = &self.0;
        let arguments = ["rmi", "--force", one, other];
        drop(Command::new("docker").args(arguments).output());
    }
}

/// The image of the first node of a template.
fn image(id: &str) -> String {
    format!("e2e-matrix/prepared:{id}-0")
}

/// Runs the script `damage` in the image `from`, and stores the result as the image `to`.
fn commit_damaged(from: &str, damage: &str, to: &str) {
    let container = format!("damaged-{}", std::process::id());
    let script = format!("{SIGN}{damage}");
    let run = ["run", "--name", &container, "--entrypoint", "bash"];
    docker(&[&run[..], &[from, "-c", &script]].concat());
    docker(&["commit", &container, to]);
    docker(&["rm", &container]);
}

/// The command is killed while it creates the template. One `gc` then deletes everything that belongs to the command.
#[test]
#[ignore = "needs kind (creates 2 clusters and a template)"]
fn a_killed_preparation_leaves_nothing_behind_after_one_gc() {
    let mut own = Own::new("killed");
    for last in ["control-plane", "control-plane-image"] {
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
                    && name.ends_with(last)
            };
            if let Some(name) = prepared.iter().find(is_own) {
                let token = tokens.iter().find(|token| name.contains(token.as_str()));
                break token.unwrap().clone();
            }
            assert!(running.try_wait().unwrap().is_none(), "it ended too early");
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
    // Images that the killed commands left are replaced.
    own.prepare();
    own.run(&[]);
}
