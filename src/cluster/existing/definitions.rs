//! Custom resource definitions, which cells share with other users of the cluster. A cell never changes other users'
//! definitions, and deletes the definitions that it added.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};

use super::labels::is_ours;
use crate::event::{Failure, Symptom};
use crate::manifest::Object;

/// The kind of a custom resource definition.
pub(super) const KIND: &str = "CustomResourceDefinition";

/// The names of the definitions among `objects` that already exist in the cluster without our label. Fails if one of
/// them isn't compatible with its manifest. It is the cell's turn in the cluster, so an existing definition with our
/// label was left behind by a dead run.
pub(super) async fn foreign(
    client: &Client,
    objects: impl Iterator<Item = &Object>,
) -> Result<Vec<String>, Failure> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut foreign = Vec::new();
    for object in objects.filter(|object| object.kind == KIND) {
        let existing = api.get_opt(&object.name).await?;
        if let Some(existing) = existing.filter(|existing| !is_ours(existing)) {
            let wanted = serde_json::from_value(object.value.clone());
            let wanted = wanted.map_err(|error| {
                let why = format!("the manifest can't be read: {error}");
                differs(&object.name, &why)
            })?;
            compatible(&wanted, &existing)?;
            foreign.push(object.name.clone());
        }
    }
    Ok(foreign)
}

/// Checks that agents that expect the definition `wanted` work with the `existing` one: group, scope and names are the
/// same, and it serves every version that `wanted` serves, with the same schema.
fn compatible(
    wanted: &CustomResourceDefinition,
    existing: &CustomResourceDefinition,
) -> Result<(), Failure> {
    let name = existing.name_any();
    let (ours, theirs) = (&wanted.spec, &existing.spec);
    if ours.group != theirs.group
        || ours.scope != theirs.scope
        || ours.names.kind != theirs.names.kind
        || ours.names.plural != theirs.names.plural
    {
        return Err(differs(&name, "its group, scope or names differ"));
    }
    for version in ours.versions.iter().filter(|version| version.served) {
        let mut others = theirs.versions.iter().filter(|other| other.served);
        let Some(served) = others.find(|other| other.name == version.name) else {
            let why = format!("it does not serve {}", version.name);
            return Err(differs(&name, &why));
        };
        if served.schema != version.schema {
            let why = format!("the schema of {} differs", version.name);
            return Err(differs(&name, &why));
        }
    }
    Ok(())
}

fn differs(name: &str, why: &str) -> Failure {
    let message = format!(
        "the cluster's CustomResourceDefinition {name} is not compatible with the manifest: {why}"
    );
    Failure::new(Symptom::ObjectRefused, message).with_remedy(
        "existing definitions are never changed: use another cluster, or manifests with the same definition",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> CustomResourceDefinition {
        let text = include_str!("../../../deploy/kubernetes/crds/plexdhook-crd.yaml");
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_definition_that_serves_the_wanted_versions_is_compatible() {
        let wanted = definition();
        assert!(compatible(&wanted, &wanted).is_ok());
        let mut more = wanted.clone();
        let mut older = more.spec.versions[0].clone();
        older.name = "v0".to_owned();
        more.spec.versions.push(older);
        assert!(compatible(&wanted, &more).is_ok());
        let mut other = wanted.clone();
        other.spec.versions[0].served = false;
        let failure = compatible(&wanted, &other).unwrap_err();
        assert!(failure.message.contains("does not serve"), "{failure}");
        let mut other = wanted.clone();
        other.spec.scope = "Cluster".to_owned();
        assert!(compatible(&wanted, &other).is_err());
    }
}
