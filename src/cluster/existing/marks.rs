//! The marks by which everything of ours is found again in a cluster that others use.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::manifest::Shared;
use crate::matrix::Cell;

/// The label of all that is ours, and its value.
pub(super) const OWNER: (&str, &str) = ("app.kubernetes.io/managed-by", "e2e-matrix");
/// The label that names the run.
pub(super) const RUN: &str = "e2e-matrix/run";
/// The label that names the cell.
const CELL: &str = "e2e-matrix/cell";
/// The annotation of a namespace: the image by which folders on nodes are wiped.
pub(super) const IMAGE: &str = "e2e-matrix/wipe-image";
/// The folder on every node below which each cell has its own, by the name of its namespace.
pub(super) const FOLDER: &str = "/var/lib/plexd-e2e";

/// How many characters the value of a label may have.
const LABEL_LENGTH: usize = 63;

/// What keeps `cell` of the run `run` apart.
pub(super) fn shared(cell: &Cell, run: &str, namespace: &str, image: &str) -> Shared {
    let labels = [
        (OWNER.0, OWNER.1.to_owned()),
        (RUN, run.to_owned()),
        (CELL, label(cell.id.as_str())),
    ];
    Shared {
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        annotations: BTreeMap::from([(IMAGE.to_owned(), image.to_owned())]),
        folder: format!("{FOLDER}/{namespace}"),
    }
}

/// `text` as a label can have it.
fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text: String = text
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(LABEL_LENGTH)
        .collect();
    text.trim_end_matches(['-', '_', '.']).to_owned()
}

/// Whether it carries our label.
pub(super) fn is_ours(object: &impl ResourceExt) -> bool {
    object
        .labels()
        .get(OWNER.0)
        .is_some_and(|owner| owner == OWNER.1)
}

/// The run whose it is, where it is ours.
pub(super) fn run_of(object: &impl ResourceExt) -> Option<&str> {
    let run = object.labels().get(RUN).map(String::as_str);
    run.filter(|_| is_ours(object))
}

/// The label as a selector.
pub(super) fn selector() -> String {
    format!("{}={}", OWNER.0, OWNER.1)
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
