//! The reasons why an image couldn't be pulled.

use crate::event::Symptom;

/// Messages of a registry that doesn't have the image or denies access to it.
const WRONG_NAME: [&str; 5] = [
    "not found",
    "denied",
    "does not exist",
    "manifest unknown",
    "invalid reference",
];

/// The symptom for a failed pull: no registry has the image under this name, or the network failed.
pub(super) fn of_pull(why: &str) -> Symptom {
    if WRONG_NAME.iter().any(|words| why.contains(words)) || is_named_host_unknown(why) {
        Symptom::ImageNameUnusable
    } else {
        Symptom::ImagePullFailed
    }
}

/// Whether DNS can't resolve the registry in the image's name. If DNS can't resolve a different host, such as the
/// default registry or a token server, the problem is the name server or the network.
fn is_named_host_unknown(why: &str) -> bool {
    let Some((before, _)) = why.split_once(": no such host") else {
        return false;
    };
    let after = before.rsplit_once("lookup ").map(|(_, after)| after);
    let host = after.and_then(|after| after.split_whitespace().next());
    // In an image reference, the host follows the opening quote. In a URL, it follows the scheme.
    let is_named = |end| host.is_some_and(|host| why.contains(&format!("\"{host}{end}")));
    is_named('/') || is_named(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_a_wrong_name_only_if_the_image_names_it() {
        let pull = |image: &str, host: &str| {
            format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": failed to do request: \
                 Head \"https://{host}/v2/a/manifests/1\": dial tcp: lookup {host} on 172.18.0.1:53: no such host"
            )
        };
        for image in ["nope.invalid/a:1", "nope.invalid:5000/a:1"] {
            let why = pull(image, "nope.invalid");
            assert_eq!(of_pull(&why), Symptom::ImageNameUnusable, "{why}");
        }
        for why in [
            pull("docker.io/library/a:1", "registry-1.docker.io"),
            pull("ghcr.io/a/b:1", "tokens.example.com"),
            "no such host".to_owned(),
        ] {
            assert_eq!(of_pull(&why), Symptom::ImagePullFailed, "{why}");
        }
    }

    #[test]
    fn a_registrys_rejection_is_a_wrong_name_and_a_network_failure_is_not() {
        for words in WRONG_NAME {
            assert_eq!(of_pull(words), Symptom::ImageNameUnusable, "{words}");
        }
        for words in ["i/o timeout", "server misbehaving", "refused", ""] {
            assert_eq!(of_pull(words), Symptom::ImagePullFailed, "{words}");
        }
    }
}
