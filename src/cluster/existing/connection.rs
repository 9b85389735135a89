//! The connection to the cluster: a context of a kubeconfig, which is read but never written.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::json;

use super::reclaim::{ExistingResource, NAMESPACE};
use crate::cluster::kubernetes::client;
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::process::quoted;
use crate::machine::{absolute, check_size};
use crate::matrix::Existing;

/// A context of a kubeconfig. This value contains no secrets: they stay in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The files that form the kubeconfig.
    pub(super) files: Vec<PathBuf>,
    /// The context.
    pub(super) context: String,
    /// Whether it is the kubeconfig's current context, because the user specified none.
    pub(super) is_current: bool,
}

impl Connection {
    /// The connection for `[existing]` or the corresponding options. Paths are relative to `base`, the matrix file's
    /// folder.
    pub(super) fn choose(existing: &Existing, base: &Path) -> Result<Self, Failure> {
        let files = match &existing.kubeconfig {
            Some(file) => vec![absolute(base.join(file))],
            None => default_files(),
        };
        let kubeconfig = read(&files)?;
        let (context, is_current) = match (&existing.context, &kubeconfig.current_context) {
            (Some(named), _) => (named.clone(), false),
            (None, Some(current)) if !current.is_empty() => (current.clone(), true),
            (None, _) => {
                let message = "the kubeconfig has no current context";
                let remedy =
                    "choose a context with `--context`, or with `context` under `[existing]`";
                return Err(Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy));
            }
        };
        let contexts = kubeconfig.contexts.iter();
        let names: Vec<_> = contexts.map(|named| named.name.as_str()).collect();
        if !names.contains(&context.as_str()) {
            let message = format!("the kubeconfig has no context `{context}`");
            return Err(Failure::new(Symptom::BadConfiguration, message)
                .with_remedy(format!("the known contexts are: {}", names.join(", "))));
        }
        Ok(Self {
            files,
            context,
            is_current,
        })
    }

    /// The connection in a ledger entry.
    pub(super) fn of_entry(resource: &ExistingResource) -> Self {
        Self {
            files: resource.kubeconfig.clone(),
            context: resource.context.clone(),
            is_current: false,
        }
    }

    /// The value of KUBECONFIG for this connection. If the context isn't the kubeconfig's current one, creates a file
    /// in `folder` that selects the context, and lists it first. The file contains nothing else, so that secrets stay
    /// in the user's files.
    pub(super) fn kubeconfig(&self, folder: &Path) -> Result<OsString, Failure> {
        let mut files = self.files.clone();
        if !self.is_current {
            let selection = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": self.context,
            });
            let file = absolute(folder.join("context.json"));
            let written =
                fs::create_dir_all(folder).and_then(|()| fs::write(&file, selection.to_string()));
            written.map_err(|error| unusable(&file, &error))?;
            files.insert(0, file);
        }
        std::env::join_paths(&files).map_err(|error| unusable(folder, &error))
    }

    /// A Kubernetes client for this connection.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let options = KubeConfigOptions {
            context: Some(self.context.clone()),
            ..KubeConfigOptions::default()
        };
        client(read(&self.files)?, &options).await
    }

    /// The ledger entry for a namespace.
    pub(super) fn namespace(&self, name: &str) -> ExistingResource {
        self.object("v1", NAMESPACE, name)
    }

    /// The ledger entry for a cluster-scoped object.
    pub(super) fn object(&self, api_version: &str, kind: &str, name: &str) -> ExistingResource {
        ExistingResource {
            kubeconfig: self.files.clone(),
            context: self.context.clone(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// `kubectl` with the options for this connection.
    pub(super) fn kubectl(&self) -> String {
        let files = self.files.iter().map(|file| file.display().to_string());
        let files: Vec<_> = files.collect();
        let context = quoted(&self.context);
        match &files[..] {
            [file] => format!("kubectl --kubeconfig {} --context {context}", quoted(file)),
            files => {
                let files = quoted(&files.join(":"));
                format!("KUBECONFIG={files} kubectl --context {context}")
            }
        }
    }
}

fn unusable(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    let (path, why) = (path.display(), chain(error));
    let message = format!("failed to create the kubeconfig {path}: {why}");
    Failure::new(Symptom::FilesystemFailed, message)
}

/// The files that `kubectl` reads by default.
fn default_files() -> Vec<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let Some(list) = named else {
        let home = std::env::home_dir().into_iter();
        return home.map(|home| home.join(".kube/config")).collect();
    };
    let files = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
    files.map(absolute).collect()
}

/// The maximum size of a kubeconfig file, in bytes.
const MAX_FILE: u64 = 16 << 20;

fn read(files: &[PathBuf]) -> Result<Kubeconfig, Failure> {
    let mut whole = Kubeconfig::default();
    for file in files {
        let unreadable = |error: KubeconfigError| {
            let (path, why) = (file.display(), chain(&error));
            let message = format!("the kubeconfig {path} can't be used: {why}");
            let remedy = "choose another kubeconfig with `--kubeconfig`, or with `kubeconfig` under `[existing]`";
            Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy)
        };
        check_size(file, MAX_FILE)
            .map_err(|source| unreadable(KubeconfigError::ReadConfig(source, file.clone())))?;
        let part = Kubeconfig::read_from(file).map_err(unreadable)?;
        whole = whole.merge(part).map_err(unreadable)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n- {name: one, context: {cluster: c, user: u}}\n- {name: two, context: {cluster: c, user: u}}\n";

    fn choose(context: Option<&str>, text: &str) -> Result<Connection, Failure> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), text).unwrap();
        let existing = Existing {
            context: context.map(str::to_owned),
            kubeconfig: Some("config".into()),
        };
        Connection::choose(&existing, folder.path())
    }

    #[test]
    fn the_current_context_is_the_default() {
        let named = choose(Some("two"), CONFIG).unwrap();
        assert_eq!((named.context.as_str(), named.is_current), ("two", false));
        let current = choose(None, CONFIG).unwrap();
        assert_eq!(
            (current.context.as_str(), current.is_current),
            ("one", true)
        );
    }

    #[test]
    fn programs_use_the_chosen_context() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, CONFIG).unwrap();
        let context_of = |is_current| {
            let connection = Connection {
                files: vec![file.clone()],
                context: "two".to_owned(),
                is_current,
            };
            let value = connection.kubeconfig(&folder.path().join("cell")).unwrap();
            let files: Vec<_> = std::env::split_paths(&value).collect();
            read(&files).unwrap().current_context.unwrap()
        };
        assert_eq!(context_of(false), "two");
        // The kubeconfig's own current context isn't overridden.
        assert_eq!(context_of(true), "one");
    }

    #[test]
    fn the_error_names_what_does_not_exist() {
        let failure = choose(Some("three"), CONFIG).unwrap_err();
        assert_eq!(failure.symptom, Symptom::BadConfiguration);
        assert_eq!(
            failure.remedy.as_deref(),
            Some("the known contexts are: one, two")
        );
        let without = CONFIG.replace("current-context: one\n", "");
        assert!(
            choose(None, &without)
                .unwrap_err()
                .message
                .contains("no current context")
        );
    }
}
