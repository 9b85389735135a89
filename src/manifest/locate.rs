//! Finds the objects and containers of the agent and the mock. They can have any names that are unambiguous.

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
    let found = match wanted {
        Some(name) => called(&all, name),
        None => called_or_only(&all, names::AGENT),
    };
    found.ok_or_else(|| {
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
    called_or_only(&all, name).ok_or_else(|| {
        ManifestProblem::new(
            Place::file(&folder.label),
            format!(
                "has {} objects of kind {kind}, and none of them is called `{name}`",
                all.len()
            ),
            format!("add one called `{name}`, or give this name to the right one"),
        )
    })
}

/// The objects of `kind`, with their indexes.
fn of_kind<'o>(objects: &'o [Object], kind: &str) -> Vec<(usize, &'o Object)> {
    let objects = objects.iter().enumerate();
    objects.filter(|(_, it)| it.kind == kind).collect()
}

fn called(objects: &[(usize, &Object)], name: &str) -> Option<usize> {
    let named = objects.iter().find(|(_, it)| it.name == name);
    named.map(|(index, _)| *index)
}

fn called_or_only(objects: &[(usize, &Object)], name: &str) -> Option<usize> {
    called(objects, name).or_else(|| only(objects.iter()).map(|(index, _)| *index))
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
