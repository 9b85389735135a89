//! Fills in the placeholders of a rule.

use std::path::Path;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::scene::{Match, Scene};
use crate::manifest::items;

/// A name in braces.
static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([^}]+)\}").expect("the pattern is valid"));

impl Scene<'_> {
    /// `text` with its placeholders replaced by values from the manifests and from `found`.
    pub(super) fn fill(&self, text: &str, found: &Match<'_>) -> String {
        let value = |placeholder: &Captures<'_>| self.value(&placeholder[1], found);
        PLACEHOLDER.replace_all(text, value).into_owned()
    }

    fn value(&self, name: &str, found: &Match<'_>) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let line = found.line;
        let path = found.path.map(Path::new);
        let value = match name {
            "daemonset" => Some(self.daemon_set().to_owned()),
            "container" => text(&self.container()["name"]),
            "account" => Some(self.rendered.agent().account.clone()),
            "dns-policy" => {
                text(&self.pod()["dnsPolicy"]).or_else(|| Some("ClusterFirst".to_owned()))
            }
            "memory-limit" => text(&self.container()["resources"]["limits"]["memory"]),
            "kept-manifests" => Some(self.kept_manifests.clone()),
            "path" => found.path.map(str::to_owned),
            "folder" => path.and_then(|path| Some(path.parent()?.display().to_string())),
            "file" => path.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            "volume" => text(&self.volume(found)["name"]),
            "config-map" => {
                text(&self.volume(found)["configMap"]["name"]).or_else(|| self.any_config_map())
            }
            "key" => self.keys(self.volume(found)).into_iter().next(),
            "image" => self.image(line, None).map(str::to_owned),
            "verb" => {
                after(line, "cannot ").map(|rest| rest.split(' ').next().unwrap_or(rest).to_owned())
            }
            "resource" => after(line, "resource ").map(quoted),
            "group" => after(line, "API group ").map(quoted),
            _ => unreachable!("no rule names {name}"),
        };
        value.unwrap_or_else(|| "…".to_owned())
    }

    fn volume(&self, found: &Match<'_>) -> &Value {
        let volume = found.path.and_then(|path| self.config_volume(path));
        volume.unwrap_or(&Value::Null)
    }

    /// The ConfigMap of the first volume that has one, or else the first deployed ConfigMap.
    fn any_config_map(&self) -> Option<String> {
        let mut volumes = items(&self.pod()["volumes"]);
        let name = volumes.find_map(|volume| volume["configMap"]["name"].as_str());
        let mut objects = self.rendered.objects();
        let deployed = objects.find(|object| object.kind == "ConfigMap");
        let deployed = deployed.map(|object| object.name.as_str());
        name.or(deployed).map(str::to_owned)
    }
}

fn after<'l>(line: &'l str, words: &str) -> Option<&'l str> {
    line.split_once(words).map(|(_, rest)| rest)
}

/// The text in quotes at the start of `rest`. The quotes may be escaped.
fn quoted(rest: &str) -> String {
    let mut parts = rest.trim_start_matches(['\\', '"']).split(['\\', '"']);
    parts.next().unwrap_or_default().to_owned()
}
