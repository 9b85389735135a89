//! Finds what a run works with: the agent's and the mock's objects and containers. A foreign deployment may call them
//! otherwise, as long as there is no doubt.

use serde_json::Value;

use super::patch::CONTAINERS;
use super::{ManifestProblem, Object};

/// The index of the object of `kind` that is called `name`, or of the only one of that kind.
pub(super) fn object(objects: &[Object], kind: &str, name: &str) -> Option<usize> {
    let of_kind = || {
        let all = objects.iter().enumerate();
        all.filter(|(_, object)| object.kind == kind)
    };
    let mut rest = of_kind();
    of_kind()
        .find(|(_, object)| object.name == name)
        .or_else(|| rest.next().filter(|_| rest.next().is_none()))
        .map(|(index, _)| index)
}

/// The index and name of the container that is called `name`, or of the only one.
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
    let index = names.iter().position(|there| *there == name);
    match index.or_else(|| (names.len() == 1).then_some(0)) {
        Some(index) => Ok((index, names[index].to_owned())),
        None => Err(ManifestProblem::new(
            object.place("spec.template.spec.containers"),
            format!("none of its {} containers is called `{name}`", names.len()),
            format!("call the container that the run's image goes into `{name}`"),
        )),
    }
}
