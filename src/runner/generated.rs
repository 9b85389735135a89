//! Manifests that other tools render: kustomizations and Helm charts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::plan::PlanError;
use crate::deadline::RunClock;
use crate::error::chain;
use crate::machine::process::{self, ProcessError};
use crate::manifest::{Folder, names};

/// The timeout of a tool.
const DEADLINE: Duration = Duration::from_secs(120);
/// The maximum size of a tool's output, in bytes.
const MAX_OUTPUT: usize = 32 << 20;
/// The files that make a folder a kustomization.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether `folder` is a kustomization.
pub(super) fn is_kustomization(folder: &Path) -> bool {
    KUSTOMIZATIONS
        .iter()
        .any(|name| folder.join(name).is_file())
}

/// The objects of the kustomization at `path` in `base`.
pub(super) async fn kustomization(base: &Path, path: &Path) -> Result<Folder, PlanError> {
    let [mut kustomize, mut kubectl] = ["kustomize", "kubectl"].map(Command::new);
    kustomize.arg("build").arg(base.join(path));
    kubectl.arg("kustomize").arg(base.join(path));
    let tools = [
        ("kustomize build", kustomize),
        ("kubectl kustomize", kubectl),
    ];
    first_of(tools, path, "install kustomize or kubectl").await
}

/// The objects of the Helm chart at `chart` in `base`, with the values in the files `values`.
pub(super) async fn chart(
    base: &Path,
    chart: &Path,
    values: &[PathBuf],
) -> Result<Folder, PlanError> {
    let mut helm = Command::new("helm");
    helm.args(["template", "plexd"]).arg(base.join(chart));
    helm.args(["--include-crds", "--no-hooks"]);
    // Otherwise, the release would be in the namespace of the user's current context.
    helm.args(["--namespace", names::NAMESPACE]);
    for file in values {
        helm.arg("--values").arg(base.join(file));
    }
    first_of([("helm template", helm)], chart, "install Helm").await
}

/// The output for `path` of the first of `tools` that is installed. Each tool is a command with its name for messages.
async fn first_of<const N: usize>(
    tools: [(&str, Command); N],
    path: &Path,
    remedy: &str,
) -> Result<Folder, PlanError> {
    let titles = tools.each_ref().map(|(title, _)| format!("`{title}`"));
    let deadline = RunClock::new().deadline(DEADLINE);
    for (title, mut command) in tools {
        let failed = |message: String| PlanError::Generate {
            path: path.to_owned(),
            program: title.to_owned(),
            message,
        };
        let output = match process::output(&mut command, &deadline).await {
            Err(ProcessError::Start { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                continue;
            }
            output => output.map_err(|error| failed(chain(&error)))?,
        };
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, stderr.trim())));
        }
        if output.stdout.len() > MAX_OUTPUT {
            return Err(failed("its output is larger than 32 MiB".to_owned()));
        }
        let text = String::from_utf8(output.stdout);
        let text = text.map_err(|error| failed(format!("its output is not UTF-8: {error}")))?;
        let label = format!("{}, rendered by {title}", path.display());
        return Ok(Folder::new(label, [(String::new(), text)].into()));
    }
    Err(PlanError::NoGenerator {
        path: path.to_owned(),
        programs: titles.join(" or "),
        remedy: remedy.to_owned(),
    })
}
