//! Problems that only events show, such as volumes that can't be mounted and pods that can't be created.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Event;

use super::images::of_pull;
use super::{AT_ONCE, LONG, SHORT};
use crate::cluster::kubernetes::wait::Suspicion;
use crate::event::{Failure, Symptom};

/// The problem that an event shows, if any. `jobs` are the Jobs of the manifests.
pub(super) fn problem(event: &Event, jobs: &BTreeSet<String>) -> Option<Suspicion> {
    let why = event.message.as_deref().unwrap_or_default();
    let subject = event.involved_object.name.as_deref().unwrap_or_default();
    let is_job = event.involved_object.kind.as_deref() == Some("Job") && jobs.contains(subject);
    let (patience, symptom) = match event.reason.as_deref()? {
        "FailedMount" if is_missing_object(why) => (LONG, Symptom::DanglingReference),
        "FailedMount" if why.contains("hostPath type check failed") => {
            (SHORT, Symptom::ContainerConfig)
        }
        "Failed" if why.contains("Failed to pull image") => (LONG, of_pull(why)),
        "FailedCreatePodSandBox" if is_sandbox_rejected(why) => (SHORT, Symptom::ContainerConfig),
        // The default account of a new namespace is created a moment later.
        "FailedCreate" if why.contains("serviceaccount \"default\" not found") => return None,
        "FailedCreate" if why.contains("serviceaccount") && why.contains("not found") => {
            (SHORT, Symptom::DanglingReference)
        }
        // The quota still counts a pod for a moment after it is gone.
        "FailedCreate" if why.contains("exceeded quota") => (LONG, Symptom::ObjectRefused),
        "FailedCreate" if why.contains("forbidden") || why.contains("is invalid") => {
            (SHORT, Symptom::ObjectRefused)
        }
        reason if is_job && JOB_FAILED.contains(&reason) => (AT_ONCE, Symptom::WorkloadFailed),
        _ => return None,
    };
    let failure = Failure::new(symptom, format!("{why} ({subject})"));
    let key = format!("{subject}/{symptom}");
    Some(Suspicion::new(key, patience, failure))
}

/// The reasons why a Job has failed. When its controller sets the condition `Failed`, it creates an event with the same
/// reason.
const JOB_FAILED: [&str; 5] = [
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
];

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
