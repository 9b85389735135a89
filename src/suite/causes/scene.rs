//! The input of the rules: a failure, the log of the affected agent, and the rendered manifests.

use std::path::Path;

use serde_json::Value;

use super::path::paths;
use super::rules::{Fact, Source};
use crate::event::Failure;
use crate::excerpt::{self, Log};
use crate::manifest::{Rendered, items};

/// A failure and its context.
pub(crate) struct Scene<'s> {
    pub(super) failure: &'s Failure,
    log: Vec<String>,
    pub(super) rendered: &'s Rendered,
    /// The folder with the manifests, as named in reports.
    pub(super) kept_manifests: String,
}

/// A line to which a rule applies.
pub(super) struct Match<'l> {
    pub(super) line: &'l str,
    /// The path that the line mentions, as seen in the container.
    pub(super) path: Option<&'l str>,
}

impl<'s> Scene<'s> {
    pub(crate) fn new(
        failure: &'s Failure,
        log: Option<&Log>,
        rendered: &'s Rendered,
        kept_manifests: String,
    ) -> Self {
        let mut log = log.map(excerpt::plain_lines).unwrap_or_default();
        log.reverse();
        Self {
            failure,
            log,
            rendered,
            kept_manifests,
        }
    }

    /// The lines of `source` to search, in order of preference.
    pub(super) fn lines(&self, source: Source) -> Vec<String> {
        match source {
            Source::Log => self.log.clone(),
            Source::Failure => {
                let unmet = self.failure.evidence.iter().filter(|row| !row.holds);
                let rows = unmet.map(|row| {
                    let node = row.node.as_deref().unwrap_or("all nodes");
                    let (subject, seen, expected) = (&row.subject, &row.seen, &row.expected);
                    format!("{node}: {subject} is {seen}, not {expected}")
                });
                let message = self.failure.message.clone();
                std::iter::once(message).chain(rows).collect()
            }
        }
    }

    /// Whether `fact` holds for `found`.
    pub(super) fn holds(&self, fact: Fact, found: &Match<'_>) -> bool {
        match fact {
            Fact::WrongDnsPolicy => {
                let pod = self.pod();
                pod["hostNetwork"] == true && pod["dnsPolicy"] != "ClusterFirstWithHostNet"
            }
            Fact::NotMounted => found.path.is_some_and(|path| self.mount(path).is_none()),
            Fact::NoSuchKey => found.path.is_some_and(|path| self.lacks_file(path)),
            Fact::PullPolicy(policy) => self.image(found.line, Some(policy)).is_some(),
        }
    }

    /// The pod template of the agent's DaemonSet.
    pub(super) fn pod(&self) -> &'s Value {
        let name = self.daemon_set();
        let object = self.rendered.object("DaemonSet", name);
        let object = object.map_or(&Value::Null, |object| &object.value);
        &object["spec"]["template"]["spec"]
    }

    pub(super) fn daemon_set(&self) -> &'s str {
        let name = &self.rendered.agent().daemon_set.metadata.name;
        name.as_deref().unwrap_or_default()
    }

    /// The agent's container.
    pub(super) fn container(&self) -> &'s Value {
        let name = &self.rendered.agent().container;
        let mut containers = items(&self.pod()["containers"]);
        let container = containers.find(|container| container["name"] == name.as_str());
        container.unwrap_or(&Value::Null)
    }

    /// `path` as seen in the container. The local provider stores files in other folders, so `path` is replaced by a
    /// path in an argument of the container that has the same file name.
    pub(super) fn as_in_container<'l>(&self, path: &'l str) -> &'l str
    where
        's: 'l,
    {
        let is_same = |other: &&str| Path::new(other).file_name() == Path::new(path).file_name();
        let container = self.container();
        let arguments = items(&container["command"]).chain(items(&container["args"]));
        let arguments = arguments.filter_map(Value::as_str);
        let mut named = arguments.flat_map(|text| paths(text).map(|place| &text[place]));
        named.find(is_same).unwrap_or(path)
    }

    /// The volume that is mounted at `path`.
    fn mount(&self, path: &str) -> Option<&'s Value> {
        let mount = innermost(items(&self.container()["volumeMounts"]), path)?;
        let mut volumes = items(&self.pod()["volumes"]);
        volumes.find(|volume| volume["name"] == mount["name"])
    }

    /// The volume that is mounted at `path`, if it is a ConfigMap.
    pub(super) fn config_volume(&self, path: &str) -> Option<&'s Value> {
        self.mount(path)
            .filter(|volume| volume["configMap"].is_object())
    }

    /// Whether `path` is in a mounted ConfigMap that doesn't contain the file.
    fn lacks_file(&self, path: &str) -> bool {
        let Some(volume) = self.config_volume(path) else {
            return false;
        };
        let file = Path::new(path).file_name().and_then(|file| file.to_str());
        let mut files = items(&volume["configMap"]["items"]).peekable();
        if files.peek().is_some() {
            return !files.any(|item| item["path"].as_str() == file);
        }
        let mut keys = self.keys(volume).into_iter();
        !keys.any(|key| Some(key.as_str()) == file)
    }

    /// The keys of the ConfigMap of `volume`.
    pub(super) fn keys(&self, volume: &Value) -> Vec<String> {
        let name = volume["configMap"]["name"].as_str().unwrap_or_default();
        let object = self.rendered.object("ConfigMap", name);
        let data = object.and_then(|object| object.value["data"].as_object());
        let keys = data.into_iter().flat_map(serde_json::Map::keys);
        keys.cloned().collect()
    }

    /// The image of a container that `line` names. If `policy` is given, only containers with this pull policy are
    /// searched.
    pub(super) fn image(&self, line: &str, policy: Option<&str>) -> Option<&'s str> {
        let objects = self.rendered.objects();
        let mut containers = objects.flat_map(|object| {
            let pod = &object.value["spec"]["template"]["spec"];
            items(&pod["initContainers"]).chain(items(&pod["containers"]))
        });
        containers.find_map(|container| {
            let image = container["image"].as_str()?;
            let matches = policy.is_none_or(|policy| container["imagePullPolicy"] == policy);
            (matches && line.contains(image)).then_some(image)
        })
    }
}

/// The mount that contains `path`. If mounts are nested, the innermost one hides the others.
fn innermost<'m>(mounts: impl Iterator<Item = &'m Value>, path: &str) -> Option<&'m Value> {
    let is_above = |mount: &&Value| {
        let folder = mount["mountPath"].as_str();
        folder.is_some_and(|folder| Path::new(path).starts_with(folder))
    };
    let mounts = mounts.filter(is_above);
    mounts.max_by_key(|mount| mount["mountPath"].as_str().map(str::len))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_nested_mounts_the_innermost_one_contains_a_path() {
        let mounts = json!([
            {"name": "etc", "mountPath": "/etc/"},
            {"name": "config", "mountPath": "/etc/plexd"},
        ]);
        let name = |path| Some(innermost(items(&mounts), path)?["name"].as_str().unwrap());
        assert_eq!(name("/etc/plexd/config.yaml"), Some("config"));
        assert_eq!(name("/etc/hosts"), Some("etc"));
        assert_eq!(name("/var/lib/plexd"), None);
    }
}
