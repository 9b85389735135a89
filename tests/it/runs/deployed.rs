//! Manifests in other forms: a folder with other file names, a kustomization, and a Helm chart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Scratch, write_program};

const PATIENCE: Duration = Duration::from_secs(120);

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\nnodes = [1]\nconfig = [\"fast\"]\n[run]\nports = \"any\"\n\
    [config.fast]\nexpect = { heartbeat_count = 3 }\n\
    [config.fast.agent]\nheartbeat = { interval = \"500ms\" }\nmetrics = { report_interval = \"500ms\" }\n\
    log_fwd = { report_interval = \"500ms\" }\naudit_fwd = { report_interval = \"500ms\" }\n";

/// The shipped manifests as one text, without the CRDs, the Secret and the ConfigMap.
fn manifests() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    let files = ["serviceaccount.yaml", "rbac.yaml", "daemonset.yaml"];
    let texts = files.map(|name| fs::read_to_string(folder.join(name)).unwrap());
    texts.join("\n---\n")
}

/// Creates a program on the `PATH` that records its arguments and then runs `script`.
fn tool(scratch: &Scratch, name: &str, script: &str) {
    let programs = scratch.path().join("programs");
    fs::create_dir_all(&programs).unwrap();
    let program = programs.join(name);
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$0 $*\" >>{}/calls\n{script}\n",
        scratch.path().display()
    );
    write_program(&program, &text);
}

/// Runs with `deploy` under `[deploy]`. Returns the exit code and everything that was printed.
fn run(scratch: &Scratch, deploy: &str) -> (Option<i32>, String) {
    let matrix = format!("{MATRIX}[deploy]\n{deploy}\n");
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let output = scratch
        .command(&["--provider", "local"])
        .env("PATH", scratch.path().join("programs"))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_folder_with_other_file_names_works_and_missing_objects_are_added() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("agent/base");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("everything.yml"), manifests()).unwrap();
    let (code, text) = run(&scratch, "manifests = \"agent\"");
    assert_eq!(code, Some(0), "{text}");
    for added in [
        "the manifests have no Secret plexd-bootstrap",
        "the manifests have no ConfigMap plexd-config",
        "a role refers to plexdhooks.plexd.plexsphere.com",
    ] {
        assert!(text.contains(added), "{added}: {text}");
    }
}

#[test]
fn a_kustomization_is_rendered_by_the_installed_tool() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("overlay");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("kustomization.yaml"), "resources: [all.yaml]\n").unwrap();
    fs::write(folder.join("all.yaml"), manifests()).unwrap();
    let deploy = "manifests = \"overlay\"";
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("install kustomize or kubectl"), "{text}");
    tool(
        &scratch,
        "kubectl",
        "[ \"$1\" = kustomize ] && cat \"$2/all.yaml\"",
    );
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(0), "{text}");
    tool(&scratch, "kustomize", "echo 'no such field' >&2; exit 7");
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("overlay") && text.contains("no such field"),
        "{text}"
    );
}

#[test]
fn a_chart_is_rendered_by_helm_with_its_values() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("chart")).unwrap();
    fs::write(scratch.path().join("chart/all.yaml"), manifests()).unwrap();
    let deploy = "chart = \"chart\"\nvalues = [\"one.yaml\", \"two.yaml\"]";
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("install Helm"), "{text}");
    tool(&scratch, "helm", "cat \"$3/all.yaml\"");
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(0), "{text}");
    let calls = fs::read_to_string(scratch.path().join("calls")).unwrap();
    let expected = "template plexd ./chart --include-crds --no-hooks --namespace plexd-e2e \
                    --values ./one.yaml --values ./two.yaml";
    assert!(calls.contains(expected), "{calls}");
    tool(&scratch, "helm", "echo 'kind: {'");
    let (code, text) = run(&scratch, deploy);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("chart, rendered by helm template"), "{text}");
}

#[test]
fn agent_config_replaces_the_base_configuration() {
    let scratch = Scratch::new();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/agent-config.yaml");
    let own = fs::read_to_string(base).unwrap() + "mine: in ${e2e.namespace}\n";
    fs::write(
        scratch.path().join("plexd.yaml"),
        own.replace("node_id: e2e-k8s-node", "node_id: own"),
    )
    .unwrap();
    let (code, text) = run(&scratch, "agent-config = \"plexd.yaml\"");
    assert_eq!(code, Some(0), "{text}");
    let kept = scratch
        .path()
        .join("target/e2e-matrix/latest/cells/k8s-1.36-n1-fast/manifests/06-configmaps.yaml");
    let kept = fs::read_to_string(kept).unwrap();
    assert!(
        kept.contains("mine: in plexd-e2e") && kept.contains("node_id: own"),
        "{kept}"
    );
    fs::write(scratch.path().join("plexd.yaml"), "url: ${e2e.mock}\n").unwrap();
    let (code, text) = run(&scratch, "agent-config = \"plexd.yaml\"");
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("plexd.yaml, url: `${e2e.mock}` is not a placeholder"),
        "{text}"
    );
    let (code, text) = run(&scratch, "agent-config = \"nowhere.yaml\"");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nowhere.yaml"), "{text}");
}
