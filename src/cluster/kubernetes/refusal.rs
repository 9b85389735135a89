//! Whether an error of the API server is caused by the object or by the server. Pure.

/// Messages of an API server, even with status 500, about an object that can never be accepted.
const OBJECT: [&str; 12] = [
    "cannot unmarshal",
    "conflicting names",
    "failed to convert",
    "failed to create typed patch object",
    "failed to create typed live object",
    "field not declared in schema",
    "is invalid",
    "quantities must match",
    "strict decoding error",
    "unable to convert",
    "unable to parse",
    "unknown field",
];

/// Messages of a server that fails, or whose dependency fails; they may also quote the object.
const SERVER: [&str; 7] = [
    "conversion webhook",
    "connection refused",
    "context deadline exceeded",
    "etcdserver",
    "failed calling webhook",
    "i/o timeout",
    "no space left on device",
];

/// Whether the API server rejected the object itself, so that the same request can't succeed later.
pub(super) fn is_objects_fault(code: u16, message: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        401 | 408 | 429 => false,
        400..=499 => true,
        500 => says(&OBJECT) && !says(&SERVER),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_caused_by_the_object_or_by_the_server() {
        let object = [
            (400, "strict decoding error: unknown field \"spec.x\""),
            (403, "pods \"x\" is forbidden: violates PodSecurity"),
            (404, "the server could not find the requested resource"),
            (409, "the object has been modified"),
            (
                422,
                "DaemonSet.apps \"plexd\" is invalid: spec.selector: Required value",
            ),
            (
                500,
                "failed to create typed patch object (ns/plexd; apps/v1, Kind=DaemonSet): .spec.x: field not declared in schema",
            ),
            (
                500,
                "failed to create typed patch object (ns/plexd; apps/v1, Kind=DaemonSet): .spec.template.spec.containers[0].ports: expected list, got &{a}",
            ),
            (
                500,
                "unable to convert unstructured object to apps/v1, Kind=DaemonSet: cannot convert int64 to bool",
            ),
            (500, "quantities must match the regular expression"),
            (500, "json: cannot unmarshal string into Go struct field"),
        ];
        for (code, message) in object {
            assert!(is_objects_fault(code, message), "{code} {message}");
        }
        let server = [
            (401, "Unauthorized"),
            (408, "Timeout"),
            (429, "too many requests"),
            (500, "etcdserver: request timed out"),
            (
                500,
                "Internal error occurred: failed calling webhook \"a\": connection refused",
            ),
            (
                500,
                "conversion webhook for x failed: the response is invalid: connection refused",
            ),
            (502, "is invalid"),
            (503, "the server is currently unable to handle the request"),
            (
                504,
                "Timeout: request did not complete within the allotted timeout",
            ),
        ];
        for (code, message) in server {
            assert!(!is_objects_fault(code, message), "{code} {message}");
        }
    }
}
