//! Problems that only events show, such as volumes that can't be mounted and pods that can't be created.

use k8s_openapi::api::core::v1::Event;

use super::images::of_pull;
use super::{LONG, SHORT};
use crate::cluster::kubernetes::wait::Suspicion;
use crate::event::{Failure, Symptom};

/// The problem that an event shows, if any.
pub(super) fn problem(event: &Event) -> Option<Suspicion> {
    let why = event.message.as_deref().unwrap_or_default();
    let subject = event.involved_object.name.as_deref().unwrap_or_default();
    let (patience, symptom) = match event.reason.as_deref()? {
        "FailedMount" if is_missing_object(why) => (LONG, Symptom::DanglingReference),
        "FailedMount" if why.contains("hostPath type check failed") => {
            (SHORT, Symptom::ContainerConfig)
        }
        "Failed" if why.starts_with("Failed to pull image") => (LONG, of_pull(why)),
        "FailedCreatePodSandBox" if is_sandbox_rejected(why) => (SHORT, Symptom::ContainerConfig),
        // The default account of a new namespace is created a moment later.
        "FailedCreate" if why.contains("serviceaccount \"default\" not found") => return None,
        "FailedCreate" if why.contains("serviceaccount") && why.contains("not found") => {
            (SHORT, Symptom::DanglingReference)
        }
        "FailedCreate" if why.contains("forbidden") || why.contains("is invalid") => {
            (SHORT, Symptom::ObjectRefused)
        }
        _ => return None,
    };
    let failure = Failure::new(symptom, format!("{why} ({subject})"));
    let key = format!("{subject}/{symptom}");
    Some(Suspicion::new(key, patience, failure))
}

/// Whether the runtime rejected the pod's sandbox because of the manifests.
fn is_sandbox_rejected(why: &str) -> bool {
    let words = [
        "OOM-killed",
        "memory limit too low",
        "no runtime for",
        "sysctl",
    ];
    words.into_iter().any(|words| why.contains(words))
}

fn is_missing_object(why: &str) -> bool {
    let is_object = why.contains("configmap \"") || why.contains("secret \"");
    (is_object && why.contains("not found")) || why.contains("references non-existent")
}
