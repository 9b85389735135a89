//! The labels and annotations that identify our objects in a shared cluster.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::manifest::Tenancy;
use crate::matrix::Cell;

/// The label of all our objects, and its value.
pub(super) const OWNER: (&str, &str) = ("app.kubernetes.io/managed-by", "e2e-matrix");
/// The label with the run.
pub(super) const RUN: &str = "e2e-matrix/run";
/// The label with the cell.
const CELL: &str = "e2e-matrix/cell";
/// The annotation of a namespace with the image that wipes the namespace's folders on the nodes.
pub(super) const IMAGE: &str = "e2e-matrix/wipe-image";
/// The folder on each node that contains the cells' folders, named after their namespaces.
pub(super) const FOLDER: &str = "/var/lib/plexd-e2e";

/// The maximum length of a label's value.
const LABEL_LENGTH: usize = 63;

/// The settings that separate the objects of `cell` in the run `run` from other objects in the cluster.
pub(super) fn tenancy(cell: &Cell, run: &str, namespace: &str, image: &str) -> Tenancy {
    let labels = [
        (OWNER.0, OWNER.1.to_owned()),
        (RUN, run.to_owned()),
        (CELL, label(cell.id.as_str())),
    ];
    Tenancy {
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        annotations: BTreeMap::from([(IMAGE.to_owned(), image.to_owned())]),
        folder: format!("{FOLDER}/{namespace}"),
    }
}

/// `text` as a valid label value.
fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text = text.chars().map(|c| if plain(c) { c } else { '-' });
    let text: String = text.take(LABEL_LENGTH).collect();
    text.trim_end_matches(['-', '_', '.']).to_owned()
}

/// Whether the object has our label.
pub(super) fn is_ours(object: &impl ResourceExt) -> bool {
    let owner = object.labels().get(OWNER.0);
    owner.is_some_and(|owner| owner == OWNER.1)
}

/// The run that the object belongs to, if it is ours.
pub(super) fn run_of(object: &impl ResourceExt) -> Option<&str> {
    let run = object.labels().get(RUN).map(String::as_str);
    run.filter(|_| is_ours(object))
}

/// The label selector of all our objects.
pub(super) fn selector() -> String {
    format!("{}={}", OWNER.0, OWNER.1)
}

/// The label selector of the objects of the run `run`.
pub(super) fn run_selector(run: &str) -> String {
    format!("{RUN}={run}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_becomes_a_label() {
        assert_eq!(label("k8s-1.36-n1-fast#2"), "k8s-1.36-n1-fast-2");
        let long = format!("k8s-1.36-n1-{}-end", "a".repeat(50));
        assert_eq!(label(&long), format!("k8s-1.36-n1-{}", "a".repeat(50)));
    }
}
