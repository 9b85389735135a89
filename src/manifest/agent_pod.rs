//! The agent's pod: the Secrets and `ConfigMaps` that it refers to, and the keys that its container reads.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec};

use super::check::{CLUSTER_CERTIFICATES, Keys, Reference, references};
use super::{Object, locate, names};

/// The agent's pod.
pub(super) struct AgentPod {
    spec: PodSpec,
    /// The index of the agent's container.
    container: usize,
}

impl AgentPod {
    /// Reads the pod of `daemon_set`. Returns `None` if it has no pod or no container for the agent, which is reported
    /// later.
    pub(super) fn of(daemon_set: &Object) -> Option<Self> {
        let (container, _) = locate::container(daemon_set, names::AGENT).ok()?;
        let typed: DaemonSet = daemon_set.decode().ok()?;
        let spec = typed.spec.template.spec?;
        Some(Self { spec, container })
    }

    /// The references to objects of `kind`. Leaves out the cluster's certificates, which Kubernetes itself creates.
    pub(super) fn references(&self, kind: &str) -> Vec<Reference<'_>> {
        let mut references = references(&self.spec);
        references.retain(|it| it.kind == kind && it.name != CLUSTER_CERTIFICATES);
        references
    }

    /// The keys of the ConfigMap `name` that the agent reads: first those whose files its container names in its command,
    /// arguments and variables, and then those that `subPath` and `items` select.
    pub(super) fn keys_read(&self, name: &str) -> [BTreeSet<String>; 2] {
        let container = &self.spec.containers[self.container];
        let (mut named, mut selected) = (BTreeSet::new(), BTreeSet::new());
        let references = self.references("ConfigMap");
        for reference in references.iter().filter(|it| it.name == name) {
            let Keys::Files { volume, items } = reference.keys else {
                continue;
            };
            selected.extend(items.iter().map(|item| item.key.clone()));
            let mounts = container.volume_mounts.iter().flatten();
            for mount in mounts.filter(|it| it.name == volume) {
                let sub_path = Path::new(mount.sub_path.as_deref().unwrap_or_default());
                let key = |file: &Path| key_of(&sub_path.join(file), items);
                let files = words(container)
                    .filter_map(|word| Path::new(word).strip_prefix(&mount.mount_path).ok());
                named.extend(files.filter_map(key));
                selected.extend(key(Path::new("")));
            }
        }
        [named, selected]
    }
}

/// The words in the container's command, arguments and variables that may be paths.
fn words(container: &Container) -> impl Iterator<Item = &str> {
    let arguments = container.command.iter().chain(&container.args).flatten();
    let variables = container.env.iter().flatten();
    let texts = arguments.chain(variables.filter_map(|it| it.value.as_ref()));
    texts.flat_map(|text| text.split(|c: char| c.is_whitespace() || "=,:;'\"".contains(c)))
}

/// The key that becomes the file `file` of a volume with these `items`. Without items, each key becomes a file of the same
/// name.
fn key_of(file: &Path, items: &[KeyToPath]) -> Option<String> {
    if items.is_empty() {
        let name = file.file_name()?.to_str()?;
        return (file == Path::new(name)).then(|| name.to_owned());
    }
    let item = items.iter().find(|item| Path::new(&item.path) == file)?;
    Some(item.key.clone())
}
