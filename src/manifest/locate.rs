//! Finds the objects and containers of the agent and the mock. They can have any names that are unambiguous.

use serde_json::Value;

use super::patch::CONTAINERS;
use super::{Folder, ManifestProblem, Object, Place, names};

/// The index of the agent's `DaemonSet`: the one called `wanted` if the user names it. Otherwise the only one, or the
/// one called `plexd` if there are several.
pub(super) fn agent(
    objects: &[Object],
    wanted: Option<&str>,
    folder: &Folder,
) -> Result<usize, ManifestProblem> {
    let all: Vec<(usize, &Object)> = objects
        .iter()
        .enumerate()
        .filter(|(_, object)| object.kind == "DaemonSet")
        .collect();
    let named = |name: &str| {
        let named = all.iter().find(|(_, it)| it.name == name);
        named.map(|(index, _)| *index)
    };
    let found = match (wanted, &all[..]) {
        (Some(name), _) => named(name),
        (None, [(index, _)]) => Some(*index),
        (None, _) => named(names::AGENT),
    };
    found.ok_or_else(|| {
        let place = Place::file(folder.label());
        let places: Vec<String> = all.iter().map(|(_, it)| it.place("").to_string()).collect();
        let (message, remedy) = match (wanted, places.is_empty()) {
            (_, true) => (
                "has no DaemonSet, so nothing runs the agent".to_owned(),
                "add the agent's DaemonSet",
            ),
            (Some(name), false) => (
                format!(
                    "has no DaemonSet called `{name}`, only {}",
                    places.join("; ")
                ),
                "correct `daemonset` in `[deploy]`",
            ),
            (None, false) => (
                format!(
                    "has {} DaemonSets, and none of them is called `{}`: {}",
                    places.len(),
                    names::AGENT,
                    places.join("; ")
                ),
                "select the agent's with `daemonset = \"…\"` in `[deploy]`",
            ),
        };
        ManifestProblem::new(place, message, remedy)
    })
}

/// The index of the object of `kind` with the name `name`, or of the only one of that kind.
pub(super) fn object(
    objects: &[Object],
    kind: &str,
    name: &str,
    folder: &Folder,
) -> Result<usize, ManifestProblem> {
    let of_kind: Vec<(usize, &Object)> = objects
        .iter()
        .enumerate()
        .filter(|(_, object)| object.kind == kind)
        .collect();
    let named = of_kind.iter().find(|(_, object)| object.name == name);
    match (named, &of_kind[..]) {
        (Some((index, _)), _) | (None, [(index, _)]) => Ok(*index),
        (None, others) => {
            let place = Place::file(folder.label());
            Err(ManifestProblem::new(
                place,
                format!(
                    "has {} objects of kind {kind}, and none of them is called `{name}`",
                    others.len()
                ),
                format!("add one called `{name}`, or give this name to the right one"),
            ))
        }
    }
}

/// The index and name of the container called `name`, of the one with the name of its object, or of the only container.
pub(super) fn container(object: &Object, name: &str) -> Result<(usize, String), ManifestProblem> {
    let containers = object.value.pointer(CONTAINERS).and_then(Value::as_array);
    let names: Vec<&str> = containers
        .into_iter()
        .flatten()
        .map(|container| {
            container
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
        })
        .collect();
    let called = |name: &str| names.iter().position(|it| *it == name);
    let index = called(name).or_else(|| called(&object.name));
    match index.or_else(|| (names.len() == 1).then_some(0)) {
        Some(index) => Ok((index, names[index].to_owned())),
        None => Err(ManifestProblem::new(
            object.place("spec.template.spec.containers"),
            format!("none of its {} containers is called `{name}`", names.len()),
            format!("rename the main container to `{name}`"),
        )),
    }
}
