//! A pure function that decides whether an error response of the API server is due to the object or to the server.

/// Messages about an object that the API server can never accept. The HTTP status of such a response may be 500.
const OBJECT_MESSAGES: [&str; 12] = [
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

/// Messages about a failure of the API server or of one of its dependencies. Such a message may also quote the object.
const SERVER_MESSAGES: [&str; 7] = [
    "conversion webhook",
    "connection refused",
    "context deadline exceeded",
    "etcdserver",
    "failed calling webhook",
    "i/o timeout",
    "no space left on device",
];

/// Whether the API server rejected the object itself, so that the same request can't succeed later.
pub(super) fn is_object_rejected(code: u16, message: &str) -> bool {
    let contains_any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        401 | 408 | 429 => false,
        400..=499 => true,
        500 => contains_any(&OBJECT_MESSAGES) && !contains_any(&SERVER_MESSAGES),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_due_to_the_object_or_to_the_server() {
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
            assert!(is_object_rejected(code, message), "{code} {message}");
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
            assert!(!is_object_rejected(code, message), "{code} {message}");
        }
    }
}
