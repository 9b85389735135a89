//! Checks quantities: they are valid, and not negative.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Findings;
use crate::manifest::quantity::parse;

/// Checks the requests and limits of a container.
pub(super) fn resources(findings: &mut Findings<'_>, field: &str, given: &ResourceRequirements) {
    for (part, amounts) in [("limits", &given.limits), ("requests", &given.requests)] {
        all(findings, &format!("{field}.{part}"), amounts.as_ref());
    }
}

/// Checks a table of amounts.
pub(super) fn all(
    findings: &mut Findings<'_>,
    field: &str,
    amounts: Option<&BTreeMap<String, Quantity>>,
) {
    for (resource, amount) in amounts.into_iter().flatten() {
        one(findings, &format!("{field}.{resource}"), amount);
    }
}

/// Checks one amount.
pub(super) fn one(findings: &mut Findings<'_>, field: &str, Quantity(text): &Quantity) {
    let message = if parse(text).is_none() {
        format!("`{text}` is not a valid quantity")
    } else if text.starts_with('-') {
        format!("`{text}` is negative")
    } else {
        return;
    };
    let remedy = "write a number, optionally with a suffix such as `m`, `Ki`, `Mi` or `G`";
    findings.add(field, message, remedy);
}
