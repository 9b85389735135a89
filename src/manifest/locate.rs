//! Finds the objects and containers of the agent and the mock. They can have any names that are unambiguous.

use std::collections::BTreeMap;

use super::patch::CONTAINERS;
use super::{Folder, ManifestProblem, Object, Place, items, names, only};

/// The annotation of a pod template that names the main container, for example for `kubectl logs`.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The index of the agent's `DaemonSet`: the one called `wanted` if the user names it. Otherwise the only one, or the
/// one called `plexd` if there are several.
pub(super) fn agent(
    objects: &[Object],
    wanted: Option<&str>,
    folder: &Folder,
) -> Result<usize, ManifestProblem> {
    let all = of_kind(objects, "DaemonSet");
    let name = wanted.unwrap_or(names::AGENT);
    let found = called(&all, name).or_else(|| only(all.keys()).filter(|_| wanted.is_none()));
    found.copied().ok_or_else(|| {
        let places: Vec<String> = all.values().map(|it| it.place("").to_string()).collect();
        let places = places.join("; ");
        let (message, remedy) = if all.is_empty() {
            let message = "has no DaemonSet, so nothing runs the agent".to_owned();
            (message, "add the agent's DaemonSet")
        } else if wanted.is_some() {
            let message = format!("has no DaemonSet called `{name}`, only {places}");
            (message, "correct `daemonset` in `[deploy]`")
        } else {
            let count = all.len();
            (
                format!("has {count} DaemonSets, and none of them is called `{name}`: {places}"),
                "select the agent's with `daemonset = \"…\"` in `[deploy]`",
            )
        };
        ManifestProblem::new(Place::file(&folder.label), message, remedy)
    })
}

/// The index of the object of `kind` with the name `name`, or of the only one of that kind.
pub(super) fn object(
    objects: &[Object],
    kind: &str,
    name: &str,
    folder: &Folder,
) -> Result<usize, ManifestProblem> {
    let all = of_kind(objects, kind);
    let found = called(&all, name).or_else(|| only(all.keys()));
    found.copied().ok_or_else(|| {
        let count = all.len();
        ManifestProblem::new(
            Place::file(&folder.label),
            format!("has {count} objects of kind {kind}, and none of them is called `{name}`"),
            format!("add one called `{name}`, or give this name to the right one"),
        )
    })
}

/// The objects of `kind` by their indexes.
fn of_kind<'o>(objects: &'o [Object], kind: &str) -> BTreeMap<usize, &'o Object> {
    let objects = objects.iter().enumerate();
    objects.filter(|(_, it)| it.kind == kind).collect()
}

fn called<'a>(objects: &'a BTreeMap<usize, &Object>, name: &str) -> Option<&'a usize> {
    let mut objects = objects.iter();
    objects
        .find(|(_, it)| it.name == name)
        .map(|(index, _)| index)
}

/// The index and name of the container called `name`, or else of the container with the same name as its object, or
/// else of the one that the annotation names, or else of the only container.
pub(super) fn container(object: &Object, name: &str) -> Result<(usize, String), ManifestProblem> {
    let containers = object.value.pointer(CONTAINERS).into_iter().flat_map(items);
    let names: Vec<&str> = containers
        .map(|container| container["name"].as_str().unwrap_or_default())
        .collect();
    let called = |name: &str| names.iter().position(|it| *it == name);
    let template = &object.value["spec"]["template"];
    let annotated = template["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
    let index = called(name).or_else(|| called(&object.name));
    let index = index.or_else(|| called(annotated?));
    match index.or_else(|| (names.len() == 1).then_some(0)) {
        Some(index) => Ok((index, names[index].to_owned())),
        None => Err(ManifestProblem::new(
            object.place("spec.template.spec.containers"),
            format!("none of its {} containers is called `{name}`", names.len()),
            format!(
                "rename the main container to `{name}`, or name it in the annotation \
                 `{DEFAULT_CONTAINER}` of the pod template"
            ),
        )),
    }
}
