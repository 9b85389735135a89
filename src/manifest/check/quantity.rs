//! Kubernetes quantities: amounts of CPU, memory and storage.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Findings;

const SUFFIXES: [&str; 16] = [
    "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
];

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
    let message = if !parses(text) {
        format!("`{text}` is not a valid quantity")
    } else if text.starts_with('-') {
        format!("`{text}` is negative")
    } else {
        return;
    };
    let remedy = "write a number, optionally with a suffix such as `m`, `Ki`, `Mi` or `G`";
    findings.add(field, message, remedy);
}

fn parses(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = unsigned.find(|c| !is_number(c)).unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let has_digit = number.contains(|c: char| c.is_ascii_digit());
    has_digit && number.matches('.').count() <= 1 && is_suffix(suffix)
}

fn is_suffix(suffix: &str) -> bool {
    let exponent = suffix.strip_prefix(['e', 'E']);
    SUFFIXES.contains(&suffix) || exponent.is_some_and(|exponent| exponent.parse::<i32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::parses;

    #[test]
    fn quantities_parse_as_in_kubernetes() {
        for text in [
            "0", "1", "+1", "-1", "1.5", ".5", "5.", "100m", "64Mi", "1e3", "1E-3", "2E", "1n",
        ] {
            assert!(parses(text), "{text}");
        }
        for text in [
            "", ".", "+", "Mi", "64MB", "64mi", "1 Gi", "1.2.3", "1e", "1e3m", "0x1", "1Ki ",
            "lots",
        ] {
            assert!(!parses(text), "{text}");
        }
    }
}
